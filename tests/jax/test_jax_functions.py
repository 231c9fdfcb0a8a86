"""mg の関数が、番号も jax.jit の中の配列であるときに、NumPy と同じ値と勾配を出す。"""

import numpy as np
import pytest

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax
import jax.numpy as jnp

import micrograd_jp as mg

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
PICKS = np.array([2, 0, 2])
FUNCTIONS = {
    "getitem": lambda t, i: t[i, 1:],
    "take": lambda t, i: mg.take(t, i, 0),
    "gather": lambda t, i: mg.gather(t, 1, i[:, None]),
    "index_add": lambda t, i: mg.index_add(t, 0, i, t * 2),
    "sort": lambda t, i: mg.sort(t, 1)[0],
    "topk": lambda t, i: mg.topk(t, 2)[0],
    "argsort": lambda t, i: t * mg.argsort(t, 1),
    "argmax": lambda t, i: t * t.argmax(1)[:, None],
    "max": lambda t, i: t.max(1)[0],
    "prod": lambda t, i: t.prod(1),
    "std": lambda t, i: t.std(0),
    "diagonal": lambda t, i: mg.diagonal(t),
    "split": lambda t, i: mg.split(t, 2, 1)[0],
    "einsum": lambda t, i: mg.einsum("ab,cb->ac", t, t),
    "inv": lambda t, i: mg.inv(t[:, :3]),
    "det": lambda t, i: mg.det(t[:, :3]),
    "slogdet": lambda t, i: mg.slogdet(t[:, :3])[1],
    "ones_like": lambda t, i: t * mg.ones_like(t),
    "0 ** 0": lambda t, i: (t * 0) ** 0 + (t * 0) ** 2.0,
}


def _value_and_slope(f, x, i):
    t = mg.tensor(x, requires_grad=True)
    y = f(t, i)
    y.sum().backward()
    return y._data, t.grad._data


def _all(x, i, names=FUNCTIONS):
    return {name: _value_and_slope(FUNCTIONS[name], x, i) for name in names}


INDEXED = ("getitem", "take", "gather", "index_add")


def test_functions_of_traced_arrays_and_traced_indices():
    wanted = _all(X, PICKS)
    indexed = jax.jit(lambda i: _all(jnp.asarray(X), i, INDEXED))(PICKS)
    everything = jax.jit(_all)(X, PICKS)
    assert everything.keys() == wanted.keys()
    for got in (everything, indexed):
        for name, arrays in got.items():
            for a, b in zip(arrays, wanted[name], strict=True):
                assert a.dtype == b.dtype, name
                assert np.isfinite(b).all(), name
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_traced_index_into_numpy_arrays():
    f = jax.jit(lambda i: (mg.tensor(X)[i] * mg.take(mg.tensor(X), i, 0)).jax())
    np.testing.assert_allclose(f(PICKS), X[PICKS] ** 2, rtol=1e-6)
