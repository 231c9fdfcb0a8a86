"""NumPy のプーリング: 窓の画素の番号 (tap) ごとに、窓すべてを 1 度に計算する。

画像は (N, C, H, W)。メモリの並びは問わず、結果は入力と同じ並びになる。
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels import computed_in
from micrograd_jp.namespace.numpy_kernels.closed import closed

Size = tuple[int, ...]


def like(x: Any, size: Size, dtype: Any = None, fill: Any = None) -> Any:
    """画像 x と同じ並びのメモリの、大きさ `size` の画像。"""
    order = np.argsort([-abs(s) for s in x.strides], kind="stable")
    shape = (*x.shape[:2], *size)
    out = np.empty([shape[i] for i in order], dtype or x.dtype)
    if fill is not None:
        out[...] = fill
    return out.transpose(np.argsort(order))


def window_max(x: Any, windows: Any) -> Any:
    """The largest pixel of every window; padding never wins."""
    return _over_both_axes(x, windows, np.maximum, -np.inf)


def window_sum(x: Any, windows: Any) -> Any:
    """The sum of every window."""
    wide = x.astype(computed_in(x.dtype), copy=False)
    return _over_both_axes(wide, windows, np.add, 0).astype(x.dtype, copy=False)


def _over_both_axes(x: Any, windows: Any, combine: Any, start: Any) -> Any:
    """Rows first, whose pixels lie side by side in memory, then what is left of the columns."""
    for axis in (0, 1):
        x = _over_one_axis(x, windows, axis, combine, start)
    return x


def _over_one_axis(x: Any, windows: Any, axis: int, combine: Any, start: Any) -> Any:
    size = list(x.shape[2:])
    n = size[axis]
    size[axis] = outputs = windows.outputs((n, n))[axis]
    taps = [windows.reach(axis, tap, n, outputs) for tap in range(windows.kernel[axis])]
    out = None
    inside = [there == slice(0, outputs) for there, _ in taps]
    if all(inside[:2]) and len(taps) > 1:
        first, second = (x[_at(axis, here)] for _, here in taps[:2])
        out, taps = combine(first, second), taps[2:]
    else:
        out = like(x, tuple(size), fill=start)
    for there, here in taps:
        part = out[_at(axis, there)]
        combine(part, x[_at(axis, here)], out=part)
    return out


def _at(axis: int, place: slice) -> tuple[slice, ...]:
    return (slice(None),) * (2 + axis) + (place,)


def window_spread(g: Any, windows: Any, size: Size) -> Any:
    """The transpose of `window_sum`: every pixel gets the sum of its windows."""
    out = g.astype(computed_in(g.dtype), copy=False)
    for axis in (1, 0):
        out = _spread_along(out, windows, axis, size[axis])
    return out.astype(g.dtype, copy=False)


def _spread_along(g: Any, windows: Any, axis: int, n: int) -> Any:
    size = list(g.shape[2:])
    outputs, size[axis] = size[axis], n
    out = like(g, tuple(size), fill=0)
    for tap in range(windows.kernel[axis]):
        there, here = windows.reach(axis, tap, n, outputs)
        out[_at(axis, here)] += g[_at(axis, there)]
    return out


def _taps(windows: Any, size: Size, outputs: Size) -> Iterator[tuple[int, Any, Any]]:
    """(number, its windows, its pixels) of every pixel of the window, in reading order."""
    rows, columns = (
        [windows.reach(axis, tap, size[axis], outputs[axis]) for tap in range(k)]
        for axis, k in enumerate(windows.kernel)
    )
    for i, (there_y, here_y) in enumerate(rows):
        for j, (there_x, here_x) in enumerate(columns):
            number = i * len(columns) + j
            yield number, (..., there_y, there_x), (..., here_y, here_x)


def window_places(x: Any, z: Any, windows: Any) -> Any:
    """Which pixel of each window is its maximum z: the first of equal ones."""
    last = windows.kernel[0] * windows.kernel[1] - 1
    places = like(z, z.shape[2:], np.min_scalar_type(last), fill=0)
    unordered = bool(np.isnan(z).any())
    for number, there, here in reversed(list(_taps(windows, x.shape[2:], z.shape[2:]))):
        pixels, part = x[here], places[there]
        miss = pixels != z[there]
        if unordered:  # nan equals nothing, but wins
            miss &= pixels == pixels
        # Arithmetic on bytes: assigning through a mask goes from element to element.
        part *= miss
        part += np.multiply(~miss, number, dtype=places.dtype)
    return places


def window_pick(x: Any, places: Any, windows: Any) -> Any:
    """The pixel of each window that `places` names."""
    out = like(x, places.shape[2:], fill=0)
    for number, there, here in _taps(windows, x.shape[2:], places.shape[2:]):
        np.copyto(out[there], x[here], where=places[there] == number)
    return out


def window_drop(g: Any, places: Any, windows: Any, size: Size) -> Any:
    """The transpose of `window_pick`: g added to the pixels that `places` names."""
    out = like(g, size, fill=0)
    apart = all(k <= s or n == 1 for k, s, n in zip(windows.kernel, windows.stride, g.shape[2:]))
    for number, there, here in _taps(windows, size, g.shape[2:]):
        share = closed(g[there], places[there] != number)
        if apart and windows.dilation == (1, 1):  # no pixel lies in two windows
            out[here] = share
        else:
            out[here] += share
    return out
