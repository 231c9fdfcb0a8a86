"""NumPy の畳み込み: 行列積 (BLAS) に直す。

画像をチャネルが隣り合う並び (N, H, W, C) で扱う。窓の縦の画素だけを隣に写すと（kh 倍）、横に隣り
合う画素は初めから隣にあるので、1 つの窓 (kw, kh, C) は 1 続きの数になる。窓は横に 1 画素ずつ重なる
が、番号を m = ⌈kw/stride⌉ で割った余りが同じ窓どうしは重ならず、そのまま行列の行になる。だから
写すのは kw·kh 倍でなく kh 倍で、積は m 回の行列積になる。

結果の (N, C, H, W) は、メモリでは (N, H, W, C) に並ぶ。次の畳み込みは、それを並べ替えずに読む。
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

CHUNK_BYTES = 1 << 20
"""1 度に扱う画像の、窓に並べたものの大きさ。キャッシュに残るように。"""


def convolved(x: Any, w: Any, *b: Any, windows: Any, groups: int) -> Any:
    """Convolution (N, C, H, W) ∗ (O, C/groups, kh, kw), with a bias added."""
    result = np.result_type(x, w, *b)
    oh, ow = windows.outputs(x.shape[2:])
    n, o = x.shape[0], w.shape[0]
    kind = _computed_in(result)
    out = np.empty((n, oh, ow, o), result)
    if 0 in (out.size, x.size, w.size):
        out[...] = b[0] if b else 0
        return _channels_first(out)
    weights = _as_matrices(w, groups).astype(kind, copy=False)
    layout = _Layout(x.shape, windows, groups)
    product = np.empty((layout.chunk * layout.rows, groups, o // groups), kind)
    for images, matrices in layout.matrices(x, kind):
        count = len(range(*images.indices(n))) * layout.rows
        for r, matrix in enumerate(matrices):
            rows = product[:count][r :: layout.residues].transpose(1, 0, 2)
            np.matmul(matrix, weights, out=rows)
        grid = product[:count].reshape(-1, oh, layout.columns, o)[:, :, :ow]
        if b:
            np.add(grid, b[0], out=out[images], casting="same_kind")
        else:
            out[images] = grid
    return _channels_first(out)


def correlated(x: Any, g: Any, *, windows: Any, groups: int) -> Any:
    """The gradient of the weights: for every pixel of the window, Σ x·g."""
    result = np.result_type(x, g)
    n, o, oh, ow = g.shape
    kind = _computed_in(result)
    c = x.shape[1] // groups
    kh, kw = windows.kernel
    total = np.zeros((groups, kw * kh * c, o // groups), kind)
    if x.size and g.size:
        layout = _Layout(x.shape, windows, groups)
        # Zero where a window would run over the edge into the next row.
        upstream = np.zeros((layout.chunk, oh, layout.columns, o), kind)
        g = g.transpose(0, 2, 3, 1)
        for images, matrices in layout.matrices(x, kind):
            count = len(range(*images.indices(n)))
            upstream[:count, :, :ow] = g[images]
            rows = upstream[:count].reshape(count * layout.rows, groups, o // groups)
            for r, matrix in enumerate(matrices):
                part = rows[r :: layout.residues].transpose(1, 0, 2)
                total += np.matmul(matrix.transpose(0, 2, 1), part)
    taps = total.astype(result, copy=False).reshape(groups, kw, kh, c, o // groups)
    return np.ascontiguousarray(taps.transpose(0, 4, 3, 2, 1)).reshape(o, c, kh, kw)


def convolved_back(g: Any, w: Any, *, windows: Any, groups: int, size: tuple[int, int]) -> Any:
    """The gradient of the images, also called transposed convolution."""
    if windows.stride == (1, 1):
        # Convolution with the turned weights: each pixel collects from the windows it lies in.
        padding = tuple(
            (s - 1 - before, s - 1 - after)
            for s, (before, after) in zip(windows.span, windows.padding)
        )
        turned = windows._replace(padding=padding)
        return convolved(g, _turned(w, groups), windows=turned, groups=groups)
    return _scattered_back(g, w, windows, groups, size)


def _turned(w: Any, groups: int) -> Any:
    """Weights that lead from the outputs to the inputs, upside down."""
    o, c, kh, kw = w.shape
    parts = w[:, :, ::-1, ::-1].reshape(groups, o // groups, c, kh, kw)
    return parts.swapaxes(1, 2).reshape(groups * c, o // groups, kh, kw)


def _scattered_back(g: Any, w: Any, windows: Any, groups: int, size: tuple[int, int]) -> Any:
    """One product for all windows, whose columns are then added to the pixels they stand for."""
    result = np.result_type(g, w)
    kind = _computed_in(result)
    n, o, oh, ow = g.shape
    c, (kh, kw) = w.shape[1], windows.kernel
    out = np.zeros((n, *size, groups * c), kind)
    if 0 in (g.size, w.size, out.size):
        return _channels_first(out.astype(result, copy=False))
    weights = _as_matrices(w, groups).astype(kind, copy=False).transpose(0, 2, 1)
    g = g.transpose(0, 2, 3, 1)
    columns = [windows.reach(1, tap, size[1], ow) for tap in range(kw)]
    rows = [windows.reach(0, tap, size[0], oh) for tap in range(kh)]
    chunk = _chunk(oh * ow * weights[..., 0, :].size * kw * kh * c, kind)
    for start in range(0, n, chunk):
        part = np.ascontiguousarray(g[start : start + chunk], kind)
        matrix = part.reshape(-1, groups, o // groups).transpose(1, 0, 2)
        spread = np.empty((matrix.shape[1], groups, kw * kh * c), kind)
        np.matmul(matrix, weights, out=spread.transpose(1, 0, 2))
        grid = spread.reshape(len(part), oh, ow, groups, kw, kh, c)
        images = out[start : start + chunk].reshape(len(part), *size, groups, c)
        for j, (there_x, here_x) in enumerate(columns):
            for i, (there_y, here_y) in enumerate(rows):
                images[:, here_y, here_x] += grid[:, there_y, there_x, :, j, i]
    return _channels_first(out.astype(result, copy=False))


def _as_matrices(w: Any, groups: int) -> Any:
    """Weights (O, C, kh, kw) as (groups, kw·kh·C, O/groups)."""
    o, c, kh, kw = w.shape
    parts = w.reshape(groups, o // groups, c, kh, kw).transpose(0, 4, 3, 2, 1)
    return np.ascontiguousarray(parts).reshape(groups, kw * kh * c, o // groups)


def _channels_first(x: Any) -> Any:
    return x.transpose(0, 3, 1, 2)


def _computed_in(dtype: Any) -> Any:
    """Halves are added up in single precision."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _chunk(floats_per_image: int, kind: Any) -> int:
    bytes_per_image = floats_per_image * int(kind.itemsize)
    return max(1, CHUNK_BYTES // max(1, bytes_per_image))


class _Layout:
    """How the windows of images lie side by side in memory.

    Attributes:
        rows: windows of one image, those included that run over the edge into the next row.
        columns: windows of one row of windows, likewise.
        residues: matrices that hold all windows between them.
        chunk: images at a time.
    """

    def __init__(self, shape: tuple[int, ...], windows: Any, groups: int) -> None:
        self.n, channels, *self.size = shape
        self.windows, self.groups, self.c = windows, groups, channels // groups
        self.oh, ow = windows.outputs(self.size)
        (_, kw), stride = windows.kernel, windows.stride[1]
        left, right = windows.padding[1]
        self.side_by_side = windows.dilation[1] == 1 and left >= 0 and right >= 0 and kw > 1
        if self.side_by_side:
            # One margin between two rows serves the end of one and the beginning of the next.
            width = max(self.size[1] + max(left, right), ow * stride)
            self.columns = -(-width // stride)
            self.residues = -(-kw // stride)
            self.width = self.columns * stride
            self.taps = 1
        else:
            self.columns = self.width = ow
            self.residues, self.taps = 1, kw
        self.rows = self.oh * self.columns
        self.pixel = self.taps * windows.kernel[0] * self.c
        self.chunk = min(self.n, _chunk(groups * self.oh * self.width * self.pixel, np.dtype("f")))

    def matrices(self, x: Any, kind: Any) -> Iterator[tuple[slice, list[Any]]]:
        """(which images, a matrix (groups, windows, kw·kh·C) for each residue), chunk by chunk."""
        (kh, kw), stride = self.windows.kernel, self.windows.stride[1]
        kw //= self.taps
        one = self.oh * self.width * self.pixel
        tail = kw * self.pixel  # the last windows look beyond the end
        memory = np.zeros((self.groups, self.chunk * one + tail), kind)
        step = self.residues * (stride if self.side_by_side else 1) * self.pixel
        for start in range(0, self.n, self.chunk):
            images = slice(start, min(start + self.chunk, self.n))
            count = images.stop - start
            block = memory[:, : count * one].reshape(
                self.groups, count, self.oh, self.width, self.taps, kh, self.c
            )
            self._fill(block, np.ascontiguousarray(x[images].transpose(0, 2, 3, 1)))
            matrices = []
            for r in range(self.residues):
                rows = len(range(r, count * self.rows, self.residues))
                begin = r * (stride if self.side_by_side else 1) * self.pixel
                matrices.append(
                    np.lib.stride_tricks.as_strided(
                        memory[:, begin:],
                        (self.groups, rows, kw * self.pixel),
                        (memory.strides[0], step * kind.itemsize, kind.itemsize),
                        writeable=False,
                    )
                )
            yield images, matrices

    def _fill(self, block: Any, x: Any) -> None:
        """Copy the pixels to their places; the margins stay zero."""
        pixels = x.reshape(*x.shape[:3], self.groups, self.c).transpose(3, 0, 1, 2, 4)
        left, width = self.windows.padding[1][0], self.size[1]
        for i in range(self.windows.kernel[0]):
            there_y, here_y = self.windows.reach(0, i, self.size[0], self.oh)
            if self.side_by_side:
                block[:, :, there_y, left : left + width, 0, i] = pixels[:, :, here_y]
                continue
            for j in range(self.taps):
                there_x, here_x = self.windows.reach(1, j, width, self.columns)
                block[:, :, there_y, there_x, j, i] = pixels[:, :, here_y, here_x]
