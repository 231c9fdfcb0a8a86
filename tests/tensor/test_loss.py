"""1 つのノードになった損失と全結合: 極端なロジットでも安定で、部品から作った式と一致する。"""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.tensor.functions.linalg import linear
from micrograd_jp.tensor.functions.loss import softmax_cross_entropy

EXTREME = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0], [-1000.0] * 3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(dtype):
    x = mg.tensor(EXTREME.astype(dtype), requires_grad=True)
    losses = softmax_cross_entropy(x, [1, 2, 0])
    np.testing.assert_allclose(losses.data, [2000, np.log(2), np.log(3)], rtol=1e-6)
    losses.sum().backward()
    third = 1 / 3
    np.testing.assert_allclose(
        x.grad.numpy(), [[1, -1, 0], [0, 0.5, -0.5], [third - 1, third, third]], atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_and_probabilities(dtype):
    x = mg.tensor(EXTREME.astype(dtype), requires_grad=True)
    q = np.array([[0.5, 0.25, 0.25], [0, 0, 1], [0, 0.5, 0.5]], dtype=dtype)
    losses = softmax_cross_entropy(x, q)
    np.testing.assert_allclose(losses.data, [750, np.log(2), np.log(3)], rtol=1e-6)
    losses.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    np.testing.assert_allclose(x.grad.numpy().sum(1), 0, atol=1e-6)


def test_masked_classes_have_probability_zero():
    x = mg.tensor(np.array([[-np.inf, 0.0, 0.0]]), requires_grad=True)
    losses = softmax_cross_entropy(x, [1])
    np.testing.assert_allclose(losses.data, np.log(2))
    losses.backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, -0.5, 0.5]])


def test_a_confident_loss_keeps_its_digits():
    x = mg.tensor(np.array([[1000.0, 990.0]], dtype=np.float32))
    np.testing.assert_allclose(
        softmax_cross_entropy(x, [0]).data, np.log1p(np.exp(-10.0)), rtol=5e-3
    )


def test_one_hot_targets_agree_with_classes():
    rng = np.random.default_rng(0)
    x, t = mg.tensor(rng.normal(size=(5, 4)), requires_grad=True), np.array([3, 0, 1, 1, 2])
    for target in (t, np.eye(4)[t], mg.tensor(t), mg.tensor(np.eye(4)[t]), t.tolist()):
        x.grad = None
        loss = softmax_cross_entropy(x, target)
        loss.mean().backward()
        want = -mg.log_softmax(x.detach()).data[np.arange(5), t]
        np.testing.assert_allclose(loss.data, want, rtol=1e-12)
        softmax = mg.softmax(x.detach()).data
        np.testing.assert_allclose(x.grad.data, (softmax - np.eye(4)[t]) / 5, rtol=1e-10)


def test_classes_written_over_after_the_loss_do_not_matter():
    x, t = mg.tensor(np.zeros((2, 3)), requires_grad=True), np.array([0, 1])
    loss = softmax_cross_entropy(x, t).sum()
    t[:] = 2
    loss.backward()
    assert (x.grad.numpy()[[0, 1], [0, 1]] < 0).all()


def test_a_class_that_is_not_there():
    with pytest.raises(IndexError, match="invalid index"):
        softmax_cross_entropy(mg.tensor(np.zeros((2, 3))), [0, 3])


@pytest.mark.parametrize("shapes", [((2, 3), (4, 2)), ((3,), (2, 4)), ((), (1, 1)), ((3,), (3,))])
def test_linear_refuses_shapes(shapes):
    with pytest.raises(ValueError, match="linear shape mismatch"):
        linear(*[np.ones(shape) for shape in shapes])
    with pytest.raises(ValueError, match="linear shape mismatch"):
        linear(np.ones((2, 3)), np.ones((4, 3)), np.ones((2, 4)))


def test_linear_of_mixed_types():
    x, w = mg.tensor(np.ones((2, 3), np.float32)), mg.tensor(np.ones((4, 3), np.float32))
    b = mg.tensor(np.ones(4), requires_grad=True)
    out = linear(x, w, b)
    assert out.dtype == np.float64
    out.sum().backward()
    assert b.grad.tolist() == [2.0] * 4


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2)])
def test_linear_computes_only_the_gradients_that_are_wanted(wanted):
    from micrograd_jp.ops import linalg as ops

    asked = []
    rules = tuple(
        lambda *args, rule=rule, i=i: (asked.append(i), rule(*args))[1]
        for i, rule in enumerate(ops.linear.vjp)
    )
    xs = [
        mg.tensor(np.ones(shape), requires_grad=i in wanted)
        for i, shape in enumerate([(2, 3), (4, 3), (4,)])
    ]
    out = linear(*xs).sum()
    right = ops.linear.vjp
    object.__setattr__(ops.linear, "vjp", rules)
    try:
        out.backward()
    finally:
        object.__setattr__(ops.linear, "vjp", right)
    assert tuple(asked) == wanted
