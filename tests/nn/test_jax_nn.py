"""層と損失を JAX の配列で、`jax.jit` の中でも: NumPy と同じ答え、値を調べない検査。"""

import numpy as np
import pytest

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax
import jax.numpy as jnp

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn


def build():
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.GELU(), nn.Residual(nn.Linear(5, 5), nn.Tanh()),
        nn.LayerNorm(5), nn.Linear(5, 3),
    )  # fmt: skip


def to_jax(model):
    for x in (*model.parameters(), *model.buffers()):
        x.data = jnp.asarray(x.detach().numpy())
    return model


def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 3, 8).astype(np.int32)


LOSSES = [
    mg.cross_entropy,
    lambda y, t: mg.cross_entropy(y, t, np.array([1.0, 2.0, 3.0]), label_smoothing=0.1),
    mg.hinge_loss,
    lambda y, t: mg.nll_loss(F.log_softmax(y, 1), t),
    lambda y, t: mg.cross_entropy(y, F.one_hot(t, 3).astype(np.float32)),
    lambda y, t: mg.binary_cross_entropy_with_logits(y, F.one_hot(t, 3)),
    lambda y, t: mg.hinge_loss(y, 2 * F.one_hot(t, 3) - 1),
]


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_on_jax(loss):
    the_same_on_jax_and(loss, inside=loss is LOSSES[1])


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_inside_jit(loss):
    the_same_on_jax_and(loss, inside=True)


def the_same_on_jax_and(loss, inside):
    x, t = batch()
    ours, theirs = build(), to_jax(build())
    expected = loss(ours(mg.tensor(x)), mg.tensor(t))
    expected.backward()

    def step(parameters, x, t):
        for p, data in zip(theirs.parameters(), parameters, strict=True):
            p.data = data
        theirs.zero_grad()
        out = loss(theirs(mg.tensor(x)), mg.tensor(t))
        out.backward()
        return out._data, [p.grad._data for p in theirs.parameters()]

    held = [p._data for p in theirs.parameters()]
    for run in (step, jax.jit(step)) if inside else (step,):
        if run is not step:  # running statistics cannot be updated inside jit
            theirs[1].track_running_stats = False
        value, grads = run(held, jnp.asarray(x), jnp.asarray(t))
        np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-5)
        for p, g in zip(ours.parameters(), grads, strict=True):
            np.testing.assert_allclose(g, p.grad.numpy(), rtol=2e-3, atol=1e-6)
    for p, data in zip(theirs.parameters(), held, strict=True):
        p.data = data


def test_running_statistics_on_jax():
    x, _ = batch()
    ours, theirs = build(), to_jax(build())
    for _ in range(3):
        ours(mg.tensor(x))
        theirs(mg.tensor(jnp.asarray(x)))
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert isinstance(b._data, jax.Array)
        np.testing.assert_allclose(b.data, a.data, rtol=1e-4, atol=1e-6)


def test_state_goes_from_one_to_the_other():
    ours, theirs = build(), to_jax(build())
    nn.init.normal_(ours[0].weight)
    theirs.load_state_dict(ours.state_dict())
    assert isinstance(theirs[0].weight._data, jax.Array)
    np.testing.assert_array_equal(theirs[0].weight.data, ours[0].weight.data)
    nn.init.constant_(theirs[0].weight, 2.0)
    assert isinstance(theirs[0].weight._data, jax.Array)
    ours.load_state_dict(theirs.state_dict())
    assert isinstance(ours[0].weight._data, np.ndarray)
    assert (ours[0].weight.data == 2).all()


def test_what_cannot_work_inside_jit_says_so():
    x, _ = batch()
    norm = nn.BatchNorm1d(4)
    with pytest.raises(TypeError, match="running statistics inside"):
        jax.jit(lambda x: norm(mg.tensor(x)).jax())(x)
    with pytest.raises(TypeError, match="dropout inside"):
        jax.jit(lambda x: jnp.asarray(F.dropout(mg.tensor(x))))(x)
    assert norm.running_mean.tolist() == [0] * 4
    assert isinstance(norm.running_mean.numpy(), np.ndarray)
    jax.jit(lambda x: nn.Dropout().eval()(norm.eval()(mg.tensor(x))).detach().jax())(x)


def test_targets_with_values_are_checked_on_jax_too():
    y = mg.tensor(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="out of range"):
        mg.cross_entropy(y, jnp.array([0, 3]))
    with pytest.raises(ValueError, match="not a probability"):
        mg.cross_entropy(y, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="target shape"):
        jax.jit(lambda t: mg.cross_entropy(y, mg.tensor(t)).jax())(jnp.zeros(3, dtype=int))
