"""Machine code for recurrent layers against the formulas: cells, all times, both derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import native, nn
from micrograd_jp.namespace import ieee
from micrograd_jp.native import blockwise, call, machine_code
from micrograd_jp.native import recurrent as kernels
from micrograd_jp.ops import arrays
from micrograd_jp.ops import recurrent as ops

pytestmark = pytest.mark.skipif(not native.available(), reason="機械語には llvmlite が要る")
WIDTHS = [n for n in (16, 32, 64) if native.available() and n <= machine_code.vector_bytes()]
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 300.0, -300.0, 1e-40]
CELLS = {  # the blocks of each operand
    ops.lstm_cell: (4, 1), ops.lstm_cell_back: (5, 1, 5, 1, 1), ops.gru_cell: (3, 3, 1),
    ops.gru_cell_back: (4, 1, 4, 1),
}  # fmt: skip
seeds, sizes = st.integers(0, 10**6), st.integers(1, 40)
types = st.sampled_from([np.float32, np.float64])


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr(blockwise, "SMALL", 0)
    monkeypatch.setattr(kernels, "SMALL", 0)
    monkeypatch.setattr(kernels, "FEW", 1)


@pytest.fixture(params=WIDTHS or [16])
def width(request, monkeypatch, any_size):
    """Every length of the registers that this machine has."""
    monkeypatch.setattr(machine_code, "vector_bytes", lambda: request.param)
    call.kernel.cache_clear()
    yield request.param
    call.kernel.cache_clear()


def require_close(got, want, scale=1):
    assert got.dtype == want.dtype and got.shape == want.shape
    bound = 16 * np.finfo(got.dtype).eps * scale
    np.testing.assert_allclose(got, want, rtol=bound, atol=bound)


def scattered(rng, x, count):
    """Some of the numbers are special ones."""
    x.reshape(-1)[rng.integers(0, x.size, count)] = rng.choice(SPECIAL, count)
    return x


@pytest.mark.parametrize(
    "width",  # of every length with the slow tests: each is compiled
    [pytest.param(w, marks=[pytest.mark.slow] if i else []) for i, w in enumerate(WIDTHS or [16])],
    indirect=True,
)
@pytest.mark.parametrize("formula", CELLS, ids=lambda f: f.__name__)
def test_cells_are_what_the_formulas_say(width, formula):
    @settings(max_examples=10)
    @given(seeds, sizes, sizes, types, st.booleans())
    def check(seed, rows, n, dtype, special):
        rng = np.random.default_rng(seed)
        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(blockwise, "JOB", 10 * n)
            xs = []
            for blocks in CELLS[formula]:  # columns of wider rows
                wide = rng.normal(size=(rows, n * (blocks + 1))).astype(dtype)
                wide = scattered(rng, wide, 3) if special else wide
                xs.append(wide[:, n:] if rng.random() < 0.5 else np.ascontiguousarray(wide[:, n:]))
            got = blockwise.blockwise(formula, n, *xs)
            want = arrays.blockwise(ieee, formula, n, *xs)
        require_close(got, want, 1000 if special else 1)  # 300 − 299.9 has lost digits

    check()


def test_columns_that_are_not_side_by_side_are_left_to_numpy():
    x = np.ones((64, 128), np.float32)
    assert blockwise.blockwise(ops.lstm_cell, 32, x, x[:, :32]) is not None
    for other in (x[:, ::4], x.astype(np.float64)[:, :32], x[:32, :32], x[:, :32].astype("f2")):
        assert blockwise.blockwise(ops.lstm_cell, 32, x, other) is None
    with native.disabled():
        assert blockwise.blockwise(ops.lstm_cell, 32, x, x[:, :32]) is None


def lstm(seed, batch, n, times, dtype, special=0):
    """Operands of the forward pass, and an upstream gradient."""
    rng = np.random.default_rng(seed)
    shapes = (times * batch, 4 * n), (4 * n, n), (batch, n), (batch, n), (times * batch, 6 * n)
    *xs, u = (rng.normal(size=s).astype(dtype) / np.sqrt(n).astype(dtype) for s in shapes)
    if special:
        xs[0], u = scattered(rng, xs[0], special), scattered(rng, u, special)
    return xs, u


def test_all_times_are_what_the_formula_says(width):
    @settings(max_examples=15)
    @given(seeds, sizes, sizes, st.integers(1, 5), types, st.booleans(), st.booleans())
    def check(seed, batch, n, times, dtype, backwards, special):
        how = {"sizes": (batch,) * times, "backwards": backwards}
        (x, w, h, c), u = lstm(seed, batch, n, times, dtype, 2 * special)
        with np.errstate(all="ignore"):
            z = kernels.lstm_forward((x,), (h, c), (w,), **how)
            rows = u, z, ops._before(ieee, z[:, 4 * n : 5 * n], c, **how)
            slopes = kernels.lstm_backward(rows, (h, c), (w,), **how)
            with native.disabled():
                require_close(z, ops.lstm_forward(ieee, (x,), (h, c), (w,), **how), 50)
                (wanted,), starts = ops.lstm_backward(ieee, rows, (h, c), (w,), **how)
        scale = max(1, np.nanmax(np.abs(wanted), where=np.isfinite(wanted), initial=0))
        for got, want in zip((*slopes[0], *slopes[1]), (wanted, *starts), strict=True):
            require_close(got, want, 50 * scale)

    check()


def test_what_the_kernel_leaves_to_the_formula():
    (x, w, h, c), _ = lstm(0, 8, 32, 16, np.float32)

    def left(*weights, sizes=(8,) * 16):
        return kernels.lstm_forward((x,), (h, c), weights, sizes, False) is None

    assert not left(w)
    assert left(w, w[:2]) and left(w.astype(float))
    assert left(w, sizes=(8,) * 15 + (4, 4)) and left(w, sizes=(8, 8))
    with native.disabled():
        assert left(w)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_layers_and_both_derivatives_are_those_of_the_formula(any_size, kind):
    mg.manual_seed(0)
    model = getattr(nn, kind)(3, 8, 2, bidirectional=True).double()
    x = mg.randn(5, 4, 3, dtype=mg.float64, requires_grad=True)
    leaves = [x, *model.parameters()]

    def derivatives():
        out, states = model(x)
        loss = (out**3).sum() + sum((s**2).sum() for s in states)
        first = mg.autograd.grad(loss, leaves, create_graph=True)
        return [loss, *first, *mg.autograd.grad(sum((g * g).sum() for g in first), leaves)]

    found = derivatives()
    with native.disabled():
        wanted = derivatives()
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)
