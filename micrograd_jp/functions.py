"""パッケージの関数 `mg.exp(v)`, `mg.maximum(a, b)`, `mg.dot(ws, xs)`, `mg.reshape(t, (2, 3))`, …。

要素ごとの関数は宣言から作られ、`Value`、数、`Tensor`、配列を受け取る。`sum` のように数の並びにも
配列にもある関数は、ここで振り分ける。
"""

from __future__ import annotations

import builtins
import functools as _functools
from typing import TYPE_CHECKING, Any

from micrograd_jp import namespace as _namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.operations import reduce as _node
from micrograd_jp.engine.value import Value as _Value
from micrograd_jp.ops import lists as _lists
from micrograd_jp.ops.primitive import Elementwise as _Elementwise
from micrograd_jp.ops.primitive import elementwise_primitives as _elementwise
from micrograd_jp.ops.primitive import reductions as _reductions
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions import FUNCTIONS as _FUNCTIONS
from micrograd_jp.tensor.functions import RULES as _RULES
from micrograd_jp.tensor.functions import index as _index
from micrograd_jp.tensor.functions import linalg as _linalg
from micrograd_jp.tensor.functions import reduce as _reduce
from micrograd_jp.tensor.operations import FUNCTIONS as _ELEMENTWISE
from micrograd_jp.tensor.operations import function as _function
from micrograd_jp.tensor.registry import torch_names as _torch_names

if TYPE_CHECKING:
    from micrograd_jp._surface import *  # noqa: F403
else:
    globals().update(_ELEMENTWISE)
    globals().update(_FUNCTIONS)
    globals().update(_RULES)


def astype(x: Any, dtype: Any) -> Tensor:
    """型を変える。"""
    return as_tensor(x).astype(dtype)


# ---- 数の並びにも、配列にもある関数 --------------------------------------------------------------

_LISTS = {list, tuple}


def _are_arrays(*xs: Any) -> bool:
    if {x.__class__ for x in xs} <= _LISTS:  # the usual case on scalars, asked for every neuron
        return False
    arrays = [_namespace.is_array(x) and x.dtype != object for x in xs]
    return builtins.all(arrays) or builtins.any(isinstance(x, Tensor) for x in xs)


@_torch_names()
def sum(xs: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Any:
    """総和 Σx。

    `Value` や数の並びなら 1 つの `Value` に（空の和は 0）、`Tensor` や配列なら軸に沿ってまとめる。
    """
    if _are_arrays(xs):
        return _reduce.sum(xs, axis, keepdims, dtype=dtype)
    return _node(_lists.sum, xs)


@_torch_names()
def prod(xs: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Any:
    """総乗 Πx。0 を含んでいても勾配は正しい。空の積は 1。"""
    if _are_arrays(xs):
        return _reduce.prod(xs, axis, keepdims, dtype=dtype)
    return _node(_lists.prod, xs)


@_torch_names(input="ws", tensor="xs")
def dot(ws: Any, xs: Any) -> Any:
    """内積 Σ wᵢxᵢ。

    `Value` や数の並びなら 1 つのノードとして計算し、`Tensor` や配列なら NumPy の `dot`。

    Raises:
        ValueError: 長さが違う。
    """
    if _are_arrays(ws, xs):
        return _linalg.dot(ws, xs)
    return _node(_lists.dot, ws, xs)


@_torch_names()
def logsumexp(xs: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """指数の和の対数 log Σ eˣ。最大値をくくり出すので、±1000 でもあふれない。

    Raises:
        ValueError: 並びや軸が空。
    """
    if _are_arrays(xs):
        return _reduce.logsumexp(xs, axis, keepdims)
    xs = list(xs)
    if not xs:
        raise ValueError(
            "logsumexp と softmax には 1 つ以上の値が必要です (empty list): "
            "空の並びが渡されました。"
        )
    return _node(_lists.logsumexp, xs)


@_torch_names()
def log_softmax(xs: Any, axis: int = -1, dtype: Any = None) -> Any:
    """対数ソフトマックス xᵢ − log Σ eˣ。並びからは `Value` のリスト、配列からは `Tensor`。"""
    if _are_arrays(xs):
        return _reduce.log_softmax(xs, axis, dtype)
    return _log_softmax(_near_zero(list(xs)))


def _log_softmax(xs: list[Any]) -> list[Any]:
    total = logsumexp(xs)
    return [x - total for x in xs]


def _near_zero(xs: list[Any]) -> list[Any]:
    """Less the largest, where x − log Σ eˣ would have no digits left, or be infinite.

    Where the numbers are not known (yet), always: what is compiled is right for all of them.
    """
    numbers = [x._data if x.__class__ is _Value else x for x in xs]
    if {n.__class__ for n in numbers} <= {float, int}:
        if not numbers or -1e6 < (top := builtins.max(numbers)) < 1e6 or top != top:
            return xs
        largest = xs[numbers.index(top)]  # not the number: in a graph, what it is may change
    else:  # what is taken out on both sides has no slope
        largest = _functools.reduce(_ELEMENTWISE["maximum"], xs).detach()
    return [x - largest for x in xs]


@_torch_names()
def softmax(xs: Any, axis: int = -1, dtype: Any = None) -> Any:
    """ソフトマックス関数 eˣⁱ / Σ eˣ。並びからは `Value` のリスト、配列からは `Tensor`。"""
    if _are_arrays(xs):
        return _reduce.softmax(xs, axis, dtype)
    xs = list(xs)
    if (near := _near_zero(xs)) is xs:
        return [x.exp() for x in _log_softmax(xs)]
    es = [_ELEMENTWISE["exp"](x) for x in near]
    total = _node(_lists.sum, es)
    return [e / total for e in es]


@_torch_names(index="indices")
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """ある軸に沿って、番号で選ぶ。`axis` がなければ、平らに並べて選ぶ。

    `Value` の並び（行の並びでもよい）からは、`indices` 番目の `Value`（か行）を選ぶ。番号の並びには
    並びで答える。`mg.compile` する関数の中では、番号は入力でもよく、標本ごとに違うものを選ぶ。

    Raises:
        IndexError: 番号が範囲の外。
    """
    if x.__class__ in _LISTS and (_is_of_values(x) or isinstance(indices, _Value)):
        return _chosen(x, indices)
    return _index.take(x, indices, axis)


def _is_of_values(x: Any) -> bool:
    while x.__class__ in _LISTS and x:
        x = x[0]
    return isinstance(x, _Value)


def _chosen(xs: Any, index: Any) -> Any:
    if not len(xs):
        raise IndexError("空の並びからは選べません (cannot take from an empty list)。")
    if index.__class__ in _LISTS:
        return [_chosen(xs, i) for i in index]
    if hasattr(index, "chosen"):  # an input of a function that is being compiled
        return index.chosen(xs)
    number = index.item() if hasattr(index, "item") else index
    if number.__class__ is float and number.is_integer():
        number = int(number)
    if number.__class__ is not int or not 0 <= number < len(xs):
        raise IndexError(
            f"番号 {index!r} は、0 以上 {len(xs)} 未満の整数ではありません (index out of range)。"
        )
    return xs[number]


if not TYPE_CHECKING:  # what `import *` takes: the functions, not what this file is made of
    __all__ = [*_FUNCTIONS, "astype", *_ELEMENTWISE]

    def __getattr__(name: str) -> Any:
        """A primitive that was registered later, by a user: random expressions call it by name."""
        op = next((op for op in (*_elementwise(), *_reductions()) if op.name == name), None)
        if op is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _function(op) if isinstance(op, _Elementwise) else _functools.partial(_node, op)


explain_all(globals())
