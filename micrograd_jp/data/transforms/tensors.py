"""画像 1 枚と `Tensor` の間: `ToTensor`、`ToPILImage`、平均と標準偏差による正規化、自分の関数。

名前と値は torchvision のもの。Pillow の画像か、画素の配列 (H, W)、(H, W, C) を受け取る。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.data.pictures import channels_first, picture_of
from micrograd_jp.data.transforms.transform import Transform
from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import get_default_dtype


class PILToTensor(Transform):
    """画像 1 枚を、画素の値のままの uint8 の `Tensor` (C, H, W) にする。"""

    makes_tensor = reads_pixels = one_by_one = True

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """値はそのまま。"""
        return images


class ToTensor(PILToTensor):
    """画像 1 枚を `Tensor` (C, H, W) にする。0 から 255 の画素は、0 から 1 の既定の小数型になる。

    Pillow の画像か、(H, W)、(H, W, C) の配列を受け取る。小数の配列は、値も型もそのまま。
    """

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """画素 / 255。"""
        if images.dtype != np.uint8:
            return images
        dtype = np.dtype(get_default_dtype())
        scaled: np.ndarray = np.divide(images, dtype.type(255), dtype=dtype)
        return scaled


class Normalize(Transform):
    """チャンネルごとの正規化 (x − 平均) / 標準偏差 (normalization)。

    (C, H, W) か (N, C, H, W) を受け取る。

    Args:
        mean: チャンネルごとの平均。
        std: チャンネルごとの標準偏差。
        inplace: 受け取るだけ（入力は書き換えない）。

    Raises:
        ValueError: 長さが違う、標準偏差が 0。呼んだとき、チャンネルの数が合わない。
        TypeError: 呼んだとき、画像が小数でない。
    """

    one_by_one = True

    def __init__(
        self, mean: float | Sequence[float], std: float | Sequence[float], inplace: bool = False
    ) -> None:
        self.mean, self.std = _channels("mean", mean), _channels("std", std)
        if len(self.mean) != len(self.std) and 1 not in (len(self.mean), len(self.std)):
            raise ValueError(
                "Normalize の mean と std の長さが違います (length mismatch): "
                f"{len(self.mean)} と {len(self.std)}。"
            )
        if 0 in self.std:
            raise ValueError(f"Normalize の std に 0 があります (division by zero): {self.std}。")

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(x − 平均) / 標準偏差。"""
        if images.dtype.kind != "f":
            raise TypeError(
                f"Normalize は小数の画像を受け取ります (expected floating images): 型は "
                f"{images.dtype} です。前に ToTensor() を置いてください。"
            )
        longest = max(len(self.mean), len(self.std))
        if longest not in (1, images.shape[1]):
            raise ValueError(
                f"Normalize の平均と標準偏差は {longest} 個、チャンネルは {images.shape[1]} 個です"
                f" (channel mismatch): 画像の形は {images.shape[1:]} です。"
            )
        mean, std = (np.asarray(x, images.dtype).reshape(-1, 1, 1) for x in (self.mean, self.std))
        normal: np.ndarray = (images - mean) / std
        return normal


def _channels(name: str, given: Any) -> tuple[float, ...]:
    values = np.asarray(data_of(given), dtype=np.float64)
    if values.ndim > 1 or not values.size:
        raise ValueError(
            f"Normalize の {name} はチャンネルごとの数です (expected one number a channel): "
            f"{given!r} が渡されました。"
        )
    return tuple(values.reshape(-1).tolist())


class ToPILImage:
    """画像 1 枚の `Tensor` (C, H, W) か配列 (H, W)、(H, W, C) を Pillow の画像にする。

    小数は 0 から 1 とみなし、255 倍して切り捨てる（torchvision と同じ）。

    Args:
        mode: Pillow の画像の種類。省くとチャンネルの数で決まる。
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        """Pillow の画像。

        Raises:
            ImportError: Pillow がない。
            TypeError: 画素が uint8 でも小数でもない。
            ValueError: 画像 1 枚の形でない。
        """
        pixels = np.asarray(data_of(x))
        if pixels.ndim not in (2, 3):
            raise ValueError(
                "ToPILImage は画像 1 枚を受け取ります (expected one image): "
                f"形は {pixels.shape} です。"
            )
        if pixels.ndim == 2 or not isinstance(x, Tensor):
            pixels = channels_first(pixels)
        if pixels.dtype.kind == "f":
            pixels = (pixels * 255).astype(np.uint8)
        return picture_of(pixels, self.mode)

    def __repr__(self) -> str:
        return "ToPILImage()" if self.mode is None else f"ToPILImage(mode={self.mode!r})"


class Lambda:
    """自分の関数を変換にする。画像 1 枚（や、`target_transform` ではラベル 1 つ）に呼ばれる。

    Args:
        lambd: 引数 1 つの関数。

    Raises:
        TypeError: 呼べない。
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        require_function("lambd", lambd)
        self.lambd = lambd

    def __call__(self, x: Any) -> Any:
        """関数の返すもの。"""
        return self.lambd(x)

    def __repr__(self) -> str:
        return "Lambda()"


explain_all(globals())
