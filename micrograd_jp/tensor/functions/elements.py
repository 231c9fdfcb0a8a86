"""要素ごとの関数のうち、PyTorch にあって NumPy の入門には出てこないもの: atan2、lerp、xlogy、…。

`pointwise.py` と同じく、微分の規則はここにはない。どれも `Value` にも `Tensor` にも使える。
比較、符号、ビットの関数の結果には勾配がない。
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign as copysign_of
from math import inf, log, pi
from typing import Any

from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.namespace.short import largest
from micrograd_jp.ops import arrays as ops
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import category, complex128, float64, result_type
from micrograd_jp.tensor.functions.pointwise import operand_of, untracked
from micrograd_jp.tensor.functions.reduce import logsumexp
from micrograd_jp.tensor.functions.reduce import norm as norm_of
from micrograd_jp.tensor.functions.shape import broadcast_tensors, stack
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import elementwise, floating


def _floats(name: str, *operands: Any) -> list[Any]:
    """The operands of a function that computes with floats, in one dtype; numbers stay weak."""
    found = [operand_of(x, name) for x in operands]
    dtype = result_type([data_of(x) for x in found if isinstance(x, Tensor)])
    return [floating(x.to(dtype)) if isinstance(x, Tensor) else x for x in found]


def _composed(name: str, summary: str, formula: Callable[..., Any]) -> None:
    """A function of one operand, of floats, with its form in place."""

    @function(in_place=True, name=name, summary=summary)
    def composed(x: Any) -> Any:
        return formula(*_floats(name, x))


def _of_two(name: str, summary: str, formula: Callable[..., Any], in_place: bool = True) -> None:
    """A function of two operands."""

    @function(in_place=in_place, name=name, summary=summary)
    def composed(x: Any, other: Any) -> Any:
        return formula(operand_of(x, name), operand_of(other, name))


# ---- 角、指数、対数 -----------------------------------------------------------------------------

_composed("deg2rad", "度からラジアンへ (degrees to radians)。", lambda x: x * (pi / 180))
_composed("rad2deg", "ラジアンから度へ (radians to degrees)。", lambda x: x * (180 / pi))
_composed("exp2", "2 のべき乗 2ˣ。", lambda x: on_graph.pow(2.0, x))
_composed("frac", "小数部分 x − trunc(x)。符号は x に合う。", lambda x: x - on_graph.trunc(x))


@function(in_place=True)
def atan2(x: Any, other: Any) -> Any:
    """点 (other, x) の偏角 (arctangent of x/other)。−π から π まで。"""
    return elementwise(ops.atan2, *_floats("atan2", x, other))


@function(in_place=True)
def hypot(x: Any, other: Any) -> Any:
    """斜辺の長さ √(x² + y²)。途中の 2 乗はオーバーフローしない。"""
    x, other = operand_of(x, "hypot"), operand_of(other, "hypot")
    largest_of = on_graph.maximum(on_graph.abs(x), on_graph.abs(other)).detach()
    unit = on_graph.where((largest_of > 0) & (largest_of < inf), largest_of, 1.0)
    length = norm_of(stack(broadcast_tensors(x / unit, other / unit)), 2, 0) * unit
    endless = (on_graph.abs(x) == inf) | (on_graph.abs(other) == inf)  # even beside nan
    return on_graph.where(endless, inf, length)


@function()
def logaddexp(x: Any, other: Any) -> Tensor:
    """log(eˣ + eʸ)。大きい方をくくり出すので、オーバーフローしない。"""
    return logsumexp(stack(broadcast_tensors(x, other)), 0)


@function()
def logaddexp2(x: Any, other: Any) -> Tensor:
    """log₂(2ˣ + 2ʸ)。"""
    x, other = _floats("logaddexp2", as_tensor(x), as_tensor(other))
    return logaddexp(x * log(2), other * log(2)) / log(2)


def _xlogy(x: Any, y: Any) -> Any:
    x, y = _floats("xlogy", x, y)
    if isinstance(x, Tensor) and is_number(y):
        y = as_tensor(y).to(x.dtype)  # `where` of numbers alone would not know it
    known = on_graph.where((x == 0) & ((y <= 0) | (y == inf)), 1.0, y)
    return x * on_graph.log(known)


_of_two("xlogy", "x·log y。x が 0 なら、y が nan でないかぎり 0。", _xlogy)


@function(in_place=True)
def logit(x: Any, eps: float | None = None) -> Any:
    """シグモイドの逆 log(x / (1 − x)) (logit)。`eps` があれば、x を [eps, 1 − eps] に収める。"""
    (x,) = _floats("logit", x)
    if eps is not None:
        x = on_graph.clip(x, eps, 1 - eps)
    return on_graph.log(x / (1 - x))


def _sinc(x: Any) -> Any:
    angle = x * pi
    known = on_graph.where(x == 0, 1.0, angle)
    # Near 0 the beginning of its series, for the derivatives there.
    return on_graph.where(x == 0, 1 - angle * angle / 6, on_graph.sin(known) / known)


_composed("sinc", "sin(πx) / (πx)、0 では 1 (normalized sinc)。", _sinc)


@function(in_place=True)
def float_power(x: Any, exponent: Any) -> Any:
    """float64 で計算するべき乗。"""
    x, exponent = operand_of(x, "float_power"), operand_of(exponent, "float_power")
    x, exponent = (_doubled(t) if isinstance(t, Tensor) else t for t in (x, exponent))
    return x**exponent


def _doubled(t: Tensor) -> Tensor:
    return t.astype(complex128 if category(t.dtype) == 3 else float64)


@function(in_place=True)
def ldexp(x: Any, other: Any) -> Any:
    """x·2ʸ。"""
    (x,), other = _floats("ldexp", x), operand_of(other, "ldexp")
    if isinstance(x, Tensor) and isinstance(other, Tensor) and category(other.dtype) < 2:
        other = other.astype(x.dtype)
    return x * on_graph.exp2(other)


# ---- 混ぜる ------------------------------------------------------------------------------------


@function(in_place=True)
def lerp(x: Any, end: Any, weight: Any) -> Any:
    """x から end への線形補間 x + weight·(end − x) (linear interpolation)。"""
    x, end, weight = (operand_of(t, "lerp") for t in (x, end, weight))
    return on_graph.where(
        weight < 0.5, x + weight * (end - x), end - (end - x) * (1 - weight)
    )  # exact at both ends


@function(in_place=True)
def addcmul(x: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """x + value·tensor1·tensor2。"""
    product = operand_of(tensor1, "addcmul") * operand_of(tensor2, "addcmul")
    return operand_of(x, "addcmul") + (product if value == 1 else product * value)


@function(in_place=True)
def addcdiv(x: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """x + value·tensor1/tensor2。"""
    ratio = operand_of(tensor1, "addcdiv") / operand_of(tensor2, "addcdiv")
    return operand_of(x, "addcdiv") + (ratio if value == 1 else ratio * value)


@function(in_place=True)
def clamp_min(x: Any, min: Any) -> Any:
    """下限だけの `clamp`。"""
    return on_graph.clip(x, min=min)


@function(in_place=True)
def clamp_max(x: Any, max: Any) -> Any:
    """上限だけの `clamp`。"""
    return on_graph.clip(x, max=max)


def _picked(first: Any, x: Any, y: Any) -> Any:
    out = on_graph.where(first, x, y)
    return on_graph.clone(out) if out is x or out is y else out  # a node of its own


_of_two(
    "fmax", "大きい方。片方だけが nan なら、nan でない方。同点の勾配は x に流れる。",
    lambda x, y: _picked((x >= y) | (y != y), x, y), in_place=False,
)  # fmt: skip
_of_two(
    "fmin", "小さい方。片方だけが nan なら、nan でない方。同点の勾配は x に流れる。",
    lambda x, y: _picked((x <= y) | (y != y), x, y), in_place=False,
)  # fmt: skip


@function(in_place=True)
def fmod(x: Any, other: Any) -> Any:
    """割った余り。符号は x に合う (C の `fmod`)。`remainder` の符号は割る数に合う。"""
    x, y = operand_of(x, "fmod"), abs(operand_of(other, "fmod"))
    return on_graph.where(x < 0, -on_graph.remainder(-x, y), on_graph.remainder(x, y))


@function(in_place=True)
def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """nan と ±inf を数にする。±inf は、指定がなければ、型で表せる最大と最小の数。"""
    x = operand_of(x, "nan_to_num")
    dtype = getattr(x, "dtype", float64)
    if category(dtype) < 2:
        return x.clone()
    if category(dtype) == 3:
        parts = [nan_to_num(t, nan, posinf, neginf) for t in (x.real, x.imag)]
        return on_graph.complex(*parts)
    top = float(largest(dtype))
    x = on_graph.where(x == inf, top if posinf is None else posinf, x)
    x = on_graph.where(x == -inf, -top if neginf is None else neginf, x)
    return on_graph.where(x == x, x, nan)


# ---- 符号 --------------------------------------------------------------------------------------


@function(in_place=True, real=True)
def copysign(x: Any, other: Any) -> Any:
    """大きさは x、符号は other。−0 の符号も見る。勾配は x にだけ流れる。"""
    x, other = _floats("copysign", x, other)
    size = on_graph.abs(x)
    return on_graph.where(_is_negative(other), -size, size)


def _is_negative(x: Any) -> Any:
    number = data_of(x)
    return copysign_of(1, number) < 0 if is_number(number) else untracked("signbit", x)


@function()
def signbit(x: Any) -> Tensor:
    """負か (sign bit)。−0 も負である。勾配はない。"""
    return untracked("signbit", x)


@function(in_place=True)
def heaviside(x: Any, values: Any) -> Any:
    """階段関数: 負なら 0、正なら 1、0 なら values (Heaviside step function)。"""
    x, values = operand_of(x, "heaviside"), operand_of(values, "heaviside")
    return on_graph.where(x > 0, 1, on_graph.where(x == 0, values, 0))


@function(in_place=True)
def nextafter(x: Any, other: Any) -> Tensor:
    """x から other の方へ、次に表せる数。勾配はない。"""
    return untracked("nextafter", x, other)


# ---- 整数とビット: 勾配はない ------------------------------------------------------------------

_BITS = {
    "gcd": ("gcd", "最大公約数 (greatest common divisor)"),
    "lcm": ("lcm", "最小公倍数 (least common multiple)"),
    "bitwise_and": ("bitwise_and", "ビットごとの論理積 x & y"),
    "bitwise_or": ("bitwise_or", "ビットごとの論理和 x | y"),
    "bitwise_xor": ("bitwise_xor", "ビットごとの排他的論理和 x ^ y"),
    "bitwise_left_shift": ("left_shift", "左へのビットシフト x << y"),
    "bitwise_right_shift": ("right_shift", "右へのビットシフト x >> y"),
}


def _whole_numbers(name: str, *operands: Any) -> list[Any]:
    found = [operand_of(x, name) for x in operands]
    for x in found:
        own = getattr(x, "dtype", None)
        if (own is None and not isinstance(x, int)) or (own is not None and category(own) == 2):
            raise TypeError(
                f"{name} は整数か真偽値を受け取ります (expected integers): "
                f"{own or type(x).__name__} が渡されました。x.long() と書いてください。"
            )
    return found


def _of_bits(name: str, kernel: str, summary: str) -> None:
    @function(in_place=True, name=name, summary=f"{summary}。勾配はない。")
    def of_bits(x: Any, other: Any) -> Tensor:
        return untracked(kernel, *_whole_numbers(name, x, other))


for _name, _row in _BITS.items():
    _of_bits(_name, *_row)


@function(in_place=True)
def bitwise_not(x: Any) -> Any:
    """ビットごとの否定 ~x。勾配はない。"""
    return ~_whole_numbers("bitwise_not", x)[0]


# ---- 比べる: 勾配はない -------------------------------------------------------------------------


@function()
def isclose(
    x: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """要素ごとに |x − y| ≤ atol + rtol·|y| か (is close)。勾配はない。"""
    a, b = (as_tensor(operand_of(t, "isclose")).detach() for t in (x, other))
    same = (a == b) | ((a != a) & (b != b)) if equal_nan else a == b
    # Whole numbers may not wrap round.
    a, b = (t.astype(float64) if category(t.dtype) < 2 else t for t in (a, b))
    finite = (on_graph.abs(a) < inf) & (on_graph.abs(b) < inf)
    out: Tensor = same | (finite & (on_graph.abs(a - b) <= atol + rtol * on_graph.abs(b)))
    return out


@function()
def isposinf(x: Any) -> Tensor:
    """+inf か。勾配はない。"""
    return as_tensor(x) == inf


@function()
def isneginf(x: Any) -> Tensor:
    """−inf か。勾配はない。"""
    return as_tensor(x) == -inf


@function()
def isin(elements: Any, test_elements: Any, *, invert: bool = False) -> Tensor:
    """要素ごとに、`test_elements` のどれかと等しいか。勾配はない。"""
    x, y = as_tensor(elements).detach(), as_tensor(test_elements).detach().reshape(-1)
    found = (x.unsqueeze(-1) == y).any(-1)
    return ~found if invert else found
