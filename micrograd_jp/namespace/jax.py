"""JAX の名前空間: `jax.numpy`。`jax.jit` の中でも、GPU や TPU の上でも、同じ規則が動く。

JAX の配列は書き換えられない (immutable)。`jax.jit` の中の配列には値がなく (tracer)、
形と型だけがある。だからここの関数はどれも、値を調べず、新しい配列を返す。
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from micrograd_jp.namespace.jax_windows import JAXWindows
from micrograd_jp.namespace.numpy_kernels import computed_in
from micrograd_jp.namespace.short import dtype_of

Arrays = tuple[Any, ...]


class JAX(JAXWindows):
    """JAX のカーネル。"""

    def erf(self, x: Any) -> Any:
        """The error function."""
        return self.jax.scipy.special.erf(x)

    def available(self, dtype: Any) -> Any:
        """The dtype that an array gets when this one is wanted: no float64 without x64."""
        return self.jax.dtypes.canonicalize_dtype(dtype)

    def dtype(self, dtype: Any) -> Any:
        """利用者が求めた型。64 ビットの型が使えない設定なら警告し、32 ビットの型を返す。"""
        wanted = dtype_of(dtype)
        given = self.available(wanted)
        if wanted != given:
            warnings.warn(
                f"JAX の配列は {given} になります (jax_enable_x64 is off): {wanted} を使うには、"
                'はじめに jax.config.update("jax_enable_x64", True) と書いてください。',
                UserWarning,
                stacklevel=3,
            )
        return given

    def array(self, x: Any, dtype: Any = None) -> Any:
        """An array that shares no memory anyone can write to."""
        if is_jax(x):
            return self.astype(x, dtype or x.dtype)
        return self._library.array(x, dtype=None if dtype is None else self.available(dtype))

    asarray = array

    def astype(self, x: Any, dtype: Any) -> Any:
        """X in another dtype; x itself where it has that dtype already."""
        dtype = self.available(dtype)
        if is_jax(x) and x.dtype == dtype:
            return x
        if getattr(x, "dtype", dtype).kind == "c" and dtype.kind not in "cb":
            x = x.real
        return self._library.asarray(x, dtype=dtype)

    def complex(self, x: Any, y: Any) -> Any:
        """X + iy, also where they are not finite."""
        return self.lax.complex(*self._library.broadcast_arrays(x, y))

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """The sum along axes; whole numbers and booleans add up in int64."""
        return self._library.sum(x, axis=axis, keepdims=keepdims, dtype=self._summed_in(x))

    def cumsum(self, x: Any, axis: int) -> Any:
        """The running sum, in the same dtype."""
        return self._library.cumsum(x, axis=axis, dtype=self._summed_in(x))

    def _summed_in(self, x: Any) -> Any:
        return self.available(np.int64) if x.dtype.kind in "biu" else None

    def cholesky(self, x: Any) -> Any:
        """Of the lower triangle alone, as in NumPy."""
        return self.linalg.cholesky(x, symmetrize_input=False)

    def getitem(self, x: Any, key: Any) -> Any:
        """`x[key]`, refusing places outside of x as NumPy does; JAX itself clamps them."""
        return self.asarray(x)[_checked(key, x.shape)]

    def scattered(self, g: Any, key: Any, shape: tuple[int, ...]) -> Any:
        """Zeros of the given shape with g added at the places that the key names."""
        key, wide = _checked(key, shape), computed_in(g.dtype)
        groups = _groups(key, g.size, prod(shape))
        if groups > 1:  # in turns: fewer numbers, and smaller rounding errors, in one place
            places = np.broadcast_shapes(*[k.shape for k in key if hasattr(k, "shape")])
            key = (np.arange(prod(places)).reshape(places) % groups, *key)
            sums = self.zeros((groups, *shape), wide).at[key].add(self.astype(g, wide))
            return self.astype(self.sum(sums, axis=0), g.dtype)
        sums = self.zeros(shape, wide).at[key].add(self.astype(g, wide))
        return self.astype(sums, g.dtype)

    def assigned(self, x: Any, key: Any, value: Any) -> Any:
        """X after `x[key] = value`: a new array."""
        key = _checked(key if isinstance(key, tuple) else (key,), x.shape)
        return x.at[key].set(self.asarray(value, dtype=x.dtype))

    def recurrent(self, *given: Any, **how: Any) -> Any:
        """The formula of all times, from the states at the start."""
        return _looped(_forward, self, *given, **how)

    def recurrent_back(self, *given: Any, **how: Any) -> Any:
        """The formula of its gradients, back through all times."""
        return _looped(_backward, self, *given, **how)


_RUN = 64  # so many numbers are added one after the other


def _groups(key: tuple[Any, ...], numbers: int, places: int) -> int:
    """Into how many sums to divide those of `scattered`, with no more memory than the numbers."""
    arrays = [k for k in key if hasattr(k, "shape")]
    first = all(hasattr(k, "shape") and k.dtype.kind in "iu" for k in key[: len(arrays)])
    if not arrays or not first:
        return 1
    return min(
        prod(np.broadcast_shapes(*[k.shape for k in arrays])) // _RUN, numbers // max(places, 1)
    )


# ---- 再帰層: 1 時刻分だけをコンパイルし、くり返す ----------------------------------------------

# A program of as many copies of the formula as there are times takes as long to compile, and runs
# slower than a loop over one of them.


def _looped(
    compiled: Any, m: JAX, formula: Any, rows: Arrays, states: Arrays, weights: Arrays,
    sizes: tuple[int, ...], **how: Any,
) -> Any:  # fmt: skip
    if len(set(sizes)) > 1 or len(sizes) == 1:
        return formula(m, rows, states, weights, sizes, **how)
    return compiled(m, formula, len(sizes), **how)(rows, states, weights)


@functools.cache
def _forward(
    m: Any, formula: Any, times: int, backwards: bool, **how: Any
) -> Callable[[Arrays, Arrays, Arrays], Any]:
    """What comes out of one time ends with the states, h last."""

    def all_times(rows: Arrays, states: Arrays, weights: Arrays) -> Any:
        def one(carried: Arrays, here: Arrays) -> tuple[Arrays, Any]:
            z = formula(m, here, carried, weights, (len(here[0]),), backwards, **how)
            ends = _ends(z, states)
            return tuple([z[:, a:b] for a, b in ends]), z

        given = tuple([_apart(x, times) for x in rows])
        return _together(m.lax.scan(one, states, given, reverse=backwards)[1])

    return m.jax.jit(all_times)  # type: ignore[no-any-return]


@functools.cache
def _backward(
    m: Any, formula: Any, times: int, backwards: bool, **how: Any
) -> Callable[[Arrays, Arrays, Arrays], Any]:
    """What comes back to the states is added to the upstream gradient of the time before."""

    def all_times(rows: Arrays, states: Arrays, weights: Arrays) -> Any:
        def one(carried: Arrays, here: Arrays) -> tuple[Arrays, Any]:
            u, *others = here
            for (a, b), share in zip(_ends(u, states), carried):
                u = u.at[:, a:b].add(share)
            found, back = formula(m, (u, *others), states, weights, (len(u),), backwards, **how)
            return tuple(back), tuple(found)

        given = tuple([_apart(x, times) for x in rows])
        nothing = tuple([m.zeros_like(s) for s in states])
        back, found = m.lax.scan(one, nothing, given, reverse=not backwards)
        return [_together(x) for x in found], back

    return m.jax.jit(all_times)  # type: ignore[no-any-return]


def _apart(x: Any, times: int) -> Any:
    return x.reshape(times, -1, x.shape[1])


def _together(x: Any) -> Any:
    return x.reshape(-1, x.shape[2])


def _ends(z: Any, states: Arrays) -> list[tuple[int, int]]:
    """The columns of the states, h first."""
    end, found = z.shape[1], []
    for state in states:
        found.append((end - state.shape[1], end))
        end -= state.shape[1]
    return found


@functools.cache
def jax_namespace() -> JAX:
    """JAX の名前空間。はじめて呼ぶときに JAX を読み込む。"""
    return JAX()


def is_jax(x: Any) -> bool:
    """JAX の配列か、`jax.jit` などの中でその代わりをする tracer か。"""
    # Whoever holds an array of JAX has imported JAX: nothing else needs to.
    array = getattr(sys.modules.get("jax"), "Array", None)  # missing while JAX is being imported
    return array is not None and isinstance(x, array)


def is_traced(x: Any) -> bool:
    """`jax.jit` などの中の、値のない配列か。"""
    return is_jax(x) and isinstance(x, sys.modules["jax"].core.Tracer)


def automatic(x: Any) -> Any:
    """JAX の配列を、同じ装置に、軸の種類が Auto のメッシュ (mesh) で置いたもの。ほかはそのまま。

    種類が Explicit の軸では、行列積や添字のたびに、結果の置き方を書かなければならない。

    Raises:
        TypeError: `jax.set_mesh` の中で、軸の種類が Explicit。
    """
    if not is_jax(x) or is_traced(x):
        return x
    sharding = x.sharding
    mesh = getattr(sharding, "mesh", None)
    if mesh is None or "Explicit" not in map(_name, mesh.axis_types):
        return x
    jax = sys.modules["jax"]
    if "Explicit" in map(_name, jax.sharding.get_abstract_mesh().axis_types):
        raise TypeError(
            "jax.set_mesh のメッシュの軸が Explicit なので、計算できません (explicit mesh axes): "
            "jax.make_mesh(…, axis_types=(jax.sharding.AxisType.Auto,)) と、軸ごとに Auto と書いて"
            "ください。set_mesh を使わなければ、そのままで動きます。"
        )
    auto = jax.sharding.Mesh(mesh.devices, mesh.axis_names)
    return jax.device_put(x, jax.sharding.NamedSharding(auto, sharding.spec))


def _name(axis_type: Any) -> str:
    return str(axis_type.name)


def _checked(key: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The key itself, once it is known to be one that NumPy would accept, where it can be known."""
    traced = [k for k in key if is_traced(k)]
    if any(k.dtype == bool for k in traced):
        raise TypeError(
            "jax.jit の中では、真偽値の配列で要素を選べません (boolean indexing): 結果の形が値で"
            "決まるからです。mg.where(条件, x, 0) のように、形の変わらない書き方にしてください。"
        )
    if not traced:
        # An array of the same shape with one byte of memory.
        np.broadcast_to(np.False_, shape)[tuple(np.asarray(k) if is_jax(k) else k for k in key)]
    return key
