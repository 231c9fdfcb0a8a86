"""NumPy の名前空間: 例外を出さず、IEEE 754 の inf と nan を返す。機械語が向けば、それを使う。"""

from __future__ import annotations

from math import isfinite, prod
from typing import Any

import numpy as np

from micrograd_jp import native
from micrograd_jp.namespace.base import ArrayNamespace
from micrograd_jp.namespace.numpy_kernels import (
    activations,
    computed_in,
    conv,
    norm,
    pool,
    products,
    rows,
    sums,
)
from micrograd_jp.namespace.numpy_kernels.closed import chosen, closed
from micrograd_jp.namespace.numpy_kernels.erf import erf
from micrograd_jp.namespace.short import dtype_of
from micrograd_jp.native import pointwise
from micrograd_jp.ops import arrays
from micrograd_jp.ops import norm as ops
from micrograd_jp.ops.gates import NUMBERS, Gate, literally

_SHORT = 32  # numbers in a row; up to here, the maximum is faster down the columns of the transpose
_SMALL = 4096  # elements; up to here, filling takes less time than making a view


def _solved(name: str, reason: str) -> Any:
    """A function of matrices that says in our words why there is no answer."""

    def kernel(*xs: Any) -> Any:
        try:
            return getattr(np.linalg, name)(*xs)
        except np.linalg.LinAlgError:
            raise np.linalg.LinAlgError(
                f"{reason}: 形は {xs[0].shape} です。"
                "対角に小さな数を足す (A + 1e-6·I) と解けることがあります。"
            ) from None

    return staticmethod(kernel)


_SINGULAR = "行列が正則でなく、逆行列がありません (singular matrix)"


def _either(room: str, plain: Any) -> Any:
    """Machine code of the same name where it suits, else NumPy."""
    name = plain.__name__

    def kernel(*xs: Any, **how: Any) -> Any:
        out = getattr(getattr(native, room), name)(*xs, **how)
        return plain(*xs, **how) if out is None else out

    return staticmethod(kernel)


def _by_rows(name: str, formula: Any, same: int = 0) -> Any:
    """A kernel for rows of numbers that lie side by side; the formula for all others.

    The last arrays, `same` of them, are one row: the same for all.
    """
    plain = getattr(rows, name)

    def kernel(self: Any, *xs: Any, axis: tuple[int, ...], **how: Any) -> Any:
        many = len(xs) - same
        if not rows.suits(axis, *xs[:many], same=xs[many:]):
            return formula(self, *xs, axis=axis, **how)
        n = prod(xs[0].shape[axis[0] :])
        machine_code = getattr(getattr(native, "rows"), name)  # noqa: B009  # loaded by its name
        out = machine_code(n, *xs, **how) if native.enabled() else None
        return plain(n, *xs, **how) if out is None else out

    return kernel


class NumPy(ArrayNamespace):
    """NumPy のカーネル。機械語に向かない引数には、`native` の関数が `None` を返す。"""

    convolved = _either("conv", conv.convolved)
    correlated = _either("conv", conv.correlated)
    window_max = _either("pool", pool.window_max)
    window_sum = staticmethod(pool.window_sum)
    window_spread = staticmethod(pool.window_spread)
    window_places = _either("pool", pool.window_places)
    window_pick = staticmethod(pool.window_pick)
    window_drop = _either("pool", pool.window_drop)
    batch_statistics = _either("norm", norm.batch_statistics)
    batch_normalized = _either("norm", norm.batch_normalized)
    batch_normalized_back = _either("norm", norm.batch_normalized_back)

    softmax_along = _by_rows("softmax", arrays.softmax_along)
    softmax_back = _by_rows("softmax_back", arrays.softmax_back)
    log_softmax_along = _by_rows("log_softmax", arrays.log_softmax_along)
    log_softmax_back = _by_rows("log_softmax_back", arrays.log_softmax_back)
    standardized_along = _by_rows("standardized", ops.standardized_along)
    standardized_back = _by_rows("standardized_back", ops.standardized_back)
    layer_normalized = _by_rows("layer_normalized", ops.layer_normalized, same=2)
    layer_normalized_back = _by_rows("layer_normalized_back", ops.layer_normalized_back, same=1)

    def blockwise(self, formula: Any, n: int, *xs: Any) -> Any:
        """A formula for blocks of columns: one kernel, or as many as the formula has steps."""
        room = getattr(native, "blockwise") if native.enabled() else None  # noqa: B009
        out = None if room is None else room.blockwise(formula, n, *xs)
        return arrays.blockwise(self, formula, n, *xs) if out is None else out

    def recurrent(self, formula: Any, *xs: Any, **how: Any) -> Any:
        """All times of a recurrent layer: by the kernel of the same name where there is one."""
        room = getattr(native, "recurrent") if native.enabled() else None  # noqa: B009
        kernel = getattr(room, formula.__name__, None)
        out = None if kernel is None else kernel(*xs, **how)
        return formula(self, *xs, **how) if out is None else out

    recurrent_back = recurrent

    matmul = staticmethod(products.matmul)
    solve, inv = _solved("solve", _SINGULAR), _solved("inv", _SINGULAR)
    cholesky = _solved("cholesky", "行列が正定値ではありません (not positive definite)")
    erf = staticmethod(erf)

    def svd(self, x: Any, full_matrices: bool = True) -> Any:
        """The singular values and vectors; those of a matrix that is not finite are nan."""
        finite = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
        u, s, vt = np.linalg.svd(np.where(finite, x, 0), full_matrices)
        return u, np.where(finite[..., 0], s, np.nan), vt

    def convolved_back(self, g: Any, w: Any, *, windows: Any, groups: int, size: Any) -> Any:
        """The gradient of the images: one or more convolutions of its own."""
        return conv.convolved_back(
            g, w, windows=windows, groups=groups, size=size, convolve=self.convolved
        )

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger of two; nan if either is nan."""
        if y.__class__ is int and y == 0 and x.__class__ is np.ndarray:
            out = pointwise.positive_part(x)
            if out is not None:
                return out
        return np.maximum(x, y)

    def expm1(self, x: Any) -> Any:
        """Eˣ − 1; of a number a number, which does not widen the dtype of what it meets."""
        return float(np.expm1(x)) if x.__class__ in NUMBERS else np.expm1(x)

    def remainder(self, x: Any, y: Any) -> Any:
        """What is left of x, with the sign of y; a zero has that of x, as in PyTorch and JAX."""
        z = np.remainder(x, y)
        return np.where(z == 0, np.copysign(z, x), z) if z.dtype.kind == "f" else z

    def times(self, g: Any, d: Any) -> Any:
        """G times d; 0 where the gate of d is shut."""
        if d.__class__ is not Gate:
            return np.zeros_like(g) if literally(d, 0) else g * d
        if not literally(d.slope, 1):
            g = g * d.slope
        out = None if g.size < pointwise.SMALL else pointwise.gated(g, d.shut)
        return closed(g, d.shut) if out is None else out

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """X where the condition holds, else y."""
        out = chosen(condition, x, y)
        return super().where(condition, x, y) if out is None else out

    def fused(self, op: Any, *xs: Any) -> Any:
        """The value of an operation of many steps, by one kernel where there is one."""
        x, *rest = xs
        if activations.suits(x) and all(y.__class__ in NUMBERS for y in rest):
            out = pointwise.value(op, x, rest)
            if out is not None:
                return out
            if op.name in activations.VALUES:
                return activations.in_chunks(activations.VALUES[op.name], x)
        return op.value(self, *xs)

    def fused_share(self, op: Any, g: Any, z: Any, *xs: Any) -> Any:
        """`times(g, ∂z/∂x)` by one kernel, or None where there is none."""
        x, *rest = xs
        if not activations.suits(g, z, x) or not g.shape == z.shape == x.shape:
            return None
        if not all(y.__class__ in NUMBERS for y in rest):
            return None
        out = pointwise.share(op, g, z, x, rest)
        if out is None and op.name in activations.SHARES:
            out = activations.in_chunks(activations.SHARES[op.name], g, z, x)
        return out

    def surely_finite(self, x: Any) -> bool:
        """Whether all numbers are finite; it may say no of very large ones."""
        return isfinite(np.add.reduce(x, axis=None))

    dtype = staticmethod(dtype_of)

    def available(self, dtype: Any) -> Any:
        """The dtype that an array gets when this one is wanted."""
        return dtype

    def einsum(self, spec: str, *xs: Any) -> Any:
        """Einstein summation; half precision is summed in float32 and rounded once."""
        dtype = xs[0].dtype
        if (wide := computed_in(dtype)) is not dtype:
            return super().einsum(spec, *[x.astype(wide) for x in xs]).astype(dtype)
        return super().einsum(spec, *xs)

    def linear(self, x: Any, w: Any, *b: Any) -> Any:
        """`x wᵀ + b` for matrices."""
        return products.matmul(x, w.T, *b)

    def weight_gradient(self, g: Any, x: Any, w: Any) -> Any:
        """`gᵀx` in the memory order of w, so that an update goes through both side by side."""
        if w.flags.f_contiguous:
            return products.matmul(x.T, g).T
        return products.matmul(g.T, x)

    # The same as NumPy's functions, without what they do around the work itself: on a small
    # array that is most of the time.

    sum = staticmethod(sums.summed)
    cumsum = staticmethod(sums.accumulated)

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
        """`x[key]`; what is chosen by arrays lies in memory in order, as in PyTorch."""
        out = x[key]
        if out.ndim > 1 and not out.flags.c_contiguous and x.flags.c_contiguous:
            out = out if np.may_share_memory(out, x) else np.ascontiguousarray(out)
        return out

    def scattered(self, g: Any, key: Any, shape: tuple[int, ...]) -> Any:
        """Zeros of the given shape with g added at the places that the key names."""
        if all(isinstance(k, slice | int | None | type(...)) for k in key):
            out = np.zeros(shape, dtype=g.dtype)
            out[key] = g  # basic indexing names no place twice
            return out
        return sums.added_at(g, key, shape)

    def assigned(self, x: Any, key: Any, value: Any) -> Any:
        """X after `x[key] = value`: here x itself."""
        x[key] = value
        return x

    def astype(self, x: Any, dtype: Any) -> Any:
        """X in another dtype; x itself where it has it already; of complex numbers, Re x."""
        x = np.asarray(x)
        if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
            x = x.real
        return x.astype(dtype, copy=False)

    def complex(self, x: Any, y: Any) -> Any:
        """X + iy, also where they are not finite."""
        out = np.empty(np.broadcast_shapes(x.shape, y.shape), np.result_type(x, np.complex64))
        out.real, out.imag = x, y
        return out
