"""要素の型 (dtype) の名前と、Python の小数がなる既定の型。"""

from __future__ import annotations

from typing import Any

import numpy as np

float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool_ = np.dtype(np.bool_)

# PyTorch's names. As `mg.float` they hide nothing: only the package's own namespace has them.
half, float_, double = float16, float32, float64
short, int_, long = int16, int32, int64

_default_dtype = float32


def set_default_dtype(dtype: Any) -> None:
    """Python の小数から作る `Tensor` の型を決める（はじめは float32）。

    Raises:
        TypeError: 浮動小数点数の型でない。
    """
    global _default_dtype
    if np.dtype(dtype).kind != "f":
        raise TypeError(
            f"既定の型は浮動小数点数です (expected a floating dtype): {np.dtype(dtype)}。"
        )
    _default_dtype = np.dtype(dtype)


def get_default_dtype() -> np.dtype[Any]:
    """Python の小数から作る `Tensor` の型。"""
    return _default_dtype
