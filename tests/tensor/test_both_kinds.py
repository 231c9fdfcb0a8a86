"""`Value` と `Tensor`: 同じ規則、同じ数、1 つの計算グラフ。"""

import contextlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.testing import gradcheck, strategies

OPS = elementwise_primitives()
SPECIAL = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 0.5, 1e-300, 1e300, math.inf, -math.inf, math.nan]


def tensors(*xs):
    return [mg.tensor(np.array(x), requires_grad=True) for x in xs]


def floats(op):
    """(points, operands): the special ones in all pairs, ordinary ones, and any bits at all."""
    rng = np.random.default_rng(len(op.name))
    special = np.array([*itertools.product(SPECIAL, repeat=op.arity)])
    special = rng.permutation(special)[:150]
    some = rng.uniform(-30, 30, (40, op.arity))
    bits = rng.integers(0, 2**64, (60, op.arity), np.uint64, endpoint=False).view(float)
    return np.concatenate([special, some, bits])


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_values_and_tensors_agree_on_every_float(op):
    f, points = getattr(mg, op.name), floats(op)
    arrays = tensors(*points.T)
    if op.name == "where":
        arrays[0] = points[:, 0] != 0
    t = f(*arrays)
    t.backward(np.ones(t.shape))
    found, slopes = [], []
    for point in points:
        values = [mg.Value(x) for x in point]
        if op.name == "where":
            values[0] = bool(point[0])
        v = f(*values)
        v.backward()
        found.append(v.data)
        slopes.append([x.grad for x in values if isinstance(x, mg.Value)])
    np.testing.assert_allclose(t.detach().numpy(), found, rtol=1e-12, atol=1e-300)
    wanted = [y.grad.numpy() for y in arrays if isinstance(y, mg.Tensor)]
    np.testing.assert_allclose(np.transpose(wanted), slopes, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@settings(max_examples=8)
@given(data=st.data())
def test_every_elementwise_primitive_broadcasts(op, data):
    """The gradient of a broadcast operand is the sum over the places it went to."""
    shapes = data.draw(strategies.broadcastable_shapes(op.arity, max_dims=2, max_side=2))
    xs = [
        data.draw(strategies.arrays(s, min_value=low, max_value=high))
        for s, (low, high) in zip(shapes, op.domain)
    ]
    if op.partials[0] is None:
        xs[0] = xs[0] > 0.5
    full = np.broadcast_shapes(*shapes)
    f = getattr(mg, op.name)
    leaves = [mg.tensor(x, requires_grad=x.dtype != bool) for x in xs]
    out = f(*leaves)
    assert out.shape == full
    seed = np.arange(1.0, 1.0 + out.size).reshape(full)
    out.backward(seed)
    alone = [np.zeros(full) for _ in xs]
    for place in np.ndindex(*full):
        parts = [mg.Value(float(np.broadcast_to(x, full)[place])) for x in xs]
        z = f(*parts) if op.partials[0] is not None else f(bool(parts[0].data), *parts[1:])
        np.testing.assert_allclose(out.detach().numpy()[place], z.data, rtol=1e-13)
        z.backward(float(seed[place]))
        for i, part in enumerate(parts):
            alone[i][place] = part.grad
    for leaf, grad in zip(leaves, alone):
        if leaf.requires_grad:
            extra = len(full) - leaf.ndim
            kept = [extra + i for i, n in enumerate(leaf.shape) if n == 1]
            want = grad.sum((*range(extra), *kept)).reshape(leaf.shape)
            assert leaf.grad.shape == leaf.shape
            np.testing.assert_allclose(leaf.grad.numpy(), want, rtol=1e-12, atol=1e-14)


@settings(max_examples=30)
@given(strategies.arrays(max_dims=2, max_side=2), st.sampled_from(["tanh", "sin", "softplus"]))
@example(np.array(0.0), "tanh")
def test_elementwise_functions_of_any_shape_to_second_order(x, name):
    f = getattr(mg, name)
    gradcheck(lambda t: f(t) * 2.0 + t * t, [x], order=2, allow_zero=True)


# ---- 1 つの計算グラフ -------------------------------------------------------------------------


def test_stack_reaches_the_values():
    xs = [mg.Value(v) for v in (1.0, -2.0, 0.5)]
    t = mg.stack(xs)
    assert t.shape == (3,)
    (t * t).sum().backward()
    assert [x.grad for x in xs] == [2.0, -4.0, 1.0]
    assert all(isinstance(x.grad, float) for x in xs)


def test_a_value_through_tensors_and_back():
    x = mg.Value(0.7)
    y = (mg.stack([x, x * 2.0]) ** 2).sum().to_value() + x
    y.backward()
    assert y.data == pytest.approx(0.49 * 5 + 0.7)
    assert x.grad == pytest.approx(10 * 0.7 + 1)


def test_to_value_goes_on():
    (t,) = tensors([1.0, 2.0])
    y = mg.exp(t.sum().to_value()) * 3.0
    y.backward()
    np.testing.assert_allclose(t.grad.numpy(), 3 * math.exp(3.0))
    assert isinstance(y, mg.Value)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum"])
def test_a_value_broadcasts_over_a_tensor(name, flipped):
    v, (t,) = mg.Value(1.5), tensors([[1.0, 2.0], [3.0, 4.0]])
    f = getattr(mg, name)
    out = f(t, v) if flipped else f(v, t)
    assert isinstance(out, mg.Tensor)
    assert out.shape == (2, 2)
    out.sum().backward()
    parts = [mg.Value(n) for n in (1.0, 2.0, 3.0, 4.0)]
    w = mg.Value(1.5)
    mg.sum([f(p, w) if flipped else f(w, p) for p in parts]).backward()
    assert v.grad == pytest.approx(w.grad)
    np.testing.assert_allclose(t.grad.numpy().ravel(), [p.grad for p in parts])


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "**"])
def test_an_array_and_a_tensor_are_one_tensor_on_either_side(op):
    a = np.array([1.0, 2.0])
    for f in (lambda x, y: eval(f"x {op} y"),):
        (t,) = tensors([[2.0], [3.0]])
        for out in (f(a, t), f(t, a)):
            assert isinstance(out, mg.Tensor)
            assert out.shape == (2, 2)
        np.testing.assert_allclose(f(a, t).detach().numpy(), f(a, t.detach().numpy()))
        f(a, t).sum().backward()
        assert t.grad.shape == (2, 1)


def test_matmul_with_an_array_on_the_left():
    a, (t,) = np.array([[1.0, 2.0]]), tensors([[2.0], [3.0]])
    out = a @ t
    assert isinstance(out, mg.Tensor)
    out.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), a.T)


@pytest.mark.parametrize("name", ["sin", "exp", "tanh", "sqrt", "absolute", "arctan", "maximum"])
def test_numpy_functions_give_tensors(name):
    (t,) = tensors([1.0, 2.0])
    f = getattr(np, name)
    out = f(t, 1.5) if name == "maximum" else f(t)
    want = f(t.detach().numpy(), 1.5) if name == "maximum" else f(t.detach().numpy())
    assert isinstance(out, mg.Tensor)
    np.testing.assert_allclose(out.detach().numpy(), want)
    out.sum().backward()
    assert t.grad is not None


def test_numpy_functions_that_cannot_be_differentiated_say_so():
    (t,) = tensors([1.0, 2.0])
    for bad in (lambda: np.add.reduce(t), lambda: np.spacing(t), lambda: np.add(t, 1, out=t)):
        with pytest.raises(TypeError, match="unsupported ufunc"):
            bad()


@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["add", "mul", "div", "pow", "maximum", "leaky_relu"])
def test_numbers_are_weak(name, dtype, scalar):
    t = mg.tensor(np.array([1.0, 3.0], dtype), requires_grad=True)
    f = getattr(mg, name)
    outs = [f(t, scalar)] if name == "leaky_relu" else [f(t, scalar), f(scalar, t)]
    for out in outs:
        assert out.dtype == dtype
        t.grad = None
        out.sum().backward()
        assert t.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_is_weak_too(dtype):
    t = mg.tensor(np.array([1.0, 3.0], dtype), requires_grad=True)
    v = mg.Value(2.0)
    out = mg.tanh(v * t)
    assert out.dtype == dtype
    out.sum().backward()
    assert t.grad.dtype == dtype
    assert isinstance(v.grad, float)


# ---- 何度でも微分できる ----------------------------------------------------------------------


def test_third_derivatives():
    (t,) = tensors([0.3, -0.7])
    y = mg.tanh(t).sum()
    for _ in range(3):
        t.grad = None
        y.backward(create_graph=True)
        g, y = t.grad, t.grad.sum()
    z = np.tanh(t.detach().numpy())
    np.testing.assert_allclose(g.detach().numpy(), -2 * (1 - z**2) * (1 - 3 * z**2), rtol=1e-12)


def test_third_derivatives_of_a_matrix_function():
    a = np.array([[0.3, -0.7], [0.2, 0.5]])
    (t,) = tensors(a)
    y = (t @ t @ t).sum()
    ones = np.ones((2, 2))
    for _ in range(3):  # directional derivatives along `ones`
        t.grad = None
        y.backward(create_graph=True)
        y = t.grad.sum()
    assert y.item() == pytest.approx((6 * ones @ ones @ ones).sum())


@settings(max_examples=25)
@given(strategies.expressions(max_ops=5))
def test_every_expression_of_values_is_one_of_tensors(e):
    values = [mg.Value(x) for x in e.inputs]
    v = e(*values)
    v.backward()
    arrays = tensors(*[[x] for x in e.inputs])
    if "mg.sum([" in e.source or "prod" in e.source or "dot" in e.source or "exp([" in e.source:
        return  # lists of numbers
    t = e(*arrays)
    t.backward(np.ones(1))
    np.testing.assert_allclose(t.detach().numpy()[0], v.data, rtol=1e-10, atol=1e-12)
    for x, y in zip(values, arrays):
        np.testing.assert_allclose(y.grad.numpy()[0], x.grad, rtol=1e-8, atol=1e-10)


# ---- clip: 境界が片方だけ -----------------------------------------------------------------------

ONE_BOUND = [
    (lambda x: mg.clip(x, 0, None), (0, None)), (lambda x: mg.clip(x, None, 1), (None, 1)),
    (lambda x: mg.clip(x, max=1), (None, 1)), (lambda x: mg.clip(x, min=0, max=None), (0, None)),
    (lambda x: x.clip(0, None), (0, None)), (lambda x: x.clip(None, 1), (None, 1)),
    (lambda x: x.clip(min=0), (0, None)), (lambda x: mg.clamp(x, 0), (0, None)),
    (lambda x: mg.clamp(x, None, 1), (None, 1)), (lambda x: mg.clamp(x, max=1), (None, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("f", "bounds"), ONE_BOUND)
def test_a_bound_that_is_none_does_not_bound(f, bounds):
    points = np.array([-2.0, 0.0, 0.5, 1.0, 2.0, math.inf, -math.inf, math.nan])
    want = np.clip(points, *bounds)
    low, high = (none if b is None else b for b, none in zip(bounds, (-math.inf, math.inf)))
    slope = np.where((points >= low) & (points <= high), 1.0, 0.0)  # also at nan, as in PyTorch
    (t,) = tensors(points)
    y = f(t)
    np.testing.assert_array_equal(y.detach().numpy(), want)
    y.sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), slope)
    for x, z, dx in zip(points, want, slope):
        v = mg.Value(x)
        y = f(v)
        np.testing.assert_array_equal(y.data, z)
        y.backward()
        assert v.grad == dx
    gradcheck(f, [np.array([-0.7, 0.3, 1.6])], order=2, allow_zero=True)


@pytest.mark.parametrize(("f", "bounds"), ONE_BOUND)
def test_integers_with_one_bound_stay_integers(f, bounds):
    x = np.array([-3, 0, 1, 5])
    kinds = [mg.tensor(x)]
    with contextlib.suppress(ImportError):
        import jax.numpy as jnp

        kinds.append(mg.tensor(jnp.asarray(x)))
    for t in kinds:
        y = f(t)
        assert y.dtype == t.dtype
        assert y.tolist() == np.clip(x, *bounds).tolist()


def test_jax_clips_at_one_bound():
    jnp = pytest.importorskip("jax.numpy", reason="JAX がない")
    for f, bounds in ONE_BOUND:
        x = np.array([-2.0, 0.5, 2.0], np.float32)
        t = mg.tensor(jnp.asarray(x), requires_grad=True)
        y = f(t)
        y.sum().backward()
        assert not isinstance(y._data, np.ndarray)
        np.testing.assert_array_equal(y._data, np.clip(x, *bounds))
        np.testing.assert_array_equal(t.grad._data, np.clip(x, *bounds) == x)


def test_in_place_with_one_bound():
    for name in ("clip_", "clamp_"):
        for array in (np.array([-3, 0, 5]), np.array([-3.0, 0.5, 5.0], np.float32)):
            t = mg.tensor(array)
            memory = t.numpy()
            assert getattr(t, name)(0, None) is t
            assert getattr(t, name)(max=1) is t
            assert (t.numpy() is memory, t.dtype) == (True, array.dtype)
            np.testing.assert_array_equal(memory, array.clip(0, 1))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mg.clip(x), lambda x: mg.clip(x, None, None), lambda x: mg.clamp(x),
        lambda x: x.clip(), lambda x: x.clip(max=None), lambda x: mg.clamp(x, None, None),
    ],
)  # fmt: skip
def test_no_bound_at_all_is_refused(call):
    for x in (mg.Value(1.0), mg.tensor([1.0])):
        with pytest.raises(RuntimeError, match="at least one of min and max must not be None"):
            call(x)
    t = mg.tensor([1.0])
    for clip in (t.clamp, t.clamp_, t.clip_):
        with pytest.raises(RuntimeError, match="at least one of min and max"):
            clip()
