"""勾配のクリッピング: PyTorch と同じ勾配とノルム、Value と JAX、有限でない勾配。"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import give, give_torch, gradients, tensors, values

import micrograd_jp as mg
from micrograd_jp.nn.utils import clip_grad_norm_, clip_grad_value_
from tests.reference import like_pytorch, torch

SHAPES = [(3, 4), (4,), ()]
NORMS = st.sampled_from([1.0, 2.0, 3.5, math.inf])


@like_pytorch(
    NORMS, st.floats(0, 20), st.integers(0, 1000), st.sampled_from(["f4", "f8"]), max_examples=40
)
def test_pytorchs_norms_and_gradients(norm_type, limit, seed, dtype):
    rng = np.random.default_rng(seed)
    arrays = gradients(rng, SHAPES, dtype)
    ours, theirs = tensors(arrays), [torch.tensor(a, requires_grad=True) for a in arrays]
    grads = gradients(rng, SHAPES, dtype, missing=0.2)
    if all(g is None for g in grads):  # PyTorch fails an assertion of its own
        give(ours, grads)
        assert clip_grad_norm_(ours, limit, norm_type) == 0
        return
    for clips in ((clip_grad_norm_, torch.nn.utils.clip_grad_norm_), (clip_grad_value_,) * 2):
        give(ours, grads)
        give_torch(theirs, grads)
        if clips[0] is clip_grad_norm_:
            a, b = (clip(ps, limit, norm_type) for clip, ps in zip(clips, (ours, theirs)))
            assert isinstance(a, mg.Tensor) and a.dtype == dtype and not a.requires_grad
            assert a.item() == pytest.approx(b.item(), rel=1e-5)
        else:
            clip_grad_value_(ours, limit)
            torch.nn.utils.clip_grad_value_(theirs, limit)
        for p, t in zip(ours, theirs):
            assert (p.grad is None) == (t.grad is None)
            if p.grad is not None:
                assert p.grad.dtype == dtype
                np.testing.assert_allclose(p.grad.numpy(), t.grad.numpy(), rtol=1e-5, atol=1e-9)


@given(
    st.sampled_from([1e-7, 1e-6, 2e-6, 1e-3, 1.0, 50.0]),
    st.sampled_from([0.0, 1e-6, 0.5, 1e3]),
    NORMS,
)
def test_the_formula_at_every_size(size, limit, norm_type):
    g = np.array([0.6, -0.8, 0.0, 0.3]) * size
    (p,) = tensors([np.zeros(4)])
    give([p], [g])
    norm = np.linalg.norm(g, norm_type)
    assert clip_grad_norm_(p, limit, norm_type).item() == pytest.approx(norm, rel=1e-12)
    wanted = g * min(1.0, limit / (norm + 1e-6))
    np.testing.assert_allclose(p.grad.numpy(), wanted, rtol=1e-12, atol=0)


def test_values_and_tensors_are_one_vector():
    p, vs = mg.tensor([3.0], requires_grad=True), values([0, 0])
    p.grad, vs[0].grad = mg.tensor([3.0]), 4.0
    assert clip_grad_norm_([p, *vs], 1.0, foreach=False).item() == pytest.approx(5.0)
    assert p.grad.item() == pytest.approx(0.6, rel=1e-6)
    assert vs[0].grad == pytest.approx(0.8, rel=1e-6)
    assert not vs[1].has_grad
    clip_grad_value_([p, *vs], 0.7, foreach=True)
    assert (p.grad.item(), vs[0].grad) == pytest.approx((0.6, 0.7))
    assert vs[0].grad.__class__ is float


@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_empty_parameters_add_nothing(norm_type):
    p, empty = mg.tensor([0.0], requires_grad=True), mg.tensor(np.ones((0, 2)), requires_grad=True)
    p.grad, empty.grad = mg.tensor([4.0]), mg.tensor(np.ones((0, 2)))
    assert clip_grad_norm_([p, empty], 1.0, norm_type) == 4.0
    assert p.grad.item() == pytest.approx(1.0)


def test_small_gradients_are_left_bit_for_bit():
    p = mg.tensor([0.1, 0.2], requires_grad=True)
    p.grad = mg.tensor([0.1, 0.2])
    assert clip_grad_norm_(p, 1.0) < 1
    np.testing.assert_array_equal(p.grad.numpy(), np.float32([0.1, 0.2]))
    assert clip_grad_norm_([mg.tensor([1.0], requires_grad=True)], 1.0) == 0.0


def test_non_finite_norms():
    p = mg.tensor([1.0, 2.0], requires_grad=True)
    p.grad = mg.tensor([1.0, math.inf])
    with pytest.raises(RuntimeError, match="non-finite"):
        clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [1.0, math.inf]
    assert clip_grad_norm_(p, 1.0) == math.inf
    assert p.grad.tolist()[0] == 0.0 and math.isnan(p.grad.tolist()[1])


def test_half_precision_squares_do_not_overflow():
    p = mg.Tensor(np.zeros(2, "f2"), requires_grad=True)
    p.grad = mg.Tensor(np.array([3e4, 4e4], "f2"))
    assert clip_grad_norm_(p, 1.0).item() == pytest.approx(5e4, rel=1e-3)
    assert p.grad.dtype == "f2"
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=2e-3)


def test_inside_jax_jit():
    jax = pytest.importorskip("jax", reason="jax がありません")

    @jax.jit
    def clipped(g):
        p = mg.Tensor(g * 0, requires_grad=True)
        p.grad = mg.Tensor(g)
        norm = clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
        first = p.grad._data
        clip_grad_value_([p], 0.7)
        return norm._data, first, p.grad._data

    norm, first, second = clipped(jax.numpy.array([3.0, 4.0]))
    assert float(norm) == pytest.approx(5)
    np.testing.assert_allclose(first, [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(second, [0.6, 0.7], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: clip_grad_norm_([], -1.0), ValueError, "max_norm"),
        (lambda: clip_grad_norm_([], 1.0, 0), ValueError, "norm_type"),
        (lambda: clip_grad_norm_(3.0, 1.0), TypeError, "expected an iterable"),
        (lambda: clip_grad_value_([], -1.0), ValueError, "clip_value"),
    ],
)
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()
