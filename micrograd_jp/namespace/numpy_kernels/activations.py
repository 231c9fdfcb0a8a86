"""活性化関数の、NumPy の呼び出しが少ない計算。値は宣言の公式と、最後の数ビットまで同じ。

公式は、どの名前空間でも例外を出さないように、場合を分けて書かれている。ここでは、オーバーフローして
inf になったものの逆数が 0 になることを使い、途中の結果を同じメモリに書く。
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels.erf import normal_cdf
from micrograd_jp.native.pointwise import TINY

_CHUNK = 1 << 15  # numbers at a time, so that what is written stays in the cache
_LOWEST = {np.dtype(np.float32): -87.0, np.dtype(np.float64): -708.0}  # e⁻ˣ is finite from here on


def suits(*arrays: Any) -> bool:
    """ここの関数が受け取る配列か。"""
    return all(
        a.__class__ is np.ndarray and a.dtype in _LOWEST and a.ndim and a.flags.c_contiguous
        for a in arrays
    )


def in_chunks(fill: Callable[..., None], *arrays: Any) -> Any:
    """`fill(out, *arrays)` を、キャッシュに収まる部分ごとに。"""
    out = np.empty_like(arrays[0])
    if out.size <= _CHUNK:
        fill(out, *arrays)
        return out
    flat = [a.reshape(-1) for a in (out, *arrays)]
    for start in range(0, out.size, _CHUNK):
        fill(*[a[start : start + _CHUNK] for a in flat])
    return out


def _sigmoid(out: Any, x: Any) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(1, out, out=out)
    lowest = _LOWEST[x.dtype]
    if np.fmin.reduce(x, axis=None, initial=0.0) < lowest:  # results too small to be 1 / large
        far = x < lowest
        out[far] = np.exp(x[far])


def _silu(out: Any, x: Any) -> None:
    _sigmoid(out, x)
    out *= x


def _silu_slope(out: Any, g: Any, z: Any, x: Any) -> None:
    """σ·(1 + x·(1 − σ))."""
    s = np.empty_like(x)
    _sigmoid(s, x)
    np.subtract(1, s, out=out)
    out *= x
    out += 1
    out *= s
    out *= g


def _sigmoid_slope(out: Any, g: Any, z: Any, x: Any) -> None:
    np.subtract(1, z, out=out)
    out *= z
    out *= g


def _softplus(out: Any, x: Any) -> None:
    """max(x, 0) + log(1 + e), e = e^−|x|: NumPy's log1p takes the numbers one at a time."""
    e = np.abs(x)
    np.negative(e, out=e)
    np.exp(e, out=e)
    np.add(e, 1, out=out)
    # What rounding took from 1 + e, relative to it (Goldberg 1991, Theorem 4).
    rest = np.subtract(out, 1)
    np.subtract(e, rest, out=rest)
    rest /= out
    np.log(out, out=out)
    out += rest
    out += np.maximum(x, 0, out=rest)


def _softplus_slope(out: Any, g: Any, z: Any, x: Any) -> None:
    _sigmoid(out, x)
    out *= g


def _gelu(out: Any, x: Any) -> None:
    normal_cdf(out, x)
    out *= x


def _gelu_slope(out: Any, g: Any, z: Any, x: Any) -> None:
    """Φ(x) + x·φ(x), where Φ(x) = z/x."""
    density = np.multiply(x, x, out=out)
    tiny = density < TINY
    density *= -0.5
    density = np.exp(density)
    density *= 1 / sqrt(2 * pi)
    density *= x
    np.divide(z, x, out=out)
    if tiny.any():
        out[tiny] = 0.5
    out += density
    out *= g


VALUES = {"sigmoid": _sigmoid, "silu": _silu, "softplus": _softplus, "gelu": _gelu}
"""演算の名前から、値を書き込む関数 `(out, x)` へ。"""

SHARES = {
    "sigmoid": _sigmoid_slope, "silu": _silu_slope, "softplus": _softplus_slope,
    "gelu": _gelu_slope,
}  # fmt: skip
"""演算の名前から、上流の勾配と局所微分の積を書き込む関数 `(out, g, z, x)` へ。"""
