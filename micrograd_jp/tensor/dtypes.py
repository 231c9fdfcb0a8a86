"""要素の型 (dtype) の名前、Python の小数がなる既定の型、いくつかの型から決まる型。"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.modes import is_grad_enabled
from micrograd_jp.namespace.short import bfloat16 as _bfloat16
from micrograd_jp.namespace.short import dtype_of, is_differentiable, is_floating, largest

float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)
bool_ = np.dtype(np.bool_)

# PyTorch's names. As `mg.float` they hide nothing: only the package's own namespace has them.
half, float_, double = float16, float32, float64
short, int_, long = int16, int32, int64
cfloat, cdouble = complex64, complex128

_default_dtype = float32


def __getattr__(name: str) -> Any:
    if name == "bfloat16":  # of the optional ml_dtypes: loaded when somebody asks for it
        return _bfloat16()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def held(x: Any, dtype: Any) -> Any:
    """数 x を、型 `dtype` に入れられる形にする。整数の型では、小数は 0 に向かって切り捨てる。

    符号のない型の負の数は、PyTorch と同じく一周した数になる。

    Args:
        x: 実数。
        dtype: 型。

    Raises:
        ValueError: 入らない数。
    """
    dtype = dtype_of(dtype)
    if x.__class__ is float and dtype.kind == "f" and -6e4 < x < 6e4:
        return x  # the usual case
    x = x.item() if isinstance(x, np.generic | np.ndarray) else x
    if isinstance(x, complex):
        if dtype.kind != "c":
            raise no_real(dtype, f" {x!r} ")
        fits = True
    elif dtype.kind in "iu":
        low, high = _limits(dtype, isinstance(x, float))
        fits = low <= x <= high
        if fits and dtype.kind == "u":
            x = int(x) % (high + 1)
    else:
        x = bool(x) if dtype.kind == "b" else float(x)
        fits = not is_floating(dtype) or not isfinite(x) or abs(x) <= largest(dtype)
    if not fits:
        raise ValueError(
            f"{x} は {dtype} に入りません (value cannot be converted without overflow): "
            "その型で表せる数にするか、先に t.to(mg.float64) のように型を変えてください。"
        )
    with np.errstate(over="ignore"):
        return np.array(x, dtype=dtype)


def no_real(dtype: Any, what: str = "の配列") -> ValueError:
    """複素数は、実数の型には入らない。"""
    return ValueError(
        f"複素数{what}は {dtype} に入りません (complex into real): 虚部が失われます。t.real か "
        "t.abs() を使うか、入れる側を t.to(mg.complex64) のように複素数にしてください。"
    )


def _limits(dtype: Any, of_floats: bool) -> tuple[int, int]:
    """Of the numbers that are converted: a negative whole number may become an unsigned one."""
    info = np.iinfo(dtype)
    return (info.min if info.min or of_floats else -info.max), int(info.max)


def all_held(numbers: Any, dtype: Any) -> None:
    """`held` で断る数が、配列 `numbers` に 1 つもないことを確かめる。"""
    if numbers.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise no_real(dtype)
    floats = is_floating(numbers.dtype)
    if np.dtype(dtype).kind in "iu" and (floats or numbers.dtype.kind in "iu"):
        low, high = _limits(dtype, floats)
        if numbers.dtype.itemsize == 2:  # which has not the range of the limits
            numbers = numbers.astype(np.float32 if floats else np.int64)
        unfit = (numbers < low) | (numbers > high)
        if numbers.dtype.kind == "f":
            unfit |= ~(numbers < high + 1.0)  # as a double, the end of int64 is one too many
        if unfit.any():
            held(numbers[unfit][0], dtype)


def require_held(numbers: Any, dtype: Any) -> None:
    """ほかの型の数を書き込む前に、どれも入ることを確かめる（`jit` の中の値は、誰も知らない）。"""
    own = getattr(numbers, "dtype", dtype)
    if own.kind == "c" and dtype.kind != "c":
        raise no_real(dtype)
    if dtype.kind in "iu" and own != dtype and not namespace.is_traced(numbers):
        all_held(np.asarray(numbers), dtype)


def require_connected(value: Any, dtype: Any) -> None:
    """勾配を求める値を、勾配のない型の `Tensor` に書き込む前に断る: 勾配が黙って途切れる。"""
    tracked = getattr(value, "requires_grad", False) and is_grad_enabled()
    if tracked and not is_differentiable(dtype):
        raise TypeError(
            f"{dtype} の Tensor に、勾配を求める {getattr(value, 'dtype', 'Value')} の値は"
            "入れられません (cannot cast): t = t.float() のように型を変えるか、値の側を "
            "x.detach() にしてください。"
        )


def set_default_dtype(dtype: Any) -> None:
    """Python の小数から作る `Tensor` の型を決める（はじめは float32）。

    Raises:
        TypeError: 浮動小数点数の型でない。
    """
    global _default_dtype
    wanted = dtype_of(dtype)
    if not is_floating(wanted):
        raise TypeError(f"既定の型は浮動小数点数です (expected a floating dtype): {wanted}。")
    _default_dtype = wanted


def get_default_dtype() -> np.dtype[Any]:
    """Python の小数から作る `Tensor` の型。"""
    return _default_dtype


def category(dtype: Any) -> int:
    """型の種類: 0 は真偽値、1 は整数、2 は小数、3 は複素数。"""
    return _CATEGORIES.get(np.dtype(dtype).kind, 2)  # NumPy calls bfloat16 void ("V")


_CATEGORIES = {"b": 0, "u": 1, "i": 1, "c": 3}


def result_type(xs: Iterable[Any]) -> np.dtype[Any]:
    """いっしょに計算したときの型 (type promotion)。約束は PyTorch のもの。

    種類は、真偽値 < 整数 < 小数 < 複素数の大きい方。同じ種類の中では、配列が 0 次元の配列に勝ち、
    それが Python の数に勝つ。整数と小数からは、その小数の型になる（NumPy なら float64 になる組も
    ある）。小数の配列と複素数の 1 つの数からは、その小数の配列と同じ細かさの複素数になる。

    Args:
        xs: 配列と数。
    """
    ranks: list[Any] = [None, None, None]  # numbers, arrays of no dimension, arrays
    for x in xs:
        own = getattr(x, "dtype", None)
        rank = 0 if own is None else 2 if x.ndim else 1
        if own is None:
            own = bool_ if x is True or x is False else int64 if isinstance(x, int) else None
            own = complex_of(_default_dtype) if isinstance(x, complex) else own
        own = _default_dtype if own is None else own
        ranks[rank] = own if ranks[rank] is None else together(ranks[rank], own)
    out = bool_
    for own in ranks:
        if own is None:
            continue
        if category(own) >= category(out):
            out = own
        elif category(own) == 2:
            out = complex_of(own)  # an array of floats, beside a complex number
    return out


def complex_of(dtype: Any) -> Any:
    """小数の型の数を実部と虚部にもつ、複素数の型。"""
    return complex128 if dtype == float64 else complex64


def together(a: Any, b: Any) -> Any:
    """同じ種類の中での、2 つの型を合わせた型。"""
    if {category(a), category(b)} == {2, 3}:
        return complex128 if float64 in (a, b) or complex128 in (a, b) else complex64
    if category(a) != category(b):
        return max(a, b, key=category)
    if category(a) == 2 and a != b and a.itemsize == b.itemsize:
        return float32  # float16 and bfloat16: neither holds the other
    return np.promote_types(a, b)


explain_all(globals())
