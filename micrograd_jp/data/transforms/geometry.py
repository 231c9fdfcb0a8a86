"""幾何の変換: 回転、平行移動、拡大縮小、せん断、反転、弾性変形（切り出しは crops.py）。

どれも「結果の画素は、元の画像のどこにあったか」というアフィン写像（と変位）で表す。座標は画像の
中心から測り、y は下向き、x は右向き。続くものは行列の積になり、補間は 1 度で済む。
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from math import pi
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.transforms.resample import Size, centred_grid, sampled
from micrograd_jp.data.transforms.transform import Transform, drawn, probability, range_of


class Placement(NamedTuple):
    """写像: 結果の (y, x, 1) を元の (y, x) に移す行列 (N, 2, 3) と、結果の大きさ。"""

    matrices: np.ndarray
    size: Size


class Geometric(Transform):
    """幾何の変換の土台。派生クラスは `placement` を書く。

    Attributes:
        fill: 元の画像の外の値（画素の値と同じ単位）。
    """

    fill: float = 0.0

    @abstractmethod
    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        """n 枚の (H, W) の画像のための写像を、乱数から作る。"""

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """写像を作り、補間する。"""
        return warped(images, [self], generator)


def warped(
    images: np.ndarray, run: Sequence[Geometric], generator: np.random.Generator
) -> np.ndarray:
    """続く幾何の変換を、1 度の補間で行う。

    Args:
        images: (N, C, H, W)。
        run: 幾何の変換。`fill` は等しく、`ElasticTransform` は最後だけ。
        generator: 乱数の生成器。
    """
    n, size = len(images), (images.shape[2], images.shape[3])
    result = size
    total = _linear(n)
    for one in run:
        step = one.placement(n, result, generator)
        # First this step's result looks into the image before it, then that one further back.
        shift = total[:, :, :2] @ step.matrices[:, :, 2:] + total[:, :, 2:]
        total = np.concatenate([total[:, :, :2] @ step.matrices[:, :, :2], shift], axis=2)
        result = step.size
    total[:, :, 2] += [(length - 1) / 2 for length in size]  # from the centre to the corner
    m = total.astype(np.float32)[..., None, None]
    (yy, yx, down), (xy, xx, right) = np.moveaxis(m, 0, 2)
    y, x = centred_grid(result)
    if isinstance(run[-1], ElasticTransform):
        dy, dx = run[-1].displacement(n, result, generator)
        y, x = y + dy, x + dx
        places = yy * y + yx * x + down, xy * y + xx * x + right
    else:  # sums of a column and a row: the coordinates cost one pass instead of three
        places = (yy * y + down) + yx * x, xy * y + (xx * x + right)
    return sampled(images, *places, run[-1].fill)


def _linear(n: int, yy: Any = 1.0, yx: Any = 0.0, xy: Any = 0.0, xx: Any = 1.0) -> np.ndarray:
    """Maps without translation."""
    matrices = np.zeros((n, 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = yy, yx
    matrices[:, 1, 0], matrices[:, 1, 1] = xy, xx
    return matrices


def translation(n: int, dy: Any, dx: Any) -> np.ndarray:
    """n 個の平行移動の行列 (n, 2, 3)。dy と dx は画素の数。"""
    matrices = _linear(n)
    matrices[:, 0, 2], matrices[:, 1, 2] = dy, dx
    return matrices


class RandomAffine(Geometric):
    """回転・せん断・拡大縮小のあと平行移動する、アフィン変換 (affine transform)。

    Args:
        degrees: 回転の角度（度、反時計回り）。数 a なら −a から a、組なら (下限, 上限)。
        translate: 平行移動の、画像の幅と高さに対する割合 (横, 縦)。それぞれ ± の範囲。
        scale: 拡大率の (下限, 上限)。
        shear: 横のせん断の角度（度）。数か組。
        fill: 元の画像の外の値。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 範囲が正しくない（拡大率が 0 以下、割合が負、せん断が 90 度以上など）。
    """

    def __init__(
        self,
        degrees: Any = 0.0,
        translate: tuple[float, float] = (0.0, 0.0),
        scale: tuple[float, float] = (1.0, 1.0),
        shear: Any = 0.0,
        fill: float = 0.0,
    ) -> None:
        self.degrees = range_of("degrees", degrees)
        self.translate = _pair("translate", translate)
        self.scale = _scales(scale)
        self.shear = range_of("shear", shear)
        if max(map(abs, self.shear)) >= 90:
            raise ValueError(f"shear は ±90 度より内側です (shear out of range): {shear!r}。")
        self.fill = float(fill)

    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        """見本ごとの角度、せん断、拡大率、平行移動から作る。"""
        # The map from the result back to the image is the inverse: R⁻¹ first, then shear, scale.
        cos, sin = _turned(drawn(generator, self.degrees, n))
        slope = np.tan(np.deg2rad(drawn(generator, self.shear, n)))
        factor = drawn(generator, self.scale, n)
        wide, high = (drawn(generator, (-part, part), n) for part in self.translate)
        turn = _linear(n, cos, sin, -sin, cos)
        slant = _linear(n, 1.0, 0.0, -slope, 1.0)
        matrices = slant[:, :, :2] @ turn / factor[:, None, None]
        shift = -np.stack([high * size[0], wide * size[1]], axis=1)[:, :, None]
        matrices[:, :, 2:] = matrices[:, :, :2] @ shift
        return Placement(matrices, size)


class RandomRotation(RandomAffine):
    """回転 (rotation)。90 度の倍数では、正方形の画像の画素がそのまま動く (`np.rot90`)。

    Args:
        degrees: 角度（度、反時計回り）。数 a なら −a から a、組なら (下限, 上限)。
        fill: 元の画像の外の値。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 範囲が正しくない。
    """

    def __init__(self, degrees: Any, fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


class RandomScale(RandomAffine):
    """中心からの拡大縮小 (scale)。

    Args:
        scale: 拡大率の (下限, 上限)。2 なら 2 倍に大きく写る。
        fill: 元の画像の外の値。

    Raises:
        TypeError: 組でない。
        ValueError: 範囲が正しくない、または 0 以下。
    """

    def __init__(self, scale: tuple[float, float], fill: float = 0.0) -> None:
        super().__init__(scale=scale, fill=fill)


class RandomTranslate(Geometric):
    """平行移動 (translation)。

    Args:
        pixels: 動かす画素の数。数 a なら縦も横も −a から a、組 (横, 縦) ならそれぞれ ± の範囲。
        whole: 真なら画素の整数倍だけ動かす（補間がなく、値はそのまま写される）。
        fill: 元の画像の外の値。

    Raises:
        TypeError: 数でも組でもない。
        ValueError: 負の数。
    """

    def __init__(self, pixels: Any, whole: bool = False, fill: float = 0.0) -> None:
        self.pixels = _pair("pixels", pixels)
        self.whole, self.fill = bool(whole), float(fill)

    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        """見本ごとの縦と横の移動から作る。"""
        if self.whole:
            dx, dy = (generator.integers(-int(a), int(a) + 1, n) for a in self.pixels)
        else:
            dx, dy = (drawn(generator, (-a, a), n) for a in self.pixels)
        return Placement(translation(n, -dy, -dx), size)


class _Flip(Geometric):
    """A flip along one axis: for some of the images, its coordinate changes its sign."""

    _coefficient: str

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability("p", p)

    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        signs = np.where(generator.random(n) < self.p, -1.0, 1.0)
        return Placement(_linear(n, **{self._coefficient: signs}), size)


class RandomHorizontalFlip(_Flip):
    """左右の反転 (horizontal flip)。

    Args:
        p: 反転する確率。

    Raises:
        ValueError: p が確率でない。
    """

    _coefficient = "xx"


class RandomVerticalFlip(_Flip):
    """上下の反転 (vertical flip)。

    Args:
        p: 反転する確率。

    Raises:
        ValueError: p が確率でない。
    """

    _coefficient = "yy"


class ElasticTransform(Geometric):
    """弾性変形 (elastic distortion): 画素ごとに、なめらかに変わる向きへ少し動かす。

    Simard, Steinkraus & Platt (2003) "Best Practices for Convolutional Neural Networks Applied to
    Visual Document Analysis" §2: 一様乱数 U(−1, 1) の変位を標準偏差 σ のガウス関数でならし、
    α 倍する。28 × 28 の手書き数字には α = 34, σ = 4 がよく使われる（変位の標準偏差は約 1.4 画素）。

    Args:
        alpha: 変位の強さ α（画素）。
        sigma: ならす幅 σ（画素）。
        fill: 画像の外の値。

    Raises:
        TypeError: 数でない。
        ValueError: α が負、σ が 0 以下。
    """

    def __init__(self, alpha: float = 34.0, sigma: float = 4.0, fill: float = 0.0) -> None:
        self.alpha = range_of("alpha", alpha)[1]
        self.sigma = range_of("sigma", sigma)[1]
        if self.sigma == 0:
            raise ValueError("sigma は正の数です (sigma must be positive): 0。")
        self.fill = float(fill)

    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        """アフィンの部分は何もしない（変位は `displacement`）。"""
        return Placement(_linear(n), size)

    def displacement(
        self, n: int, size: Size, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """見本ごとの変位 (dy, dx)。それぞれ (N, H, W)、単位は画素。"""
        h, w = size
        field = generator.random((n, 2, h, w), dtype=np.float32)
        field *= 2
        field -= 1
        # The Gaussian is separable: one product with a matrix along each axis.
        along_x = (field.reshape(-1, w) @ _gaussian(w, self.sigma)).reshape(-1, h, w)
        smooth = np.matmul(_gaussian(h, self.sigma), along_x).reshape(n, 2, h, w)
        smooth *= np.float32(self.alpha)
        return smooth[:, 0], smooth[:, 1]


@lru_cache(maxsize=32)
def _gaussian(length: int, sigma: float) -> np.ndarray:
    """The symmetric matrix of the discrete Gaussian filter, zero outside the image."""
    reach = max(length, int(8 * sigma) + 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    distance = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    matrix: np.ndarray = kernel[reach + distance].astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def _turned(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, exact at the multiples of 90 degrees."""
    quarters = np.rint(degrees / 90)
    rest = (degrees - 90 * quarters) * (pi / 180)
    cos, sin = np.cos(rest), np.sin(rest)
    turn = quarters.astype(np.int64) % 4
    return np.choose(turn, [cos, -sin, -cos, sin]), np.choose(turn, [sin, cos, -sin, -cos])


def _pair(name: str, given: Any) -> tuple[float, float]:
    """Two widths (horizontal, vertical), none negative."""
    both = tuple(given) if isinstance(given, tuple | list) else (given, given)
    if len(both) != 2:
        raise TypeError(f"{name} は数か (横, 縦) の組です (expected a number or a pair): {given!r}")
    return range_of(name, both[0])[1], range_of(name, both[1])[1]


def _scales(given: Any) -> tuple[float, float]:
    if not isinstance(given, tuple | list):
        raise TypeError(f"scale は (下限, 上限) の組です (expected a pair): {given!r}。")
    low, high = range_of("scale", given)
    if low <= 0:
        raise ValueError(f"scale は正の数の範囲です (scale must be positive): {given!r}。")
    return low, high


explain_all(globals())
