"""mg.grad: 任意の階数、入れ子の引数、入れ子の grad。"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.engine import Value

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


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mg.grad(lambda x: [x, x])(1.0), TypeError, "expected a scalar output"),
        (lambda: mg.grad(mg.sin)("1"), TypeError, "expected a real number"),
        (lambda: mg.grad(mg.sin, argnums=1)(1.0), IndexError, "no such argument"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
