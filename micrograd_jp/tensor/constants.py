"""PyTorch の名前の定数と、型の限界: `mg.pi`、`mg.inf`、`mg.finfo(mg.float32).eps`、…。"""

from __future__ import annotations

from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.environment import require
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace.short import dtype_of, is_floating
from micrograd_jp.tensor.array import as_tensor
from micrograd_jp.tensor.dtypes import (
    complex64,
    complex128,
    float32,
    float64,
    get_default_dtype,
)
from micrograd_jp.tensor.dtypes import result_type as _together
from micrograd_jp.tensor.registry import torch_names

newaxis = None
Size: type[tuple[int, ...]] = tuple
"""形の型 (PyTorch の名前): `x.shape == mg.Size([2, 3])`。"""
dtype = np.dtype
"""型の型: `isinstance(x.dtype, mg.dtype)`。"""


class finfo:
    """小数の型の限界。

    Args:
        dtype: 小数の型（複素数なら、その実部の型）。なければ既定の型。

    Attributes:
        bits: ビット数。
        eps: 1 と、次に表せる数の差。
        max: 最大の数。
        min: 最小の数。
        tiny: 最小の正規数 (smallest normal)。
        smallest_normal: `tiny` と同じ。
        resolution: 10 進の桁の細かさ。
        dtype: 型の名前。

    Raises:
        TypeError: 小数の型でない。
    """

    eps: float
    max: float
    min: float
    tiny: float

    def __init__(self, dtype: Any = None) -> None:
        wanted = dtype_of(dtype or get_default_dtype())
        wanted = float64 if wanted == complex128 else float32 if wanted == complex64 else wanted
        if not is_floating(wanted):
            raise TypeError(
                f"finfo は小数の型を受け取ります (expected a floating dtype): {wanted} が"
                "渡されました。整数の型には mg.iinfo を使ってください。"
            )
        known = np if wanted.kind == "f" else require("ml_dtypes", "accel")
        info = known.finfo(wanted)
        self.bits, self.dtype = wanted.itemsize * 8, str(wanted)
        for name in ("eps", "max", "min", "smallest_normal"):
            setattr(self, name, float(getattr(info, name)))
        self.resolution = 10.0**-info.precision
        self.tiny = float(info.smallest_normal)

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps")
        shown = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({shown}, dtype={self.dtype})"


class iinfo:
    """整数の型の限界。

    Args:
        dtype: 整数の型。

    Attributes:
        bits: ビット数。
        max: 最大の数。
        min: 最小の数。
        dtype: 型の名前。

    Raises:
        TypeError: 整数の型でない。
    """

    def __init__(self, dtype: Any) -> None:
        wanted = dtype_of(dtype)
        if wanted.kind not in "iu":
            raise TypeError(
                f"iinfo は整数の型を受け取ります (expected an integer dtype): {wanted} が"
                "渡されました。小数の型には mg.finfo を使ってください。"
            )
        info = np.iinfo(wanted)
        self.bits, self.dtype = int(info.bits), str(wanted)
        self.min, self.max = int(info.min), int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def result_type(x: Any, other: Any) -> Any:
    """いっしょに計算したときの型。"""
    return _together([data_of(t) for t in (x, other)])


def promote_types(type1: Any, type2: Any) -> Any:
    """2 つの型の配列を、いっしょに計算したときの型。"""
    return _together([np.zeros(1, dtype_of(t)) for t in (type1, type2)])


def can_cast(from_: Any, to: Any) -> bool:
    """種類（真偽値、整数、小数、複素数）を下げずに変えられるか。"""
    kinds = ["b", "ui", "fV", "c"]
    a, b = (next(i for i, k in enumerate(kinds) if dtype_of(t).kind in k) for t in (from_, to))
    return a <= b


@torch_names()
def numel(x: Any) -> int:
    """要素の数。"""
    return as_tensor(x).numel()


explain_all(globals())
