"""NumPy の畳み込み: 行列積 (BLAS) に直す。

画像をチャネルが隣り合う並び (N, H, W, C) で扱う。窓の縦の画素だけを隣に写すと（kh 倍）、横に隣り
合う画素は初めから隣にあるので、1 つの窓 (kw, kh, C) は 1 続きの数になる。窓は横に 1 画素ずつ重なる
が、番号を m = ⌈kw/stride⌉ で割った余りが同じ窓どうしは重ならず、そのまま行列の行になる。だから
写すのは kw·kh 倍でなく kh 倍で、積は m 回の行列積になる。

結果の (N, C, H, W) は、メモリでは (N, H, W, C) に並ぶ。次の畳み込みは、それを並べ替えずに読む。
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import gcd
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels import computed_in, depthwise
from micrograd_jp.native.layout import KEPT_BYTES, channels_first, channels_last, scratch

CHUNK_BYTES = KEPT_BYTES // 2  # so that the memory for it is kept
"""1 度に並べる窓の大きさ: キャッシュに収まり、BLAS のスレッドを起こすのに見合うように。"""

FEW_CHANNELS = 4
"""これより少ないチャネルは、窓の画素を 1 つずつ写す（短い列を写すのは割に合わない）。"""


def convolved(x: Any, w: Any, *b: Any, windows: Any, groups: int) -> Any:
    """Convolution (N, C, H, W) ∗ (O, C/groups, kh, kw), with a bias added."""
    result = np.result_type(x, w, *b)
    oh, ow = windows.outputs(x.shape[2:])
    n, o = x.shape[0], w.shape[0]
    kind = computed_in(result)
    out = np.empty((n, oh, ow, o), result)
    if 0 in (out.size, x.size, w.size):
        out[...] = b[0] if b else 0
        return channels_first(out)
    if groups > 1 and w.shape[:2] == (groups, 1):
        out = depthwise.convolved(channels_last(x), w, kind, windows)
        out = np.add(out, b[0], out=out) if b else out
        return channels_first(out.astype(result, copy=False))
    weights = _as_matrices(w, groups).astype(kind, copy=False)
    layout = _Layout(x.shape, windows, groups)
    direct = layout.columns == ow and kind == result  # no windows to be left out
    memory = None if direct else scratch("rows", (layout.chunk, oh, layout.columns, o), kind)
    for images, matrices in layout.matrices(x, kind):
        grid = out[images] if memory is None else memory[: len(out[images])]
        rows = grid.reshape(-1, groups, o // groups)
        for r, matrix in enumerate(matrices):
            np.matmul(matrix, weights, out=rows[r :: layout.residues].transpose(1, 0, 2))
        if b:
            np.add(grid[:, :, :ow], b[0], out=out[images], casting="same_kind")
        elif memory is not None:
            out[images] = grid[:, :, :ow]
    return channels_first(out)


def correlated(x: Any, g: Any, *, windows: Any, groups: int) -> Any:
    """The gradient of the weights: for every pixel of the window, Σ x·g."""
    result = np.result_type(x, g)
    o = g.shape[1]
    kind = computed_in(result)
    c = x.shape[1] // groups
    kh, kw = windows.kernel
    if groups > 1 and o == groups and c == 1:
        x, g = channels_last(x), channels_last(g)
        return depthwise.correlated(x, g, kind, windows).astype(result, copy=False)
    total = np.zeros((groups, kw * kh * c, o // groups), kind)
    if x.size and g.size:
        layout = _Layout(x.shape, windows, groups)
        total = _correlated(x, g, layout, total)
        if layout.side_by_side and not np.isfinite(total).all():
            # A window that runs over the edge is multiplied by 0, and 0·∞ is nan.
            layout = _Layout(x.shape, windows, groups, side_by_side=False)
            total = _correlated(x, g, layout, np.zeros_like(total))
    taps = total.astype(result, copy=False).reshape(groups, kw, kh, c, o // groups)
    return np.ascontiguousarray(taps.transpose(0, 4, 3, 2, 1)).reshape(o, c, kh, kw)


def _correlated(x: Any, g: Any, layout: _Layout, total: Any) -> Any:
    """The sums Σ x·g, one matrix for each group, added to `total`."""
    o, oh, ow = g.shape[1:]
    g = channels_last(g)
    # Zero where a window would run over the edge into the next row.
    direct = layout.columns == ow
    memory = None
    if not direct:
        memory = scratch("rows", (layout.chunk, oh, layout.columns, o), total.dtype)
        memory[...] = 0
    for images, matrices in layout.matrices(x, total.dtype):
        part = g[images]
        if memory is None:
            grid = np.ascontiguousarray(part, total.dtype)
        else:
            grid = memory[: len(part)]
            grid[:, :, :ow] = part
        rows = grid.reshape(-1, layout.groups, o // layout.groups)
        for r, matrix in enumerate(matrices):
            along = rows[r :: layout.residues].transpose(1, 0, 2)
            total += np.matmul(matrix.transpose(0, 2, 1), along)
    return total


def convolved_back(
    g: Any, w: Any, *, windows: Any, groups: int, size: tuple[int, int], convolve: Any = convolved
) -> Any:
    """The gradient of the images, also called transposed convolution.

    Convolution with the turned weights: each pixel collects from the windows it lies in. Where
    the windows take strides, some pixels lie under other taps than their neighbours.
    """
    if not np.isfinite(np.add.reduce(w, axis=None, dtype=computed_in(w.dtype))):
        return _spread(g, w, windows, groups, size)
    if windows.stride == (1, 1):
        padding = tuple(
            (s - 1 - before, s - 1 - after)
            for s, (before, after) in zip(windows.span, windows.padding)
        )
        turned = windows._replace(padding=padding)
        return convolve(g, _turned(w, groups), windows=turned, groups=groups)
    out = np.zeros((len(g), *size, groups * w.shape[1]), np.result_type(g, w))
    rows, columns = (_phases(windows, axis, size[axis], g.shape[2 + axis]) for axis in (0, 1))
    for (down, taps_y, dy, padding_y), (across, taps_x, dx, padding_x) in product(rows, columns):
        some = w[:, :, taps_y, taps_x]
        part = windows._replace(
            kernel=some.shape[2:], stride=(1, 1), padding=(padding_y, padding_x), dilation=(dy, dx)
        )
        z = convolve(g, _turned(some, groups), windows=part, groups=groups)
        out[:, down, across] = channels_last(z)
    return channels_first(out)


def _spread(g: Any, w: Any, windows: Any, groups: int, size: tuple[int, int]) -> Any:
    """The same, tap by tap, for weights that are not finite: a convolution would look at zeros
    around g, where there are no windows, and 0·∞ is nan.
    """
    n, o, *outputs = g.shape
    result = np.result_type(g, w)
    parts = channels_last(g).reshape(n, *outputs, groups, 1, o // groups)
    weights = w.reshape(groups, o // groups, *w.shape[1:]).astype(computed_in(result), copy=False)
    out = np.zeros((n, *size, groups, 1, w.shape[1]), weights.dtype)
    for i, j in product(*map(range, windows.kernel)):
        there_y, here_y = windows.reach(0, i, size[0], outputs[0])
        there_x, here_x = windows.reach(1, j, size[1], outputs[1])
        out[:, here_y, here_x] += parts[:, there_y, there_x] @ weights[..., i, j]
    return channels_first(out.reshape(n, *size, -1).astype(result, copy=False))


def _phases(windows: Any, axis: int, size: int, outputs: int) -> list[Any]:
    """Pixels that lie under the same taps, `stride` apart.

    The pixel Y lies under a tap of the window y if Y + before = y·stride + tap·dilation. With
    Y + before = q·stride + r this is y = q + (r − tap·dilation)/stride: for each r, and those taps
    for which the quotient is whole, a convolution without strides.

    Returns:
        (the pixels, the taps, their dilation, the padding) of each phase that has taps.
    """
    stride, dilation = windows.stride[axis], windows.dilation[axis]
    before, found = windows.padding[axis][0], []
    each = stride // gcd(stride, dilation)  # every so many taps
    step = each * dilation // stride
    for r in range(stride):
        taps = [k for k in range(windows.kernel[axis]) if (k * dilation - r) % stride == 0]
        q = -((r - before) // stride)
        first = q * stride + r - before
        if not taps or first >= size:
            continue
        span = (len(taps) - 1) * step + 1
        start = span - 1 - (r - taps[0] * dilation) // stride - q
        end = -(-(size - first) // stride) + span - 1 - outputs - start
        found.append((slice(first, None, stride), slice(taps[0], None, each), step, (start, end)))
    return found


def _turned(w: Any, groups: int) -> Any:
    """Weights that lead from the outputs to the inputs, upside down."""
    o, c, kh, kw = w.shape
    parts = w[:, :, ::-1, ::-1].reshape(groups, o // groups, c, kh, kw)
    return parts.swapaxes(1, 2).reshape(groups * c, o // groups, kh, kw)


def _as_matrices(w: Any, groups: int) -> Any:
    """Weights (O, C, kh, kw) as (groups, kw·kh·C, O/groups)."""
    o, c, kh, kw = w.shape
    parts = w.reshape(groups, o // groups, c, kh, kw).transpose(0, 4, 3, 2, 1)
    return np.ascontiguousarray(parts).reshape(groups, kw * kh * c, o // groups)


def _chunk(floats_per_image: int, kind: Any) -> int:
    bytes_per_image = floats_per_image * int(kind.itemsize)
    return max(1, CHUNK_BYTES // max(1, bytes_per_image))


class _Layout:
    """How the windows of images become the rows of matrices.

    Attributes:
        columns: windows of one row, those included that run over the edge into the next row.
        residues: matrices that hold all windows between them.
        chunk: images at a time.
    """

    def __init__(
        self, shape: tuple[int, ...], windows: Any, groups: int, side_by_side: bool = True
    ) -> None:
        self.n, channels, *self.size = shape
        self.windows, self.groups, self.c = windows, groups, channels // groups
        self.oh, self.columns = windows.outputs(self.size)
        self.residues = 1
        (kh, kw), stride = windows.kernel, windows.stride[1]
        left, right = windows.padding[1]
        wide_enough = side_by_side and self.c >= FEW_CHANNELS and kw > 1
        self.side_by_side = wide_enough and windows.dilation[1] == 1 and left >= 0 and right >= 0
        floats = kw * kh * self.c * self.columns
        if self.side_by_side:
            # One margin between two rows serves the end of one and the beginning of the next.
            width = max(self.size[1] + max(left, right), self.columns * stride)
            self.columns = -(-width // stride)
            self.residues = -(-kw // stride)
            self.pixel = kh * self.c
            self.row = self.columns * stride * self.pixel
            floats = self.row
        self.chunk = min(self.n, _chunk(groups * self.oh * floats, np.dtype(np.float32)))

    def matrices(self, x: Any, kind: Any) -> Iterator[tuple[slice, list[Any]]]:
        """(which images, a matrix (groups, windows, kw·kh·C) for each residue), chunk by chunk."""
        kh, kw = self.windows.kernel
        if (kh, kw) == (1, 1) and self.windows.padding == ((0, 0), (0, 0)):
            arranged, shape = self._pixels, (0, 0)
        elif self.side_by_side:  # the last windows look beyond the end
            arranged = self._overlapping
            shape = (self.groups, self.chunk * self.oh * self.row + kw * self.pixel)
        else:
            arranged = self._tap_by_tap
            shape = (self.groups * kw * kh * self.c, self.chunk * self.oh * self.columns)
        memory = scratch("windows", shape, kind)
        memory[...] = 0  # the margins stay zero
        for start in range(0, self.n, self.chunk):
            images = slice(start, min(start + self.chunk, self.n))
            yield images, arranged(memory, x[images])

    def _pixels(self, memory: Any, x: Any) -> list[Any]:
        """Windows of one pixel are the pixels themselves."""
        down, across = self.windows.stride
        pixels = x[:, :, ::down, ::across].transpose(0, 2, 3, 1)
        matrix = np.ascontiguousarray(pixels, memory.dtype).reshape(-1, self.groups, self.c)
        return [matrix.transpose(1, 0, 2)]

    def _overlapping(self, memory: Any, x: Any) -> list[Any]:
        """The pixels of a column of a window side by side, and the columns in their order."""
        (kh, kw), (_, stride) = self.windows.kernel, self.windows.stride
        count, left = len(x), self.windows.padding[1][0]
        block = memory[:, : count * self.oh * self.row]
        block = block.reshape(self.groups, count, self.oh, -1, kh, self.c)
        pixels = np.ascontiguousarray(channels_last(x))
        pixels = pixels.reshape(*pixels.shape[:3], self.groups, self.c).transpose(3, 0, 1, 2, 4)
        for i in range(kh):
            there, here = self.windows.reach(0, i, self.size[0], self.oh)
            block[:, :, there, left : left + self.size[1], i] = pixels[:, :, here]
        step = stride * self.pixel
        windows = count * self.oh * self.columns
        return [
            np.lib.stride_tricks.as_strided(
                memory[:, r * step :],
                (self.groups, len(range(r, windows, self.residues)), kw * self.pixel),
                (memory.strides[0], self.residues * step * memory.itemsize, memory.itemsize),
                writeable=False,
            )
            for r in range(self.residues)
        ]

    def _tap_by_tap(self, memory: Any, x: Any) -> list[Any]:
        """Every pixel of the windows copied (im2col), a row of memory for each."""
        (kh, kw), count = self.windows.kernel, len(x)
        windows = memory[:, : count * self.oh * self.columns]
        block = windows.reshape(self.groups, kw, kh, self.c, count, self.oh, self.columns)
        pixels = x.reshape(count, self.groups, self.c, *self.size).transpose(1, 2, 0, 3, 4)
        for i in range(kh):
            there_y, here_y = self.windows.reach(0, i, self.size[0], self.oh)
            for j in range(kw):
                there_x, here_x = self.windows.reach(1, j, self.size[1], self.columns)
                block[:, j, i, :, :, there_y, there_x] = pixels[..., here_y, here_x]
        return [windows.reshape(self.groups, kw * kh * self.c, -1).transpose(0, 2, 1)]
