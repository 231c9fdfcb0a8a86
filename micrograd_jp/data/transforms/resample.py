"""画素の補間 (resampling): 結果の画素ごとに元の画像のどこを見るかを受け取り、双線形補間する。"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.transforms.transform import as_dtype

Size = tuple[int, int]


@lru_cache(maxsize=32)
def centred_grid(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """画像の中心から測った、画素の座標 (y: (H, 1), x: (1, W))。共有されるので書き換えられない。"""
    h, w = size
    y = (np.arange(h, dtype=np.float32) - np.float32((h - 1) / 2))[:, None]
    x = (np.arange(w, dtype=np.float32) - np.float32((w - 1) / 2))[None, :]
    y.flags.writeable = x.flags.writeable = False
    return y, x


def sampled(images: np.ndarray, y: np.ndarray, x: np.ndarray, fill: float) -> np.ndarray:
    """各画素の値を、元の画像の (y, x) から双線形補間 (bilinear interpolation) する。

    画像の外は `fill` とみなす（端から 1 画素のうちに `fill` へなめらかに変わる）。すべての座標が
    整数なら、値は丸められずにそのまま写される。

    Args:
        images: (N, C, H, W)。
        y: 元の画像の縦の座標 (N, H', W')。左上の画素の中心が 0。書き換えられる。
        x: 元の画像の横の座標。書き換えられる。
        fill: 画像の外の値。

    Returns:
        `images` と同じ型の (N, C, H', W')。値は、元の画像と `fill` の範囲から出ない。
    """
    n, channels, h, w = images.shape
    top, y = _cell(y, h)
    left, x = _cell(x, w)
    whole = not (y.any() or x.any())
    wide = np.float64 if images.dtype == np.float64 else np.float32
    dtype = images.dtype if whole else np.dtype(wide)
    padded = _padded(images, fill, dtype)
    width, area = w + 3, (h + 3) * (w + 3)
    top *= width
    top += left
    starts = np.arange(0, n * channels * area, area).reshape(n, channels, 1, 1)
    corner = top[:, None] + starts
    pixels = padded.ravel()
    if whole:
        return pixels.take(corner)
    low, high = pixels.min(), pixels.max()
    y, x = y[:, None], x[:, None]
    upper = _blend(pixels, corner, x)
    corner += width
    lower = _blend(pixels, corner, x)
    lower -= upper
    lower *= y
    upper += lower
    np.clip(upper, low, high, out=upper)  # rounding may leave the range by one unit
    return as_dtype(upper, images.dtype)


def _cell(coordinate: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The padded image's pixel at or before each coordinate, and the rest of the way (0 … 1)."""
    np.clip(coordinate, -1, length, out=coordinate)
    coordinate += 1
    first = coordinate.astype(np.intp)  # not negative: the same as floor
    coordinate -= first
    return first, coordinate


def _padded(images: np.ndarray, fill: float, dtype: np.dtype[Any]) -> np.ndarray:
    """A border of one pixel before, and two after: a coordinate is at most H, and its neighbour
    H + 1 is read too.
    """
    n, channels, h, w = images.shape
    padded = np.full((n, channels, h + 3, w + 3), fill, dtype=dtype)
    padded[:, :, 1 : h + 1, 1 : w + 1] = images
    return padded


def _blend(pixels: np.ndarray, corner: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Between a pixel and its right neighbour."""
    left = pixels.take(corner)
    right = pixels[1:].take(corner)
    right -= left
    right *= x
    left += right
    return left


explain_all(globals())
