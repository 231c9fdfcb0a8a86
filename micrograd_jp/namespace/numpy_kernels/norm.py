"""NumPy のバッチ正規化: キャッシュに収まる一切れごとに、すべての計算を続けて行う。

画像はチャネルが隣り合う並び (N, H, W, C) で扱う（そうでなければ写す）。1 画素のチャネルは短いので、
何画素かをつないだ長い行にする。メモリを読むのは、順伝播で 2 回、逆伝播で 2 回ずつになる。
式は `ops/norm.py` にあるものと同じ。
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels import computed_in

ROW = 1024
"""1 行の長さの上限: NumPy の内側のループが、呼び出しの手間より長くなるように。"""

PIECE = 1 << 16
"""一切れの要素の数。"""


def batch_statistics(x: Any) -> tuple[Any, Any]:
    """Mean and variance (divided by n) of each channel.

    The pieces are put together as in Chan, Golub & LeVeque (1983), "Algorithms for Computing
    the Sample Variance": no squares of large means.
    """
    kind = computed_in(x.dtype)
    rows, tiles = _rows(x)
    c = x.shape[1]
    total, mean, squares = 0, np.zeros(c), np.zeros(c)
    work = np.empty(_piece_shape(rows), kind)
    for piece in _pieces(rows):
        d = work[: len(piece)]
        n = len(piece) * tiles
        here = _summed(piece, c, kind) / n
        np.subtract(piece, np.tile(here.astype(kind), tiles), out=d)
        np.multiply(d, d, out=d)
        shift = here - mean
        squares += _summed(d, c, kind) + shift * shift * (total * n / (total + n))
        mean += shift * (n / (total + n))
        total += n
    return mean.astype(kind), (squares / max(total, 1)).astype(kind)


def batch_normalized(x: Any, w: Any, b: Any, mean: Any, var: Any, eps: float) -> Any:
    """(x − mean)/√(var + eps)·w + b for each channel."""
    result = np.result_type(x, w, b)
    kind = computed_in(result)
    rows, tiles = _rows(x)
    out = np.empty(rows.shape, result)
    work = np.empty(_piece_shape(rows), kind) if kind != result else None
    scale = w / np.sqrt(var + eps)
    mean, scale, b = (np.tile(v.astype(kind, copy=False), tiles) for v in (mean, scale, b))
    for piece, z in zip(_pieces(rows), _pieces(out), strict=True):
        d = z if work is None else work[: len(z)]
        np.subtract(piece, mean, out=d)
        np.multiply(d, scale, out=d)
        np.add(d, b, out=z, casting="same_kind")
    return _images(out, x)


def batch_normalized_back(
    g: Any, x: Any, w: Any, *, mean: Any, var: Any, eps: float, batch: bool
) -> tuple[Any, Any, Any]:
    """The gradients of x, w and b."""
    result = np.result_type(g, x, w)
    kind = computed_in(result)
    (rows, tiles), (upstream, _) = _rows(x), _rows(g)
    c = x.shape[1]
    for_w, for_b = np.zeros(c), np.zeros(c)
    work = np.empty(_piece_shape(rows), kind)
    center = np.tile(mean.astype(kind, copy=False), tiles)
    for piece, u in zip(_pieces(rows), _pieces(upstream), strict=True):
        d = np.subtract(piece, center, out=work[: len(piece)])
        np.multiply(d, u, out=d)
        for_w += _summed(d, c, kind)
        for_b += _summed(u, c, kind)
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    for_w *= inverse
    n = max(x.size // max(c, 1), 1)
    scale = w * inverse
    # gx = scale·g − slope·(x − mean) − constant
    slope, constant = scale * inverse * for_w / n, scale * for_b / n
    scale, slope, constant = (np.tile(v.astype(kind), tiles) for v in (scale, slope, constant))
    out = np.empty(rows.shape, result)
    for piece, u, z in zip(_pieces(rows), _pieces(upstream), _pieces(out), strict=True):
        if not batch:
            np.multiply(u, scale, out=z, casting="same_kind")
            continue
        d = np.subtract(piece, center, out=work[: len(piece)])
        np.multiply(d, slope, out=d)
        np.add(d, constant, out=d)
        t = np.multiply(u, scale, out=z, casting="same_kind")
        np.subtract(t, d, out=z, casting="same_kind")
    return _images(out, x), for_w.astype(result), for_b.astype(result)


def _rows(x: Any) -> tuple[Any, int]:
    """The channels of some pixels in each row, and of how many."""
    pixels = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    c = max(x.shape[1], 1)
    m = x.size // c
    tiles = next((t for t in range(max(1, ROW // c), 1, -1) if m % t == 0), 1)
    return pixels.reshape(m // tiles, tiles * x.shape[1]), tiles


def _images(rows: Any, x: Any) -> Any:
    """The rows as an array of the shape of x, whose channels lie side by side in memory."""
    return np.moveaxis(rows.reshape(x.shape[0], *x.shape[2:], x.shape[1]), -1, 1)


def _piece_shape(rows: Any) -> tuple[int, int]:
    return max(1, PIECE // max(rows.shape[1], 1)), rows.shape[1]


def _pieces(rows: Any) -> Iterator[Any]:
    step = _piece_shape(rows)[0]
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _summed(piece: Any, c: int, kind: Any) -> Any:
    """The sum of each channel, in float64."""
    return np.add.reduce(np.add.reduce(piece, axis=0, dtype=kind).reshape(-1, c), 0, np.float64)
