"""機械語の要素ごとの計算と、チャネルごとの和（extra `fast`）。できないものは `None` を返す。

NumPy の `maximum` と、真偽値を掛けること、軸をまたぐ和は、メモリを読む速さに届かない。ReLU と、
畳み込みのバイアスの勾配は、そのどれかである。
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.native import machine_code, threads
from micrograd_jp.native.ir import Vector, loop
from micrograd_jp.native.products import address, kernel, suits

SMALL = 1 << 16
"""数がこれより少なければ、スレッドに分けるのに見合わない。"""

JOB = 1 << 17
"""1 つのスレッドに 1 度に渡す数の個数。"""

FUNCTIONS = ("positive", "gated")


def positive_part(x: Any) -> Any:
    """max(x, 0); nan stays nan."""
    flat = _flat(x)
    if flat is None or not suits(x):
        return None
    out = np.empty_like(x)
    _run(0, (flat, _flat(out)))
    return out


def gated(g: Any, open_: Any) -> Any:
    """G times 0 or 1, given as booleans."""
    flat, bits = _flat(g), _flat(open_)
    apart = [s * g.itemsize for s in open_.strides]
    if flat is None or bits is None or apart != list(g.strides) or not suits(g):
        return None
    out = np.empty_like(g)
    _run(1, (flat, bits, _flat(out)))
    return out


def channel_sums(x: Any) -> Any:
    """The sums of (N, C, H, W) over all axes but that of the channels."""
    rows = x.transpose(0, 2, 3, 1)
    c = x.shape[1]
    if x.size < SMALL or not rows.flags.c_contiguous or not suits(x):
        return None
    k = kernel(x.dtype)
    if c != k.padded(c):
        return None
    rows = rows.reshape(-1, c)
    # The gradient of the weights for an image that is 1 everywhere: all places are one place.
    each = max(1, JOB // c)
    parts = np.zeros((-(-len(rows) // each), k.pixels, c), x.dtype)
    one, nowhere = np.ones(1, x.dtype), np.zeros(k.pixels, np.int64)

    def part(i: int) -> None:
        some = rows[i * each : (i + 1) * each]
        k.correlate(
            address(one), 1, address(nowhere), None, 1, 1, len(some), address(nowhere), 1,
            address(nowhere), len(some), k.pixels, 1, 0, address(some), address(parts[i]), c,
        )  # fmt: skip

    threads.run(part, len(parts))
    return np.add.reduce(parts[:, 0], axis=0)


def _flat(x: Any) -> Any:
    """All numbers in the order of the memory, if nothing lies between them."""
    if x.size < SMALL or not x.flags.aligned:
        return None
    if x.ndim == 4 and not x.flags.c_contiguous:
        x = x.transpose(0, 2, 3, 1)
    return x.reshape(-1) if x.flags.c_contiguous else None


def _run(function: int, arrays: tuple[Any, ...]) -> None:
    n, work = arrays[0].size, _kernels(arrays[0].dtype)[function]

    at = [(address(a), a.itemsize) for a in arrays]

    def part(i: int) -> None:
        work(*(start + i * JOB * size for start, size in at), min(JOB, n - i * JOB))

    threads.run(part, -(-n // JOB))


@functools.cache
def _kernels(dtype: Any) -> tuple[Callable[..., None], ...]:
    text = _module(Vector.of(dtype.name, machine_code.vector_bytes()))
    p, i = ctypes.c_void_p, ctypes.c_int64
    positive, gate = machine_code.addresses(text, FUNCTIONS)
    return ctypes.CFUNCTYPE(None, p, p, i)(positive), ctypes.CFUNCTYPE(None, p, p, p, i)(gate)


def _module(vector: Vector) -> str:
    bits = vector.like("i1")
    rest = f"""
  %rest = sub i64 %n, %i
  {vector.mask("%mask", "%rest")}
  %x.at = getelementptr {vector.kind}, ptr %x, i64 %i
  %out.at = getelementptr {vector.kind}, ptr %out, i64 %i
  {vector.load("%now", "%x.at", "%mask")}"""
    positive = f"""{rest}
  %larger = fcmp ugt {vector} %now, zeroinitializer
  %after = select {bits} %larger, {vector} %now, {vector} zeroinitializer
  {vector.store("%after", "%out.at", "%mask")}"""
    gate = f"""{rest}
  %bit.at = getelementptr i8, ptr %bit, i64 %i
  {vector.load("%bits", "%bit.at", "%mask", "i8")}
  %number = uitofp {vector.like("i8")} %bits to {vector}
  %after = fmul {vector} %now, %number
  {vector.store("%after", "%out.at", "%mask")}"""
    return f"""
define void @positive(ptr %x, ptr %out, i64 %n) #0 {{
  {loop("i", "0", "%n", str(vector.width), positive)}
  ret void
}}
define void @gated(ptr %x, ptr %bit, ptr %out, i64 %n) #0 {{
  {loop("i", "0", "%n", str(vector.width), gate)}
  ret void
}}
{vector.declarations()}
{vector.declarations("i8")}
{vector.attributes}"""
