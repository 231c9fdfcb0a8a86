"""小さな MLP を学習する 1 歩を jax.jit に入れても、NumPy で 1 つずつ計算したのと同じになる。"""

import numpy as np
import pytest

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax
import jax.numpy as jnp

import micrograd_jp as mg


def _step(params, x, labels, lr):
    """One SGD step of softmax cross-entropy: the same text for NumPy, JAX and jax.jit."""
    w1, b1, w2, b2 = leaves = [mg.tensor(p, requires_grad=True) for p in params]
    logits = mg.relu(mg.tensor(x) @ w1 + b1) @ w2 + b2
    rows = np.arange(x.shape[0])
    loss = -logits.log_softmax(1)[rows, labels].mean()
    loss.backward()
    return loss._data, [p - lr * leaf.grad._data for p, leaf in zip(params, leaves)]


def _start(dtype):
    rng = np.random.default_rng(0)
    shapes = [(4, 8), (8,), (8, 3), (3,)]
    params = [rng.normal(0, 0.5, shape).astype(dtype) for shape in shapes]
    return params, rng.normal(size=(16, 4)).astype(dtype), rng.integers(0, 3, 16)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 1e-4)])
def test_thirty_jitted_steps_equal_the_eager_ones(dtype, rtol):
    params, x, labels = _start(dtype)
    with jax.enable_x64(dtype == "float64"):
        on_jax = [jnp.asarray(p) for p in params]
        x_jax, labels_jax = jnp.asarray(x), jnp.asarray(labels)
        losses, traces = [], []

        @jax.jit
        def step(*args):
            traces.append(args)
            return _step(*args)

        for _ in range(30):
            loss, params = _step(params, x, labels, 0.5)
            loss_jax, on_jax = step(on_jax, x_jax, labels_jax, 0.5)
            np.testing.assert_allclose(loss_jax, loss, rtol=rtol)
            losses.append(float(loss))
        assert losses[-1] < 0.5 * losses[0]
        assert len(traces) == 1, "traced once, not once a step"
        for a, b in zip(on_jax, params):
            assert isinstance(a, jax.Array)
            assert a.dtype == b.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=10 * rtol, atol=rtol)
