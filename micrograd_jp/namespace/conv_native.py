"""機械語の畳み込み（extra `fast`）。できないもの・小さいものは `conv_numpy` が計算する。

画像をチャネルが隣り合う並び (N, H, W, C) で読む。何枚かずつ、ふち (padding) をつけた写しを作り、
そこからすぐに機械語 (`conv_ir`) が読む。写しはキャッシュに収まる大きさで、ふちがなければ作らない。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import parallel
from micrograd_jp.memory import keep
from micrograd_jp.namespace import conv_numpy
from micrograd_jp.namespace.conv_numpy import channels_first, scratch
from micrograd_jp.namespace.matmul_native import address, filled_up, kernel, panels, suits

SMALL = 1 << 16
"""これより少ない積和 (multiply-adds) のために、機械語を読み込みはしない。"""

CHUNK_BYTES = 512 << 10
"""1 度に写して計算する画像の大きさ: 核ごとのキャッシュに収まるように。"""

CHUNK_WORK = 1 << 22
"""1 度に計算する積和: Python がスレッドに仕事を渡すのに見合うように。"""

BLOCK_BYTES = 20 << 10
"""重みの勾配で、続けて読む画像と g の大きさ: いちばん内側のキャッシュに収まるように。"""

PARTS = 16
PARTS_BYTES = 32 << 20
"""重みの勾配を、多くともいくつの和に分けて足すか。スレッドの数によらない。"""


def convolved(x: Any, w: Any, *b: Any, windows: Any, groups: int) -> Any:
    """Convolution (N, C, H, W) ∗ (O, C/groups, kh, kw), with a bias added."""
    keep()
    n, o, (oh, ow) = len(x), len(w), windows.outputs(x.shape[2:])
    if not _suits(n * oh * ow * w.size, groups, x, w, *b):
        return conv_numpy.convolved(x, w, *b, windows=windows, groups=groups)
    k = kernel(x.dtype.name)
    images = _Images(x, windows, o)
    jumps, run = images.taps()
    weights, bias = (
        panels(w.transpose(2, 3, 1, 0).reshape(-1, o), k),
        np.zeros(k.padded(o), x.dtype),
    )
    if b:
        bias[:o] = b[0]
    out = np.empty((n, oh, ow, o), x.dtype)
    places = filled_up(images.pixels(images.each), k.pixels)

    def chunk(i: int) -> None:
        start, count, memory = images.load(i)
        there = places
        if count < images.each:
            there = filled_up(images.pixels(count), k.pixels)
        k.convolve(
            memory, address(there), count * oh * ow, len(jumps), address(jumps), run, 1,
            address(weights), 0, address(bias), address(out) + start * out.strides[0], o,
        )  # fmt: skip

    parallel.run(chunk, images.chunks)
    return channels_first(out)


def correlated(x: Any, g: Any, *, windows: Any, groups: int) -> Any:
    """The gradient of the weights: for every pixel of the window, Σ x·g."""
    o, oh, ow = g.shape[1:]
    c, (kh, kw) = x.shape[1], windows.kernel
    if not _suits(g.size * c * kh * kw, groups, x, g):
        return conv_numpy.correlated(x, g, windows=windows, groups=groups)
    k = kernel(x.dtype.name)
    images = _Images(x, windows, o)
    outputs = k.padded(o)
    places = filled_up(images.taps_and_channels(), k.pixels)
    rows = images.rows()
    block = max(1, BLOCK_BYTES // (x.itemsize * ow * (images.step + outputs)))
    bytes_each = places.size * outputs * x.itemsize
    count = min(images.chunks, PARTS, max(2, PARTS_BYTES // bytes_each))
    parts = np.zeros((count, places.size, outputs), x.dtype)
    upstream = g.transpose(0, 2, 3, 1)
    direct = upstream.flags.c_contiguous and upstream.flags.aligned and outputs == o

    def part(j: int) -> None:
        for i in range(j * images.chunks // count, (j + 1) * images.chunks // count):
            start, n, memory = images.load(i)
            along = upstream[start : start + n]
            if not direct:
                along = scratch("upstream", (n, oh, ow, outputs), g.dtype)
                along[..., :o] = upstream[start : start + n]
                along[..., o:] = 0
            k.correlate(
                memory, address(places), places.size, n * oh, block, address(rows), ow, images.step,
                address(along), address(parts) + j * parts.strides[0], outputs,
            )  # fmt: skip

    parallel.run(part, count)
    total = np.add.reduce(parts, axis=0)[: kh * kw * c, :o]
    return np.ascontiguousarray(total.reshape(kh, kw, c, o).transpose(3, 2, 0, 1))


def convolved_back(g: Any, w: Any, *, windows: Any, groups: int, size: tuple[int, int]) -> Any:
    """The gradient of the images, also called transposed convolution."""
    return conv_numpy.convolved_back(
        g, w, windows=windows, groups=groups, size=size, convolve=convolved
    )


def _suits(work: int, groups: int, *arrays: Any) -> bool:
    return groups == 1 and work >= max(SMALL, 1) and suits(*arrays)


class _Images:
    """Where the pixels are, some images at a time.

    Attributes:
        each: images at a time.
        chunks: how often.
        step: numbers between the pixels of one window and those of the next.
    """

    def __init__(self, x: Any, windows: Any, outputs: int) -> None:
        self.windows = windows
        self.oh, self.ow = windows.outputs(x.shape[2:])
        x = x.transpose(0, 2, 3, 1)
        # Negative padding cuts off.
        keep = [
            slice(max(0, -before), n - max(0, -after))
            for n, (before, after) in zip(x.shape[1:3], windows.padding)
        ]
        self.x = x = x[:, keep[0], keep[1]]
        self.n, h, width, self.c = x.shape
        self.margins = [(max(0, before), max(0, after)) for before, after in windows.padding]
        (top, bottom), (left, right) = self.margins
        item = x.itemsize
        self.direct = (
            not (top or bottom or left or right)
            and x.flags.aligned
            and (self.c == 1 or x.strides[3] == item)
            and all(s % item == 0 for s in x.strides)
        )
        self.shape = (h + top + bottom, width + left + right, self.c)
        self.strides = tuple(s // item for s in x.strides[:3])
        if not self.direct:
            self.strides = (self.shape[0] * self.shape[1] * self.c, self.shape[1] * self.c, self.c)
        self.step = windows.stride[1] * self.strides[2]
        pixels = self.oh * self.ow
        size = item * (self.shape[0] * self.shape[1] * self.c + pixels * outputs)
        work = pixels * windows.kernel[0] * windows.kernel[1] * self.c * outputs
        most = min(CHUNK_BYTES // size, max(CHUNK_WORK // work, self.n // PARTS))
        self.chunks = -(-self.n // max(1, most))
        self.each = -(-self.n // self.chunks)
        self.chunks = -(-self.n // self.each)

    def load(self, i: int) -> tuple[int, int, int]:
        """(first image, how many, address of their pixels)."""
        start = i * self.each
        x = self.x[start : start + self.each]
        if self.direct:
            return start, len(x), address(x)
        (top, bottom), (left, right) = self.margins
        h, w, _ = self.shape
        copy = scratch("images", (self.each, *self.shape), x.dtype)[: len(x)]
        copy[:, :top] = copy[:, h - bottom :] = 0
        copy[:, :, :left] = copy[:, :, w - right :] = 0
        copy[:, top : h - bottom, left : w - right] = x
        return start, len(x), address(copy)

    def taps(self) -> tuple[Any, int]:
        """Where the numbers of a window are: (places, from each of which so many follow)."""
        (kh, kw), (dy, dx) = self.windows.kernel, self.windows.dilation
        down = np.arange(kh) * (dy * self.strides[1])
        if dx == 1 and self.strides[2] == self.c:
            return down, kw * self.c
        return (down[:, None] + np.arange(kw) * (dx * self.strides[2])).ravel(), self.c

    def taps_and_channels(self) -> Any:
        """Where the numbers of a window are, one by one."""
        (kh, kw), (dy, dx) = self.windows.kernel, self.windows.dilation
        down = np.arange(kh) * (dy * self.strides[1])
        across = np.arange(kw) * (dx * self.strides[2])
        return (down[:, None] + across)[..., None] + np.arange(self.c)

    def rows(self) -> Any:
        """Where the first window of each row is, for as many images as there are at a time."""
        down = np.arange(self.oh) * (self.windows.stride[0] * self.strides[1])
        return (np.arange(self.each)[:, None] * self.strides[0] + down).ravel()

    def pixels(self, count: int) -> Any:
        """Where each window of so many images is."""
        return self.rows()[: count * self.oh, None] + np.arange(self.ow) * self.step
