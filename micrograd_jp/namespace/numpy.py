"""NumPy の名前空間: 例外を出さず、IEEE 754 の inf と nan を返す。"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels import norm as norm_numpy
from micrograd_jp.namespace.numpy_kernels import pool as pool_numpy
from micrograd_jp.namespace.numpy_kernels.erf import erf
from micrograd_jp.native import (
    conv,
    pointwise,
    products,
)
from micrograd_jp.native import (
    norm as norm_native,
)
from micrograd_jp.native import (
    pool as pool_native,
)
from micrograd_jp.ops import norm


class ArrayNamespace:
    """配列のライブラリの関数を、規則が使う名前で。ライブラリにないものを補う。

    NumPy と JAX で計算のしかたが違うもの（カーネル）だけを、派生クラスが 1 つずつ書く。
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library, name)
        setattr(self, name, found)  # the next look-up is a plain attribute
        return found

    def logsumexp_along(self, x: Any, axis: tuple[int, ...]) -> Any:
        """Log Σ eˣ along axes, with the maximum taken out."""
        top = self.max(x, axis=axis, keepdims=True)
        top = self.where(self.isfinite(top), top, 0)  # inf − inf would make nan of a defined answer
        return self.log(self.sum(self.exp(x - top), axis=axis)) + self.reshape(
            top, tuple(n for i, n in enumerate(x.shape) if i not in axis)
        )

    def einsum(self, spec: str, *xs: Any) -> Any:
        """Einstein summation, in the order that costs least."""
        return self._library.einsum(spec, *xs, optimize=len(xs) > 1)

    def linear(self, x: Any, w: Any, *b: Any) -> Any:
        """`x wᵀ + b` for matrices; b may be left out."""
        z = self.matmul(x, w.T)
        return z + b[0] if b else z

    def weight_gradient(self, g: Any, x: Any, w: Any) -> Any:
        """`gᵀx`, the gradient of the w in `x wᵀ`."""
        return self.matmul(g.T, x)

    def bias_gradient(self, g: Any) -> Any:
        """The sum of the rows."""
        return self.sum(g, axis=0)

    def times(self, g: Any, d: Any) -> Any:
        """The upstream gradient times a partial derivative."""
        return g * d

    def batch_statistics(self, x: Any) -> tuple[Any, Any]:
        """Mean and variance (divided by n) of each channel."""
        return norm.statistics(self, x)

    def batch_normalized(self, x: Any, w: Any, b: Any, mean: Any, var: Any, eps: float) -> Any:
        """(x − mean)/√(var + eps)·w + b for each channel."""
        return norm.normalized(self, x, w, b, mean, var, eps)

    def batch_normalized_back(
        self, g: Any, x: Any, w: Any, *, mean: Any, var: Any, eps: float, batch: bool
    ) -> tuple[Any, Any, Any]:
        """The gradients of x, w and b."""
        return norm.gradients(self, g, x, w, mean, var, eps, batch)

    def solve(self, a: Any, b: Any) -> Any:
        """A⁻¹B for matrices."""
        return self.linalg.solve(a, b)

    def inv(self, x: Any) -> Any:
        """A⁻¹."""
        return self.linalg.inv(x)

    def det(self, x: Any) -> Any:
        """The determinant."""
        return self.linalg.det(x)

    def logabsdet(self, x: Any) -> Any:
        """Log |det|."""
        return self.linalg.slogdet(x)[1]

    def cholesky(self, x: Any) -> Any:
        """The lower triangular L of A = LLᵀ."""
        return self.linalg.cholesky(x)

    def cofactors(self, x: Any) -> Any:
        """∂det/∂A from the singular values; no division, so also where A is singular."""
        u, s, vt = self.linalg.svd(x)
        n = x.shape[-1]
        others = self.where(self.eye(n, dtype=bool), 1, s[..., None, :]).prod(axis=-1)
        sign = self.linalg.det(u) * self.linalg.det(vt)
        return sign[..., None, None] * self.matmul(u * others[..., None, :], vt)


_SHORT = 32  # numbers in a row; up to here, the maximum is faster down the columns of the transpose
_SMALL = 4096  # elements; up to here, filling takes less time than making a view


def _is_bit(x: Any) -> bool:
    if isinstance(x, int):
        return x in (0, 1)
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "b"


class NumPy(ArrayNamespace):
    """NumPy のカーネル。"""

    convolved = staticmethod(conv.convolved)
    convolved_back = staticmethod(conv.convolved_back)
    correlated = staticmethod(conv.correlated)
    window_max = staticmethod(pool_native.window_max)
    window_sum = staticmethod(pool_numpy.window_sum)
    window_spread = staticmethod(pool_numpy.window_spread)
    window_places = staticmethod(pool_native.window_places)
    window_pick = staticmethod(pool_numpy.window_pick)
    window_drop = staticmethod(pool_native.window_drop)
    batch_statistics = staticmethod(norm_native.batch_statistics)
    batch_normalized = staticmethod(norm_native.batch_normalized)
    batch_normalized_back = staticmethod(norm_native.batch_normalized_back)

    matmul = staticmethod(products.matmul)
    erf = staticmethod(erf)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """Elementwise choice. The numbers 0 and 1 become booleans.

        Booleans take on the type of what they multiply; an array of int64 would turn float32
        gradients into float64.
        """
        if x.__class__ is int and y.__class__ is int and x + y == 1 and x * y == 0:
            return np.asarray(condition, dtype=bool) if x else np.logical_not(condition)
        if _is_bit(x) and _is_bit(y):
            x, y = np.bool_(x), np.bool_(y)
        return np.where(condition, x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger of two; nan if either is nan."""
        if y.__class__ is int and y == 0 and x.__class__ is np.ndarray:
            out = pointwise.positive_part(x)
            if out is not None:
                return out
        return np.maximum(x, y)

    def times(self, g: Any, d: Any) -> Any:
        """G times d; booleans count as 0 and 1."""
        if d.__class__ is np.ndarray and d.dtype == np.bool_ and g.shape == d.shape:
            out = pointwise.gated(g, d)
            if out is not None:
                return out
        return g * d

    def available(self, dtype: Any) -> Any:
        """The dtype that an array gets when this one is wanted."""
        return dtype

    def linear(self, x: Any, w: Any, *b: Any) -> Any:
        """`x wᵀ + b` for matrices."""
        return products.matmul(x, w.T, *b)

    def weight_gradient(self, g: Any, x: Any, w: Any) -> Any:
        """`gᵀx` in the memory order of w, so that an update goes through both side by side."""
        if w.flags.f_contiguous:
            return products.matmul(x.T, g).T
        return products.matmul(g.T, x)

    def bias_gradient(self, g: Any) -> Any:
        """The sum of the rows: as a product, which BLAS does several times faster."""
        return np.matmul(np.ones(len(g), g.dtype), g)

    # The same as NumPy's functions, without what they do around the work itself: on a small
    # array that is most of the time.

    def sum(self, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
        """The sum along axes."""
        if axis == (0, 2, 3) and not keepdims and x.ndim == 4:
            out = pointwise.channel_sums(x)
            if out is not None:
                return out
            if x.dtype.kind == "f" and x.transpose(0, 2, 3, 1).flags.c_contiguous:
                return norm_numpy.channel_sums(x)
        return np.add.reduce(x, axis=axis, keepdims=keepdims)

    def amax(self, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
        """The maximum along axes."""
        if axis == 1 and keepdims and x.ndim == 2 and x.shape[1] <= _SHORT:
            # A row of a few numbers leaves NumPy's loop no time to be fast; a long column does.
            return np.maximum.reduce(x.T.copy(), axis=0).reshape(-1, 1)
        return np.maximum.reduce(x, axis=axis, keepdims=keepdims)

    def amin(self, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
        """The minimum along axes."""
        return np.minimum.reduce(x, axis=axis, keepdims=keepdims)

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        """X in another shape."""
        return np.asarray(x).reshape(shape)

    def transpose(self, x: Any, axes: tuple[int, ...]) -> Any:
        """X with its axes in another order."""
        return np.asarray(x).transpose(axes)

    def broadcast_to(self, x: Any, shape: tuple[int, ...]) -> Any:
        """X spread to a shape: by a view where that takes much memory, else by a copy."""
        if prod(shape) > _SMALL:
            return np.broadcast_to(x, shape)
        out = np.empty(shape, dtype=x.dtype)
        out[...] = x
        return out

    def getitem(self, x: Any, key: Any) -> Any:
        """`x[key]`."""
        return x[key]

    def scattered(self, g: Any, key: Any, shape: tuple[int, ...]) -> Any:
        """Zeros of the given shape with g added at the places that the key names."""
        out = np.zeros(shape, dtype=g.dtype)
        if all(isinstance(k, slice | int | None | type(...)) for k in key):
            out[key] = g  # basic indexing names no place twice
        else:
            np.add.at(out, key, g)
        return out

    def assigned(self, x: Any, key: Any, value: Any) -> Any:
        """X after `x[key] = value`: here x itself."""
        x[key] = value
        return x

    def astype(self, x: Any, dtype: Any) -> Any:
        """X in another dtype; x itself where it has that dtype already."""
        return np.asarray(x).astype(dtype, copy=False)
