"""機械語の最大値プーリング（extra `fast`）。

チャネルが隣り合う並び (N, H, W, C) の画像だけを読む。畳み込みの結果はその並びである。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.native import pool_ir
from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.ir import Function
from micrograd_jp.native.layout import channels_first, channels_last

SMALL = 1 << 14
"""画素がこれより少なければ、機械語を読み込みはしない。"""

JOB_BYTES = 512 << 10
"""1 つのスレッドに 1 度に渡す画像の大きさ。"""


def window_max(x: Any, windows: Any) -> Any:
    """The largest pixel of every window; padding never wins."""
    if not (_side_by_side(x) and _suits(windows, x)):
        return None
    out = np.empty((len(x), *windows.outputs(x.shape[2:]), x.shape[1]), x.dtype)
    _run(pool_ir.largest, channels_last(x), out, None, windows)
    return channels_first(out)


def window_places(x: Any, z: Any, windows: Any) -> Any:
    """Which pixel of each window is its maximum z: the first of equal ones."""
    if not (_side_by_side(x) and _suits(windows, x, z)):
        return None
    z = np.ascontiguousarray(channels_last(z))
    out = np.empty(z.shape, np.uint8)
    _run(pool_ir.places, channels_last(x), z, out, windows)
    return channels_first(out)


def window_drop(g: Any, places: Any, windows: Any, size: tuple[int, ...]) -> Any:
    """The transpose of `window_pick`: g added to the pixels that `places` names."""
    chosen = channels_last(places)
    if not (chosen.flags.c_contiguous and _suits(windows, g)):
        return None
    out = np.zeros((len(g), *size, g.shape[1]), g.dtype)
    _run(pool_ir.drop, out, np.ascontiguousarray(channels_last(g)), chosen, windows)
    return channels_first(out)


def _suits(windows: Any, x: Any, *others: Any) -> bool:
    # The number of a pixel fits in a byte.
    return x.size >= SMALL and windows.kernel[0] * windows.kernel[1] <= 256 and suits(x, *others)


def _side_by_side(x: Any) -> bool:
    """Whether the channels of a pixel are, wherever the pixels are."""
    item = x.itemsize
    return (
        x.flags.aligned
        and (x.shape[1] == 1 or x.strides[1] == item)
        and all(s % item == 0 for s in x.strides)
    )


def _run(function: Function, x: Any, z: Any, chosen: Any, windows: Any) -> None:
    n, *size, c = x.shape
    outputs = z.shape[1:3]
    if not (z.size and c):
        return
    down, across = (_reach(windows, axis, size[axis], outputs[axis]) for axis in (0, 1))
    image, row, pixel, _ = (s // x.itemsize for s in x.strides)
    work = kernel(function, x.dtype)
    (_, kw), (dy, dx) = windows.kernel, windows.dilation

    arrays = [(0, 0) if a is None else (address(a), a.strides[0]) for a in (x, z, chosen)]
    tables = address(down), address(across)

    def part(start: int, count: int) -> None:
        work(
            *(at + start * apart for at, apart in arrays), count, image, row, pixel, c, *outputs,
            *tables, dy * row, dx * pixel, kw,
        )  # fmt: skip

    in_parts(part, n, max(1, JOB_BYTES // max(1, x[0].nbytes)))


def _reach(windows: Any, axis: int, size: int, outputs: int) -> Any:
    """(where it begins, the first tap in the image, the last + 1) of each row of windows."""
    begin = np.arange(outputs) * windows.stride[axis] - windows.padding[axis][0]
    step, taps = windows.dilation[axis], windows.kernel[axis]
    first = np.clip(-(begin // step), 0, taps)
    last = np.clip(-((begin - size) // step), 0, taps)
    return np.stack([begin, first, last], axis=1)
