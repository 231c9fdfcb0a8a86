"""第 4 章 計算グラフと誤差逆伝播法: 連鎖律、かけ算と ReLU の逆伝播、層の勾配、足し込み。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare

Array = np.ndarray[Any, Any]


@declare(
    "4-1",
    "りんごの買い物",
    [
        "1 円値上がりしたら、支払いは 個数 × 消費税 だけ増えます。",
        "かけ算の偏微分は、相手の値です。3 つの積なら、ほかの 2 つの積です。",
        "(2·1.1, 100·1.1, 100·2) です。",
    ],
    parts=("値段", "個数", "消費税"),
    mistakes={"値そのものではなく、偏微分を答えてください。": (100, 2, 1.1)},
    why="値段を 1 円上げると 2.2 円、1 個増やすと 110 円、支払いが増えます。",
)
def apples() -> tuple[float, float, float]:
    """りんごの値段 100 円、個数 2 個、消費税 1.1 倍で、支払いは 100 × 2 × 1.1 = 220 円です。

    支払いの、値段・個数・消費税についての偏微分を、この順に答えてください。
    """
    return 2 * 1.1, 100 * 1.1, 100 * 2.0


def _three(rng: np.random.Generator) -> tuple[float, float, float]:
    return float(rng.normal()), float(rng.normal()), float(rng.normal())


@declare(
    "4-2",
    "かけ算の逆伝播",
    [
        "上流の勾配 g は、z が 1 増えると L が g 増えることを言っています。",
        "z = xy なので、x が 1 増えると z は y 増えます。",
        "連鎖律で、(g·y, g·x) です。",
    ],
    inputs=_three,
    parts=("∂L/∂x", "∂L/∂y"),
    derivative_of=lambda x, y, g: g * (x * y),
    mistakes={
        "2 つが入れ替わっています。x の偏微分には、相手の y が出てきます。": (
            lambda x, y, g: (g * x, g * y)
        ),
        "上流の勾配 g をかけ忘れています（連鎖律）。": lambda x, y, g: (y, x),
        "局所微分は足すのではなく、上流の勾配にかけます。": lambda x, y, g: (g + y, g + x),
    },
    why="採点は、数値微分と比べています。",
)
def mul_backward(x: float, y: float, g: float) -> Any:
    """z = xy の値は、どこかで損失 L に使われ、その上流の勾配は g = ∂L/∂z でした。

    (∂L/∂x, ∂L/∂y) を返す関数 `mul_backward(x, y, g)` を書いてください。
    """
    return g * y, g * x


def _relu_inputs(rng: np.random.Generator) -> tuple[Array, Array]:
    x = rng.normal(size=8)
    x[int(rng.integers(8))] = 0.0
    return x, rng.normal(size=8)


@declare(
    "4-3",
    "ReLU の逆伝播",
    [
        "x > 0 なら出力は x そのものなので、局所微分は 1 です。",
        "x < 0 なら出力は 0 のままなので、局所微分は 0 です。",
        "g * (x > 0) と書けます。x = 0 では 0 とするのが約束です。",
    ],
    inputs=_relu_inputs,
    mistakes={
        "x = 0 での傾きは、PyTorch と同じく 0 と約束します（x >= 0 でなく x > 0）。": (
            lambda x, g: g * (x >= 0)
        ),
        "上流の勾配 g の符号ではなく、入力 x の符号で決まります。": lambda x, g: np.maximum(g, 0),
        "順伝播の値になっています。求めるのは勾配です。": lambda x, g: np.maximum(x, 0),
        "上流の勾配 g をかけ忘れています。": lambda x, g: (x > 0) * 1.0,
    },
)
def relu_backward(x: Array, g: Array) -> Any:
    """y = max(0, x) の入力 x と上流の勾配 g（同じ形の配列）から、∂L/∂x を返す関数
    `relu_backward(x, g)` を書いてください。x = 0 では 0 とします。
    """
    return g * (x > 0)


def _layer(rng: np.random.Generator) -> tuple[Array, ...]:
    n, i, o = (int(k) for k in rng.choice([2, 3, 4, 5], 3, replace=False))
    return tuple(rng.normal(size=shape) for shape in ((n, i), (o, i), (o,), (n, o)))


def _for_bias(rng: np.random.Generator) -> tuple[Array, ...]:
    x, W, b, g = _layer(rng)
    return b, x, W, g


@declare(
    "4-4",
    "バイアスの勾配は、なぜ和か",
    [
        "b は、N 枚のどの絵の計算にも足されています。",
        "1 つの値が何か所かで使われたら、戻ってきた勾配は足し合わせます。",
        "g を標本の軸（0 番目の軸）に沿って足します。",
    ],
    inputs=_for_bias,
    derivative_of=lambda b, x, W, g: (g * (x @ W.T + b)).sum(),
    mistakes={
        "標本の軸の和を取り忘れています。b は 1 つで、N 枚のどの絵にも使われています。": (
            lambda b, x, W, g: g
        ),
        "平均ではなく和です。": lambda b, x, W, g: g.mean(axis=0),
        "軸が逆です。出力ごとに、標本について足します。": lambda b, x, W, g: g.sum(axis=1),
        "すべて足して 1 つの数にしています。b は出力の数だけあります。": lambda b, x, W, g: g.sum(),
    },
)
def bias_gradient(b: Array, x: Array, W: Array, g: Array) -> Any:
    """全結合層 p = xWᵀ + b に、N 枚をまとめて入れました。x は (N, 入力)、W は (出力, 入力)、
    b は (出力,)、上流の勾配 g = ∂L/∂p は (N, 出力) です。

    ∂L/∂b を返す関数 `bias_gradient(b, x, W, g)` を書いてください。
    """
    return g.sum(axis=0)


def _for_weights(rng: np.random.Generator) -> tuple[Array, ...]:
    x, W, b, g = _layer(rng)
    return W, x, b, g


@declare(
    "4-5",
    "重みと入力の勾配",
    [
        "∂L/∂W は W と同じ (出力, 入力)、∂L/∂x は x と同じ (N, 入力) の形になるはずです。",
        "g は (N, 出力)。N について足されるように、どちらかを転置して積を取ります。",
        "∂L/∂W = gᵀx、∂L/∂x = gW です。",
    ],
    inputs=_for_weights,
    parts=("∂L/∂W", "∂L/∂x"),
    derivative_of=lambda W, x, b, g: (g * (x @ W.T + b)).sum(),
    mistakes={
        "∂L/∂W の転置になっています。W と同じ形 (出力, 入力) に揃えてください。": (
            lambda W, x, b, g: (x.T @ g, g @ W)
        ),
        "標本の平均になっています。勾配は、標本の和です。": (
            lambda W, x, b, g: (g.T @ x / len(x), g @ W)
        ),
    },
    why="転置した行列が出てくるのは、L に届くすべての道を足し合わせた結果です。",
)
def layer_gradients(W: Array, x: Array, b: Array, g: Array) -> Any:
    """演習 4-4 と同じ層 p = xWᵀ + b で、組 (∂L/∂W, ∂L/∂x) を返す関数
    `layer_gradients(W, x, b, g)` を書いてください。
    """
    return g.T @ x, g @ W


@declare(
    "4-6",
    "zero_grad を忘れると",
    [
        "backward は、葉の grad に足し込みます。",
        "1 回目で 2x = 6 になり、2 回目で同じ 6 がもう 1 度足されます。",
        "6 + 6 です。",
    ],
    mistakes={
        "上書きではなく、足し込まれます。": 6,
        "2 階微分ではありません。同じ勾配が、もう 1 度足されます。": 2,
        "かけ算ではなく足し算です。": 36,
    },
    why="だから、更新のたびに zero_grad() を呼びます。",
)
def accumulated() -> float:
    """x = mg.Value(3.0) から y = x**2 を計算し、zero_grad をせずに、y.backward() を
    2 回呼びました。x.grad はいくつですか。
    """
    return 6.0 + 6.0
