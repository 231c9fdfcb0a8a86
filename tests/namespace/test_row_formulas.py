"""Kernels for rows (softmax, standardization) against their formulas, in machine code and NumPy."""

import contextlib
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_jp import native
from micrograd_jp.namespace import ieee
from micrograd_jp.namespace.numpy_kernels import rows
from micrograd_jp.ops import arrays, norm

FORMULAS = {
    "softmax_along": (arrays.softmax_along, 1, {}),
    "softmax_back": (arrays.softmax_back, 2, {}),
    "log_softmax_along": (arrays.log_softmax_along, 1, {}),
    "log_softmax_back": (arrays.log_softmax_back, 2, {}),
    "standardized_along": (norm.standardized_along, 1, {"eps": 1e-5}),
    "standardized_back": (norm.standardized_back, 3, {"eps": 1e-5}),
}
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 300.0, 1e-40]
TYPES = [np.float32, np.float64]
AXIS = {2: (1,), 3: (1, 2)}


@pytest.fixture(params=["numpy", "native"])
def way(request):
    if request.param == "native" and not native.available():
        pytest.skip("機械語には llvmlite (extra fast) が要る")
    with native.disabled() if request.param == "numpy" else contextlib.nullcontext():
        yield request.param


def operands(name, x, rng):
    """What the kernel is given: x, or an upstream gradient with the values (and x)."""
    formula, _, how = FORMULAS[name.replace("_back", "_along")]
    if name.endswith("_along"):
        return [x]
    with np.errstate(all="ignore"):
        z = formula(ieee, x, axis=AXIS[x.ndim], **how)
    return [rng.normal(size=x.shape).astype(x.dtype), z, x][: FORMULAS[name][1]]


def both(name, xs, wide=None):
    """The kernel's numbers, and those of the formula (in another dtype)."""
    formula, _, how = FORMULAS[name]
    how = {"axis": AXIS[xs[0].ndim], **how}
    with np.errstate(all="ignore"):
        got = getattr(ieee, name)(*xs, **how)
        return got, formula(ieee, *(x.astype(wide or x.dtype) for x in xs), **how)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_are_what_the_formula_says(way, name, dtype):
    @settings(max_examples=8)
    @given(st.integers(0, 10**6), st.integers(rows.SHORT, 300), st.sampled_from([2, 3]))
    def check(seed, n, ndim):
        rng = np.random.default_rng(seed)
        shape = (rows.SMALL // n // 2 + 1, 2, n) if ndim == 3 else (rows.SMALL // n + 1, n)
        x = rng.normal(size=shape).astype(dtype)
        xs = operands(name, x, rng)
        assert rows.suits(AXIS[ndim], *xs)
        got, want = both(name, xs, np.float64 if dtype == np.float32 else np.longdouble)
        assert got.dtype == dtype and got.shape == shape and got.flags.c_contiguous
        scale = np.maximum(1, np.abs(want).max(AXIS[ndim], keepdims=True))
        assert (np.abs(got - want) <= 32 * np.finfo(dtype).eps * scale).all()
        x.reshape(-1)[rng.integers(0, x.size, 5)] = rng.choice(SPECIAL, 5)
        got, want = both(name, operands(name, x, rng))
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)

    check()


@pytest.mark.parametrize("name", FORMULAS)
def test_rows_of_nothing_but_one_number(way, name):
    for number in (-np.inf, np.inf, np.nan, 0.0, 1e30, -3.0):
        x = np.full((64, 64), number, np.float32)
        got, want = both(name, operands(name, x, np.random.default_rng(0)))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-3)


def normalized(m, x, w, b, g, axis, eps=1e-5):
    """The value, and the gradients of x, w and b."""
    with np.errstate(all="ignore"):
        z = m.layer_normalized(x, w, b, axis=axis, eps=eps)
        return z, *m.layer_normalized_back(g, x, w, axis=axis, eps=eps)


class Formulas:
    layer_normalized = staticmethod(functools.partial(norm.layer_normalized, ieee))
    layer_normalized_back = staticmethod(functools.partial(norm.layer_normalized_back, ieee))


@pytest.mark.parametrize("dtype", TYPES)
def test_normalized_rows_are_what_the_formula_says(way, dtype):
    @settings(max_examples=8)
    @given(st.integers(0, 10**6), st.integers(rows.SHORT, 300), st.sampled_from([2, 3]))
    def check(seed, n, ndim):
        rng = np.random.default_rng(seed)
        row = (2, n) if ndim == 3 else (n,)
        shape = (rows.SMALL // n // (ndim - 1) + 1, *row)
        xs = [rng.normal(size=s).astype(dtype) for s in (shape, row, row, shape)]
        assert rows.suits(AXIS[ndim], xs[0], xs[3], same=xs[1:3])
        wide = [a.astype(np.float64 if dtype == np.float32 else np.longdouble) for a in xs]
        got, want = normalized(ieee, *xs, AXIS[ndim]), normalized(Formulas, *wide, AXIS[ndim])
        for a, b in zip(got, want, strict=True):
            assert a.dtype == dtype and a.shape == b.shape
            assert np.abs(a - b).max() <= 32 * np.finfo(dtype).eps * max(1, np.abs(b).max())
        xs[0].reshape(-1)[rng.integers(0, xs[0].size, 3)] = rng.choice(SPECIAL, 3)
        xs[3].reshape(-1)[rng.integers(0, xs[3].size, 3)] = rng.choice(SPECIAL, 3)
        got, want = normalized(ieee, *xs, AXIS[ndim]), normalized(Formulas, *xs, AXIS[ndim])
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)

    check()


def test_sums_of_many_rows_lose_no_digits(way):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 16)).astype(np.float32)
    g, w = 1 + x[::-1] ** 2, x[0].copy()
    *_, for_w, for_b = normalized(ieee, x, w, w, g, (1,))
    unit = ieee.standardized_along(x.astype(np.float64), axis=(1,), eps=1e-5)
    np.testing.assert_allclose(for_b, g.sum(0, np.float64), rtol=2e-6)
    np.testing.assert_allclose(for_w, (g * unit).sum(0), rtol=0, atol=2e-6 * g.sum(0).max())


def test_long_rows_lose_no_digits(way):
    """Sums of float32 over a million numbers around 1000."""
    x = (1000 + np.random.default_rng(0).normal(size=(2, 1 << 20))).astype(np.float32)
    d = ieee.standardized_along(x, axis=(1,), eps=0.0)
    wide = x.astype(np.float64)
    want = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    assert np.abs(d - want).max() < 1e-3
    z = ieee.softmax_along(x - 1000, axis=(1,))
    assert np.abs(z.astype(np.float64).sum(1) - 1).max() < 1e-5


@pytest.mark.parametrize(
    ("shape", "axis", "layout"),
    [((64, 64), (0,), "C"), ((64, 64), (1,), "F"), ((4096, 4), (1,), "C"), ((8, 8), (1,), "C")],
)
def test_other_arrays_are_left_to_the_formula(shape, axis, layout):
    x = np.asarray(np.random.default_rng(0).normal(size=shape), order=layout)
    assert not rows.suits(axis, x)
    want = arrays.softmax_along(ieee, x, axis)
    assert (ieee.softmax_along(x, axis=axis) == want).all()
