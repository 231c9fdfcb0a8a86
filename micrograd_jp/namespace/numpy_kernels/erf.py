"""配列の誤差関数 erf。NumPy にはなく、`math.erf` は 1 つずつしか計算できない。"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels.closed import chosen
from micrograd_jp.ops import erf as ops

_CHUNK = 1 << 15  # elements at a time, so that the intermediate results stay in the cache


def erf(x: Any) -> Any:
    """誤差関数 (error function) を要素ごとに、x の型で計算する。

    Args:
        x: 任意の形の実数。整数は float64 で、float16 は float32 で計算する。

    Returns:
        x と同じ形の配列。float32・float64 では最後の桁で 2 (2 ulp) 以内。
    """
    x = np.asarray(x)
    kind = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    flat = x.astype(np.float32 if kind.itemsize < 4 else kind, copy=False).ravel()
    out, fill = np.empty_like(flat), _single if flat.itemsize == 4 else _double
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            fill(out[part], flat[part])
    return out.reshape(x.shape).astype(kind, copy=False)[()]


# artanh erf(x/√2) = x·P(x²), highest power first: fitted here, by least squares whose weights grow
# where the error is largest (Lawson 1961). tanh forgives an error the more, the larger x is; beyond
# x² = 32, where Φ is 0 or 1, P only has to stay above 1.
_CDF = (
    2.99476614e-11,
    3.04819987e-10,
    -1.05949628e-07,
    3.73870219e-06,
    -5.43446517e-05,
    -3.45221482e-05,
    0.0363346348,
    0.797884602,
)


def normal_cdf(out: Any, x: Any) -> None:
    """標準正規分布の分布関数 Φ(x) = (1 + erf(x/√2))/2 を `out` に書く。場合分けがないので速い。

    float32 では 1 の最後の桁で 2 (2 ulp) 以内。
    """
    if x.itemsize == 4:
        np.multiply(ops.polynomial(np.multiply(x, x, out=out), _CDF), x, out=out)
        np.tanh(out, out=out)
    else:
        np.multiply(x, 1 / sqrt(2), out=out)
        out[...] = erf(out)
    out += 1
    out *= 0.5


def _double(out: Any, x: Any) -> None:
    y = np.abs(x)
    small = y < ops.BORDER
    if small.all():
        out[:] = _near(x, x * x)
        return
    # Beyond 4 Cody has another formula; there 1 − erf < 2e-8, and this one is good enough.
    np.minimum(y, ops.ONE_FROM, out=y)
    upper, lower = (ops.polynomial(y, c) for c in ops.LARGE)
    upper /= lower
    np.multiply(y, y, out=y)
    np.negative(y, out=y)
    upper *= np.exp(y, out=y)
    np.copysign(np.subtract(1, upper, out=upper), x, out=out)
    if small.any():
        out[:] = _either(small, _near(x, x * x), out)


def _either(small: Any, near: Any, far: Any) -> Any:
    out = chosen(small, near, far)
    return np.where(small, near, far) if out is None else out


def _near(x: Any, square: Any) -> Any:
    upper, lower = (ops.polynomial(square, c) for c in ops.SMALL)
    upper /= lower
    upper *= x
    upper += x
    return upper


def _single(out: Any, x: Any) -> None:
    y = np.abs(x, out=out)
    small = y < ops.SINGLE_BORDER
    # The exponent falls beyond the range of its fit, too: nothing has to be cut off.
    power = ops.polynomial(y, ops.SINGLE_LARGE)
    power -= y
    np.exp(power, out=power)
    np.subtract(1, power, out=out)
    bits = out.view(np.int32)
    bits |= np.bitwise_and(x.view(np.int32), _SIGN, out=power.view(np.int32))
    if small.any():
        near = ops.polynomial(np.multiply(x, x, out=power), ops.SINGLE_SMALL)
        near *= x
        near += x
        mask = small.astype(np.int32)
        bits ^= (near.view(np.int32) ^ bits) & np.negative(mask, out=mask)  # near where it is small


_SIGN = np.int32(-(2**31))
