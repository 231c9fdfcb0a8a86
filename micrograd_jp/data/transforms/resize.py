"""大きさを変える (resize): 縮めるときはフィルターを縮める割合だけ広げる (antialias)。

値は torchvision のもの: uint8 は Pillow が補間し、小数は同じ重みの行列を横と縦に掛ける。
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.pictures import resized_bytes
from micrograd_jp.data.transforms.crops import size_of
from micrograd_jp.data.transforms.resample import Size
from micrograd_jp.data.transforms.transform import Transform, as_dtype, drawn, range_of

# NumPy's stubs type arithmetic as Any.
_Array = Any


class InterpolationMode(Enum):
    """補間の方法: 双線形 (bilinear) と双 3 次 (bicubic)。"""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def _bilinear(x: _Array) -> _Array:
    return np.maximum(1 - np.abs(x), 0)


def _bicubic(x: _Array) -> _Array:
    """Keys (1981), a = −1/2."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_FILTERS = {
    InterpolationMode.BILINEAR: (_bilinear, 1.0), InterpolationMode.BICUBIC: (_bicubic, 2.0),
}  # fmt: skip


@lru_cache(maxsize=64)
def _weights(before: int, after: int, how: InterpolationMode) -> np.ndarray:
    """What each pixel of the result is made of: (after, before)."""
    kernel, reach = _FILTERS[how]
    scale = before / after
    wide = max(scale, 1.0)
    centre = (np.arange(after)[:, None] + 0.5) * scale
    first = np.maximum((centre - reach * wide + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach * wide + 0.5).astype(np.int64), before)
    places = np.arange(before)
    shares = np.where(
        (places >= first) & (places < last), kernel((places - centre + 0.5) / wide), 0.0
    )
    weights: np.ndarray = shares / shares.sum(1, keepdims=True)
    weights.flags.writeable = False
    return weights


def resized(images: np.ndarray, size: Size, how: InterpolationMode) -> np.ndarray:
    """画像の大きさを変える。

    Args:
        images: (N, C, H, W) の uint8 か小数。
        size: 新しい (高さ, 幅)。
        how: 補間の方法。

    Raises:
        ImportError: uint8 で、Pillow がない。
    """
    if images.dtype == np.uint8:
        pixels: np.ndarray = resized_bytes(images, size, how.name)
        return pixels
    h, w = images.shape[2:]
    across, down = _weights(w, size[1], how), _weights(h, size[0], how)
    made: _Array = down @ (images.astype(np.float64) @ across.T)
    return as_dtype(made, images.dtype)


def _mode(given: Any) -> InterpolationMode:
    try:
        return InterpolationMode(given)
    except ValueError:
        raise ValueError(
            "interpolation は InterpolationMode.BILINEAR か BICUBIC です (unknown interpolation): "
            f"{given!r} が渡されました。"
        ) from None


def _require_antialias(given: Any) -> None:
    if given not in (True, None):
        raise ValueError(
            f"antialias は True だけです (only antialiased): {given!r} が渡されました。"
        )


class Resize(Transform):
    """大きさを変える。

    Args:
        size: 整数なら、短い方の辺の長さ（縦横比は変わらない）。(高さ, 幅) なら、その大きさ。
        interpolation: 補間の方法。
        max_size: `size` が整数のとき、長い方の辺の長さの上限。
        antialias: いつも真。

    Raises:
        ValueError: 大きさが 1 以上の整数でない、知らない補間、`max_size` が `size` 以下。
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        both = size_of(size)
        alone = not isinstance(size, tuple | list) or len(size) == 1
        self.size: Any = both[0] if alone else both
        self.interpolation = _mode(interpolation)
        if max_size is not None and not (alone and max_size > both[0]):
            raise ValueError(
                "max_size は size が整数のときの、それより大きい整数です (max_size must exceed "
                f"size): size={size!r}, max_size={max_size!r}。"
            )
        self.max_size = max_size
        _require_antialias(antialias)

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """補間する。"""
        return resized(images, self._target(images.shape[2], images.shape[3]), self.interpolation)

    def _target(self, h: int, w: int) -> Size:
        if isinstance(self.size, tuple):
            return self.size
        short, long = self.size, int(self.size * max(h, w) / min(h, w))
        if self.max_size is not None and long > self.max_size:
            short, long = int(self.max_size * short / long), self.max_size
        return (short, long) if h <= w else (long, short)


class RandomResizedCrop(Transform):
    """でたらめな大きさと縦横比の長方形を切り出し、`size` に補間する。

    Szegedy et al. (2015) "Going Deeper with Convolutions" の、Inception の拡張。

    Args:
        size: 結果の大きさ。整数か (高さ, 幅)。
        scale: 切り出す面積の、画像に対する割合の (下限, 上限)。
        ratio: 切り出す縦横比（幅 / 高さ）の (下限, 上限)。対数の目盛りで一様に選ぶ。
        interpolation: 補間の方法。
        antialias: いつも真。

    Raises:
        TypeError: 組でない。
        ValueError: 大きさが 1 以上の整数でない、割合や縦横比が正の範囲でない、知らない補間。
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = size_of(size)
        self.scale, self.ratio = range_of("scale", scale), range_of("ratio", ratio)
        if self.scale[0] <= 0 or self.ratio[0] <= 0:
            raise ValueError(
                "RandomResizedCrop の scale と ratio は正の範囲です (out of range): "
                f"scale={scale!r}, ratio={ratio!r}。"
            )
        self.interpolation = _mode(interpolation)
        _require_antialias(antialias)

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """見本ごとの長方形を切り出して、補間する。"""
        cut = []
        for image in images:
            top, left, h, w = self._box(image.shape[1], image.shape[2], generator)
            part = image[None, :, top : top + h, left : left + w]
            cut.append(resized(part, self.size, self.interpolation))
        return np.concatenate(cut)

    def _box(self, h: int, w: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
        low, high = np.log(self.ratio)
        areas = h * w * drawn(generator, self.scale, 10)
        ratios = np.exp(drawn(generator, (float(low), float(high)), 10))
        for area, ratio in zip(areas, ratios):
            wide, tall = round(float(area * ratio) ** 0.5), round(float(area / ratio) ** 0.5)
            if 0 < wide <= w and 0 < tall <= h:
                break
        else:  # none of ten fits: the largest in the middle
            wide, tall = w, h
            if w / h < self.ratio[0]:
                tall = min(h, max(1, round(w / self.ratio[0])))
            elif w / h > self.ratio[1]:
                wide = min(w, max(1, round(h * self.ratio[1])))
            return (h - tall) // 2, (w - wide) // 2, tall, wide
        top, left = (int(generator.integers(0, n + 1)) for n in (h - tall, w - wide))
        return top, left, tall, wide


explain_all(globals())
