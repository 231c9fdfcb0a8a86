"""NumPy の和: 丸め誤差 (rounding error) が、足す個数 n ではなく log n に比例するくらいの和。

NumPy は、メモリに続けて並んだ数なら 2 つずつまとめて足す (pairwise summation; Higham 1993, "The
Accuracy of Floating Point Summation") が、ほかの軸では前から順に足すので、誤差が n に比例する。
ここでは、そのような軸を区切って足す。区切りの和は 1 ばかりのベクトルとの積なので、BLAS が速い。
半精度は単精度で、整数と真偽値は int64 で足す。
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels import computed_in

RUN = 128
"""この個数までは、前から順に足す。"""

BLOCK = 256
"""BLAS で足す区切りの長さ。BLAS は何本かに分けて足すので、前から順に足すより誤差が小さい。"""

SMALL = 1 << 12
"""これより少ない数の和は、`out` に直接書く方が速い。"""

_float32, _float64 = np.dtype(np.float32), np.dtype(np.float64)


def summed(x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    """軸に沿った和。"""
    dtype = x.dtype
    if dtype is not _float32 and dtype is not _float64:
        if dtype.kind in "biu":
            return np.add.reduce(x, axis=axis, keepdims=keepdims, dtype=np.int64)
        wide = computed_in(dtype)
        if wide is not dtype:
            return summed(x.astype(wide), axis, keepdims).astype(dtype)
    if x.size <= RUN:
        return np.add.reduce(x, axis=axis, keepdims=keepdims)
    ndim, in_a_row = x.ndim, x.flags.c_contiguous
    if in_a_row:
        every = axis.__class__ is tuple and len(axis) == ndim
        if every or axis is None or axis == ndim - 1:
            return np.add.reduce(x, axis=axis, keepdims=keepdims)
        if axis == 0 and ndim == 2 and len(x) <= BLOCK and not keepdims:
            return np.matmul(np.ones(len(x), dtype), x)
    if axis is None:
        axis = tuple(range(ndim))
    if in_a_row:
        n = len(axis) if axis.__class__ is tuple else axis == 0
        if n and (axis == 0 or axis == tuple(range(n))):  # all that comes first
            out = _in_blocks(x.reshape(prod(x.shape[:n]), -1), 0, _product)
            return out.reshape((1,) * n + x.shape[n:] if keepdims else x.shape[n:])
    axes = {a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    if in_a_row:
        last = ndim  # from here on, the numbers that are added lie side by side
        while last - 1 in axes:
            last -= 1
        if prod([x.shape[a] for a in axes if a < last]) <= RUN:
            return np.add.reduce(x, axis=axis, keepdims=keepdims)
    out = _reduced(x, axes)
    return out if keepdims else out.reshape([n for i, n in enumerate(x.shape) if i not in axes])


def _reduced(x: Any, axes: set[int]) -> Any:
    """The sum with the axes kept: those that lie closest in the memory first."""
    if x.size == 0:
        return np.zeros([1 if i in axes else n for i, n in enumerate(x.shape)], x.dtype)
    # What stands in the same memory n times is multiplied by n.
    same = {i for i, (n, step) in enumerate(zip(x.shape, x.strides)) if n > 1 and step == 0}
    times = prod(x.shape[i] for i in same & axes)
    shape = [x.shape[i] if i in same else n for i, n in enumerate(x.shape)]
    x = x[tuple(slice(1) if i in same else slice(None) for i in range(x.ndim))]
    order = sorted(
        (i for i, n in enumerate(x.shape) if n > 1), key=lambda i: abs(x.strides[i]), reverse=True
    )
    y = x.transpose(*order, *(i for i, n in enumerate(x.shape) if n == 1))
    y = y.reshape([x.shape[i] for i in order])  # without axes of length 1
    y = _from_the_last(y, [i in axes for i in order])
    order = [i for i in order if i not in axes]
    y = y.transpose([order.index(i) for i in sorted(order)])
    y = y.reshape([n if i in order else 1 for i, n in enumerate(x.shape)])
    if times > 1:
        y = y * y.dtype.type(times)
    if same - axes:
        y = np.broadcast_to(y, [1 if i in axes else n for i, n in enumerate(shape)]).copy()
    return y


def _from_the_last(y: Any, marked: list[bool]) -> Any:
    """The sum along the marked axes of an array whose axes are in the order of its memory."""
    while True in marked:
        end = len(marked) - marked[::-1].index(True)
        start = end - 1
        while start and marked[start - 1] and _follow(y, start - 1):
            start -= 1
        if end == y.ndim:
            y = np.add.reduce(y, axis=tuple(range(start, end)))
        else:
            y = _before_others(y, start, end)
        del marked[start:end]
    return np.asarray(y)


def _follow(y: Any, i: int) -> bool:
    """Whether axis i and the next one are as good as one axis."""
    step: bool = y.strides[i] == y.strides[i + 1] * y.shape[i + 1]
    return step


def _before_others(y: Any, start: int, end: int) -> Any:
    """The sum along neighbouring axes behind which there are others in the memory."""
    shape = y.shape[:start] + y.shape[end:]
    n, rest = prod(y.shape[start:end]), y.shape[end:]
    side_by_side = y.strides[-1] == y.itemsize and all(
        _follow(y, i) for i in range(end, y.ndim - 1)
    )
    add: Callable[..., Any] = np.add.reduce
    if side_by_side and (start == 0 or n * prod(rest) > BLOCK):
        rest, add = (prod(rest),), _product
    return _in_blocks(y.reshape(*y.shape[:start], n, *rest), start, add).reshape(shape)


def _product(y: Any, axis: int) -> Any:
    """The sum of the rows as a product."""
    return np.matmul(np.ones(y.shape[axis], y.dtype), y)


def accumulated(x: Any, axis: int) -> Any:
    """累積和。前から順に足すほかないので、2 倍の長さの小数で足す。"""
    out = np.add.accumulate(x, axis=axis, dtype=_twice_as_long(x.dtype))
    return out if x.dtype.kind in "biu" else out.astype(x.dtype, copy=False)


def added_at(g: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """形 `shape` の 0 の、`key` の場所に g を足したもの。同じ場所に何度でも足せる。"""
    wide = _twice_as_long(g.dtype)
    if g.size <= RUN or g.dtype.kind in "biu" or _each_once(key):
        wide = g.dtype
    out = np.zeros(shape, wide)
    np.add.at(out, key, g.astype(wide, copy=False))
    return out.astype(g.dtype, copy=False)


def _each_once(key: Any) -> bool:
    """Whether the key is plainly seen to name no place twice, as in `x[arange(n), classes]`."""
    arrays = [k for k in key if isinstance(k, np.ndarray)]
    if any(k.ndim != 1 or k.dtype.kind not in "iu" for k in arrays):
        return False
    return any(len(k) > 1 and bool((k[1:] > k[:-1]).all()) and k[0] >= 0 for k in arrays)


def _twice_as_long(dtype: Any) -> Any:
    if dtype.kind in "biu":
        return np.dtype(np.int64)
    if dtype.kind == "c":
        return np.dtype(np.complex128)
    return _float32 if computed_in(dtype) is not dtype else _float64


def reduce_into(x: Any, axis: Any, dtype: None, out: Any) -> Any:
    """`np.add.reduce` と同じ引数で、和を `out` に書く。"""
    if x.size <= SMALL:
        return np.add.reduce(x, axis, dtype, out)
    np.copyto(out, summed(x, axis))
    return out


def _in_blocks(y: Any, axis: int, add: Callable[..., Any]) -> Any:
    """The sum along one axis: blocks of it first, then their sums in the same way."""
    block = BLOCK if add is _product else RUN // 2
    n = y.shape[axis]
    if n <= block:
        return add(y, axis=axis)
    before, whole = (slice(None),) * axis, n // block
    parts = y[(*before, slice(whole * block))]
    parts = add(parts.reshape(*y.shape[:axis], whole, block, *y.shape[axis + 1 :]), axis=axis + 1)
    if whole * block < n:
        rest = add(y[(*before, slice(whole * block, n))], axis=axis)
        parts = np.concatenate((parts, np.expand_dims(rest, axis)), axis=axis)
    return _in_blocks(parts, axis, add)
