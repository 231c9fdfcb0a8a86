"""画像 1 枚 (picture): Pillow の画像と、画素の配列 (C, H, W)。Pillow はデータの追加の依存。"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.environment import require

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_BYTES = {"L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV", "LAB"}


def is_picture(x: Any) -> bool:
    """Pillow の画像か。Pillow は読み込まない。"""
    image = sys.modules.get("PIL.Image")
    return image is not None and isinstance(x, image.Image)


def channels_first(pixels: Any) -> Any:
    """(H, W) か (H, W, C) の画素を (C, H, W) に。"""
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, -3)


def pixels_of(picture: Any) -> Any:
    """Pillow の画像の画素。形は (C, H, W)、白黒 2 値の画像は 0 と 255。"""
    pixels = np.asarray(picture)
    return channels_first(pixels * np.uint8(255) if pixels.dtype == bool else pixels)


def picture_of(pixels: Any, mode: str | None = None) -> Any:
    """uint8 の画素 (C, H, W) の、Pillow の画像。

    Args:
        pixels: 画素。
        mode: Pillow の画像の種類。省くか、チャンネルの数に合わなければ L, LA, RGB, RGBA。

    Raises:
        ImportError: Pillow がない。
        TypeError: uint8 でない。
        ValueError: チャンネルの数が 1 から 4 でない。
    """
    image = require("PIL.Image", "data")
    if pixels.dtype != np.uint8:
        raise TypeError(
            f"画像の画素は uint8 です (expected uint8 pixels): 型 {pixels.dtype} が渡されました。"
        )
    channels, height, width = pixels.shape
    if channels not in _MODES:
        raise ValueError(
            f"画像のチャンネルは 1 から 4 個です (expected 1 to 4 channels): 形は {pixels.shape} "
            "です。(C, H, W) の順に並べてください。"
        )
    if mode not in _BYTES or len(image.new(mode, (1, 1)).getbands()) != channels:
        mode = _MODES[channels]
    flat = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    return image.frombytes(mode, (width, height), flat.tobytes())


def resized_bytes(images: Any, size: tuple[int, int], how: str) -> Any:
    """Pillow の補間: どのチャンネルも別々に。

    Args:
        images: uint8 の画素 (N, C, H, W)。
        size: 新しい (高さ, 幅)。
        how: Pillow の補間の名前。

    Raises:
        ImportError: Pillow がない。
    """
    image = require("PIL.Image", "data")
    filter_ = image.Resampling[how]
    planes = images.reshape(-1, *images.shape[2:])
    made = [image.fromarray(plane).resize(size[::-1], filter_) for plane in planes]
    return np.stack([np.asarray(one) for one in made]).reshape(*images.shape[:2], *size)


def opened(path: str | os.PathLike[str]) -> Any:
    """画像のファイルを RGB の Pillow の画像にする。

    Raises:
        ImportError: Pillow がない。
        OSError: ファイルが開けない。
        ValueError: 画像として読めない、または大きすぎる。
    """
    image = require("PIL.Image", "data")
    with open(path, "rb") as file:
        try:
            return image.open(file).convert("RGB")
        except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
            raise ValueError(
                f"画像として読めません (cannot read the image): {os.fspath(path)}: {error}。"
                "ファイルが壊れていないか、画像かを確かめてください。"
            ) from error


explain_all(globals())
