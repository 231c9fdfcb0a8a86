"""NumPy だけで計算する、規則の部品（機械語の正しさの基準でもある）。"""

from typing import Any

import numpy as np


def computed_in(dtype: Any) -> Any:
    """その型の数を足し合わせる型: 半精度 (float16, bfloat16) は単精度で。"""
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind in "fV" else dtype
