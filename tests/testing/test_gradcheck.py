"""`gradcheck`: 正しい勾配を通し、判定できない点を断り、表で説明する。"""

import math
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

import micrograd_jp as mg
from micrograd_jp.ops.primitive import elementwise_primitives, reductions
from micrograd_jp.testing import GradcheckError, GradcheckReport, Verdict, gradcheck, strategies

PRIMITIVES = [*elementwise_primitives(), *reductions()]


def inconclusive(f, inputs, **options):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, inputs, **options)
    report = caught.value.report
    assert not report.mismatched
    return report


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
@settings(max_examples=25)
@given(data=st.data())
def test_every_primitive_to_second_order(op, checkable, data):
    f, args = checkable(op, data.draw(strategies.inputs(op)))
    gradcheck(f, args, order=2, allow_zero=True)


@settings(max_examples=200)
@given(strategies.expressions())
def test_every_expression_to_second_order(e):
    assert gradcheck(e, e.inputs, order=2)


# ---- the point cannot tell ----


@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (lambda x: x.relu(), [0.0]),
        (lambda x: x.abs(), [0.0]),
        (lambda x, y: mg.maximum(x, y), [1.5, 1.5]),  # 0.5 agrees with the central difference
        (lambda x: x.clip(0, 1), [1.0]),
        (lambda x: x.abs() + 100 * x, [0.0]),
        (lambda x: mg.relu(x - 1) * 3 + x * x, [1.0]),
    ],
)
def test_a_kink_is_called_a_kink(f, inputs):
    report = inconclusive(f, inputs)
    assert all(row.verdict is Verdict.NOT_SMOOTH for row in report.rows)
    assert "折れ点 (kink)" in str(report)


def test_a_kink_names_both_slopes():
    assert "左の傾き 0、右の傾き 1" in str(inconclusive(lambda x: x.relu(), 0.0))


def test_a_discontinuity_is_called_so():
    assert "不連続 (discontinuity)" in str(inconclusive(mg.floor, 2.0))
    assert "不連続 (discontinuity)" in str(inconclusive(mg.sign, 0.0))


def test_the_gradient_may_have_a_kink_where_the_function_does_not():
    smooth_once = lambda x: x.relu() ** 2 + x
    assert gradcheck(smooth_once, 0.0)
    assert "折れ点 (kink)" in str(inconclusive(smooth_once, 0.0, order=2))


@pytest.mark.parametrize("x", [1e-9, -1e-9])
def test_beside_a_kink(x):
    gradcheck(lambda v: v.leaky_relu(), x)


def test_a_saturated_sigmoid_is_refused():
    report = inconclusive(mg.sigmoid, 40.0)
    assert report.rows[0].verdict is Verdict.SMALL
    assert "below tolerance" in str(report)
    assert gradcheck(mg.sigmoid, 40.0, allow_zero=True).rows[0].verdict is Verdict.ZERO


@pytest.mark.parametrize("order", [1, 2])
def test_floor_is_refused_unless_zero_is_allowed(order):
    inconclusive(mg.floor, 0.5, order=order)
    assert gradcheck(mg.floor, 0.5, order=order, allow_zero=True)


def test_an_unused_input_is_refused_unless_zero_is_allowed():
    report = inconclusive(lambda x, y: x * 2, [1.0, 3.0])
    assert (report.rows[0].input, report.rows[0].verdict) == (1, Verdict.SMALL)
    assert gradcheck(lambda x, y: x * 2, [1.0, 3.0], allow_zero=True)


def test_a_drowned_derivative_is_refused():
    report = inconclusive(lambda x: x + 1e15, 1.0)
    assert report.rows[0].verdict is Verdict.IMPRECISE


def test_reject_discards_the_example():
    seen = []

    @settings(max_examples=60, database=None)
    @given(strategies.values())
    def check(x):
        gradcheck(lambda v: v.relu() + v.abs() * 3, x, inconclusive="reject")
        seen.append(x)

    check()
    assert seen
    assert 0.0 not in seen


def test_hypothesis_complains_when_everything_is_rejected():
    @settings(database=None)
    @given(st.just(0.0))
    def check(x):
        gradcheck(lambda v: v.abs(), x, inconclusive="reject")

    with pytest.raises(Unsatisfiable):
        check()


def test_reject_does_not_excuse_a_mismatch():
    with pytest.raises(GradcheckError, match="不一致"):
        gradcheck(lambda x, y: x.relu() + y * y.detach(), [0.0, 1.0], inconclusive="reject")


# ---- functions of every shape ----


def test_outputs_are_not_weighted_alike():
    # Σ softmax is 1 whatever the inputs: a cotangent of ones would see only zeros.
    assert gradcheck(lambda xs: mg.softmax(xs), [[0.5, -1.0, 2.0]], order=2)


def test_nested_inputs_are_named_in_the_table():
    f = lambda x, net: x * net["w"][1].detach() + net["w"][0] * 2 + net["w"][1]
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, (1.5, {"w": [2.0, 3.0]}))
    worst = caught.value.report.rows[0]
    assert (worst.input, worst.index, worst.verdict) == (1, "['w'][1]", Verdict.MISMATCH)
    assert (worst.analytic, worst.numeric) == (pytest.approx(1.0), pytest.approx(2.5))
    assert worst.relative_error == pytest.approx(0.6)
    assert len(caught.value.report.rows) == 3


def test_identity_and_linear_functions():
    assert gradcheck(lambda x: x, 2.0, order=2)
    assert gradcheck(lambda x, y: [x + y, 2 * x], [2.0, 3.0], order=2)


def test_it_works_inside_no_grad_and_on_functions_that_differentiate():
    with mg.no_grad():
        assert gradcheck(mg.grad(lambda x: mg.tanh(x) * x), 0.7, order=2)


def test_a_network():
    rng = random.Random(0)
    weights = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(4)]

    def loss(ws, x):
        hidden = [mg.dot(w, [*x, 1.0]).tanh() for w in ws]
        return mg.logsumexp(hidden) - hidden[0]

    assert gradcheck(loss, (weights, [0.3, -0.8]), order=2)


def test_nothing_is_touched():
    x, a = mg.Value(2.0, "x"), mg.Value(3.0)
    x.grad, shared = 7.0, a * a
    before = repr((x, a, shared)), shared.parents
    gradcheck(lambda v: v * shared, [x], order=2)
    with pytest.raises(GradcheckError):
        gradcheck(lambda v: v * v.detach() * shared, [x], order=2)
    assert (repr((x, a, shared)), shared.parents) == before
    assert not a.has_grad


# ---- arrays are moved as arrays ----


def work(n):
    """How often a check of n inputs calls f, and enters any function written in Python."""
    evaluations, entered = [], []

    def f(a):
        evaluations.append(a.size)
        return (a * a + mg.sin(a)).sum()

    x = mg.tensor(np.linspace(-1.0, 1.0, n))
    sys.setprofile(lambda frame, event, arg: event == "call" and entered.append(None))
    try:
        assert gradcheck(f, x)
    finally:
        sys.setprofile(None)
    assert set(evaluations) == {n}
    return len(evaluations), len(entered)


def test_an_evaluation_costs_the_same_calls_however_long_the_arrays_are():
    (few, short), (many, long) = work(20), work(80)
    assert few <= 16 * 20 and many <= 16 * 80
    assert long / many < 1.1 * short / few, (long / many, short / few)


@pytest.mark.parametrize("order", [1, 2])
def test_an_array_is_checked_as_its_elements_would_be(order):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3)), rng.normal(size=3)

    def arrays(a, b, c):
        return [mg.tanh(a * b), a.sum() * c, c * c]

    def numbers(a, b, c):
        products = [mg.tanh(v * u) for row in a for v, u in zip(row, b, strict=True)]
        return [*products, mg.sum([v for row in a for v in row]) * c, c * c]

    one = gradcheck(arrays, (x, mg.tensor(w), 0.7), order=order, seed=3).rows
    other = gradcheck(numbers, (x.tolist(), w.tolist(), 0.7), order=order, seed=3).rows
    key = lambda row: (row.order, row.input, row.index)
    for a, b in zip(sorted(one, key=key), sorted(other, key=key), strict=True):
        assert key(a) == key(b) and a.verdict is b.verdict is Verdict.OK
        assert (a.analytic, a.numeric) == pytest.approx((b.analytic, b.numeric), rel=1e-9)


def test_a_wrong_rule_in_one_element_is_found():
    def wrong(a):
        return mg.concatenate([a[:3] ** 2, a[3:4] * a[3:4].detach(), a[4:] ** 2])

    report = gradcheck(wrong, np.linspace(0.5, 2.0, 6), raise_exception=False)
    assert [row.index for row in report.rows if not row.passed] == ["[3]"]


def test_a_function_may_write_into_the_array_that_it_is_given():
    x = np.linspace(0.5, 2.0, 4)

    def f(a):
        a[0] = 3.0
        return (a * a).sum()

    report = gradcheck(f, x, allow_zero=True)
    assert sorted(row.verdict.name for row in report.rows) == ["OK", "OK", "OK", "ZERO"]
    assert x[0] == 0.5


def test_the_number_of_outputs_may_not_change():
    with pytest.raises(RuntimeError, match="1 個と 2 個"):
        gradcheck(lambda x: [x] if x == 0.5 else [x, x], 0.5)


def test_outputs_that_no_gradient_flows_to():
    f = lambda a: [a.sum(), (a > 0.5).sum(), a * 0.0 + a]
    assert gradcheck(f, np.array([0.1, 0.9]), order=2)


# ---- the report ----


def test_a_passed_report():
    report = gradcheck(mg.tanh, 0.5)
    assert isinstance(report, GradcheckReport)
    assert report
    assert "合格 (passed)" in str(report)
    assert report.rows[0].analytic == pytest.approx(1 - math.tanh(0.5) ** 2)
    assert report.rows[0].relative_error < 1e-9


def test_a_failed_table_shows_the_worst_first_and_the_seed():
    def wrong(*xs):
        return mg.sum([x * x.detach() * (i + 1) for i, x in enumerate(xs[:8])]) + mg.sum(xs[8:])

    report = gradcheck(wrong, [0.5 + i for i in range(14)], seed=42, raise_exception=False)
    assert not report
    assert report.mismatched
    lines = str(report).splitlines()
    assert "wrong: 不合格 (failed)。14 個の微分のうち 8 個" in lines[0]
    assert lines[2].split()[0] == "階"
    assert sum("不一致 (mismatch)" in line for line in lines) == 8
    assert "…ほか 4 個" in lines[-3]
    assert "seed=42" in lines[-1]
    errors = [row.relative_error for row in report.rows]
    assert errors[:8] == sorted(errors[:8], reverse=True)


def test_columns_line_up_on_a_terminal():
    from unicodedata import east_asian_width

    report = gradcheck(lambda x, y: x * y * x.detach(), [1.5, 2e10], raise_exception=False)
    header, *rows = str(report).splitlines()[2:5]

    def column(line, text):
        return sum(2 if east_asian_width(c) in "WF" else 1 for c in line[: line.index(text)])

    place = column(header, "判定")
    assert [column(row, v) for row, v in zip(rows, ("不一致", "一致"))] == [place, place]


def test_the_seed_decides_everything():
    f = lambda x, y: [mg.sin(x * y), x / y]
    one, same, other = (gradcheck(f, [0.5, 1.5], order=2, seed=seed).rows for seed in (1, 1, 2))
    assert one == same
    assert {row.analytic for row in one}.isdisjoint(row.analytic for row in other)


def test_a_wrong_gradient_of_nan_is_a_mismatch():
    f = lambda x: x.sqrt() * 0.0 + x * 2 if x == 0 else x * 2 + 0.0 * x
    with pytest.raises(GradcheckError, match="nan"):
        gradcheck(f, 0.0)


# ---- bad input ----


@pytest.mark.parametrize("bad", ["1", None, 1j, np.zeros(2, object)])
def test_inputs_that_are_no_numbers(bad):
    with pytest.raises(TypeError, match="expected a real number"):
        gradcheck(lambda x, y: x + y, [mg.Value(1.0), bad])


@pytest.mark.parametrize(
    ("f", "inputs", "error", "message"),
    [
        (lambda: mg.Value(1.0), [], ValueError, "empty inputs"),
        (lambda xs: mg.sum(xs), [[]], ValueError, "empty inputs"),
        (mg.sin, float("nan"), ValueError, "non-finite input"),
        (mg.sin, float("inf"), ValueError, "non-finite input"),
        (mg.log, 0.0, ValueError, "non-finite output"),
        (mg.log, -1.0, ValueError, "non-finite output"),
        ("sin", 1.0, TypeError, "expected a function"),
        (lambda x: None, 1.0, TypeError, "NoneType を返しました"),
        (lambda x: x.data, 1.0, TypeError, "float を返しました"),
        (lambda x: [], 1.0, ValueError, "no output"),
        (lambda x: x * random.random(), 1.0, RuntimeError, "non-deterministic"),
        (lambda x: [x] * (2 if x.data == 1 else 1), 1.0, RuntimeError, "2 個と 1 個"),
        (lambda x: [x] * (2 if x.data == 1 else 3), 1.0, RuntimeError, "2 個と 3 個"),
    ],
)
def test_bad_functions_and_inputs(f, inputs, error, message):
    with pytest.raises(error, match=message):
        gradcheck(f, inputs)


def test_a_function_that_writes_to_its_input():
    def f(x):
        x.data += 1.0
        return x * x

    with pytest.raises(RuntimeError, match="modifies its input"):
        gradcheck(f, 1.0)


@pytest.mark.parametrize(
    "option",
    [{"order": 3}, {"rtol": 0.01}, {"rtol": -1}, {"atol": math.nan}, {"inconclusive": "skip"}],
)
def test_bad_options(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        gradcheck(mg.sin, 1.0, **option)


def test_hypothesis_is_needed_only_where_it_is_used():
    code = """
import sys
sys.modules["hypothesis"] = None
import micrograd_jp as mg
import micrograd_jp.testing as t
t.gradcheck(mg.sin, 1.0)
t.faults
for attempt in (lambda: t.strategies, lambda: t.gradcheck(mg.sin, 1.0, inconclusive="reject")):
    try:
        attempt()
    except ModuleNotFoundError as error:
        assert 'pip install "micrograd_jp[verify]"' in str(error)
    else:
        raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
