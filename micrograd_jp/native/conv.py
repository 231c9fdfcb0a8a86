"""機械語の畳み込み（extra `fast`）。

画像をチャネルが隣り合う並び (N, H, W, C) で読む。何枚かずつ、ふち (padding) をつけた写しを作り、
そこからすぐに機械語 (`conv_ir`) が読む。写しはキャッシュに収まる大きさで、ふちがなければ作らない。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.native.allocator import keep
from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.conv_ir import convolve, correlate
from micrograd_jp.native.layout import channels_first, channels_last, scratch
from micrograd_jp.native.products import tile_of

SMALL = 1 << 16
"""これより少ない積和 (multiply-adds) のために、機械語を読み込みはしない。"""

CHUNK_BYTES = 128 << 10
"""1 度に写して計算する画像の大きさ: 核ごとのキャッシュに収まるように。"""

CHUNK_WORK = 1 << 21
"""1 度に計算する積和: Python がスレッドに仕事を渡すのに見合うように。"""

BLOCK_BYTES = 20 << 10
"""重みの勾配で、続けて読む画像と g の大きさ: いちばん内側のキャッシュに収まるように。"""

PARTS = 16
"""いくつの仕事に分けるか。スレッドの数によらない。"""

SUM_BYTES = 512 << 10
"""重みの勾配がこれより小さければ、仕事ごとに画像を分けて、後で足す。大きければ、重みを分ける。"""


def convolved(x: Any, w: Any, *b: Any, windows: Any, groups: int) -> Any:
    """Convolution (N, C, H, W) ∗ (O, C/groups, kh, kw), with a bias added."""
    keep()  # also for what NumPy convolves
    n, o, (oh, ow) = len(x), len(w), windows.outputs(x.shape[2:])
    if not _suits(n * oh * ow * w.size, groups, x, w, *b):
        return None
    work, tile, images = kernel(convolve, x.dtype), tile_of(x.dtype), _Images(x, windows, o)
    jumps, run = images.taps()
    weights = tile.panels(w.transpose(2, 3, 1, 0).reshape(-1, o))
    bias = np.zeros(tile.padded(o), x.dtype)
    if b:
        bias[:o] = b[0]
    out = np.empty((n, oh, ow, o), x.dtype)
    places = tile.filled_up(images.pixels(images.group))
    places_at, jumps_at, weights_at, bias_at, out_at = map(
        address, (places, jumps, weights, bias, out)
    )

    def some(first: int, count: int) -> None:
        there = places_at
        if images.direct and count < images.group:  # nothing may be read beyond the last
            fewer = tile.filled_up(images.pixels(count))
            there = address(fewer)
        work(
            *images.arguments(first, count), there, len(jumps), jumps_at, run,
            weights_at, bias_at, out_at + first * out.strides[0], o,
        )  # fmt: skip

    in_parts(some, n, images.each)
    return channels_first(out)


def correlated(x: Any, g: Any, *, windows: Any, groups: int) -> Any:
    """The gradient of the weights: for every pixel of the window, Σ x·g."""
    o, _, ow = g.shape[1:]
    c, (kh, kw) = x.shape[1], windows.kernel
    if not _suits(g.size * c * kh * kw, groups, x, g):
        return None
    work, tile, images = kernel(correlate, x.dtype), tile_of(x.dtype), _Images(x, windows, o)
    outputs = tile.padded(o)
    places, rows = tile.filled_up(images.taps_and_channels()), images.rows(images.group)
    block = max(1, BLOCK_BYTES // (x.itemsize * ow * (images.step + outputs)))
    upstream = channels_last(g)
    if not (upstream.flags.c_contiguous and upstream.flags.aligned and outputs == o):
        upstream = _copied(upstream, outputs)
    small = places.size * outputs * x.itemsize <= SUM_BYTES
    parts = np.zeros((-(-images.n // images.each) if small else 1, places.size, outputs), x.dtype)
    share = -(-places.size // (tile.pixels * PARTS)) * tile.pixels
    places_at, rows_at, upstream_at = map(address, (places, rows, upstream))

    def add(first: int, n: int, start: int, count: int, out: Any) -> None:
        work(
            *images.arguments(first, n), places_at + 8 * start, images.oh, rows_at, ow,
            count, block, images.step, upstream_at + first * upstream.strides[0],
            address(out[start:]), outputs,
        )  # fmt: skip

    if small:  # every job has some of the images, and sums of its own
        in_parts(
            lambda i, n: add(i, n, 0, places.size, parts[i // images.each]), images.n, images.each
        )
    else:  # every job has some of the sums
        in_parts(lambda i, n: add(0, images.n, i, n, parts[0]), places.size, share)
    total = np.add.reduce(parts, axis=0)[: kh * kw * c, :o]
    return np.ascontiguousarray(total.reshape(kh, kw, c, o).transpose(3, 2, 0, 1))


def _suits(work: int, groups: int, *arrays: Any) -> bool:
    return groups == 1 and work >= max(SMALL, 1) and suits(*arrays)


def _kept(n: int, before: int, after: int) -> tuple[slice, int, int]:
    """The pixels that are left where padding is negative; the margins around them."""
    start = min(n, max(0, -before))
    stop = max(start, min(n, n + after))
    margins = n + before + after - (stop - start)
    first = min(margins, max(0, before))
    return slice(start, stop), first, margins - first


def _copied(x: Any, channels: int) -> Any:
    """(N, H, W, C) side by side, with zeros up to so many channels."""
    out = np.empty((*x.shape[:3], channels), x.dtype)

    def part(start: int, count: int) -> None:
        some = slice(start, start + count)
        out[some, ..., : x.shape[3]] = x[some]
        out[some, ..., x.shape[3] :] = 0

    in_parts(part, len(x), -(-len(x) // PARTS))
    return out


class _Images:
    """Where the pixels are, some images at a time.

    Attributes:
        direct: they are read where they are; else from copies with margins.
        each: images of one job for the threads.
        group: images at a time in the copies.
        step: numbers between the pixels of one window and those of the next.
    """

    def __init__(self, x: Any, windows: Any, outputs: int) -> None:
        self.windows = windows
        self.oh, self.ow = windows.outputs(x.shape[2:])
        x = channels_last(x)
        (y, top, bottom), (across, left, right) = (
            _kept(n, *padding) for n, padding in zip(x.shape[1:3], windows.padding)
        )
        x = x[:, y, across]
        n, h, width, self.c = x.shape
        item = x.itemsize
        in_numbers = x.flags.aligned and all(s % item == 0 for s in x.strides)
        side_by_side = in_numbers and (self.c == 1 or x.strides[3] == item)
        self.direct = side_by_side and not (top or bottom or left or right)
        if not self.direct and not (side_by_side and x.strides[2] == self.c * item):
            x = _copied(x, self.c)
        self.x, self.n = x, n
        self.strides = image, row, _ = tuple(s // item for s in x.strides[:3])
        copied = (h + top + bottom) * (width + left + right) * self.c
        if not self.direct:
            self.strides = copied, (width + left + right) * self.c, self.c
        run, gap = width * self.c, (left + right) * self.c
        before = top * self.strides[1] + left * self.c if h else copied
        after = bottom * self.strides[1] + right * self.c
        self.margins = np.array(
            [image, row, *self.strides[:2], h, run, before, gap, after], np.int64
        )
        self.at, self.margins_at = address(x), address(self.margins)
        self.step = windows.stride[1] * self.strides[2]
        work = self.oh * self.ow * windows.kernel[0] * windows.kernel[1] * self.c * outputs
        self.each = min(n, max(1, n // PARTS, CHUNK_WORK // work))
        self.group = self.each
        if not self.direct:
            self.group = min(self.each, max(1, CHUNK_BYTES // (copied * item)))

    def arguments(self, first: int, count: int) -> tuple[int | None, ...]:
        """The first arguments of the kernels."""
        copy = None
        if not self.direct:
            copy = address(scratch("images", (self.group, self.strides[0]), self.x.dtype))
        at = self.at + first * self.x.strides[0]
        return at, count, self.margins_at, copy, self.group, self.oh, self.ow

    def taps(self) -> tuple[Any, int]:
        """Where the numbers of a window are: (places, from each of which so many follow)."""
        (kh, kw), (dy, dx) = self.windows.kernel, self.windows.dilation
        down = np.arange(kh)[:, None] * (dy * self.strides[1])
        if dx == 1 and self.strides[2] == self.c:
            return down.ravel(), kw * self.c
        return (down + np.arange(kw) * (dx * self.strides[2])).ravel(), self.c

    def taps_and_channels(self) -> Any:
        """Where the numbers of a window are, one by one."""
        places, following = self.taps()
        return places[:, None] + np.arange(following)

    def rows(self, count: int) -> Any:
        """Where the first window of each row of so many images is."""
        down = np.arange(self.oh) * (self.windows.stride[0] * self.strides[1])
        return (np.arange(count)[:, None] * self.strides[0] + down).ravel()

    def pixels(self, count: int) -> Any:
        """Where each window of so many images is."""
        return self.rows(count)[:, None] + np.arange(self.ow) * self.step
