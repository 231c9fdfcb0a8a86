"""第 5 章 ニューラルネットワーク: 層を重ねる、活性化関数、損失、ミニバッチ。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare
from micrograd_jp.functions import sigmoid as sigmoid_of
from micrograd_jp.functions import softmax as softmax_of
from micrograd_jp.nn.losses.classes import cross_entropy as cross_entropy_of

Array = np.ndarray[Any, Any]


def _two_layers(rng: np.random.Generator) -> tuple[Array, ...]:
    i, h, o = (int(k) for k in rng.choice([2, 3, 4, 5], 3, replace=False))
    return tuple(rng.normal(size=shape) for shape in ((h, i), (h,), (o, h), (o,)))


@declare(
    "5-1",
    "1 次式の 1 次式は 1 次式",
    [
        "h = W₁x + b₁ を p = W₂h + b₂ に代入します。",
        "p = W₂(W₁x + b₁) + b₂ を展開して、x のかかるところとかからないところに分けます。",
        "W = W₂W₁、b = W₂b₁ + b₂ です。",
    ],
    inputs=_two_layers,
    parts=("W", "b"),
    mistakes={
        "b₁ も 2 層目の重みを通ります。": lambda W1, b1, W2, b2: (W2 @ W1, b2),
        "2 層目のバイアス b₂ を忘れています。": lambda W1, b1, W2, b2: (W2 @ W1, W2 @ b1),
    },
    why="だから、間に 1 次式でないもの（活性化関数）がなければ、何層重ねても 1 層と同じです。",
)
def as_one_layer(W1: Array, b1: Array, W2: Array, b2: Array) -> Any:
    """h = W₁x + b₁、p = W₂h + b₂ と 2 層を重ねました。同じ p = Wx + b の組 (W, b) を返す関数
    `as_one_layer(W1, b1, W2, b2)` を書いてください。
    """
    return W2 @ W1, W2 @ b1 + b2


def _sigmoid(x: Array) -> Any:
    return sigmoid_of(x).numpy()


@declare(
    "5-2",
    "シグモイドの逆伝播",
    [
        "σ(x) = 1/(1 + e⁻ˣ) の傾きは、σ 自身を使って書けます。",
        "σ′(x) = σ(x)(1 − σ(x)) です。",
        "y = σ(x) として g * y * (1 - y) です。",
    ],
    inputs=lambda rng: (rng.normal(size=6), rng.normal(size=6)),
    derivative_of=lambda x, g: (g * sigmoid_of(x)).sum(),
    mistakes={
        "上流の勾配 g をかけ忘れています。": lambda x, g: _sigmoid(x) * (1 - _sigmoid(x)),
        "σ(x) ではなく x を使っています。": lambda x, g: g * x * (1 - x),
        "1 − σ(x) をかけ忘れています。": lambda x, g: g * _sigmoid(x),
    },
    why="σ′ は大きくても 1/4 です。第 6 章では、これが勾配消失を起こします。",
)
def sigmoid_backward(x: Array, g: Array) -> Any:
    """y = σ(x) = 1/(1 + e⁻ˣ) の入力 x と上流の勾配 g（同じ形の配列）から、∂L/∂x を返す関数
    `sigmoid_backward(x, g)` を書いてください。
    """
    y = 1 / (1 + np.exp(-x))
    return g * y * (1 - y)


def _logits(rng: np.random.Generator) -> tuple[Array]:
    return (rng.normal(size=5) + 1000 * rng.integers(-1, 2),)


def _stable(z: Array) -> Any:
    return softmax_of(z).numpy()


def _quietly(f: Any) -> Any:
    def quiet(*inputs: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(*inputs)

    return quiet


@declare(
    "5-3",
    "オーバーフローしないソフトマックス",
    [
        "e の 1000 乗は、計算機では inf になります。",
        "ソフトマックスの値は、z のすべてから同じ数を引いても変わりません。",
        "e = np.exp(z - z.max()) を、その和で割ります。",
    ],
    inputs=_logits,
    mistakes={
        "z が 1000 くらいだと、inf ÷ inf で nan になります。最大値を引いてから計算してください。": (
            _quietly(lambda z: np.exp(z) / np.exp(z).sum())
        ),
        "和で割っていません。確率の和は 1 です。": lambda z: np.exp(z - z.max()),
        "対数ソフトマックスになっています。": lambda z: np.log(_stable(z)),
    },
)
def softmax(z: Array) -> Any:
    """ロジット z（5 個）から、確率 eᶻⁱ / Σ eᶻ を返す関数 `softmax(z)` を書いてください。

    z が ±1000 くらいでも、正しい確率になるようにします。
    """
    e = np.exp(z - z.max())
    return e / e.sum()


def _classified(rng: np.random.Generator) -> tuple[Array, int]:
    return rng.normal(size=5) * 3, int(rng.integers(5))


@declare(
    "5-4",
    "交差エントロピー誤差",
    [
        "正解の確率だけを使います。",
        "確率が 1 なら 0、0 に近いほど大きくなる値です。",
        "−log(softmax(z)[label]) です。",
    ],
    inputs=_classified,
    mistakes={
        "符号が逆です。確率の対数は負なので、負号をつけます。": (
            lambda z, label: np.log(_stable(z)[label])
        ),
        "対数を取っていません。": lambda z, label: -_stable(z)[label],
        "すべての確率の対数を足しています。使うのは、正解の確率だけです。": (
            lambda z, label: -np.log(_stable(z)).sum()
        ),
        "対数の底は 10 でなく e です。": lambda z, label: -np.log10(_stable(z)[label]),
    },
)
def cross_entropy(z: Array, label: int) -> Any:
    """ロジット z（5 個）と正解の番号 label から、交差エントロピー誤差 −log(正解の確率) を返す関数
    `cross_entropy(z, label)` を書いてください。確率は z のソフトマックスです。
    """
    e = np.exp(z - z.max())
    return -np.log(e[label] / e.sum())


@declare(
    "5-5",
    "交差エントロピー誤差の勾配",
    [
        "L = log Σ eᶻ − z[label] です。",
        "log Σ eᶻ を zᵢ で微分すると、ソフトマックスの i 番目になります。",
        "ソフトマックスから、正解のところだけ 1 を引きます。",
    ],
    inputs=_classified,
    derivative_of=cross_entropy_of,
    mistakes={
        "符号が逆です。確率から正解（1 か 0）を引きます。": (
            lambda z, label: np.eye(5)[label] - _stable(z)
        ),
        "正解のところから 1 を引き忘れています。": lambda z, label: _stable(z),
        "確率の割り算だけの勾配で、対数が抜けています。": (
            lambda z, label: _stable(z)[label] * (_stable(z) - np.eye(5)[label])
        ),
    },
    why="「確率 − 正解」。第 2 章の「y − t」と同じ形です。",
)
def cross_entropy_gradient(z: Array, label: int) -> Any:
    """演習 5-4 の損失の、ロジット z についての勾配（5 個）を返す関数
    `cross_entropy_gradient(z, label)` を書いてください。
    """
    e = np.exp(z - z.max())
    gradient = e / e.sum()
    gradient[label] -= 1
    return gradient


@declare(
    "5-6",
    "1 エポックの更新の回数",
    [
        "1 エポックで、どの絵も 1 度ずつ見ます。",
        "1437 ÷ 50 は 28 と余り 37 です。",
        "余りの 37 枚でも、もう 1 回更新します。",
    ],
    mistakes={
        "余りの 37 枚の分の更新が抜けています。": 28,
        "1 枚ごとに更新するのはオンライン法です。": 1437,
        "全部をまとめて 1 回更新するのはバッチ法です。": 1,
    },
    rtol=1e-9,
)
def updates() -> int:
    """1,437 枚の絵を、50 枚ずつのミニバッチで学習します（最後の半端なミニバッチも使います）。

    1 エポックの更新は何回ですか。
    """
    return -(-1437 // 50)
