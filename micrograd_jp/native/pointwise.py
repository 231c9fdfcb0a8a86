"""機械語の要素ごとの計算（extra `fast`）。

NumPy の `maximum` と、真偽値を掛けることは、メモリを読む速さに届かない。ReLU はそのどちらかである。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Writer, function
from micrograd_jp.native.layout import channels_last

SMALL = 1 << 16
"""数がこれより少なければ、スレッドに分けるのに見合わない。"""

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


def _flat(x: Any) -> Any:
    """All numbers in the order of the memory, if nothing lies between them."""
    if x.size < SMALL or not x.flags.aligned:
        return None
    if x.ndim == 4 and not x.flags.c_contiguous:
        x = channels_last(x)
    return x.reshape(-1) if x.flags.c_contiguous else None


def _run(function: Function, *arrays: Any) -> None:
    work = kernel(function, arrays[0].dtype)
    at = [(address(a), a.itemsize) for a in arrays]

    def part(start: int, count: int) -> None:
        work(*(first + start * size for first, size in at), count)

    in_parts(part, arrays[0].size, JOB)


@function("ppi")
def _positive(f: Writer, x: Pointer, out: Pointer, n: Number) -> None:
    def some(i: Number, mask: Number) -> None:
        now = (x + i).load(mask)
        (out + i).store(f.m.where(now <= 0, 0, now), mask)

    f.vectors(n, some)


@function("pppi")
def _gated(f: Writer, x: Pointer, bits: Pointer, out: Pointer, n: Number) -> None:
    def some(i: Number, mask: Number) -> None:
        shut = (bits.of("i8") + i).load(mask) != 0
        (out + i).store(f.m.where(shut, 0, (x + i).load(mask)), mask)

    f.vectors(n, some)
