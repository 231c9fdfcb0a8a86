"""第 6 章 深くする: 勾配消失と勾配爆発、重みの初期値、クリッピング、スキップ接続。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.exercises.exercise import declare
from micrograd_jp.tensor.array import as_tensor

Array = np.ndarray[Any, Any]


@declare(
    "6-1",
    "シグモイドを 10 回通ると",
    [
        "シグモイドの傾きは σ(x)(1 − σ(x)) です。",
        "傾きは x = 0 でいちばん大きく、½ × ½ です。",
        "¼ を 10 回かけます。",
    ],
    mistakes={
        "10 倍ではなく 10 乗です。逆伝播では、傾きをかけていきます。": 10 / 4,
        "シグモイドの値（½）ではなく、傾き（¼）をかけます。": 0.5**10,
        "10 回かけます。": 0.25**9,
    },
    why="重みが 1 でも、入力に近い層には 100 万分の 1 しか届きません。",
)
def vanished() -> float:
    """シグモイドを 10 回続けて通ります。勾配は、10 回を戻る間に、大きくても何倍になりますか。"""
    return 0.25**10


def _chain(rng: np.random.Generator) -> tuple[float, float, int]:
    return float(rng.normal()), float(rng.uniform(0.5, 1.5)), int(rng.integers(2, 6))


def _repeated(x: Any, w: float, n: int) -> Any:
    for _ in range(n):
        x = np.tanh(w * x)
    return x


def _heights(x: float, w: float, n: int) -> Array:
    """What stands after each tanh."""
    return np.array([_repeated(x, w, k) for k in range(1, n + 1)])


@declare(
    "6-2",
    "鎖のように",
    [
        "1 回分の傾きは、h = tanh(wx) を x で微分したものです。",
        "tanh の傾きは 1 − tanh² で、その中の wx を x で微分した w もかかります。",
        "順に h を計算しながら、slope に w * (1 - h * h) をかけていきます。",
    ],
    inputs=_chain,
    derivative_of=_repeated,
    mistakes={
        "重み w も、1 回ごとにかかります。": (lambda x, w, n: np.prod(1 - _heights(x, w, n) ** 2)),
        "tanh の傾き 1 − h² がかかっていません。": lambda x, w, n: w**n,
        "1 − h² の h は、tanh を通ったあとの値です。": (
            lambda x, w, n: np.prod(w * (1 - np.arctanh(_heights(x, w, n)) ** 2))
        ),
        "傾きを足しています。鎖のようにつながった関数の傾きは、かけます。": (
            lambda x, w, n: np.sum(w * (1 - _heights(x, w, n) ** 2))
        ),
    },
)
def slope(x: float, w: float, n: int) -> Any:
    """x に tanh(w·x) を n 回続けて当てはめます。できたものを、はじめの x で微分した値を返す関数
    `slope(x, w, n)` を書いてください。
    """
    product = 1.0
    for _ in range(n):
        x = np.tanh(w * x)
        product *= w * (1 - x * x)
    return product


@declare(
    "6-3",
    "1 つの層で何倍に",
    [
        "独立な数の和の分散は、分散の和です。",
        "wx の分散は、w と x の平均が 0 なら、それぞれの分散の積です。",
        "400 × 0.01² × 1 の平方根です。",
    ],
    mistakes={
        "分散ではなく標準偏差を答えてください（平方根を取ります）。": 400 * 0.01**2,
        "400 個の和です。1 個の wx ではありません。": 0.01,
        "標準偏差の和ではありません。足せるのは分散です。": 400 * 0.01,
    },
    why="1 層で 1/5 になります。10 層では 1/5¹⁰、およそ 1,000 万分の 1 です。",
)
def spread() -> float:
    """400 個の入力 x の 1 つ 1 つは平均 0、標準偏差 1 で、重み w は平均 0、標準偏差 0.01 です。
    どれも独立とします。

    出力 w₁x₁ + … + w₄₀₀x₄₀₀ の標準偏差はいくつですか。
    """
    return float((400 * 0.01**2) ** 0.5)


@declare(
    "6-4",
    "ReLU のための初期値",
    [
        "1 つの層の出力の分散は n σ² 倍になります（演習 6-3）。",
        "ReLU は、平均 0 の数の半分を 0 にするので、2 乗の平均を ½ にします。",
        "n σ² ÷ 2 = 1 を σ について解きます。",
    ],
    inputs=lambda rng: (int(rng.integers(2, 1000)),),
    mistakes={
        "ReLU が半分を 0 にする分を、2 倍して補います。": lambda n: (1 / n) ** 0.5,
        "分散ではなく標準偏差を答えてください（平方根を取ります）。": lambda n: 2 / n,
        "n で割ります。足す数が多いほど、1 つ 1 つは小さくします。": lambda n: (2 * n) ** 0.5,
    },
    why="He の初期値 (He initialization) です。`nn.init.kaiming_normal_` と同じ式です。",
)
def he_std(n: int) -> Any:
    """n 個の入力を持つ線形層のあとに ReLU があります。2 乗の平均を変えない、重みの標準偏差を返す
    関数 `he_std(n)` を書いてください。重みの平均は 0 とします。
    """
    return (2 / n) ** 0.5


def _steep(rng: np.random.Generator) -> tuple[Array, float]:
    return rng.normal(size=4) * rng.choice([0.1, 10.0]), float(rng.uniform(0.5, 2.0))


def _norm(g: Array) -> float:
    return float(np.sqrt((g * g).sum()))


@declare(
    "6-5",
    "勾配のクリッピング",
    [
        "変えるのは長さだけで、向きは変えません。",
        "長さ ‖g‖ が limit 以下なら、そのまま返します。",
        "g * min(1, limit / ‖g‖) です。",
    ],
    inputs=_steep,
    mistakes={
        "要素ごとに切ると、向きが変わります。": lambda g, limit: np.clip(g, -limit, limit),
        "limit より短い勾配は、そのままにします。": lambda g, limit: g * limit / _norm(g),
        "長さは 2 乗の和の平方根です。": lambda g, limit: g * min(1, limit / (g * g).sum()),
    },
    why="`nn.utils.clip_grad_norm_` がすることです。",
)
def clip(g: Array, limit: float) -> Any:
    """勾配 g（配列）の長さ ‖g‖ が limit を超えていたら、向きを変えずに長さを limit に縮め、超えて
    いなければそのまま返す関数 `clip(g, limit)` を書いてください。
    """
    return g * min(1, limit / np.sqrt((g * g).sum()))


def _block(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    return rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=3)


def _through(x: Array, W: Array, g: Array) -> Any:
    """The share of the branch: Wᵀ (g where W x > 0)."""
    return W.T @ (g * (W @ x > 0))


@declare(
    "6-6",
    "スキップ接続の逆伝播",
    [
        "x は 2 つの道に分かれます。戻ってくる勾配は 2 つの和です。",
        "足し算は、勾配をそのまま両方に流します。",
        "F の道は Wᵀ(g のうち Wx が正のところ)、もう 1 つの道は g そのものです。",
    ],
    inputs=_block,
    derivative_of=lambda x, W, g: (g * (mg.relu(as_tensor(W) @ x) + x)).sum(),
    mistakes={
        "足された x の道を通って、g もそのまま届きます。": _through,
        "F = ReLU(Wx) の道の分が抜けています。": lambda x, W, g: g,
        "W は転置してかけます。": lambda x, W, g: W @ (g * (W @ x > 0)) + g,
        "ReLU が閉じているところ（Wx ≤ 0）には、勾配は流れません。": lambda x, W, g: W.T @ g + g,
        "2 つの道の勾配は、かけずに足します。": lambda x, W, g: _through(x, W, g) * g,
    },
    why="g には何もかかっていません。F の道の勾配が消えても、g は届きます。",
)
def skip_backward(x: Array, W: Array, g: Array) -> Any:
    """H = F(x) + x、F(x) = ReLU(Wx) とします。上流の勾配 g = ∂L/∂H から、∂L/∂x を返す関数
    `skip_backward(x, W, g)` を書いてください。x と g は 3 個、W は 3 行 3 列です。
    """
    return W.T @ (g * (W @ x > 0)) + g
