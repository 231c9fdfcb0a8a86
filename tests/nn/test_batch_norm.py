"""NumPy のバッチ正規化を、演算の表の式と比べる: どの並び、大きさ、型でも同じになる。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import namespace, nn
from micrograd_jp.namespace.numpy_kernels import norm as kernels
from micrograd_jp.ops import norm as formula
from micrograd_jp.testing import gradcheck

EPS = 0.01
shapes = st.one_of(
    st.tuples(st.integers(0, 6), st.integers(1, 4)),
    st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(0, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    st.just((5, 7, 61, 47)),  # several pieces, and no whole number of them
)
memories = st.sampled_from(["first", "last", "strange"])


def laid_out(x, memory):
    """The same array, otherwise in memory."""
    if memory == "last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return np.repeat(x, 2, axis=1)[:, ::2] if memory == "strange" else x


def problem(shape, seed, memory, dtype=np.float64):
    rng = np.random.default_rng(seed)
    c = shape[1]
    x, g = (laid_out(rng.normal(3, 2, shape).astype(dtype), memory) for _ in range(2))
    return (x, g, *(rng.normal(size=c).astype(dtype) for _ in range(2)))


def close(ours, theirs, tolerance=1e-9):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@given(shape=shapes, seed=st.integers(0, 99), memory=memories, batch=st.booleans())
def test_the_kernels_compute_the_formula(shape, seed, memory, batch):
    x, g, w, b = problem(shape, seed, memory)
    mean, var = kernels.batch_statistics(x)
    for ours, theirs in zip((mean, var), formula.statistics(np, x), strict=True):
        close(ours, theirs)
    close(
        kernels.batch_normalized(x, w, b, mean, var, EPS),
        formula.normalized(np, x, w, b, mean, var, EPS),
    )
    ours = kernels.batch_normalized_back(g, x, w, mean=mean, var=var, eps=EPS, batch=batch)
    for one, other in zip(ours, formula.gradients(np, g, x, w, mean, var, EPS, batch), strict=True):
        close(one, other, 1e-8)


def test_a_wrong_formula_is_noticed():
    x, g, w, _ = problem((3, 2, 4), 0, "first")
    mean, var = kernels.batch_statistics(x)
    ours = kernels.batch_normalized_back(g, x, w, mean=mean, var=var, eps=EPS, batch=True)
    with pytest.raises(AssertionError):
        close(ours[0], formula.gradients(np, g, x, w, mean, var, EPS, False)[0])


def test_a_mean_far_above_the_deviation():
    """Where Σx² − n·mean² has no correct digit left."""
    x = (1e4 + np.random.default_rng(0).normal(size=(64, 3, 30, 30))).astype(np.float32)
    _, var = kernels.batch_statistics(x)
    np.testing.assert_allclose(var, x.astype(np.float64).var(axis=(0, 2, 3)), rtol=1e-4)
    z = nn.BatchNorm2d(3)(x).detach().numpy()
    np.testing.assert_allclose(z.std(axis=(0, 2, 3)), 1, rtol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_halves_are_computed_in_single_precision(training):
    norm = nn.BatchNorm2d(3, dtype=mg.float16).train(training)
    x = mg.tensor(problem((4, 3, 5, 5), 0, "first", np.float16)[0], requires_grad=True)
    z = norm(x)
    (z * z * z).sum().backward()
    single = nn.BatchNorm2d(3).train(training)
    y = mg.tensor(x.detach().numpy().astype(np.float32), requires_grad=True)
    expected = single(y)
    (expected * expected * expected).sum().backward()
    assert z.dtype == x.grad.dtype == norm.weight.grad.dtype == mg.float16
    np.testing.assert_allclose(z.detach().numpy(), expected.detach().numpy(), atol=5e-3)
    scale = np.abs(y.grad.numpy()).max()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), atol=2e-2 * scale)


def test_the_result_keeps_channels_side_by_side():
    x, *_ = problem((2, 3, 4, 4), 0, "last")
    z = nn.BatchNorm2d(3, dtype=mg.float64)(mg.Tensor(x))
    assert z.detach().numpy().transpose(0, 2, 3, 1).flags.c_contiguous


def test_running_averages_may_change_before_the_backward_pass():
    norm = nn.BatchNorm1d(2, dtype=mg.float64).eval()
    x = mg.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=mg.float64, requires_grad=True)
    z = norm(x)
    norm.train()(x * 7)
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 / np.sqrt(1 + norm.eps))


def test_third_derivatives():
    x, _, w, b = problem((3, 2, 2), 1, "first")
    third = lambda *xs: mg.grad(lambda y: (mg.grad(cubed)(y, *xs[1:]) ** 2).sum())(xs[0])
    cubed = lambda x, w, b: (
        nn.functional.batch_norm(x, None, None, w, b, training=True, eps=0.5) ** 3
    ).sum()
    assert gradcheck(third, (x, w, b))


def test_jax_computes_the_same():
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    x, g, w, _ = problem((3, 4, 5), 0, "first", np.float32)
    m = namespace.of(jnp.asarray(x))
    mean, var = kernels.batch_statistics(x)
    for ours, theirs in zip((mean, var), m.batch_statistics(jnp.asarray(x)), strict=True):
        close(ours, np.asarray(theirs), 1e-5)
    for batch in (True, False):
        options = {"mean": mean, "var": var, "eps": EPS, "batch": batch}
        ours = kernels.batch_normalized_back(g, x, w, **options)
        theirs = m.batch_normalized_back(jnp.asarray(g), jnp.asarray(x), jnp.asarray(w), **options)
        for one, other in zip(ours, theirs, strict=True):
            close(one, np.asarray(other), 1e-4)
