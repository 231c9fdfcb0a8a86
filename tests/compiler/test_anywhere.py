"""The same array program on JAX arrays, inside jax.jit too."""

import random

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.compiler.run.tensors import evaluated

jax = pytest.importorskip("jax", reason="JAX のない環境では、JAX の上の実行は試さない")


def compiled(dtype=np.float32):
    random.seed(0)
    model = nn.MLP(9, [5, 3])
    kernel = [[mg.Value(random.gauss(0, 1)) for _ in range(2)] for _ in range(2)]
    scale = mg.Value(0.7)

    @mg.compile(dtype=dtype, executor="lift")
    def loss(x, t, c):
        h = [
            sum(kernel[u][v] * x[i + u][j + v] for u in (0, 1) for v in (0, 1)).tanh()
            for i in range(3) for j in range(3)
        ]  # fmt: skip
        z = model(h)
        penalty = 0.01 * mg.sum([p * p for p in model.parameters()]) + mg.prod([scale, c, z[0]])
        return mg.logsumexp(z) - mg.dot(t, z) + penalty + mg.where(x[0][0] > scale, z[1], h[3])

    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((6, 4, 4)), np.eye(3)[rng.integers(0, 3, 6)]
    return loss, x.astype(np.float32), t.astype(np.float32)


def test_values_and_gradients_on_jax():
    loss, x, t = compiled()
    values = loss(x, t, 0.5)
    loss.backward()
    (vector,) = loss.parameters()
    gradient = vector.grad._data.copy()
    loss.zero_grad()
    on_jax = loss(jax.numpy.asarray(x), jax.numpy.asarray(t), 0.5)
    assert isinstance(on_jax._data, jax.Array) and on_jax.shape == (6,)
    np.testing.assert_allclose(on_jax.data, values.data, rtol=1e-5, atol=1e-6)
    loss.backward()
    np.testing.assert_allclose(np.asarray(vector.grad.data), gradient, rtol=1e-4, atol=1e-6)


def test_an_array_inside_a_tensor_collects_its_gradient():
    loss, x, t = compiled()
    on_numpy, on_jax = mg.tensor(x, requires_grad=True), mg.tensor(jax.numpy.asarray(x))
    on_jax.requires_grad = True
    for given in (on_numpy, on_jax):
        loss(given, t, 0.5)
        loss.backward()
    np.testing.assert_allclose(np.asarray(on_jax.grad._data), on_numpy.grad._data, atol=1e-6)


def test_only_one_value_can_be_differentiated():
    several = mg.compile(lambda x: (x, x * x))
    assert several(jax.numpy.ones(2))[1].tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="scalar output"):
        several.backward()


def test_inside_jit():
    loss, x, t = compiled()
    wanted = loss(x, t, 0.5)._data
    got = jax.jit(lambda x, t: loss(x, t, 0.5).detach().jax())(x, t)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_on_numpy_the_program_on_tensors_equals_the_generated_code():
    loss, x, t = compiled(np.float64)
    wanted = loss(x, t, 0.5)
    loss.backward()
    (vector,) = loss.parameters()
    gradient = vector.grad._data.copy()
    loss.zero_grad()
    (compilation,) = loss.compilations
    inputs = [mg.tensor(a.reshape(6, -1).T) for a in (x, t, np.full(6, 0.5))]
    out = evaluated(compilation.program, [vector], inputs, 6, np.float64)
    np.testing.assert_allclose(out.data[0], wanted.data, rtol=1e-9)
    out.mean().backward()
    np.testing.assert_allclose(vector.grad.data, gradient, rtol=1e-7, atol=1e-9)
