"""宣言から `Tensor` の演算子とメソッドを作る。NumPy の関数もここで受ける。"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from micrograd_jp.engine.operations import function
from micrograd_jp.graph.backward import Node
from micrograd_jp.graph.shares import data_of
from micrograd_jp.ops.primitive import (
    OPERATOR_METHODS,
    UNARY_METHODS,
    Elementwise,
    elementwise_primitives,
)
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import elementwise, operand, shapes_differ

_WITHOUT_GRADIENT = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge, "and": operator.and_, "or": operator.or_,
    "xor": operator.xor,
}  # fmt: skip
_UFUNCS = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "power": "pow", "negative": "neg",
    "positive": "clone", "absolute": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
}  # fmt: skip


def _operator(op: Elementwise) -> Any:
    return lambda self, other: elementwise(op, self, other)


def _attach() -> None:
    for op in elementwise_primitives():
        if op.arguments[0] == "x":
            setattr(Tensor, op.name, function(op))
        if op.operator:
            name = OPERATOR_METHODS[op.operator]
            setattr(Tensor, f"__{name}__", _operator(op))
            setattr(Tensor, f"__r{name}__", lambda self, other, op=op: elementwise(op, other, self))
    for dunder, name in UNARY_METHODS.items():
        setattr(Tensor, dunder, getattr(Tensor, name))
    for name, function_of_arrays in _WITHOUT_GRADIENT.items():
        setattr(Tensor, f"__{name}__", _constant(function_of_arrays))
    setattr(Tensor, "__invert__", lambda self: Tensor(~self.data))  # noqa: B010


def _constant(function_of_arrays: Any) -> Any:
    """An operator whose result is a constant: comparisons, and logic on their results."""

    def method(self: Tensor, other: Any) -> Any:
        other = operand(other)
        if other is NotImplemented:
            return NotImplemented
        try:
            return Tensor(function_of_arrays(self.data, data_of(other)))
        except ValueError:
            raise shapes_differ(function_of_arrays.__name__, self, other) from None

    return method


def through_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: Any) -> Any:
    """NumPy の関数を `Tensor` に使う。

    `array += t` は、`t` が計算グラフになければ NumPy の計算である。

    Raises:
        TypeError: 同じ関数がこのパッケージにない、または計算グラフの値を配列に書き込もうとした。
    """
    from micrograd_jp import functions

    if "out" in kwargs and not any(isinstance(x, Node) and x.requires_grad for x in inputs):
        return getattr(ufunc, method)(*map(data_of, inputs), **kwargs)

    name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
    if method == "__call__" and not kwargs:
        if ufunc.types and all(t.endswith("->?") for t in ufunc.types if "O" not in t):
            return Tensor(np.asarray(ufunc(*map(data_of, inputs))))  # comparisons and tests
        if hasattr(functions, name):
            out: Tensor = getattr(functions, name)(*inputs)
            return out
    raise TypeError(
        f"np.{ufunc.__name__} ({method}) は Tensor に使えません (unsupported ufunc): "
        "mg の関数か、t.detach().numpy() を使ってください。"
    )


_attach()
