"""画素の値の変換: 明るさ、コントラスト、雑音、消去。場所は変えない。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.data.transforms.transform import (
    Range,
    Transform,
    as_dtype,
    drawn,
    probability,
    range_of,
)

# NumPy's stubs type arithmetic as Any.
_Array = Any


class Levels(Transform):
    """画素の値を変えるものの土台: 小数で計算し、画素の値の範囲に収める。"""

    value_range: Range | None

    def levels(self, images: _Array, span: float, generator: np.random.Generator) -> _Array:
        """新しい値。`span` は画素の値の範囲の幅。"""
        raise undefined(self, "levels(self, images, span, generator)")

    def apply(self, images: _Array, generator: np.random.Generator) -> _Array:
        """小数で計算し、画素の値の範囲に収める。"""
        limits = self._limits(images)
        span = 1.0 if limits is None else limits[1] - limits[0]
        values = images if images.dtype.kind == "f" else images.astype(np.float32)
        out = self.levels(values, span, generator)
        return as_dtype(out if limits is None else np.clip(out, *limits), images.dtype)

    def _limits(self, images: _Array) -> Range | None:
        if images.dtype.kind != "f":
            return 0.0, 255.0
        if self.value_range is None:
            return None
        low, high = self.value_range
        least, most = float(images.min()), float(images.max())
        if least < low or most > high:
            raise ValueError(
                f"{type(self).__name__}: 画素の値 {least:.6g} … {most:.6g} が value_range "
                f"({low:g}, {high:g}) の外にあります (pixel out of range)。"
                "正規化する前に変換するか、value_range=(最小, 最大)、"
                "範囲に収めないなら value_range=None としてください。"
            )
        return low, high


class RandomBrightness(Levels):
    """明るさ (brightness): 画素の値を、見本ごとの倍率で掛ける (torchvision と同じ)。

    Args:
        brightness: 倍率の範囲。数 a なら max(0, 1 − a) から 1 + a、組なら (下限, 上限)。
        value_range: 小数の画素の値の範囲（uint8 は 0 から 255）。結果はこの範囲に収める。
            `None` なら収めない。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 範囲が正しくない、または負。呼んだとき、画素が `value_range` の外。
    """

    def __init__(self, brightness: Any, value_range: Range | None = (0.0, 1.0)) -> None:
        self.brightness = range_of("brightness", brightness, centre=1.0, least=0.0)
        self.value_range = _value_range(value_range)

    def levels(self, images: _Array, span: float, generator: np.random.Generator) -> _Array:
        """値 × 倍率。"""
        return images * each(drawn(generator, self.brightness, len(images)), images)


class RandomContrast(Levels):
    """コントラスト (contrast): 画像の平均からの差を、見本ごとの倍率で掛ける。

    Args:
        contrast: 倍率の範囲。数 a なら max(0, 1 − a) から 1 + a、組なら (下限, 上限)。
        value_range: 小数の画素の値の範囲。`RandomBrightness` と同じ。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 範囲が正しくない、または負。呼んだとき、画素が `value_range` の外。
    """

    def __init__(self, contrast: Any, value_range: Range | None = (0.0, 1.0)) -> None:
        self.contrast = range_of("contrast", contrast, centre=1.0, least=0.0)
        self.value_range = _value_range(value_range)

    def levels(self, images: _Array, span: float, generator: np.random.Generator) -> _Array:
        """値 × 倍率 + 平均 × (1 − 倍率): 倍率 1 なら、ちょうど元の値。"""
        factor = each(drawn(generator, self.contrast, len(images)), images)
        mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype=factor.dtype)
        return images * factor + mean * (1 - factor)


class GaussianNoise(Levels):
    """正規分布の雑音 (Gaussian noise) を加える。

    Args:
        sigma: 標準偏差の、画素の値の範囲に対する割合。数、または見本ごとに選ぶ (下限, 上限)。
            `value_range=None` なら、画素と同じ単位。
        value_range: 小数の画素の値の範囲。`RandomBrightness` と同じ。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 負の標準偏差。呼んだとき、画素が `value_range` の外。
    """

    def __init__(self, sigma: Any = 0.1, value_range: Range | None = (0.0, 1.0)) -> None:
        limits = sigma if isinstance(sigma, tuple | list) else (sigma, sigma)
        self.sigma = range_of("sigma", limits, least=0.0)
        self.value_range = _value_range(value_range)

    def levels(self, images: _Array, span: float, generator: np.random.Generator) -> _Array:
        """値 + 標準偏差 × 標準正規乱数。"""
        noise = generator.standard_normal(images.shape, dtype=np.float32)
        return images + noise * each(drawn(generator, self.sigma, len(images)) * span, images)


class RandomErasing(Transform):
    """でたらめな長方形を塗りつぶす (random erasing)。

    Zhong et al. (2020) "Random Erasing Data Augmentation" arXiv:1708.04896。長方形が画像から
    はみ出るときは、画像の大きさまで縮める。

    Args:
        p: 塗りつぶす確率。
        scale: 長方形の面積の、画像に対する割合の (下限, 上限)。
        ratio: 長方形の縦横比の (下限, 上限)。対数の目盛りで一様に選ぶ。
        value: 塗りつぶす値（画素の値と同じ単位）。

    Raises:
        TypeError: 組でない。
        ValueError: p が確率でない、面積の割合が 0 から 1 の外、縦横比が 0 以下。
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Range = (0.02, 0.33),
        ratio: Range = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        self.p = probability("p", p)
        self.scale, self.ratio = range_of("scale", scale), range_of("ratio", ratio)
        if self.scale[0] < 0 or self.scale[1] > 1 or self.ratio[0] <= 0:
            raise ValueError(
                "RandomErasing の scale は 0 以上 1 以下、ratio は正の範囲です (out of range): "
                f"scale={scale!r}, ratio={ratio!r}。"
            )
        self.value = float(value)

    def apply(self, images: _Array, generator: np.random.Generator) -> _Array:
        """見本ごとの長方形の中を `value` にする。"""
        n, _, h, w = images.shape
        area = drawn(generator, self.scale, n) * (h * w)
        low, high = np.log(self.ratio)
        ratio = np.exp(drawn(generator, (float(low), float(high)), n))
        rows = _inside(h, np.sqrt(area * ratio), generator)
        columns = _inside(w, np.sqrt(area / ratio), generator)
        chosen = generator.random(n) < self.p
        mask = (rows & chosen[:, None])[:, :, None] & columns[:, None, :]
        filled: np.ndarray = np.where(mask[:, None], images.dtype.type(self.value), images)
        return filled


def _inside(length: int, sides: _Array, generator: np.random.Generator) -> _Array:
    """For each image, which places along one axis are in the rectangle: (N, length)."""
    side = np.minimum(np.rint(sides), length).astype(np.int64)[:, None]
    start = np.asarray(generator.integers(0, length - side + 1))
    places = np.arange(length)
    return np.logical_and(places >= start, places < start + side)


def each(factor: _Array, images: _Array) -> _Array:
    """見本ごとの 1 つの数を、画像の型を広げない型で: (N, 1, 1, 1)。"""
    dtype = images.dtype if images.dtype.itemsize >= 4 else np.dtype(np.float32)
    numbers: _Array = factor.astype(dtype)[:, None, None, None]
    return numbers


def _value_range(given: Any) -> Range | None:
    if given is None:
        return None
    low, high = range_of("value_range", given)
    if low == high:
        raise ValueError(f"value_range の幅が 0 です (empty range): {given!r}。")
    return low, high


explain_all(globals())
