"""NumPy の、チャネルごとの畳み込み (depthwise convolution): 行列積を使わない。

1 チャネルの窓は数個の数なので、行列にしても 1 列しかなく、並べ直す手間の方が大きい。ふち (padding)
をつけた写しを作り、窓の画素ごとに、横に並ぶ画素とチャネルを 1 つの長い行として掛け、足す。
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

CHUNK = 1 << 16
"""1 度に計算する数の個数: キャッシュに収まるように。"""


def convolved(x: Any, w: Any, kind: Any, windows: Any) -> Any:
    """Convolution of every channel with its own window: (N, H, W, C) ∗ (C, 1, kh, kw)."""
    outputs = windows.outputs(x.shape[1:3])
    out = np.zeros((len(x), *outputs, x.shape[3]), kind)
    rows = _rows(w, outputs[1], kind)
    for images in _chunks(x, out):
        part = out[images]
        padded, inside, kept = _padded(x[images].shape, outputs, kind, windows)
        padded[inside] = x[images][kept]
        work = np.empty(part.shape, kind)
        for tap, pixels in _taps(windows, outputs):
            part += np.multiply(padded[pixels], rows[tap], out=work)
    return out


def correlated(x: Any, g: Any, kind: Any, windows: Any) -> Any:
    """The gradient of the weights, (C, 1, kh, kw)."""
    outputs = g.shape[1:3]
    total = np.zeros((*windows.kernel, x.shape[3]), kind)
    for images in _chunks(x, g):
        upstream = np.ascontiguousarray(g[images])
        padded, inside, kept = _padded(x[images].shape, outputs, kind, windows)
        padded[inside] = x[images][kept]
        work = np.empty(upstream.shape, kind)
        for tap, pixels in _taps(windows, outputs):
            np.multiply(padded[pixels], upstream, out=work)
            total[tap] += np.add.reduce(np.add.reduce(work, axis=(0, 1)), axis=0)
    return total.transpose(2, 0, 1)[:, None]


def _rows(w: Any, n: int, kind: Any) -> Any:
    """(kh, kw, n, C): the weights of each pixel of the window, n times side by side."""
    taps = w[:, 0].transpose(1, 2, 0)[:, :, None].astype(kind)
    return np.ascontiguousarray(np.broadcast_to(taps, (*taps.shape[:2], n, taps.shape[3])))


def _chunks(*arrays: Any) -> Iterator[slice]:
    """Some images at a time."""
    step = max(1, CHUNK // max(1, *(a[:1].size for a in arrays)))
    return (slice(start, start + step) for start in range(0, len(arrays[0]), step))


def _padded(shape: Any, outputs: Any, kind: Any, windows: Any) -> Any:
    """Zeros of the size that the windows cover, where in them the image lies, and which part."""
    n, *size, c = shape
    covered, inside, kept = [], [slice(None)], [slice(None)]
    for axis in (0, 1):
        length = (outputs[axis] - 1) * windows.stride[axis] + windows.span[axis]
        before = windows.padding[axis][0]
        start, stop = max(0, before), min(length, size[axis] + before)
        covered.append(length)
        inside.append(slice(start, max(start, stop)))
        kept.append(slice(start - before, max(start, stop) - before))
    return np.zeros((n, *covered, c), kind), tuple(inside), tuple(kept)


def _taps(windows: Any, outputs: Any) -> Iterator[tuple[tuple[int, int], Any]]:
    """(number, its pixels in the padded images) of every pixel of the window."""
    down, across = (
        [
            slice(tap * gap, tap * gap + (outputs[axis] - 1) * stride + 1, stride)
            for tap in range(windows.kernel[axis])
        ]
        for axis, (gap, stride) in enumerate(zip(windows.dilation, windows.stride))
    )
    for i, y in enumerate(down):
        for j, x in enumerate(across):
            yield (i, j), (slice(None), y, x)
