"""`Parameter`: 学習される `Tensor`。凍結 (freeze) しても、パラメータであることは変わらない。

値を入れ替える `put` も、ここにある。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_methods
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.writes import writes
from micrograd_jp.tensor.array import Tensor, tensor


class Parameter(Tensor):
    """`Module` の属性に置くとパラメータになる `Tensor` (parameter)。

    `requires_grad=True` の `Tensor` もパラメータだが、勾配を求めないようにすると（凍結すると）
    ただの定数と区別できなくなる。`Parameter` は凍結しても `parameters()` と `state_dict()` に残る。

    Args:
        data: 数、リスト、配列、`Tensor`（値は写される）。
        requires_grad: 勾配を求めるか。

    Raises:
        TypeError: 数でない、または勾配を求める整数。
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(tensor(data)._data, requires_grad)


def is_parameter(x: Any) -> bool:
    """パラメータか: 葉の `Value`、勾配を求める葉の `Tensor`、`Parameter`。"""
    return isinstance(x, Node) and x.is_leaf and (x.requires_grad or isinstance(x, Parameter))


def put(x: Any, numbers: Any) -> None:
    """`Tensor` か `Value` の値を入れ替える。書ける配列なら、その場で。型は変わらない。"""
    if isinstance(x, Value):
        x.data = float(numbers)
    elif isinstance(x._data, np.ndarray) and x._data.flags.writeable:
        x._data[...] = np.asarray(numbers)
        writes.note(x._data)
    else:
        x.data = namespace.of(x._data).array(numbers, dtype=x.dtype)


def freeze(parameters: list[Any], requires_grad: bool) -> None:
    """パラメータの勾配を求めるかどうかを変える。

    Raises:
        TypeError: `Value` の勾配はいつも求められる。
    """
    if not requires_grad and any(isinstance(p, Value) for p in parameters):
        raise TypeError(
            "Value は凍結できません (a Value always has a gradient): 更新したくない Value を"
            "最適化手法に渡さないか、属性を数 (v.data) に置き換えてください。"
        )
    for parameter in parameters:
        if parameter.__class__ is Tensor:
            # A plain Tensor is known as a parameter only by asking for a gradient: from now on
            # its class must say it. Both classes have the same layout.
            parameter.__class__ = Parameter
        if not isinstance(parameter, Value):
            parameter.requires_grad_(requires_grad)


explain_methods(Parameter)  # the functions are called once for every parameter
