"""要素ごとの関数のうち、ほかの演算から組み立てるもの: 2 乗、逆数、丸め、比較、論理。

微分の規則はここにはない。`square(x)` は x·x であり、勾配は掛け算のものである。比較と論理の
結果には勾配がない。丸めの勾配は、PyTorch と同じくどこでも 0 である。
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import arrays as ops
from micrograd_jp.ops.complex import only_for_real
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import broadcastable
from micrograd_jp.tensor.dtypes import bool_, category, result_type
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import elementwise, of_one_dtype, operand, shapes_differ, too_large


def operand_of(x: Any, name: str) -> Any:
    """Anything that has the operators of a node; plain numbers stay weak."""
    if isinstance(x, list | tuple):
        return as_tensor(x)
    x = operand(x, name, final=True)
    return as_tensor(x) if namespace.is_array(x) else x


def _composed(name: str, summary: str, formula: Callable[[Any], Any]) -> None:
    @function(in_place=True, name=name, summary=summary)
    def composed(x: Any) -> Any:
        return formula(operand_of(x, name))


_composed(
    "square", "2 乗 x² (square)。", lambda x: x * (1 * x if getattr(x, "dtype", 0) == bool_ else x)
)
_composed("reciprocal", "逆数 1/x (reciprocal)。", lambda x: 1 / x)
_composed("rsqrt", "平方根の逆数 1/√x (reciprocal square root)。", lambda x: 1 / on_graph.sqrt(x))


@function(in_place=True)
def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    """区間 [min, max] に収める (PyTorch の名前。`clip` と同じ)。

    Raises:
        RuntimeError: `min` も `max` もない。
    """
    return on_graph.clip(x, min=min, max=max)


# ---- 丸め: 勾配はどこでも 0 --------------------------------------------------------------------


_composed("ceil", "切り上げ (ceiling)。", lambda x: -on_graph.floor(-x))
_composed(
    "trunc", "0 に向かって丸める (truncate)。",
    lambda x: on_graph.where(x < 0, -on_graph.floor(-x), on_graph.floor(x)),
)  # fmt: skip


@function(in_place=True)
def round(x: Any, *, decimals: int = 0) -> Any:
    """最も近い整数に丸める (round)。ちょうど中間なら偶数へ。`decimals` は残す小数の桁数。"""
    x = operand_of(x, "round")
    if decimals:
        scale = 10.0 ** abs(decimals)
        return round(x * scale) / scale if decimals > 0 else round(x / scale) * scale
    below = on_graph.floor(x)
    whole = below.detach()
    still = x.detach() if hasattr(x, "detach") else x
    above = still - whole  # exact, for |x| however large
    odd = whole - 2 * on_graph.floor(whole * 0.5) == 1
    rounded = below + ((above > 0.5) | ((above == 0.5) & odd))
    return on_graph.where(rounded == 0, still * 0, rounded)  # a zero has the sign of x


@function(in_place=True)
def floor_divide(x: Any, other: Any) -> Any:
    """切り捨ての割り算 ⌊x/y⌋ (floor division)。整数どうしなら整数。勾配は 0。"""
    return elementwise(ops.floor_divide, *_dividend_and_divisor("floor_divide", x, other))


@function(in_place=True)
def remainder(x: Any, other: Any) -> Any:
    """割った余り x − y·⌊x/y⌋ (remainder)。符号は y に合う。整数どうしなら整数。"""
    return elementwise(ops.remainder, *_dividend_and_divisor("remainder", x, other))


def _dividend_and_divisor(name: str, *operands: Any) -> list[Any]:
    found = [operand_of(x, name) for x in operands]
    x, y = map(data_of, found)
    whole = np.size(x) and _is_whole(x) and _is_whole(y)
    if whole and not namespace.is_traced(y) and np.asarray(y == 0).any():
        raise ZeroDivisionError(
            f"{name} で、整数を 0 で割りました (integer division by zero): 整数には inf も nan も"
            "ありません。t.float() のように小数にすると、IEEE 754 の値になります。"
        )
    return found


def _is_whole(x: Any) -> bool:
    return x.__class__ in (int, bool) or getattr(x, "dtype", np.dtype(float)).kind in "iub"


# ---- 比較と論理: 勾配はない ---------------------------------------------------------------------


_ALSO_OF_COMPLEX = {
    "isnan", "isinf", "isfinite", "logical_not", "logical_and", "logical_or", "logical_xor",
}  # fmt: skip


def untracked(name: str, *operands: Any) -> Tensor:
    """A function of the namespace on the plain arrays: its result has no graph."""
    xs = of_one_dtype(*[data_of(operand_of(x, name)) for x in operands])
    if name not in _ALSO_OF_COMPLEX and category(result_type(xs)) == 3:
        raise only_for_real(name)
    m = namespace.of(*xs)
    try:
        with quiet.silence():
            return Tensor(getattr(m, name)(*xs))
    except OverflowError:
        raise too_large(name, xs) from None
    except (TypeError, ValueError):
        if not broadcastable(*map(np.shape, xs)):
            raise shapes_differ(name, *xs) from None
        raise


def _comparison(compare: Callable[[Any, Any], Any], summary: str) -> None:
    @function(in_place=True, name=compare.__name__, summary=summary)
    def compared(x: Any, other: Any) -> Tensor:
        out: Tensor = compare(as_tensor(x), operand_of(other, compare.__name__))
        return out


_comparison(operator.eq, "等しいか x == y (equal)。")
_comparison(operator.ne, "異なるか x != y (not equal)。")
_comparison(operator.lt, "小さいか x < y (less than)。")
_comparison(operator.le, "以下か x <= y (less or equal)。")
_comparison(operator.gt, "大きいか x > y (greater than)。")
_comparison(operator.ge, "以上か x >= y (greater or equal)。")


def _property(name: str, summary: str) -> Callable[[Any], Tensor]:
    @function(in_place=name == "logical_not", name=name, summary=summary)
    def tested(x: Any) -> Tensor:
        return untracked(name, x)

    return tested


isnan = _property("isnan", "非数 (nan) か。")
_property("isinf", "±inf か。")
_property("isfinite", "有限か (nan でも inf でもないか)。")
_property("logical_not", "否定 (logical not)。0 でないものは真とみなす。")


def _relation(name: str, summary: str) -> None:
    @function(in_place=True, name=name, summary=summary)
    def tested(x: Any, other: Any) -> Tensor:
        return untracked(name, x, other)


_relation("logical_and", "どちらも真か (logical and)。")
_relation("logical_or", "どちらかが真か (logical or)。")
_relation("logical_xor", "片方だけが真か (exclusive or)。")


@function()
def allclose(
    x: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """すべての要素で |x − y| ≤ atol + rtol·|y| か (all close)。Python の真偽値を返す。"""
    a, b = (
        namespace.concrete(data_of(operand_of(t, "allclose")), "allclose()") for t in (x, other)
    )
    return bool(on_graph.isclose(a, b, rtol, atol, equal_nan).all())


@function()
def equal(x: Any, other: Any) -> bool:
    """形も要素もすべて等しいか (equal)。Python の真偽値を返す。"""
    a, b = (namespace.concrete(data_of(operand_of(t, "equal")), "equal()") for t in (x, other))
    return bool(np.array_equal(a, b))
