"""色とぼかし: 白黒、明るさ・コントラスト・彩度・色相の揺らぎ、正規分布のぼかし。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.transforms.compose import RandomApply
from micrograd_jp.data.transforms.pixels import Levels, each
from micrograd_jp.data.transforms.transform import Transform, as_dtype, drawn, range_of

# NumPy's stubs type arithmetic as Any.
_Array = Any
_SHARES = (0.2989, 0.587, 0.114)
_WHOLE_SHARES = (19595, 38470, 7471)  # of 2¹⁶: Pillow's


def _grey(images: _Array) -> _Array:
    """The brightness of each pixel (ITU-R BT.601): (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    _require_colours(images)
    if images.dtype == np.uint8:
        shares = np.array(_WHOLE_SHARES, np.uint32)
        total = np.tensordot(images.astype(np.uint32), shares, (1, 0)) + (1 << 15)
        return (total >> 16).astype(np.uint8)[:, None]
    return np.tensordot(images, np.array(_SHARES, images.dtype), (1, 0))[:, None]


def _require_colours(images: _Array) -> None:
    if images.shape[1] != 3:
        raise ValueError(
            "色の変換は 3 チャンネル (RGB) の画像を受け取ります (expected RGB images): 形は "
            f"{images.shape} です。"
        )


class Grayscale(Transform):
    """白黒にする: 0.299 R + 0.587 G + 0.114 B。1 チャンネルの画像はそのまま。

    Args:
        num_output_channels: 1、または同じものを 3 枚並べるなら 3。

    Raises:
        ValueError: 1 でも 3 でもない。呼んだとき、画像のチャンネルが 1 でも 3 でもない。
    """

    one_by_one = True

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ValueError(
                "num_output_channels は 1 か 3 です (expected 1 or 3): "
                f"{num_output_channels!r} が渡されました。"
            )
        self.num_output_channels = num_output_channels

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """色の重みつきの和。"""
        grey: np.ndarray = _grey(images)
        return np.repeat(grey, self.num_output_channels, axis=1)


class RandomGrayscale(RandomApply):
    """確率 p で白黒にする。チャンネルの数は変わらない。

    Args:
        p: 行う確率。

    Raises:
        ValueError: p が確率でない。
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(Grayscale(3), p)


class ColorJitter(Levels):
    """明るさ、コントラスト、彩度 (saturation)、色相 (hue) を、でたらめな順に揺らす。

    Args:
        brightness: 倍率の範囲。数 a なら max(0, 1 − a) から 1 + a、組なら (下限, 上限)。
        contrast: 画像の平均の明るさからの差の倍率。範囲の書き方は同じ。
        saturation: 白黒との差の倍率。範囲の書き方は同じ。
        hue: 色相をずらす量の範囲。数 a なら −a から a、組なら (下限, 上限)。1 で 1 周。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 範囲が正しくない、または負。色相が ±0.5 の外。呼んだとき、画素が範囲の外、
            または彩度や色相を変えるのに RGB でない。
    """

    one_by_one = True
    value_range = (0.0, 1.0)

    def __init__(
        self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0
    ) -> None:
        self.brightness = range_of("brightness", brightness, centre=1.0, least=0.0)
        self.contrast = range_of("contrast", contrast, centre=1.0, least=0.0)
        self.saturation = range_of("saturation", saturation, centre=1.0, least=0.0)
        self.hue = range_of("hue", hue)
        if max(map(abs, self.hue)) > 0.5:
            raise ValueError(f"hue は ±0.5 の中です (hue out of range): {hue!r} が渡されました。")

    def levels(self, images: _Array, span: float, generator: np.random.Generator) -> _Array:
        """4 つを、でたらめな順に。"""
        x = images
        for k in generator.permutation(4):
            name = ("brightness", "contrast", "saturation", "hue")[k]
            limits = getattr(self, name)
            if limits != ((0.0, 0.0) if name == "hue" else (1.0, 1.0)):
                amount = each(drawn(generator, limits, len(x)), x)
                x = np.clip(getattr(self, f"_{name}")(x, amount, span), 0, span)
        return x

    def _brightness(self, x: _Array, factor: _Array, span: float) -> _Array:
        return x * factor

    def _contrast(self, x: _Array, factor: _Array, span: float) -> _Array:
        mean = _grey(x).mean((1, 2, 3), keepdims=True, dtype=factor.dtype)
        return x * factor + mean * (1 - factor)

    def _saturation(self, x: _Array, factor: _Array, span: float) -> _Array:
        return x * factor + _grey(x) * (1 - factor)

    def _hue(self, x: _Array, shift: _Array, span: float) -> _Array:
        _require_colours(x)
        most, least = x.max(1, keepdims=True), x.min(1, keepdims=True)
        width = np.where(most > least, most - least, 1)
        r, g, b = (x[:, k : k + 1] for k in range(3))
        sixths = np.where(
            most == r,
            (g - b) / width,
            np.where(most == g, 2 + (b - r) / width, 4 + (r - g) / width),
        )
        k = (np.array([5, 3, 1]).reshape(3, 1, 1) + sixths + 6 * shift) % 6
        return most - (most - least) * np.clip(np.minimum(k, 4 - k), 0, 1)


class GaussianBlur(Transform):
    """ぼかす: 画像ごとの標準偏差の、正規分布の重みで平均する。端は折り返す (reflect)。

    Args:
        kernel_size: 重みの数。奇数か、奇数の組 (横, 縦)。
        sigma: 標準偏差（画素）。数か、見本ごとに選ぶ (下限, 上限)。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 重みの数が正の奇数でない、標準偏差が正でない。呼んだとき、画像が小さすぎる。
    """

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        both = kernel_size if isinstance(kernel_size, tuple | list) else (kernel_size,) * 2
        if len(both) != 2 or any(not isinstance(k, int) or k < 1 or k % 2 == 0 for k in both):
            raise ValueError(
                "kernel_size は正の奇数か、その組 (横, 縦) です (expected odd sizes): "
                f"{kernel_size!r} が渡されました。"
            )
        self.kernel_size = (both[0], both[1])
        limits = sigma if isinstance(sigma, tuple | list) else (sigma, sigma)
        self.sigma = range_of("sigma", limits)
        if self.sigma[0] <= 0:
            raise ValueError(f"sigma は正の数です (sigma must be positive): {sigma!r}。")

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """横と縦に、重みの行列を掛ける。"""
        h, w = images.shape[2:]
        wide, tall = self.kernel_size
        if wide // 2 >= w or tall // 2 >= h:
            raise ValueError(
                f"GaussianBlur の重み {self.kernel_size} は、画像 {w} × {h} に大きすぎます "
                "(kernel too large)。"
            )
        dtype = np.float64 if images.dtype == np.float64 else np.float32
        sigmas = drawn(generator, self.sigma, len(images)).tolist()
        across = np.stack([_blur(w, wide, s) for s in sigmas])[:, None].astype(dtype)
        down = np.stack([_blur(h, tall, s) for s in sigmas])[:, None].astype(dtype)
        pixels: _Array = images.astype(dtype)
        blurred: _Array = np.matmul(down, np.matmul(pixels, across.swapaxes(2, 3)))
        return as_dtype(blurred, images.dtype)


def _blur(length: int, size: int, sigma: float) -> _Array:
    """Row i: the weights of the pixels in the mean for pixel i."""
    away = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (away / sigma) ** 2)
    weights /= weights.sum()
    places = np.abs(np.arange(length)[:, None] + away)
    places = np.where(places >= length, 2 * (length - 1) - places, places)
    matrix = np.zeros((length, length))
    np.add.at(matrix, (np.arange(length)[:, None], places), weights)
    return matrix


explain_all(globals())
