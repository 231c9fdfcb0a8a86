"""第 2 章 直線を手で学習する: 二乗和誤差、勾配、更新。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare

Array = np.ndarray[Any, Any]


def _points(rng: np.random.Generator) -> tuple[float, float, Array, Array]:
    n = int(rng.integers(2, 7))
    return float(rng.normal()), float(rng.normal()), rng.normal(size=n), rng.normal(size=n)


def _error(w: Any, b: Any, x: Array, t: Array) -> Any:
    return (((w * x + b) - t) ** 2).sum() / 2


@declare(
    "2-1",
    "直線の上の値",
    [
        "y = wx + b の x に、データの x を入れます。",
        "w = 3、b = −8 なので、x = 3 では 3·3 − 8 です。",
        "x = 9 では 3·9 − 8 です。",
    ],
    parts=("y₁", "y₂"),
    mistakes={"b = −8 を足していません。": (9, 27), "b の符号が逆です。": (17, 35)},
)
def on_the_line() -> tuple[float, float]:
    """データは (x, t) = (3, 7) と (9, 13)、はじめの直線は y = 3x − 8 です。

    2 つの x での直線の値 y₁、y₂ を答えてください。
    """
    return 3 * 3 - 8, 3 * 9 - 8


@declare(
    "2-2",
    "二乗和誤差",
    [
        "誤差 t − y は 6 と −6 です。",
        "2 乗すると、どちらも 36 です。",
        "½ (36 + 36) です。",
    ],
    mistakes={
        "½ を忘れています。": 72,
        "2 乗する前に足すと、正と負の誤差が打ち消し合います。1 つずつ 2 乗してください。": 0,
        "2 乗していません。": 6,
    },
    why="第 1 の点で 18、第 2 の点で 18。",
)
def first_error() -> float:
    """同じデータと直線で、二乗和誤差 E = ½ Σ (t − y)² を答えてください。"""
    return ((7 - 1) ** 2 + (13 - 19) ** 2) / 2


@declare(
    "2-3",
    "傾きの公式",
    [
        "E を y で微分すると ∂E/∂y = y − t です。",
        "y = wx + b なので、y は、w を動かすとその x 倍、b を動かすと同じだけ動きます。",
        "∂E/∂w = Σ (y − t) x、∂E/∂b = Σ (y − t) です。",
    ],
    inputs=_points,
    parts=("∂E/∂w", "∂E/∂b"),
    derivative_of=_error,
    mistakes={
        "∂E/∂w に x をかけ忘れています。w を動かしたとき、y は x 倍だけ動きます。": (
            lambda w, b, x, t: ((w * x + b - t).sum(), (w * x + b - t).sum())
        ),
        "y − t と t − y が逆で、符号が反対になっています。": (
            lambda w, b, x, t: (((t - w * x - b) * x).sum(), (t - w * x - b).sum())
        ),
        "½ をつけ忘れて 2 倍になっています（(…)² の微分の 2 は、½ と打ち消し合います）。": (
            lambda w, b, x, t: (2 * ((w * x + b - t) * x).sum(), 2 * (w * x + b - t).sum())
        ),
        "和が平均になっています。": (
            lambda w, b, x, t: (((w * x + b - t) * x).mean(), (w * x + b - t).mean())
        ),
    },
    why="採点は、E の数値微分と比べています。",
)
def slopes(w: float, b: float, x: Array, t: Array) -> Any:
    """w、b とデータ x、t（どちらも N 個の配列）から、E = ½ Σ (t − (wx + b))² の偏微分の組
    (∂E/∂w, ∂E/∂b) を返す関数 `slopes(w, b, x, t)` を書いてください。
    """
    d = w * x + b - t
    return (d * x).sum(), d.sum()


@declare(
    "2-4",
    "1 回の更新",
    [
        "∂E/∂w = 36、∂E/∂b = 0 です。",
        "勾配と逆の向きに、学習率をかけた分だけ動かします。",
        "w は 3 − 0.02·36、b は −8 − 0.02·0 です。",
    ],
    parts=("w", "b"),
    mistakes={
        "勾配の向きに動いています。E を減らすには、逆の向きに動かします。": (3.72, -8),
        "学習率 0.02 をかけ忘れています。": (-33, -8),
    },
)
def first_update() -> tuple[float, float]:
    """y = 3x − 8 から、学習率 α = 0.02 で 1 回更新したあとの w と b を、小数第 2 位まで答えて
    ください。
    """
    return 3 - 0.02 * 36, -8 - 0.02 * 0


def _with_rate(rng: np.random.Generator) -> tuple[Any, ...]:
    return (*_points(rng), float(rng.uniform(0.01, 0.1)))


def _after(w: float, b: float, x: Array, t: Array, step: float) -> tuple[Any, Any]:
    dw, db = slopes(w, b, x, t)
    return w - step * dw, b - step * db


@declare(
    "2-5",
    "更新を関数に",
    [
        "演習 2-3 の関数で勾配を求めます。",
        "w と b の両方を、同じ（更新の前の）w、b での勾配で動かします。",
        "return w - rate * dw, b - rate * db です。",
    ],
    inputs=_with_rate,
    parts=("w", "b"),
    mistakes={
        "勾配の向きに動いています。E を減らすには、逆の向きに動かします。": (
            lambda w, b, x, t, rate: _after(w, b, x, t, -rate)
        ),
        "∂E/∂b を、更新したあとの w で計算しています。2 つの勾配は、同じ点で求めます。": (
            lambda w, b, x, t, rate: (
                (new := w - rate * slopes(w, b, x, t)[0]),
                b - rate * slopes(new, b, x, t)[1],
            )
        ),
        "学習率をかけ忘れています。": lambda w, b, x, t, rate: _after(w, b, x, t, 1.0),
    },
)
def update(w: float, b: float, x: Array, t: Array, rate: float) -> Any:
    """w、b、データ x、t、学習率 rate から、1 回更新した (w, b) を返す関数
    `update(w, b, x, t, rate)` を書いてください。
    """
    dw, db = slopes(w, b, x, t)
    return w - rate * dw, b - rate * db
