"""第 8 章 速くする: 勾配の平均、環状の通信、学習率の比例、半精度、2 値化。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare

Array = np.ndarray[Any, Any]


def _shares(rng: np.random.Generator) -> tuple[Array, int, Array, int]:
    counts = rng.choice([2, 4, 8, 16], 2, replace=False)
    return rng.normal(size=3), int(counts[0]), rng.normal(size=3), int(counts[1])


@declare(
    "8-1",
    "2 台の勾配を合わせる",
    [
        "ほしいのは、n₁ + n₂ 枚すべての勾配の平均です。",
        "g₁ は n₁ 枚の平均なので、n₁ 枚の和は n₁·g₁ です。",
        "(n1 * g1 + n2 * g2) / (n1 + n2) です。",
    ],
    inputs=_shares,
    mistakes={
        "平均の平均は、枚数が違うと、全体の平均になりません。枚数で重みをつけます。": (
            lambda g1, n1, g2, n2: (g1 + g2) / 2
        ),
        "和になっています。全部の枚数で割ってください。": (
            lambda g1, n1, g2, n2: n1 * g1 + n2 * g2
        ),
        "枚数の重みが逆です。": lambda g1, n1, g2, n2: (n2 * g1 + n1 * g2) / (n1 + n2),
    },
    why="こうすれば、1 台ですべてを計算したときと（丸めの分を除いて）同じ更新になります。",
)
def combined(g1: Array, n1: int, g2: Array, n2: int) -> Any:
    """2 台で手分けをして、1 台めは n1 枚の勾配の平均 g1、2 台めは n2 枚の勾配の平均 g2 を求め
    ました。すべての枚数の勾配の平均を返す関数 `combined(g1, n1, g2, n2)` を書いてください。
    """
    return (n1 * g1 + n2 * g2) / (n1 + n2)


@declare(
    "8-2",
    "環になって足す",
    [
        "配列を p 等分します。1 回に隣へ渡すのは、そのうちの 1 つです。",
        "足しながら渡すのに p − 1 回、でき上がった和を配るのに、もう p − 1 回です。",
        "2(p − 1)·n/p です。",
    ],
    inputs=lambda rng: (int(rng.integers(2, 65)), int(rng.integers(8, 100))),
    mistakes={
        "和を配り直す 2 周めを忘れています。": lambda p, n: (p - 1) * n / p,
        "1 回に渡すのは配列の全部ではなく、p 等分した 1 つです。": lambda p, n: 2 * (p - 1) * n,
        "1 周は p 回ではなく p − 1 回です。": lambda p, n: 2 * n,
    },
    why="台数 p がいくら増えても、1 台が送る量は 2n を超えません。",
)
def ring_bytes(p: int, n: int) -> float:
    """環に並んだ p 台が、n バイトの配列の和を求めます。配列を p 等分し、隣へ渡しながら足して 1 周、
    でき上がった和を配りながらもう 1 周します（ring all-reduce）。

    1 台が送るバイト数を返す関数 `ring_bytes(p, n)` を書いてください。
    """
    return 2 * (p - 1) * n / p


@declare(
    "8-3",
    "枚数と学習率",
    [
        "枚数が 32 倍になると、1 エポックの更新は 1/32 になります。",
        "同じだけ進むには、1 回の更新で 32 倍進みます。",
        "0.1 × (8192 ÷ 256) です。",
    ],
    mistakes={
        "これは平方根に比例させたものです。線形に比例させてください。": 0.1 * 32**0.5,
        "枚数が増えたら、学習率は大きくします。": 0.1 / 32,
        "枚数が何倍になったかを、学習率にかけます。": 32,
    },
    rtol=1e-6,
    why="Goyal ら (2017) は、この規則と warm-up で、8,192 枚ずつの学習を成功させました。",
)
def scaled_rate() -> float:
    """256 枚ずつのミニバッチで、学習率 0.1 がうまくいっていました。8,192 枚ずつにして、学習率を
    枚数に比例させます (linear scaling)。学習率はいくつにしますか。
    """
    return 0.1 * 8192 / 256


def _scaled(rng: np.random.Generator) -> tuple[Array, Array, float, float]:
    scale = float(2 ** rng.integers(4, 12))
    g = rng.normal(size=3) * scale
    if rng.random() < 0.5:
        g[rng.integers(3)] = rng.choice([np.inf, -np.inf, np.nan])
    return rng.normal(size=3), g, scale, float(rng.uniform(0.01, 0.5))


def _step(w: Array, g: Array, scale: float, lr: float) -> Any:
    return w - lr * g / scale


@declare(
    "8-4",
    "損失を大きくして学習する",
    [
        "g は、本当の勾配の scale 倍です。",
        "大きくしすぎて inf や nan が混ざったら、その更新は捨てます。",
        "np.isfinite(g).all() が偽なら w を、真なら w - lr * g / scale を返します。",
    ],
    inputs=_scaled,
    mistakes={
        "inf や nan が混ざった勾配では、更新しません。重みが壊れます。": _step,
        "g は scale 倍されています。割り戻してから更新してください。": (
            lambda w, g, scale, lr: w - lr * g if np.isfinite(g).all() else w
        ),
        "inf や nan のところだけでなく、その更新をまるごと捨てます。": (
            lambda w, g, scale, lr: np.where(np.isfinite(g), _step(w, g, scale, lr), w)
        ),
        "符号が逆です。勾配の逆の向きに動かします。": (
            lambda w, g, scale, lr: w + lr * g / scale if np.isfinite(g).all() else w
        ),
    },
    why="`mg.amp.GradScaler` がすることです。捨てたあとは、scale を半分にします。",
)
def scaled_step(w: Array, g: Array, scale: float, lr: float) -> Any:
    """損失を scale 倍して逆伝播したら、勾配 g が得られました。重み w を、学習率 lr で 1 回更新した
    値を返す関数 `scaled_step(w, g, scale, lr)` を書いてください。g に inf か nan が混ざっていたら、
    更新せずに w を返します。
    """
    return w - lr * g / scale if np.isfinite(g).all() else w


def _signs(rng: np.random.Generator) -> tuple[Array, Array]:
    n = int(rng.integers(3, 20))
    return rng.random(n) < 0.5, rng.random(n) < 0.5


@declare(
    "8-5",
    "±1 どうしの積の和",
    [
        "符号が同じなら積は +1、違えば −1 です。",
        "n 個のうち k 個が同じなら、和は k − (n − k) です。",
        "2 * (a == b).sum() - len(a) です。",
    ],
    inputs=_signs,
    mistakes={
        "同じものの数だけでなく、違うものの −1 も数えます。": lambda a, b: (a == b).sum(),
        "これは 0 と 1 の積の和です。0 は −1 を表しています。": lambda a, b: (a & b).sum(),
        "符号が逆です。同じなら +1 です。": lambda a, b: len(a) - 2 * (a == b).sum(),
    },
    why="「同じか」は XNOR、「いくつあるか」は popcount。64 個をまとめて計算できる命令です。",
)
def binary_dot(a: Array, b: Array) -> Any:
    """+1 を True、−1 を False で表した、同じ長さの配列 a と b があります。±1 としての積の和
    Σ aᵢbᵢ を、かけ算を使わずに求める関数 `binary_dot(a, b)` を書いてください。
    """
    return 2 * (a == b).sum() - len(a)


def _around_one(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.uniform(-2, 2, size=8), rng.normal(size=8)


@declare(
    "8-6",
    "符号関数を、まっすぐ通す",
    [
        "符号関数の本当の傾きは、どこでも 0 です。そのままでは学習できません。",
        "|x| ≤ 1 のところでは、符号関数がなかったことにして、g をそのまま流します。",
        "g * (abs(x) <= 1) です。",
    ],
    inputs=_around_one,
    mistakes={
        "|x| が 1 より大きいところには流しません。重みが際限なく大きくなってしまいます。": (
            lambda x, g: g
        ),
        "これは本当の傾き（0）です。何も学習できません。": lambda x, g: 0 * g,
        "符号をかけるのではありません。そのまま流します。": (
            lambda x, g: g * np.sign(x) * (abs(x) <= 1)
        ),
    },
    why="ストレートスルー推定 (straight-through estimator) です。`F.binarize` の規則です。",
)
def straight_through(x: Array, g: Array) -> Any:
    """y = sign(x) の逆伝播を、ストレートスルー推定で行います。x と、上流の勾配 g（同じ形）から、
    x に流す勾配を返す関数 `straight_through(x, g)` を書いてください。
    """
    return g * (abs(x) <= 1)
