"""機械語の要素ごとの計算（extra `fast`）。

NumPy の `maximum` と、真偽値を掛けることは、メモリを読む速さに届かない。ReLU はそのどちらかである。
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import pi, sqrt
from typing import Any

import numpy as np

from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Writer, function
from micrograd_jp.native.layout import channels_last
from micrograd_jp.native.math import Native
from micrograd_jp.ops import erf
from micrograd_jp.ops.elementwise import gelu
from micrograd_jp.ops.primitive import Elementwise

SMALL = 1 << 16
"""数がこれより少なければ、スレッドに分けるのに見合わない。"""

HEAVY = 1 << 13
"""何段もの公式では、これより少なければ NumPy に任せる。"""

TINY = 1e-34
"""gelu では、2 乗がこれより小さい x の Φ(x) は、float32 でも float64 でも最後の桁まで 1/2。"""

JOB = 1 << 17
"""1 つのスレッドに 1 度に渡す数の個数。"""


def positive_part(x: Any) -> Any:
    """max(x, 0); nan stays nan."""
    flat = _flat(x)
    if flat is None or not suits(x):
        return None
    out = np.empty_like(x)
    _run(_positive, flat, _flat(out))
    return out


def gated(g: Any, shut: Any) -> Any:
    """G, and 0 where the booleans are true."""
    flat, bits = _flat(g), _flat(shut)
    if flat is None or bits is None or g.shape != shut.shape:
        return None
    if [s * g.itemsize for s in shut.strides] != list(g.strides) or not suits(g):
        return None
    out = np.empty_like(g)
    _run(_gated, flat, bits, _flat(out))
    return out


def value(op: Elementwise, x: Any, rest: Sequence[float]) -> Any:
    """宣言の公式の値を 1 度に。`rest` は、`x` のあとの引数の数。"""
    flat = _flat(x, HEAVY)
    if flat is None or not suits(x):
        return None
    out = np.empty_like(x)
    _run(_value(op), flat, _flat(out, HEAVY), numbers=np.array(rest, x.dtype))
    return out


def share(op: Elementwise, g: Any, z: Any, x: Any, rest: Sequence[float]) -> Any:
    """上流の勾配 `g` と、`x` での局所微分の積を 1 度に。"""
    arrays = [_flat(a, HEAVY) for a in (g, z, x)]
    if any(a is None for a in arrays) or not suits(g, z, x):
        return None
    if not g.strides == z.strides == x.strides:
        return None
    out = np.empty_like(g)
    _run(_share(op), *arrays, _flat(out, HEAVY), numbers=np.array(rest, x.dtype))
    return out


def _flat(x: Any, small: int | None = None) -> Any:
    """All numbers in the order of the memory, if nothing lies between them."""
    if x.size < (SMALL if small is None else min(small, SMALL)) or not x.flags.aligned:
        return None
    if x.ndim == 4 and not x.flags.c_contiguous:
        x = channels_last(x)
    return x.reshape(-1) if x.flags.c_contiguous else None


def _run(function: Function, *arrays: Any, numbers: Any = None) -> None:
    work = kernel(function, arrays[0].dtype)
    at = [(address(a), a.itemsize) for a in arrays]
    same = () if numbers is None else (address(numbers),)

    def part(start: int, count: int) -> None:
        work(*(first + start * size for first, size in at), *same, count)

    in_parts(part, arrays[0].size, JOB)


@function("ppi")
def _positive(f: Writer, x: Pointer, out: Pointer, n: Number) -> None:
    def some(i: Number, mask: Number | None) -> None:
        now = (x + i).load(mask)
        (out + i).store(f.m.where(now <= 0, 0, now), mask)

    f.full_vectors(n, some)


@function("pppi")
def _gated(f: Writer, x: Pointer, bits: Pointer, out: Pointer, n: Number) -> None:
    def some(i: Number, mask: Number | None) -> None:
        shut = (bits.of("i8") + i).load(mask) != 0
        (out + i).store(f.m.where(shut, 0, (x + i).load(mask)), mask)

    f.full_vectors(n, some)


class Inlined(Native):
    """数学ライブラリを呼ばずに、erf もその場に展開する名前空間。"""

    def erf(self, x: Any) -> Any:
        """誤差関数。"""
        return (erf.single if self.kind == "float" else erf.formula)(self, self.number(x))


@functools.cache
def _value(op: Elementwise) -> Function:
    def body(f: Writer, x: Pointer, out: Pointer, numbers: Pointer, n: Number) -> None:
        m, rest = Inlined(f, *f.vector), [f.all((numbers + i).item()) for i in range(op.arity - 1)]

        def some(i: Number, mask: Number | None) -> None:
            (out + i).store(m.number(op.value(m, (x + i).load(mask), *rest)), mask)

        f.full_vectors(n, some)

    return Function(f"{op.name}_value", "pppi", body)


def _gelu_slope(m: Any, z: Any, x: Any) -> Any:
    """Φ(x) + x·φ(x), where Φ(x) = z/x: erf need not be computed again."""
    square = x * x
    cdf = m.where(square < TINY, 0.5, z / x)
    return cdf + x * (m.exp(-0.5 * square) * (1 / sqrt(2 * pi)))


@functools.cache
def _share(op: Elementwise) -> Function:
    def body(
        f: Writer, g: Pointer, z: Pointer, x: Pointer, out: Pointer, numbers: Pointer, n: Number
    ) -> None:  # fmt: skip
        m, rest = Inlined(f, *f.vector), [f.all((numbers + i).item()) for i in range(op.arity - 1)]
        rule: Any = _gelu_slope if op is gelu else op.partials[0]

        def some(i: Number, mask: Number | None) -> None:
            slope = rule(m, (z + i).load(mask), (x + i).load(mask), *rest)
            (out + i).store(m.number(m.times((g + i).load(mask), slope)), mask)

        f.full_vectors(n, some)

    return Function(f"{op.name}_share", "pppppi", body)
