"""`gradcheck`・`numerical_gradient`・戦略を、配列で。"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.testing import GradcheckError, Verdict, gradcheck, numerical_gradient, strategies

A = np.array([[0.5, -1.0], [2.0, 0.25]])


def test_every_element_is_checked_and_named():
    net = {"w": A, "b": [mg.tensor([1.0, 2.0]), 0.5]}
    f = lambda net, x: mg.tanh(net["w"] @ x + net["b"][0].detach() * net["b"][0]) * net["b"][1]
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, (net, np.array([1.0, -1.0])))
    report = caught.value.report
    names = {(row.input, row.index) for row in report.rows}
    assert names == {
        *((0, f"['w'][{i}][{j}]") for i in range(2) for j in range(2)),
        *((0, f"['b'][0][{i}]") for i in range(2)),
        (0, "['b'][1]"), (1, "[0]"), (1, "[1]"),
    }  # fmt: skip
    wrong = {row.index for row in report.rows if row.verdict is Verdict.MISMATCH}
    assert wrong == {"['b'][0][0]", "['b'][0][1]"}


@pytest.mark.parametrize("x", [A, mg.tensor(A), mg.tensor(A, requires_grad=True), A[0], A[0, 0]])
def test_arrays_and_tensors_are_inputs(x):
    before = repr(x)
    assert gradcheck(lambda t: mg.sin(t * t), [x], order=2)
    assert gradcheck(lambda t: mg.sin(t * t) * 2.0, x)
    assert repr(x) == before
    assert getattr(x, "grad", None) is None


def test_inputs_arrive_as_float64_tensors():
    seen = []

    def f(x, y, z):
        seen.append((type(x), x.shape, x.dtype, type(y), type(z), z.shape))
        return x.sum() * y + z

    gradcheck(f, [A.astype(np.float32), 2.0, np.array(3.0)])
    assert set(seen) == {
        (mg.Tensor, (2, 2), np.dtype(float), mg.Value, mg.Tensor, ()),
    }


def test_outputs_of_every_kind():
    f = lambda x: [x * 2.0, {"v": x[0, 0].to_value()}, (x.sum(), mg.softmax(x))]
    assert gradcheck(f, [A], order=2)
    assert gradcheck(lambda x: mg.stack([x, x * x]), [0.5], order=2)


def test_a_kink_in_one_element():
    report = gradcheck(mg.relu, [np.array([1.0, 0.0])], raise_exception=False)
    assert {row.index: row.verdict for row in report.rows} == {
        "[0]": Verdict.OK,
        "[1]": Verdict.NOT_SMOOTH,
    }


def test_an_empty_array_has_nothing_to_check():
    assert len(gradcheck(lambda x, y: x.sum() + y, [np.zeros((0, 2)), 1.0]).rows) == 1
    with pytest.raises(ValueError, match="empty inputs"):
        gradcheck(lambda x: x.sum(), [np.zeros((0, 2))])
    with pytest.raises(ValueError, match="no output"):
        gradcheck(lambda x: x[:0], [A])


@pytest.mark.parametrize(
    ("f", "x", "error", "message"),
    [
        (mg.sin, np.array([1, 2]), TypeError, "integer array"),
        (mg.sin, mg.tensor([True]), TypeError, "integer array"),
        (mg.relu, np.array([1j]), TypeError, "not for complex"),
        (mg.sin, np.array(["a"]), TypeError, "expected a real number"),
        (mg.sin, np.array([1.0, np.nan]), ValueError, r"\[1\].*non-finite input"),
        (mg.log, np.array([0.0]), ValueError, "non-finite output"),
        (lambda x: x.detach().numpy(), A, TypeError, "ndarray を返しました"),
        (lambda x: x.astype(np.float32), A, TypeError, "precision too low"),
    ],
)
def test_what_cannot_be_checked(f, x, error, message):
    with pytest.raises(error, match=message):
        gradcheck(f, [x])


@pytest.mark.parametrize("method", ["central", "richardson"])
def test_numerical_gradients_have_the_shape_of_the_input(method):
    f = lambda p, s: (p["a"] ** 2).sum() * s + p["b"]
    g, ds = numerical_gradient(f, {"a": A, "b": 1.0}, 2.0, method=method)
    np.testing.assert_allclose(g["a"], 4 * A, rtol=1e-8)
    assert isinstance(g["a"], np.ndarray)
    assert (g["b"], ds) == (pytest.approx(1.0), pytest.approx((A**2).sum()))
    zero_d = numerical_gradient(lambda x: x * x, np.array(3.0), method=method)
    assert isinstance(zero_d, np.ndarray)
    assert zero_d == pytest.approx(6.0)
    assert numerical_gradient(lambda x, y: y, np.zeros((0, 3)), 1.0)[0].shape == (0, 3)


def test_numerical_gradients_that_are_refused():
    with pytest.raises(TypeError, match=r"Tensor \(形 \(2, 2\)\) を返しました"):
        numerical_gradient(lambda x: x, A)
    with pytest.raises(TypeError, match="配列の入力には使えません"):
        numerical_gradient(lambda x: x.sum(), A, method="complex")
    with pytest.raises(TypeError, match="integer array"):
        numerical_gradient(lambda x: x.sum(), np.array([1, 2]))


# ---- 戦略 ------------------------------------------------------------------------------------


@given(strategies.arrays())
def test_arrays_are_small_and_simple(x):
    assert isinstance(x, np.ndarray)
    assert x.dtype == np.float64
    assert x.ndim <= 3
    assert 1 <= x.size <= 27
    assert np.all(np.abs(x) <= 3)
    assert np.all(x * 64 == np.round(x * 64))


@given(strategies.arrays((2, 0)), strategies.arrays(strategies.shapes(2, 2), min_value=1))
def test_arrays_of_a_given_shape(empty, any_shape):
    assert empty.shape == (2, 0)
    assert any_shape.ndim <= 2
    assert np.all(any_shape >= 1)


@given(strategies.broadcastable_shapes(3))
def test_shapes_broadcast(shapes):
    assert len(np.broadcast_shapes(*shapes)) <= 3


def test_the_strategies_reach_everything():
    seen = set()

    @settings(max_examples=150, database=None)
    @given(strategies.broadcastable_shapes(2), strategies.arrays())
    def collect(shapes, x):
        seen.update(
            {
                "0-d": () in shapes,
                "empty": any(0 in shape for shape in shapes),
                "different": shapes[0] != shapes[1],
                "equal": shapes[0] == shapes[1] != (),
                "number": x.ndim == 0,
                "cube": x.ndim == 3,
            }.items()
        )

    collect()
    assert {name for name, found in seen if found} == {name for name, _ in seen}


def test_bad_ranges():
    with pytest.raises(ValueError, match="invalid range"):
        strategies.shapes(max_side=1, min_side=2)
    with pytest.raises(ValueError, match="invalid range"):
        strategies.arrays(min_value=2, max_value=math.inf)


@settings(max_examples=20)
@given(st.data())
def test_the_readme_of_arrays(data):
    x = data.draw(strategies.arrays(max_dims=2, max_side=2))
    gradcheck(mg.tanh, [x], order=2)
