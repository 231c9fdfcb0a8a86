"""積和の核 (`conv_ir`) と、それでする行列の積（extra `fast`）。

行列の積も、窓が 1 行の畳み込みである。BLAS より速いからではない: BLAS のスレッドは、次の積を待って
しばらく空回りし、その間、ほかの計算から CPU の核を奪う。だから `parallel` のスレッドが働いている
プロセス（畳み込みネットワーク）だけが、これを使う。
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.native import conv_ir, machine_code, threads
from micrograd_jp.native.ir import Vector

SMALL = 1 << 18
"""積和 (multiply-adds) がこれより少なければ、BLAS はスレッドを使わない。"""

LARGE_BYTES = 1 << 20
"""右の行列がこれより大きければ、キャッシュに収まらず、BLAS が速い。"""

JOB_WORK = 1 << 22
"""1 つのスレッドに 1 度に渡す積和。"""


class Kernel(NamedTuple):
    """1 つの型の機械語と、その核の大きさ。"""

    multiply: Callable[..., None]
    convolve: Callable[..., None]
    correlate: Callable[..., None]
    pixels: int
    vectors: int
    lanes: int

    def padded(self, outputs: int) -> int:
        """ベクトルがちょうど収まる、出力の数。"""
        return -(-outputs // self.lanes) * self.lanes


@functools.cache
def kernel(dtype: Any) -> Kernel:
    """float32 か float64 の機械語。"""
    size = machine_code.vector_bytes()
    addresses = machine_code.addresses(conv_ir.module(dtype.name, size), conv_ir.FUNCTIONS)
    p, i = ctypes.c_void_p, ctypes.c_int64
    images = (p, i, p, p, *[i] * 3, p, i, p, i)
    multiply, convolve, correlate = (
        ctypes.CFUNCTYPE(None, *signature)(at)
        for at, signature in zip(
            addresses,
            (
                (p, p, i, i, p, i, i, p, i, p, p, i),
                (*images, p, p, p, i),
                (*images, i, i, i, p, p, i),
            ),
        )
    )
    size_of_tile, vector = conv_ir.tile_size(size), Vector.of(dtype.name, size)
    return Kernel(multiply, convolve, correlate, *size_of_tile, vector.width)


def suits(*arrays: Any) -> bool:
    """どれもが同じ、機械語のある型か。"""
    dtype = arrays[0].dtype
    return (
        dtype.char in "fd"
        and dtype.isnative
        and all(a.dtype == dtype for a in arrays)
        and machine_code.enabled()
    )


def address(a: Any) -> int:
    """配列のはじめの番地。"""
    at: int = a.__array_interface__["data"][0]
    return at


def filled_up(places: Any, multiple: int) -> Any:
    """場所の表の終わりを、`multiple` の倍数まで、最後の場所で埋める。"""
    flat = places.ravel()
    return np.concatenate([flat, np.repeat(flat[-1:], -flat.size % multiple)])


def panels(rows: Any, k: Kernel) -> Any:
    """行列 (K, O) を核が読む順に: ベクトル V 本の幅ごとに、K 行。"""
    n, o = rows.shape
    wide = k.lanes * k.vectors
    out = np.zeros(n * k.padded(o), rows.dtype)
    for start in range(0, o, wide):
        part = rows[:, start : start + wide]
        width = k.padded(part.shape[1])
        out[start * n :][: n * width].reshape(n, width)[:, : part.shape[1]] = part
    return out


def matmul(x: Any, y: Any, *b: Any) -> Any:
    """`x y`、または `x y + b`。機械語にならないものは `np.matmul`。"""
    if (
        x.__class__ is not np.ndarray
        or y.__class__ is not np.ndarray
        or x.ndim != 2
        or y.ndim != 2
        or x.size * y.shape[1] < SMALL
        or y.nbytes > LARGE_BYTES
        or not threads.started()
        or not suits(x, y, *b)
    ):
        z = np.matmul(x, y)
        if b and z.dtype == b[0].dtype:
            return np.add(z, b[0], out=z)
        return z + b[0] if b else z
    k = kernel(x.dtype)
    (n, run), o, item = x.shape, y.shape[1], x.itemsize
    if not (x.flags.aligned and all(s % item == 0 for s in x.strides)):
        x = x.copy()
    places = filled_up(np.arange(n) * (x.strides[0] // item), k.pixels)
    step, here = x.strides[1] // item, np.zeros(1, np.int64)
    direct = y.flags.c_contiguous and y.flags.aligned and o == k.padded(o)
    right = y if direct else panels(y, k)
    start = np.zeros(k.padded(o), x.dtype)
    if b:
        start[:o] = b[0]
    out = np.empty((n, o), x.dtype)
    jobs = max(1, min(n // k.pixels, n * run * o // JOB_WORK))
    each = -(-n // (jobs * k.pixels)) * k.pixels

    def job(i: int) -> None:
        first = i * each
        k.multiply(
            address(x), address(places[first:]), min(each, n - first), 1, address(here), run, step,
            address(right), o if direct else 0, address(start), address(out[first:]), o,
        )  # fmt: skip

    threads.run(job, -(-n // each))
    return out
