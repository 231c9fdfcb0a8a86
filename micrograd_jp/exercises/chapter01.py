"""第 1 章 プログラムが自分で学習する: 画素から「らしさ」を計算する 1 次式。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare

Array = np.ndarray[Any, Any]


@declare(
    "1-1",
    "数はいくつ要るか",
    [
        "W の 1 つの行は、1 つの数字のための重みです。",
        "重みは画素ごと、数字ごとに 1 つ。バイアスは数字ごとに 1 つです。",
        "W は 10 行 12 列、b は 10 個です。",
    ],
    mistakes={
        "バイアス b も数えてください。": 120,
        "W は数字ごとに別の重みを持ちます。数字は 10 個あります。": 13,
    },
    why="12 × 10 + 10。学習とは、この 130 個の数を決めることです。",
)
def parameters() -> int:
    """4×3 画素の絵から、0 から 9 までの 10 個の「らしさ」を p = Wx + b で計算します。

    学習で決める数（W と b のすべて）は、全部でいくつありますか。
    """
    return 12 * 10 + 10


def _pixels(rng: np.random.Generator) -> Array:
    return rng.integers(0, 2, 12).astype(float)


@declare(
    "1-2",
    "1 つの数字の「らしさ」",
    [
        "画素ごとに、重みと画素の値をかけます。",
        "かけたものをすべて足し、最後にバイアスを足します。",
        "for 文で total に w[j] * x[j] を足していくか、(w * x).sum() と書きます。",
    ],
    inputs=lambda rng: (rng.normal(size=12), _pixels(rng), float(rng.normal())),
    mistakes={
        "バイアス b を足し忘れています。": lambda w, x, b: (w * x).sum(),
        "和ではなく平均になっています。": lambda w, x, b: (w * x).mean() + b,
        "画素ごとの値のままです。12 個を足して 1 つの数にしてください。": lambda w, x, b: w * x + b,
    },
)
def score(w: Array, x: Array, b: float) -> Any:
    """重み w（12 個）、画素 x（12 個）、バイアス b から、らしさ w₁x₁ + … + w₁₂x₁₂ + b を返す関数
    `score(w, x, b)` を書いてください。
    """
    return (w * x).sum() + b


@declare(
    "1-3",
    "10 個をまとめて",
    [
        "10 個の「らしさ」の 1 つ 1 つは、演習 1-2 と同じ計算です。",
        "行列とベクトルの積は、行ごとの内積を並べたものです。",
        "NumPy では W @ x と書きます。",
    ],
    inputs=lambda rng: (rng.normal(size=(10, 12)), _pixels(rng), rng.normal(size=10)),
    mistakes={
        "バイアス b を足し忘れています。": lambda W, x, b: W @ x,
        "要素ごとの積 * になっています。行列の積は @ です。": lambda W, x, b: W * x + b[:, None],
    },
    why="行列の積 1 つで、10 個の 1 次式を 1 度に計算できます。",
)
def scores(W: Array, x: Array, b: Array) -> Any:
    """重み W（10 行 12 列）、画素 x（12 個）、バイアス b（10 個）から、10 個の「らしさ」
    p = Wx + b を返す関数 `scores(W, x, b)` を書いてください。
    """
    return W @ x + b


@declare(
    "1-4",
    "いちばん「らしい」数字",
    [
        "最大値そのものではなく、最大値のある場所を答えます。",
        "NumPy の argmax は、最大値の番号を返します。",
        "p は枚数 × 10 なので、どの軸に沿って探すかを axis で指定します。",
    ],
    inputs=lambda rng: (rng.normal(size=(int(rng.integers(2, 7)), 10)),),
    mistakes={
        "最大値ではなく、その番号を答えてください。": lambda p: p.max(axis=1),
        "全体の中の番号になっています。絵ごとに選んでください（axis）。": lambda p: p.argmax(),
        "軸が逆です。1 枚ごとに、10 個の中から選びます。": lambda p: p.argmax(axis=0),
        "いちばん小さいものを選んでいます。": lambda p: p.argmin(axis=1),
    },
)
def answers(p: Array) -> Any:
    """何枚かの絵の「らしさ」p（枚数 × 10）から、1 枚ごとに、いちばん「らしい」数字を返す関数
    `answers(p)` を書いてください。
    """
    return p.argmax(axis=1)


def _ideal(label: int) -> Array:
    return np.where(np.arange(10) == label, 5.0, -5.0)


@declare(
    "1-5",
    "どれだけ変えたいか",
    [
        "正解の数字の理想は 5、ほかの 9 個の理想は −5 です。",
        "「変えたい量」は、理想から今の値を引いたものです。",
        "t = np.full(10, -5.0); t[label] = 5.0 と作れます。",
    ],
    inputs=lambda rng: (rng.normal(size=10), int(rng.integers(10))),
    mistakes={
        "引く順序が逆です。大きくしたいところが正になるように、理想から今の値を引きます。": (
            lambda p, label: p - _ideal(label)
        ),
        "正解でない数字の理想は 0 ではなく −5 です。": (
            lambda p, label: np.where(np.arange(10) == label, 5.0, 0.0) - p
        ),
        "理想の出力 t のままです。p との差を返してください。": lambda p, label: _ideal(label),
    },
    why="第 4 章では、これが損失の勾配 −∂L/∂p であることを見ます。",
)
def wanted(p: Array, label: int) -> Any:
    """今の出力 p（10 個）と正解の数字 `label` から、出力を変えたい量 Δp = t − p を返す関数
    `wanted(p, label)` を書いてください。理想 t は、正解の数字だけ 5、ほかは −5 です。
    """
    t = np.full(10, -5.0)
    t[label] = 5.0
    return t - p
