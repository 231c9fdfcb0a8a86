"""半精度 (half precision) の型: bfloat16 は ml_dtypes にあり、頼まれたときだけ読み込む。

NumPy は bfloat16 を知らず、種類を void ("V") と言う。ここの結果は、だれかが先に jax か ml_dtypes を
読み込んでいたかどうかによらない。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.environment import require


def bfloat16() -> np.dtype[Any]:
    """型 bfloat16。

    Raises:
        ImportError: ml_dtypes がない（追加の依存 `accel` に入っている）。
    """
    found: np.dtype[Any] = np.dtype(require("ml_dtypes", "accel").bfloat16)
    return found


def dtype_of(given: Any) -> np.dtype[Any]:
    """型か、その名前から、型。

    Raises:
        TypeError: 型でない。
        ImportError: "bfloat16" なのに ml_dtypes がない。
    """
    if given.__class__ is str and given == "bfloat16":
        return bfloat16()
    try:
        found: np.dtype[Any] = np.dtype(given)
    except ValueError:  # a text with commas is read as several dtypes
        raise TypeError(f"型ではありません (not a dtype): {given!r}。") from None
    return found


def is_floating(dtype: Any) -> bool:
    """小数の型か。bfloat16 などの短い小数も含む。"""
    dtype = np.dtype(dtype)
    return dtype.kind == "f" or (dtype.kind == "V" and "float" in dtype.name)


def is_numeric(dtype: Any) -> bool:
    """数の型か（小数、複素数、整数、真偽値）。"""
    return dtype.kind in "fciub" or is_floating(dtype)


def is_differentiable(dtype: Any) -> bool:
    """勾配のある型か（小数、複素数）。"""
    return is_floating(dtype) or np.dtype(dtype).kind == "c"


def largest(dtype: Any) -> float:
    """小数の型で表せる、最も大きい数。"""
    known = np if dtype.kind == "f" else require("ml_dtypes", "accel")
    return float(known.finfo(dtype).max)
