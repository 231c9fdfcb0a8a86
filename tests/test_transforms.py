"""mg.grad: 任意の階数、入れ子の引数、入れ子の grad。"""

import math
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.engine import Value
from micrograd_jp.transforms import leaves_of

small = st.floats(-2, 2)


def derivative(f, order):
    for _ in range(order):
        f = mg.grad(f)
    return f


@given(small)
def test_derivatives_of_sine_cycle(x):
    for order, expected in enumerate((math.cos(x), -math.sin(x), -math.cos(x), math.sin(x)), 1):
        assert derivative(mg.sin, order)(x).data == pytest.approx(expected, abs=1e-12)


@given(small, st.integers(1, 5))
def test_derivatives_of_a_polynomial(x, order):
    value = derivative(lambda x: x**5 - 2 * x**3, order)(x).data
    falling = [math.perm(n, order) * x ** max(n - order, 0) for n in (5, 3)]
    assert value == pytest.approx(falling[0] - 2 * falling[1], abs=1e-9)


@given(st.lists(small, min_size=1, max_size=4))
def test_hessian_of_the_sum_of_cubes(xs):
    def total(xs):
        return mg.sum([x**3 for x in xs])

    for i in range(len(xs)):
        row = mg.grad(lambda xs, i=i: mg.grad(total)(xs)[i])(xs)
        expected = [6 * x if i == j else 0.0 for j, x in enumerate(xs)]
        assert [h.data for h in row] == pytest.approx(expected)


def test_nested_grads_are_not_confused():
    # d/dx [x · d/dy (x + y)] = d/dx [x · 1] = 1, also when y is x itself
    f = mg.grad(lambda x: x * mg.grad(lambda y: x + y)(x))
    assert f(3.0).data == 1.0
    g = mg.grad(lambda x: x * mg.grad(lambda y: x * y)(x))  # d/dx [x · x]
    assert g(3.0).data == 6.0


def test_arguments_of_any_nesting():
    parameters = {"w": [1.0, 2.0], "b": (3.0,)}
    result = mg.grad(lambda p, x: (mg.dot(p["w"], x) + p["b"][0]) ** 2)(parameters, [1.0, 1.0])
    assert {k: [v.data for v in vs] for k, vs in result.items()} == {"w": [12.0, 12.0], "b": [12.0]}
    assert isinstance(result["b"], tuple)


def test_argnums():
    assert mg.grad(lambda x, y: x * y, argnums=1)(2.0, 5.0).data == 2.0
    by_both = mg.grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 5.0)
    assert [v.data for v in by_both] == [5.0, 2.0]


def test_unused_arguments_and_constants():
    assert mg.grad(lambda x, y: y * 1.0)(2.0, 5.0).data == 0.0
    assert mg.grad(lambda x: 3.0)(2.0).data == 0.0
    assert mg.grad(lambda x: x)(2.0).data == 1.0


def test_the_callers_values_are_left_alone():
    x = Value(2.0)
    mg.grad(lambda x: x * x)(x)
    assert not x.has_grad


def test_the_result_is_connected_to_the_callers_graph():
    x = Value(2.0)
    mg.grad(lambda x: x**3)(x).backward()
    assert x.grad == 12.0


def test_works_inside_no_grad():
    with mg.no_grad():
        assert mg.grad(mg.sin)(0.0).data == 1.0


def rotation(angle, point):
    """Two outputs of three inputs, with a known Jacobian."""
    x, y = point
    return [mg.cos(angle) * x - mg.sin(angle) * y, mg.sin(angle) * x + mg.cos(angle) * y]


def numbers_in(tree):
    return [v.data for v in leaves_of(tree)]


@given(small, small, small)
def test_jacobian_of_a_rotation(a, x, y):
    by_point = mg.jacobian(rotation, argnums=1)(a, [x, y])
    c, s = math.cos(a), math.sin(a)
    assert numbers_in(by_point) == pytest.approx([c, -s, s, c])
    (by_angle, row), _ = mg.jacobian(rotation, argnums=(0, 1))(a, (x, y))
    assert by_angle.data == pytest.approx(-s * x - c * y)
    assert isinstance(row, tuple)


@given(st.data())
def test_forward_and_reverse_mode_are_adjoint(data):
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩ for a program of nested inputs and outputs."""
    draw = lambda n: data.draw(st.lists(small, min_size=n, max_size=n))
    xs, us, vs = draw(4), draw(4), draw(3)

    def program(p, q):
        a, b = p["a"], p["b"]
        return {"s": mg.sin(a * q[0]) + b, "rest": [mg.tanh(q[0] * q[1]) * a, mg.exp(b) * q[1]]}

    primals = ({"a": xs[0], "b": xs[1]}, [xs[2], xs[3]])
    tangents = ({"a": us[0], "b": us[1]}, [us[2], us[3]])
    cotangent = {"s": vs[0], "rest": [vs[1], vs[2]]}
    out, moved = mg.jvp(program, primals, tangents)
    same_out, pullback = mg.vjp(program, *primals)
    assert numbers_in(out) == numbers_in(same_out)
    left = sum(v * w for v, w in zip(vs, numbers_in(moved)))
    right = sum(u * w for u, w in zip(us, numbers_in(pullback(cotangent))))
    assert left == pytest.approx(right, abs=1e-9)


@given(st.lists(small, min_size=3, max_size=3), st.lists(small, min_size=3, max_size=3))
def test_hessian_and_its_product_with_a_vector(xs, vs):
    f = lambda xs: mg.exp(xs[0] * xs[1]) + mg.prod(xs) + xs[2] ** 3
    rows = [numbers_in(row) for row in mg.hessian(f)(xs)]
    for i in range(3):
        for j in range(3):
            assert rows[i][j] == pytest.approx(rows[j][i], abs=1e-9)
    x, y, z = xs
    e = math.exp(x * y)
    assert rows[0] == pytest.approx([y * y * e, (1 + x * y) * e + z, y], abs=1e-9)
    product = numbers_in(mg.hvp(f, (xs,), (vs,)))
    assert product == pytest.approx([sum(h * v for h, v in zip(row, vs)) for row in rows], abs=1e-9)


def test_value_and_grad():
    value, slopes = mg.value_and_grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 5.0)
    assert value.data == 10.0
    assert numbers_in(slopes) == [5.0, 2.0]


def test_forward_mode_nests():
    def slope(f):
        return lambda x: mg.jvp(f, (x,), (1.0,))[1]

    assert slope(slope(slope(mg.tanh)))(0.0).data == -2.0
    assert slope(lambda x: x * slope(lambda y: x + y)(x))(3.0).data == 1.0
    assert mg.grad(slope(mg.sin))(0.5).data == pytest.approx(-math.sin(0.5))


def test_outputs_that_do_not_depend_on_the_inputs():
    out, moved = mg.jvp(lambda x: [x, 2.0], (1.0,), (3.0,))
    assert numbers_in(out) == [1.0, 2.0]
    assert numbers_in(moved) == [3.0, 0.0]
    _, pullback = mg.vjp(lambda x: [x, 2.0], 1.0)
    assert numbers_in(pullback([5.0, 7.0])) == [5.0]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mg.jvp(mg.sin, (1.0,), (1.0, 2.0)), ValueError, "structure mismatch"),
        (lambda: mg.vjp(mg.sin, 1.0)[1]([1.0]), ValueError, "structure mismatch"),
        (lambda: mg.jacobian(lambda x: "x")(1.0), TypeError, "expected a real number"),
        (lambda: mg.jvp(mg.sin, ("1",), (1.0,)), TypeError, "expected a real number"),
        (lambda: mg.grad(lambda x: [x, x])(1.0), TypeError, "expected a scalar output"),
        (lambda: mg.grad(mg.sin)("1"), TypeError, "expected a real number"),
        (lambda: mg.grad(mg.sin, argnums=1)(1.0), IndexError, "no such argument"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_named_tuples_keep_their_kind():
    point = namedtuple("point", "x y")
    slopes = mg.grad(lambda p: p.x * p.y)(point(2.0, 5.0))
    assert isinstance(slopes, point)
    assert numbers_in(slopes) == [5.0, 2.0]


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (mg.softplus, 0.0, 0.25),  # σ(0)(1 − σ(0))
        (mg.silu, 0.0, 0.5),
        (lambda x: (x + 0.5) ** x, 0.0, 4.0 + math.log(0.5) ** 2),
    ],
)
def test_second_derivatives_where_pieces_meet(f, x, expected):
    assert derivative(f, 2)(x).data == pytest.approx(expected)


class TestTensors:
    A = np.array([[2.0, 1.0], [0.5, 3.0]])

    def test_gradient_and_hessian_of_a_quadratic_form(self):
        x = np.array([1.0, -2.0])
        f = lambda x: x @ self.A @ x
        S = self.A + self.A.T
        value, slope = mg.value_and_grad(f)(x)
        assert value.item() == pytest.approx(x @ self.A @ x)
        assert slope.tolist() == pytest.approx((S @ x).tolist())
        assert np.allclose(mg.hessian(f)(x).detach().numpy(), S)
        v = np.array([0.3, 0.7])
        assert mg.hvp(f, (x,), (v,))[0].tolist() == pytest.approx((S @ v).tolist())

    @given(st.integers(0, 1000))
    def test_modes_agree_with_the_jacobian(self, seed):
        rng = np.random.default_rng(seed)
        w, x = rng.standard_normal((3, 2)), rng.standard_normal(2)
        dw, dx, u = (rng.standard_normal(s) for s in ((3, 2), 2, 3))
        f = lambda w, x: mg.tanh(w @ x) * x[0]
        Jw, Jx = (j.detach().numpy() for j in mg.jacobian(f, argnums=(0, 1))(w, x))
        assert (Jw.shape, Jx.shape) == ((3, 3, 2), (3, 2))
        moved = mg.jvp(f, (w, x), (dw, dx))[1].detach().numpy()
        assert np.allclose(moved, np.tensordot(Jw, dw, 2) + Jx @ dx)
        pulled_w, pulled_x = mg.vjp(f, w, x)[1](u)
        assert np.allclose(pulled_w.detach().numpy(), np.tensordot(u, Jw, 1))
        assert np.allclose(pulled_x.detach().numpy(), u @ Jx)

    def test_values_and_tensors_in_one_function(self):
        def f(p):
            return (mg.stack([p["v"], p["v"] * 2.0]) * p["t"]).sum()

        p = {"v": 3.0, "t": np.array([1.0, 2.0])}
        slopes = mg.grad(f)(p)
        assert slopes["v"].data == 5.0
        assert slopes["t"].tolist() == [3.0, 6.0]
        moved = mg.jvp(f, (p,), ({"v": 1.0, "t": np.array([1.0, 0.0])},))[1]
        assert moved.item() == pytest.approx(5.0 + 3.0)

    def test_nested_grads_of_tensors_are_not_confused(self):
        x = np.array(3.0).reshape(1)
        f = mg.grad(lambda x: (x * mg.grad(lambda y: (x + y).sum())(x)).sum())
        assert f(x).tolist() == [1.0]

    @pytest.mark.parametrize(
        ("call", "error", "match"),
        [
            (lambda: mg.grad(lambda x: x * 2)(np.ones(3)), TypeError, "expected a scalar output"),
            (lambda: mg.grad(mg.sum)(np.arange(3)), TypeError, "floating"),
            (
                lambda: mg.jvp(mg.sum, (np.ones(3),), (np.ones(2),)),
                ValueError,
                "structure mismatch",
            ),
        ],
    )
    def test_bad_input(self, call, error, match):
        with pytest.raises(error, match=match):
            call()
