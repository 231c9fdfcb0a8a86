"""`mg.fft`: 周波数の目盛り。フーリエ変換そのものは、複素数の Tensor がないので、ここにはない。

変換は `np.fft.rfft(t.numpy())` の複素数の ndarray で行い、大きさは `mg.tensor(np.abs(…))` で戻す。
微分したいなら、変換は余弦と正弦の行列との積である: `mg.cos(2π·k·n/N) @ x`。
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.on_demand import teller
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import normalized_axes, shape_of
from micrograd_jp.tensor.creation import as_tensor as _made
from micrograd_jp.tensor.dtypes import get_default_dtype
from micrograd_jp.tensor.functions.shape import roll

__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """長さ n のフーリエ変換の周波数。d は標本の間隔。"""
    (n,) = shape_of((n,), "fftfreq")
    return _made(np.fft.fftfreq(n, d), dtype=dtype or get_default_dtype(), device=device)


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """長さ n の実数のフーリエ変換の、負でない周波数。"""
    (n,) = shape_of((n,), "rfftfreq")
    return _made(np.fft.rfftfreq(n, d), dtype=dtype or get_default_dtype(), device=device)


def fftshift(x: Any, dim: Any = None) -> Tensor:
    """周波数 0 を真ん中に移す。"""
    return _shifted(x, dim, "fftshift", lambda n: n // 2)


def ifftshift(x: Any, dim: Any = None) -> Tensor:
    """`fftshift` の逆。"""
    return _shifted(x, dim, "ifftshift", lambda n: -(n // 2))


def _shifted(x: Any, dim: Any, name: str, steps: Any) -> Tensor:
    t = as_tensor(x)
    axes = normalized_axes(dim, t.ndim, name)
    return roll(t, tuple(steps(t.shape[a]) for a in axes), axes)


explain_all(globals())

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
