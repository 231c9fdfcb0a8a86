"""JAX の配列でできた Tensor: 型、混ざったときの約束、jax.jit の中でできないことのエラー。"""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax
import jax.numpy as jnp

import micrograd_jp as mg
from micrograd_jp import namespace

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_importing_the_package_does_not_import_jax():
    code = (
        "import sys, numpy as np, micrograd_jp as mg\n"
        "t = mg.tensor([1.0, 2.0], requires_grad=True); mg.gelu(t).sum().backward()\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_namespace_follows_the_arrays():
    x, y = jnp.asarray(X), X
    assert namespace.of(y, 1.0) is namespace.ieee
    assert namespace.of(y, x) is namespace.of(x) is not namespace.ieee
    assert namespace.is_array(x)
    assert namespace.is_array(y)
    assert not namespace.is_array(1.0)
    seen = []
    jax.jit(lambda a: seen.append((namespace.is_array(a), namespace.of(a))))(x)
    assert seen == [(True, namespace.of(x))]


def test_results_and_gradients_stay_on_jax():
    t = mg.tensor(jnp.asarray(X), requires_grad=True)
    y = (mg.sigmoid(t) * 2.0 - t / 3).sum()
    assert isinstance(y._data, jax.Array)
    for _ in range(2):
        y.backward(retain_graph=True)
        assert isinstance(t.grad._data, jax.Array)
        assert t.grad.dtype == np.float32
    once = 2 * jax.nn.sigmoid(X) * (1 - jax.nn.sigmoid(X)) - 1 / 3
    np.testing.assert_allclose(t.grad.numpy(), 2 * once, rtol=1e-5)


def test_mixing_gives_jax_and_gradients_too():
    a = mg.tensor(X.astype(np.float64), requires_grad=True)
    x = jnp.asarray(X)
    chosen = mg.where(x > 1, a, x)
    for z in (a * x, x * a, a + x, x - a, a @ x.T, x @ a.T, mg.maximum(x, a), chosen):
        assert isinstance(z, mg.Tensor)
        assert isinstance(z._data, jax.Array)
    assert (a > x).data.tolist() == (x < a).data.tolist()
    (a * x).sum().backward()
    assert isinstance(a.grad._data, jax.Array)
    assert a.grad.tolist() == X.tolist()


def test_a_gradient_of_numpy_for_a_result_of_jax():
    t = mg.tensor(jnp.asarray(X), requires_grad=True)
    given = np.ones_like(X)
    t.clone().backward(given)
    given[:] = 7
    assert isinstance(t.grad._data, jax.Array)
    assert t.grad.tolist() == np.ones_like(X).tolist()


def test_numpy_gives_a_writable_copy():
    x = jnp.asarray(X)
    out = mg.tensor(x).numpy()
    assert out.__class__ is np.ndarray
    out[:] = 9
    assert x.tolist() == X.tolist()


def test_tensor_does_not_see_later_changes_of_a_numpy_array():
    source = X.copy()
    t = mg.tensor(source) * jnp.ones(3)
    source[:] = 9
    assert t.tolist() == X.tolist()


def test_lists_of_jax_numbers():
    x = jnp.asarray(X)
    assert isinstance(mg.tensor([x[0, 0], x[1, 1]])._data, jax.Array)
    stacked = jax.jit(lambda a: mg.tensor([[a[0, 0]], [a[1, 1]]]).jax())(x)
    assert stacked.tolist() == [[0.0], [4.0]]


def test_assignment_makes_a_new_array():
    x = jnp.asarray(X)
    t = mg.tensor(x)
    t[0, 1:] = 5.0
    assert t.tolist() == [[0.0, 5.0, 5.0], [3.0, 4.0, 5.0]]
    assert x.tolist() == X.tolist()


@pytest.mark.parametrize("key", [2, (0, -4), (0, 0, 0), np.array([5]), (slice(None), [0, 3])])
def test_indices_outside_raise_as_in_numpy(key):
    for data in (X, jnp.asarray(X)):
        with pytest.raises(IndexError):
            mg.tensor(data)[key]


def test_boolean_masks_work_outside_jit():
    t = mg.tensor(jnp.asarray(X), requires_grad=True)
    t[t > 2].sum().backward()
    assert t.grad.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_an_index_of_jax_into_an_array_of_numpy():
    f = jax.jit(lambda i: mg.tensor(X)[i].jax())
    assert f(jnp.array([1, 0])).tolist() == X[[1, 0]].tolist()


def test_float64_without_x64_is_said():
    t = mg.tensor(jnp.asarray(X))
    with pytest.warns(UserWarning, match="jax_enable_x64"):
        assert t.astype(np.float64).dtype == np.float32
    with jax.enable_x64(True):
        assert t.astype(np.float64).dtype == np.float64
        assert (t * 2.0).dtype == np.float32


def test_bfloat16_has_gradients():
    t = mg.tensor(jnp.asarray(X, dtype=jnp.bfloat16), requires_grad=True)
    (mg.relu(t) * t).sum().backward()
    assert t.grad.dtype == jnp.bfloat16
    assert t.grad.astype(np.float32).tolist() == (2 * X).tolist()


FORBIDDEN = {
    "numpy()": lambda t: t.numpy(),
    "item()": lambda t: t.sum().item(),
    "tolist()": lambda t: t.tolist(),
    "if や bool()": lambda t: bool(t.sum()),
    "to_value()": lambda t: t.sum().to_value(),
    "boolean indexing": lambda t: t[t > 2],
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_needs_a_value_inside_jit_says_so(name):
    with pytest.raises(TypeError) as error:
        jax.jit(lambda x: FORBIDDEN[name](mg.tensor(x)))(X)
    assert name in str(error.value)
    assert "jax.jit" in str(error.value)


def test_repr_inside_jit_shows_the_shape():
    seen = []
    jax.jit(lambda x: seen.append(repr(mg.tensor(x))))(X)
    assert seen == ["tensor(shape=(2, 3))"]


_SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -3.0, np.inf, -np.inf, np.nan, 800.0, -800.0]


@pytest.mark.slow
def test_special_values_agree():
    from micrograd_jp.ops.primitive import elementwise_primitives
    from micrograd_jp.tensor import elementwise

    wrong = []
    with jax.enable_x64(True):
        for op in elementwise_primitives():
            if op.name == "where":
                continue
            # One shape for all operations: what they have in common is compiled once.
            grids = [np.resize(g, 12**3) for g in np.meshgrid(*[_SPECIAL] * op.arity)]
            found = []
            for convert in (np.asarray, jnp.asarray):
                leaves = [mg.tensor(convert(g), requires_grad=True) for g in grids]
                z = elementwise(op, *leaves)
                z.backward(np.ones(z.shape))
                found.append([np.asarray(a) for a in (z._data, *(x.grad._data for x in leaves))])
            for order, (a, b) in enumerate(zip(*found)):
                same = np.isclose(a, b, rtol=1e-12, atol=1e-300, equal_nan=True)
                if not same.all():
                    where = [tuple(g[~same][0] for g in grids), a[~same][0], b[~same][0]]
                    wrong.append((op.name, order, *where))
    assert wrong == []


def test_products_of_whole_numbers_are_as_wide_as_jax_has_them():
    for x in (jnp.array([2, 3]), jnp.array([True, True])):
        out = mg.prod(mg.tensor(x))
        assert (out.dtype, out.item()) == (jnp.sum(x).dtype, int(np.prod(np.asarray(x))))


@pytest.mark.parametrize(
    "key", [..., (..., 0), (slice(None), 1), 1, np.int64(1), (None, 0), (slice(1), None, ...)]
)
def test_what_is_written_into_a_view_reaches_the_tensor_as_in_numpy(key):
    x, ours = np.zeros((2, 3), np.float32), mg.tensor(jnp.zeros((2, 3)))
    x[key][...] = 5.0
    view = ours[key]
    view[...] = 5.0
    np.testing.assert_array_equal(ours._data, x)
