"""機械語の最大値プーリング（extra `fast`）。できないもの・小さいものは `pool_numpy` が計算する。

チャネルが隣り合う並び (N, H, W, C) の画像だけを読む。畳み込みの結果はその並びである。
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels import pool
from micrograd_jp.namespace.numpy_kernels.conv import channels_first
from micrograd_jp.native import machine_code, pool_ir, threads
from micrograd_jp.native.products import address

SMALL = 1 << 14
"""画素がこれより少なければ、機械語を読み込みはしない。"""

JOB_BYTES = 512 << 10
"""1 つのスレッドに 1 度に渡す画像の大きさ。"""


def window_max(x: Any, windows: Any) -> Any:
    """The largest pixel of every window; padding never wins."""
    if not _suits(x, windows):
        return pool.window_max(x, windows)
    out = np.empty((len(x), *windows.outputs(x.shape[2:]), x.shape[1]), x.dtype)
    _run(0, _last(x), out, None, windows)
    return channels_first(out)


def window_places(x: Any, z: Any, windows: Any) -> Any:
    """Which pixel of each window is its maximum z: the first of equal ones."""
    if not (_suits(x, windows) and z.dtype == x.dtype):
        return pool.window_places(x, z, windows)
    z = np.ascontiguousarray(_last(z))
    out = np.empty(z.shape, np.uint8)
    _run(1, _last(x), z, out, windows)
    return channels_first(out)


def window_drop(g: Any, places: Any, windows: Any, size: tuple[int, ...]) -> Any:
    """The transpose of `window_pick`: g added to the pixels that `places` names."""
    chosen = _last(places)
    if not (_suits(g, windows, any_layout=True) and chosen.flags.c_contiguous):
        return pool.window_drop(g, places, windows, size)
    out = np.zeros((len(g), *size, g.shape[1]), g.dtype)
    _run(2, out, np.ascontiguousarray(_last(g)), chosen, windows)
    return channels_first(out)


def _last(x: Any) -> Any:
    return x.transpose(0, 2, 3, 1)


def _suits(x: Any, windows: Any, any_layout: bool = False) -> bool:
    item = x.itemsize
    return (
        x.size >= SMALL
        and x.dtype.char in "fd"
        and x.dtype.isnative
        and windows.kernel[0] * windows.kernel[1] <= 256  # the number of a pixel fits in a byte
        and (any_layout or (
            x.flags.aligned
            and (x.shape[1] == 1 or x.strides[1] == item)
            and all(s % item == 0 for s in x.strides)
        ))
        and machine_code.enabled()
    )  # fmt: skip


def _run(function: int, x: Any, z: Any, chosen: Any, windows: Any) -> None:
    n, *size, c = x.shape
    outputs = z.shape[1:3]
    if not (z.size and c):
        return
    down, across = (_reach(windows, axis, size[axis], outputs[axis]) for axis in (0, 1))
    image, row, pixel, _ = (s // x.itemsize for s in x.strides)
    each = max(1, JOB_BYTES // max(1, x[0].nbytes))
    kernel = _kernels(x.dtype)[function]
    (_, kw), (dy, dx) = windows.kernel, windows.dilation

    arrays = [(0, 0) if a is None else (address(a), a.strides[0]) for a in (x, z, chosen)]
    tables = address(down), address(across)

    def part(i: int) -> None:
        start = i * each
        kernel(
            *(at + start * apart for at, apart in arrays),
            min(each, n - start), image, row, pixel, c, *outputs, *tables,
            dy * row, dx * pixel, kw,
        )  # fmt: skip

    threads.run(part, -(-n // each))


def _reach(windows: Any, axis: int, size: int, outputs: int) -> Any:
    """(where it begins, the first tap in the image, the last + 1) of each row of windows."""
    begin = np.arange(outputs) * windows.stride[axis] - windows.padding[axis][0]
    step, taps = windows.dilation[axis], windows.kernel[axis]
    first = np.clip(-(begin // step), 0, taps)
    last = np.clip(-((begin - size) // step), 0, taps)
    return np.stack([begin, first, last], axis=1)


@functools.cache
def _kernels(dtype: Any) -> list[Callable[..., None]]:
    p, i = ctypes.c_void_p, ctypes.c_int64
    signature = ctypes.CFUNCTYPE(None, p, p, p, *[i] * 7, p, p, *[i] * 3)
    text = pool_ir.module(dtype.name, machine_code.vector_bytes())
    return [signature(address) for address in machine_code.addresses(text, pool_ir.FUNCTIONS)]
