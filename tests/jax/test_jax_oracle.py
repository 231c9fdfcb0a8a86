"""jax.grad という独立の答えと比べる。同じ関数を、Tensor と jax.numpy で 2 度書く。"""

import numpy as np
import pytest

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax
import jax.numpy as jnp

import micrograd_jp as mg

X = np.random.default_rng(5).uniform(-1.5, 1.5, (3, 4))
W = np.random.default_rng(6).uniform(-1.5, 1.5, (4, 2))
PAIRS = {
    "tanh": (lambda x, w: mg.tanh(x @ w).sum(), lambda x, w: jnp.tanh(x @ w).sum()),
    "gelu": (
        lambda x, w: (mg.gelu(x) @ w).sum(),
        lambda x, w: (jax.nn.gelu(x, approximate=False) @ w).sum(),
    ),
    "silu": (lambda x, w: mg.silu(x @ w).mean(), lambda x, w: jax.nn.silu(x @ w).mean()),
    "sigmoid": (
        lambda x, w: mg.sigmoid(x @ w).sum(),
        lambda x, w: jax.nn.sigmoid(x @ w).sum(),
    ),
    "softplus": (
        lambda x, w: mg.softplus(x @ w).sum(),
        lambda x, w: jax.nn.softplus(x @ w).sum(),
    ),
    "elu": (lambda x, w: mg.elu(x @ w).sum(), lambda x, w: jax.nn.elu(x @ w).sum()),
    "erf": (lambda x, w: mg.erf(x @ w).sum(), lambda x, w: jax.scipy.special.erf(x @ w).sum()),
    "log_softmax": (
        lambda x, w: (x @ w).log_softmax(1)[:, 0].sum(),
        lambda x, w: jax.nn.log_softmax(x @ w, axis=1)[:, 0].sum(),
    ),
    "softmax": (
        lambda x, w: ((x @ w).softmax(0) * w[:3]).sum(),
        lambda x, w: (jax.nn.softmax(x @ w, axis=0) * w[:3]).sum(),
    ),
    "logsumexp": (
        lambda x, w: (x @ w).logsumexp(1).sum(),
        lambda x, w: jax.scipy.special.logsumexp(x @ w, axis=1).sum(),
    ),
    "variance": (
        lambda x, w: (x @ w).var(0, correction=0).sum(),
        lambda x, w: jnp.var(x @ w, axis=0).sum(),
    ),
    "norm": (
        lambda x, w: (x @ w).norm(axis=1).sum(),
        lambda x, w: jnp.linalg.norm(x @ w, axis=1).sum(),
    ),
    "power": (
        lambda x, w: (mg.exp(x) ** 1.7 @ w).sum(),
        lambda x, w: (jnp.exp(x) ** 1.7 @ w).sum(),
    ),
    "maximum": (
        lambda x, w: mg.maximum(x[:2], w.T).sum(),
        lambda x, w: jnp.maximum(x[:2], w.T).sum(),
    ),
    "cumsum": (
        lambda x, w: (x.cumsum(1) @ w).amax(0).sum(),
        lambda x, w: (jnp.cumsum(x, 1) @ w).max(0).sum(),
    ),
    "where": (
        lambda x, w: (mg.where(x > 0, x * x, x) @ w).sum(),
        lambda x, w: (jnp.where(x > 0, x * x, x) @ w).sum(),
    ),
    "gather": (
        lambda x, w: (x[np.array([2, 0, 2])] @ w).sum(),
        lambda x, w: (x[jnp.array([2, 0, 2])] @ w).sum(),
    ),
    "joined": (
        lambda x, w: mg.tanh(mg.concatenate([x @ w, w])).sum(),
        lambda x, w: jnp.tanh(jnp.concatenate([x @ w, w])).sum(),
    ),
}


def _slopes(f, x, w):
    a, b = mg.tensor(x, requires_grad=True), mg.tensor(w, requires_grad=True)
    y = f(a, b)
    y.backward()
    return y._data, a.grad._data, b.grad._data


def _curvature(f, x, w):
    """Hessian of f in x times ones."""
    a = mg.tensor(x, requires_grad=True)
    f(a, mg.tensor(w)).backward(create_graph=True)
    slope, a.grad = a.grad, None
    if not slope.requires_grad:
        return 0 * x
    slope.sum().backward()
    return a.grad._data


@pytest.mark.slow
def test_values_gradients_and_hessians_of_eighteen_functions():
    with jax.enable_x64(True):
        x, w = jnp.asarray(X), jnp.asarray(W)

        @jax.jit
        def ours(x, w):
            return {n: (*_slopes(f, x, w), _curvature(f, x, w)) for n, (f, _) in PAIRS.items()}

        @jax.jit
        def theirs(x, w):
            found = {}
            for name, (_, f) in PAIRS.items():
                slope = lambda x, f=f: jax.grad(f)(x, w)
                y, (gx, gw) = jax.value_and_grad(f, (0, 1))(x, w)
                found[name] = (y, gx, gw, jax.jvp(slope, (x,), (jnp.ones_like(x),))[1])
            return found

        assert len(PAIRS) == 18
        got, wanted = ours(x, w), theirs(x, w)
        for name in PAIRS:
            for a, b in zip(got[name], wanted[name], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11, err_msg=name)


def test_jax_can_differentiate_through_a_tensor():
    f = lambda x: mg.gelu(mg.tensor(x)).sum()._data
    x = jnp.asarray(X, dtype=jnp.float32)
    wanted = jax.grad(lambda x: jax.nn.gelu(x, approximate=False).sum())(x)
    np.testing.assert_allclose(jax.grad(f)(x), wanted, rtol=1e-5, atol=1e-6)


def test_vmap_over_a_function_that_calls_backward():
    f = lambda x: _slopes(lambda a, b: (mg.tanh(a) * b).sum(), x, x * 2.0)[1]
    x = jnp.asarray(X, dtype=jnp.float32)
    np.testing.assert_allclose(jax.vmap(f)(x), 2 * x * (1 - jnp.tanh(x) ** 2), rtol=1e-5)
