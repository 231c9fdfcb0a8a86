"""`Value` の 1 つ 1 つでできたニューラルネットワーク。micrograd の `nn` と同じ名前と乱数。"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from micrograd_jp.arguments import explained
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.engine.operations import reduce
from micrograd_jp.engine.value import Value
from micrograd_jp.nn.module.module import Module
from micrograd_jp.ops import lists

__all__ = ["MLP", "Layer", "Neuron"]


class Neuron(Module):
    """ニューロン: relu(w·x + b)。重みは [−1, 1] の一様乱数、バイアスは 0 から始まる。

    Args:
        nin: 入力の数。
        nonlin: 偽なら ReLU をかけない（出力層など）。

    Raises:
        ValueError: `nin` が正の整数でない。
    """

    def __init__(self, nin: int, nonlin: bool = True) -> None:
        require_count("nin", nin)
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0.0)
        self.nonlin = nonlin

    def forward(self, x: Iterable[Any]) -> Value:
        """`x`: 長さ nin の `Value` か数の並び。

        Raises:
            ValueError: 長さが nin と違う。
        """
        x = _inputs(x)
        if len(x) != len(self.w):
            raise ValueError(
                f"入力の数が合いません (length mismatch): 重みは {len(self.w)} 個、"
                f"入力は {len(x)} 個です。長さ {len(self.w)} の並びを渡してください。"
            )
        activation = reduce(lists.dot, self.w, x) + self.b
        return activation.relu() if self.nonlin else activation

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """重みの数。"""
        return len(self.w)

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """層: 同じ入力を受け取る `nout` 個のニューロン。出力が 1 つなら並びでなく `Value` を返す。"""

    @explained
    def __init__(self, nin: int, nout: int, **kwargs: Any) -> None:
        require_count("nout", nout)
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def forward(self, x: Iterable[Any]) -> Any:
        """`x`: 長さ nin の並び。長さ nout のリスト（nout が 1 なら `Value`）を返す。"""
        x = _inputs(x)
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """多層パーセプトロン (multi-layer perceptron)。最後の層だけ ReLU をかけない。

    Args:
        nin: 入力の数。
        nouts: 各層のニューロンの数。
    """

    @explained
    def __init__(self, nin: int, nouts: Sequence[int]) -> None:
        if not isinstance(nouts, Sequence) or not nouts:
            raise ValueError(
                "nouts は各層のニューロンの数の並びです (expected a non-empty list): "
                f"{nouts!r} が渡されました。MLP(2, [16, 16, 1]) のように書いてください。"
            )
        sizes = [nin, *nouts]
        self.layers = [
            Layer(sizes[i], sizes[i + 1], nonlin=i != len(nouts) - 1) for i in range(len(nouts))
        ]

    def forward(self, x: Iterable[Any]) -> Any:
        """`x`: 長さ nin の並び。最後の層の出力を返す。"""
        out: Any = x
        for layer in self.layers:
            out = layer(out)
        return out

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


def _inputs(x: Any) -> tuple[Any, ...]:
    """The inputs as a tuple; a layer of one neuron hands on a single `Value`."""
    if x.__class__ is tuple:
        return x
    if isinstance(x, Value) or not isinstance(x, Iterable) or getattr(x, "shape", None) == ():
        return (x,)
    inputs = tuple(x)
    first: Any = inputs[0] if inputs else None
    if isinstance(first, list | tuple) or (hasattr(first, "shape") and first.shape):
        raise ValueError(
            "入力は 1 つの標本（数か Value の並び）です (expected one sample): 標本の並びが"
            "渡されました。[model(x) for x in X] と書くか、まとめて計算する mg.nn.Linear を"
            "使ってください。"
        )
    return inputs
