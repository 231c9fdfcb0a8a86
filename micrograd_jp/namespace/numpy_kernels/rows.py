"""NumPy の、行ごとの計算 (softmax, 標準化): キャッシュに収まる行ごとに、すべての計算を続けて行う。

行は、メモリに続けて並んだ数である。式は `ops/arrays.py` と `ops/norm.py` にあるものと同じ。
途中の結果は、答えと同じメモリに書く。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Any

import numpy as np

SMALL = 1 << 12
"""数がこれより少なければ、公式のまま計算するほうが速い。"""

SHORT = 16
"""行がこれより短ければ、NumPy の内側のループが短すぎる。"""

_CHUNK = 1 << 16  # numbers at a time, so that what is written stays in the cache
_STRANDS = 1 << 12


def suits(axis: tuple[int, ...], *arrays: Any, same: Sequence[Any] = ()) -> bool:
    """ここの関数が受け取る配列か: 同じ形で、最後のいくつかの軸が行になる。`same` は 1 行の形。"""
    x = arrays[0]
    if x.__class__ is not np.ndarray or x.size < SMALL or x.dtype.char not in "fd":
        return False
    if not axis or axis != tuple(range(axis[0], x.ndim)) or prod(x.shape[axis[0] :]) < SHORT:
        return False
    row = x.shape[axis[0] :]
    return all(
        a.__class__ is np.ndarray
        and a.shape == shape
        and a.dtype == x.dtype
        and a.flags.c_contiguous
        and a.flags.aligned
        for shape, some in ((x.shape, arrays), (row, same))
        for a in some
    )


def _filled(fill: Callable[..., None]) -> Any:
    """`fill(out, *rows, **how)` for all rows, of n numbers each."""

    def kernel(n: int, *arrays: Any, **how: Any) -> Any:
        out = np.empty_like(arrays[0])
        flat = [a.reshape(-1, n) for a in (out, *arrays)]
        step = max(1, _CHUNK // n)
        for start in range(0, len(flat[0]), step):
            fill(*[a[start : start + step] for a in flat], **how)
        return out

    return kernel


def _total(x: Any) -> Any:
    """Σ x of each row. BLAS adds in a few strands: as exact as NumPy's sum, if they are short."""
    n = x.shape[1]
    if n <= _STRANDS:
        return np.matmul(x, np.ones((n, 1), x.dtype))
    return np.add.reduce(x, axis=1, keepdims=True)


def _weighted(x: Any, w: Any) -> Any:
    """Σ x·w of each row."""
    return np.matmul(x, w[:, None]) if len(w) <= _STRANDS else _total(x * w)


def _along(x: Any, y: Any, work: Any) -> Any:
    """Σ x·y of each row."""
    if x.shape[1] <= _STRANDS:
        return np.vecdot(x, y)[:, None]
    return _total(np.multiply(x, y, out=work))


def _below_the_top(out: Any, x: Any) -> None:
    np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True, initial=-inf), out=out)


def _softmax(out: Any, x: Any) -> None:
    _below_the_top(out, x)
    np.exp(out, out=out)
    out /= _total(out)


def _softmax_back(out: Any, g: Any, z: Any) -> None:
    np.subtract(g, _along(g, z, out), out=out)
    out *= z


def _log_softmax(out: Any, x: Any) -> None:
    _below_the_top(out, x)
    out -= np.log(_total(np.exp(out)))


def _log_softmax_back(out: Any, g: Any, z: Any) -> None:
    np.exp(z, out=out)
    out *= _total(g)
    np.subtract(g, out, out=out)


def _inverse_spread(d: Any, work: Any, eps: float) -> Any:
    return 1 / np.sqrt(_along(d, d, work) / d.shape[1] + eps)


def _standardized(out: Any, x: Any, eps: float) -> None:
    np.subtract(x, _total(x) / x.shape[1], out=out)
    out *= _inverse_spread(out, np.empty_like(out), eps)


def _standardized_back(out: Any, g: Any, z: Any, x: Any, eps: float) -> None:
    n, work = x.shape[1], np.empty_like(out)
    np.subtract(x, _total(x) / n, out=out)
    inverse = _inverse_spread(out, work, eps)
    np.multiply(z, _along(g, z, work) / n, out=work)
    np.subtract(g, _total(g) / n, out=out)
    out -= work
    out *= inverse


def _layer_normalized(out: Any, x: Any, w: Any, b: Any, eps: float) -> None:
    _standardized(out, x, eps)
    out *= w
    out += b


_rows_normalized = _filled(_layer_normalized)


def layer_normalized(n: int, x: Any, w: Any, b: Any, eps: float) -> Any:
    """標準化·w + b。"""
    return _rows_normalized(n, x, w=w.reshape(n), b=b.reshape(n), eps=eps)


def layer_normalized_back(n: int, g: Any, x: Any, w: Any, eps: float) -> tuple[Any, Any, Any]:
    """x, w, b の勾配。w と b のものは、切れごとの和を float64 で足す。"""
    sums = np.zeros((2, n))
    out = _rows_normalized_back(n, g, x, w=w.reshape(n), sums=sums, eps=eps)
    return out, *(s.astype(x.dtype).reshape(w.shape) for s in sums)


def _layer_normalized_back(out: Any, g: Any, x: Any, w: Any, sums: Any, eps: float) -> None:
    """The sums along and across rows are products with vectors: 1/spread, w, ones."""
    n = x.shape[1]
    d = x - _total(x) / n
    inverse = _inverse_spread(d, out, eps)
    np.multiply(g, d, out=out)
    sums[0] += inverse[:, 0] @ out
    sums[1] += np.ones(len(g), g.dtype) @ g
    d *= _weighted(out, w) * inverse * inverse / n
    np.multiply(g, w, out=out)
    out -= _total(out) / n
    out -= d
    out *= inverse


_rows_normalized_back = _filled(_layer_normalized_back)
softmax, softmax_back = _filled(_softmax), _filled(_softmax_back)
log_softmax, log_softmax_back = _filled(_log_softmax), _filled(_log_softmax_back)
standardized, standardized_back = _filled(_standardized), _filled(_standardized_back)
