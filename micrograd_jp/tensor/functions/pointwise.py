"""要素ごとの関数のうち、ほかの演算から組み立てるもの: 2 乗、逆数、丸め、比較、論理。

微分の規則はここにはない。`square(x)` は x·x であり、勾配は掛け算のものである。比較と論理の
結果には勾配がない。丸めの勾配は、PyTorch と同じくどこでも 0 である。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import shapes_differ

__all__ = [
    "allclose", "ceil", "clamp", "eq", "equal", "floor_divide", "ge", "gt", "isfinite", "isinf",
    "isnan", "le", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "ne",
    "reciprocal", "remainder", "round", "rsqrt", "square", "trunc",
]  # fmt: skip


def _operand(x: Any) -> Any:
    """Anything that has the operators of a node; plain numbers stay weak."""
    return as_tensor(x) if namespace.is_array(x) or isinstance(x, list | tuple) else x


def square(x: Any) -> Any:
    """2 乗 x² (square)。"""
    x = _operand(x)
    return x * x


def reciprocal(x: Any) -> Any:
    """逆数 1/x (reciprocal)。"""
    return 1 / _operand(x)


def rsqrt(x: Any) -> Any:
    """平方根の逆数 1/√x (reciprocal square root)。"""
    return 1 / on_graph.sqrt(x)


def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    """区間 [min, max] に収める (PyTorch の名前。`clip` と同じ)。"""
    return on_graph.clip(x, min=min, max=max)


# ---- 丸め: 勾配はどこでも 0 --------------------------------------------------------------------


def ceil(x: Any) -> Any:
    """切り上げ (ceiling)。"""
    return -on_graph.floor(-_operand(x))


def trunc(x: Any) -> Any:
    """0 に向かって丸める (truncate)。"""
    return on_graph.sign(x) * on_graph.floor(on_graph.abs(x))


def round(x: Any) -> Any:
    """最も近い整数に丸める (round)。ちょうど中間なら偶数へ。"""
    x = _operand(x)
    below = on_graph.floor(x)
    whole = below.detach()
    above = (x.detach() if hasattr(x, "detach") else x) - whole  # exact, for |x| however large
    odd = whole - 2 * on_graph.floor(whole * 0.5) == 1
    return below + ((above > 0.5) | ((above == 0.5) & odd))


def floor_divide(x: Any, other: Any) -> Any:
    """切り捨ての割り算 ⌊x/y⌋ (floor division)。整数どうしなら整数。勾配はない。"""
    return _untracked("floor_divide", x, other)


def remainder(x: Any, other: Any) -> Any:
    """割った余り x − y·⌊x/y⌋ (remainder)。符号は y に合う。整数どうしなら整数。"""
    tracked = any(isinstance(t, Node) and t.requires_grad for t in (x, other))
    if not tracked:
        return _untracked("remainder", x, other)
    x, other = _operand(x), _operand(other)
    return x - other * floor_divide(x, other)


# ---- 比較と論理: 勾配はない ---------------------------------------------------------------------


def _untracked(name: str, *operands: Any) -> Tensor:
    """A function of the namespace on the plain arrays: its result has no graph."""
    xs = [data_of(_operand(x)) for x in operands]
    m = namespace.of(*xs)
    try:
        with quiet.silence():
            return Tensor(m.asarray(getattr(m, name)(*xs)))
    except (TypeError, ValueError):
        try:
            np.broadcast_shapes(*map(np.shape, xs))
        except ValueError:
            raise shapes_differ(name, *xs) from None
        raise


def eq(x: Any, other: Any) -> Tensor:
    """等しいか x == y (equal)。"""
    out: Tensor = as_tensor(x) == other
    return out


def ne(x: Any, other: Any) -> Tensor:
    """異なるか x != y (not equal)。"""
    out: Tensor = as_tensor(x) != other
    return out


def lt(x: Any, other: Any) -> Tensor:
    """小さいか x < y (less than)。"""
    out: Tensor = as_tensor(x) < other
    return out


def le(x: Any, other: Any) -> Tensor:
    """以下か x <= y (less or equal)。"""
    out: Tensor = as_tensor(x) <= other
    return out


def gt(x: Any, other: Any) -> Tensor:
    """大きいか x > y (greater than)。"""
    out: Tensor = as_tensor(x) > other
    return out


def ge(x: Any, other: Any) -> Tensor:
    """以上か x >= y (greater or equal)。"""
    out: Tensor = as_tensor(x) >= other
    return out


def isnan(x: Any) -> Tensor:
    """非数 (nan) か。"""
    return _untracked("isnan", x)


def isinf(x: Any) -> Tensor:
    """±inf か。"""
    return _untracked("isinf", x)


def isfinite(x: Any) -> Tensor:
    """有限か (nan でも inf でもないか)。"""
    return _untracked("isfinite", x)


def logical_not(x: Any) -> Tensor:
    """否定 (logical not)。0 でないものは真とみなす。"""
    return _untracked("logical_not", x)


def logical_and(x: Any, other: Any) -> Tensor:
    """どちらも真か (logical and)。"""
    return _untracked("logical_and", x, other)


def logical_or(x: Any, other: Any) -> Tensor:
    """どちらかが真か (logical or)。"""
    return _untracked("logical_or", x, other)


def logical_xor(x: Any, other: Any) -> Tensor:
    """片方だけが真か (exclusive or)。"""
    return _untracked("logical_xor", x, other)


def allclose(
    x: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """すべての要素で |x − y| ≤ atol + rtol·|y| か (all close)。Python の真偽値を返す。"""
    a, b = data_of(_operand(x)), data_of(_operand(other))
    return bool(np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan))


def equal(x: Any, other: Any) -> bool:
    """形も要素もすべて等しいか (equal)。Python の真偽値を返す。"""
    return bool(np.array_equal(data_of(_operand(x)), data_of(_operand(other))))
