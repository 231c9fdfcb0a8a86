"""第 3 章 勾配降下法: 1 変数、2 変数、学習率と発散。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare


@declare(
    "3-1",
    "3 歩下る",
    [
        "f′(s) = 2s です。",
        "1 歩で s ← s − 0.2·2s、つまり 0.6 倍になります。",
        "2 → 1.2 → 0.72 → ? です。",
    ],
    mistakes={
        "2 歩目の値です。もう 1 歩進んでください。": 0.72,
        "f′(s) = 2s の 2 を忘れています（0.8 倍ずつになっています）。": 2 * 0.8**3,
        "上っています。傾きと逆の向きに動いてください。": 2 * 1.4**3,
    },
)
def third() -> float:
    """f(s) = s² を、s = 2 から、学習率 α = 0.2 の勾配降下法で 3 歩下りました。

    s はいくつになりますか。
    """
    return 2 * (1 - 0.2 * 2) ** 3


def _slope(a: float, c: float) -> Callable[[float], float]:
    return lambda s: 2 * a * (s - c)


def _descents(rng: np.random.Generator) -> tuple[Any, ...]:
    slope = _slope(float(rng.uniform(0.5, 2)), float(rng.normal()))
    return slope, float(rng.normal()), float(rng.uniform(0.01, 0.2)), int(rng.integers(2, 6))


def _steps(slope: Callable[[float], float], s: float, rate: float, steps: int) -> float:
    for _ in range(steps):
        s = s - rate * slope(s)
    return s


@declare(
    "3-2",
    "勾配降下法を書く",
    [
        "「傾きと逆の向きに、学習率をかけた分だけ動く」を steps 回くり返します。",
        "傾きは、動くたびに、今いるところで計算し直します。",
        "for _ in range(steps): s = s - rate * slope(s) です。",
    ],
    inputs=_descents,
    mistakes={
        "坂を上っています。傾きと逆の向きに動いてください。": (
            lambda slope, s, rate, steps: _steps(slope, s, -rate, steps)
        ),
        "1 歩しか動いていません。return が for の中にありませんか。": (
            lambda slope, s, rate, steps: _steps(slope, s, rate, 1)
        ),
        "はじめの傾きを使い続けています。動くたびに計算し直してください。": (
            lambda slope, s, rate, steps: s - steps * rate * slope(s)
        ),
        "1 歩多く動いています。": lambda slope, s, rate, steps: _steps(slope, s, rate, steps + 1),
    },
)
def descend(slope: Callable[[float], float], s: float, rate: float, steps: int) -> float:
    """傾きの関数 slope、はじめの s、学習率 rate、歩数 steps から、下ったあとの s を返す関数
    `descend(slope, s, rate, steps)` を書いてください。
    """
    for _ in range(steps):
        s = s - rate * slope(s)
    return s


@declare(
    "3-3",
    "細い谷の勾配",
    [
        "1 つの変数だけを動かし、もう 1 つは定数だと思って微分します。",
        "½x₁² を x₁ で微分すると x₁、5x₂² を x₂ で微分すると 10x₂ です。",
        "(x₁, 10x₂) です。",
    ],
    inputs=lambda rng: (float(rng.normal()), float(rng.normal())),
    parts=("∂f/∂x₁", "∂f/∂x₂"),
    derivative_of=lambda x1, x2: 0.5 * x1**2 + 5 * x2**2,
    mistakes={
        "5x₂² の微分は 5x₂ ではありません。2 乗の 2 が前に出ます。": lambda x1, x2: (x1, 5 * x2),
        "½x₁² の微分は 2x₁ ではありません。½ を忘れています。": lambda x1, x2: (2 * x1, 10 * x2),
        "2 つの偏微分の順序が逆です。": lambda x1, x2: (10 * x2, x1),
    },
)
def valley_gradient(x1: float, x2: float) -> Any:
    """f(x₁, x₂) = ½x₁² + 5x₂² の勾配 (∂f/∂x₁, ∂f/∂x₂) を返す関数 `valley_gradient(x1, x2)` を
    書いてください。
    """
    return x1, 10 * x2


@declare(
    "3-4",
    "発散の境目",
    [
        "1 歩で x₂ は 1 − 10α 倍になります。",
        "くり返しかけて小さくなるのは、|1 − 10α| < 1 のときです。",
        "1 − 10α = −1 になる α です。",
    ],
    mistakes={
        "x₁ の向きの境目は 2 ですが、x₂ の向きでは、もっと早く発散します。": 2,
        "1 − 10α = 0 では、x₂ は 1 歩で 0 になります。発散するのは、その 2 倍からです。": 0.1,
    },
    why="曲がりの大きい向きが、学習率の限りを決めます。",
)
def limit() -> float:
    """f(x₁, x₂) = ½x₁² + 5x₂² の勾配降下法が発散し始める学習率 α はいくつですか。"""
    return 2 / 10


@declare(
    "3-5",
    "何歩かかるか",
    [
        "n 歩のあとの s は 2·0.6ⁿ です。",
        "2·0.6ⁿ < 0.001 になる、最も小さな n を探します。",
        "n > log(0.0005) / log(0.6) = 14.88… です。",
    ],
    mistakes={
        "14 歩ではまだ 0.001 より大きい（0.00157）ので、もう 1 歩要ります。": 14,
        "1 歩多すぎます。": 16,
    },
    rtol=1e-9,
    why="1 歩ごとに同じ割合で縮むので、1 桁縮めるのに要る歩数は、いつも同じ（約 4.5 歩）です。",
)
def steps_needed() -> int:
    """演習 3-1 の勾配降下法で、s が 0.001 より小さくなるのは、何歩目ですか。"""
    return int(np.ceil(np.log(0.001 / 2) / np.log(0.6)))
