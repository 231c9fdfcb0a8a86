"""戦略: 定義域を守り、すべての演算に届き、実行できる repr をもち、よく縮む。"""

import ast
import random
import sys
from collections import Counter

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import testing
from micrograd_jp.ops import primitive
from micrograd_jp.ops.primitive import (
    Elementwise,
    Reduction,
    elementwise_primitives,
    lookup,
    reductions,
)
from micrograd_jp.testing import gradcheck
from micrograd_jp.testing.expression import MARGIN
from micrograd_jp.testing.strategies import Expression, expressions, inputs, primitives, values

PRIMITIVES = [*elementwise_primitives(), *reductions()]


def smallest(strategy, condition):
    """The same in every process: Hypothesis draws constants of the modules that are loaded, too."""
    providers = sys.modules.get("hypothesis.internal.conjecture.providers")  # not in old ones
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(providers, "_get_local_constants"):
            patch.setattr(providers, "_get_local_constants", type(providers._local_constants))
            patch.setattr(
                providers, "CONSTANTS_CACHE", {}, raising=False
            )  # of those that were loaded before
        return find(
            strategy,
            condition,
            settings=settings(max_examples=3000, database=None),
            random=random.Random(0),
        )


# ---- values and inputs ----


@given(st.data(), st.floats(-100, 100), st.floats(0, 50) | st.floats(0, 1e9))
def test_values_stay_in_range(data, low, width):
    high = low + width
    v = data.draw(values(low, high))
    assert low <= v <= high
    assert isinstance(v, float)


def test_values_are_simple():
    assert smallest(values(), lambda v: True) == 0.0
    assert smallest(values(), lambda v: v > 0.3) == 1.0
    assert smallest(values(), lambda v: v < 0) == -1.0
    assert smallest(values(0.2, 4.0), lambda v: True) == 1.0
    assert smallest(values(7.0, 7.0), lambda v: True) == 7.0


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
@settings(max_examples=30)
@given(data=st.data())
def test_inputs_lie_in_the_domain_and_off_the_kink(op, data):
    xs = data.draw(inputs(op))
    if op in reductions():
        assert len(xs) == op.lists
        assert 1 <= len(xs[0]) <= 5
        assert len({len(row) for row in xs}) == 1
        low, high = op.domain
        assert all(low <= x <= high for row in xs for x in row)
        return
    assert all(low <= x <= high for x, (low, high) in zip(xs, op.domain, strict=True))
    if op.kink is not None:
        assert abs(op.kink(*xs)) > MARGIN


@given(primitives())
def test_primitives_are_registered(op):
    assert lookup(op.name) is op


# ---- expressions ----

OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}


def used(e):
    """Names of the primitives in the source."""
    for node in ast.walk(ast.parse(e.source)):
        if isinstance(node, ast.BinOp):
            yield OPERATORS[type(node.op)]
        elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
            yield "neg"
        elif isinstance(node, ast.Call):
            yield getattr(node.func, "attr", "abs")


@pytest.mark.slow
def test_every_primitive_shared_terms_and_constants_on_both_sides_occur():
    seen = Counter()

    @settings(max_examples=1200, database=None, derandomize=True)
    @given(expressions())
    def collect(e):
        seen.update(set(used(e)))
        seen["shared"] += ":=" in e.source
        for node in ast.walk(ast.parse(e.source)):
            if isinstance(node, ast.BinOp):
                seen["left constant"] += isinstance(node.left, ast.Constant)
                seen["right constant"] += isinstance(node.right, ast.Constant)
        seen["inputs", len(e.inputs)] += 1

    collect()
    wanted = {op.name for op in PRIMITIVES} | {"shared", "left constant", "right constant"}
    assert {name for name in wanted if seen[name] < 10} == set()
    assert seen["shared"] > 200
    assert min(seen["inputs", n] for n in (1, 2, 3)) > 100


@settings(max_examples=200)
@given(expressions())
def test_the_repr_runs_and_gives_the_same_expression(e):
    again = eval(repr(e), {"mg": mg, "Expression": Expression})
    assert again == e
    assert hash(again) == hash(e)
    assert repr(again) == repr(e)
    out, same = e(*map(mg.Value, e.inputs)), again(*e.inputs)
    assert out.data == getattr(same, "_data", same)


@settings(max_examples=200)
@given(expressions())
def test_values_and_slopes_are_moderate_and_every_input_matters(e):
    xs = [mg.Value(x) for x in e.inputs]
    out = e(*xs)
    out.backward()
    assert abs(out.data) <= 50
    assert all(0.04 < abs(x.grad) <= 50 for x in xs)


@settings(max_examples=50)
@given(expressions(max_ops=1, max_inputs=5))
def test_limits_are_kept(e):
    assert 1 <= len(e.inputs) <= 5


USERS = [
    Elementwise("twice", "2x", "2 倍", lambda m, x: x + x, (lambda m, z, x: 2,)),
    Reduction("rms", "‖x‖/√n", "二乗平均平方根", lambda m, xs: m.sqrt(m.dot(xs, xs) / len(xs)),
              lambda m, z, xs: [x / z / len(xs) for x in xs], (1.0, 3.0)),
]  # fmt: skip


@pytest.mark.parametrize("op", USERS, ids=lambda op: op.name)
def test_what_a_user_registers_occurs_in_expressions(op, monkeypatch):
    with pytest.raises(AttributeError, match=op.name):
        getattr(mg.functions, op.name)
    monkeypatch.setattr(primitive, "_registry", {})  # nothing else: it need not be waited for
    primitive.register(op)

    @settings(max_examples=20, database=None, derandomize=True)
    @given(expressions(max_ops=3))
    def check(e):
        assert f"mg.{op.name}(" in e.source and gradcheck(e, e.inputs)

    check()


def test_expressions_are_different_from_other_things():
    e = Expression("lambda x: x", (1.0,))
    assert e != Expression("lambda x: x", (2.0,))
    assert e != Expression("lambda x: -x", (1.0,))
    assert e != "lambda x: x"


@pytest.mark.slow  # seconds of shrinking each; what shrinks in the fast part is below
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("mg.tanh(", "lambda x: mg.tanh(x)"),
        ("mg.where(", "lambda x: mg.where(x > -0.5, x, x)"),
        ("mg.logsumexp(", "lambda x: mg.logsumexp([x])"),
        ("mg.dot(", "lambda x: mg.dot([x], [x]) + x"),
        ("mg.clip(", "lambda x: mg.clip(x, x - 0.5, x + 0.5)"),
    ],
)
def test_one_primitive_is_found_alone(name, source):
    assert smallest(expressions(), lambda e: name in e.source) == Expression(source, (0.0,))


@pytest.mark.slow
def test_a_sharing_bug_shrinks_to_one_shared_term():
    e = smallest(expressions(), lambda e: ":=" in e.source)
    assert e.inputs == (0.0,)
    assert len(e.source) <= len("lambda x: (t1 := (x + x)) + t1")


@pytest.mark.slow
def test_a_failing_property_shrinks_to_a_small_program():
    """As if the derivative of cosh were wrong for large arguments."""

    def fails(e):
        slopes = testing.numerical_gradient(e, *e.inputs)
        return (
            "mg.cosh(" in e.source and max(map(abs, [slopes] if len(e.inputs) == 1 else slopes)) > 5
        )

    e = smallest(expressions(), fails)
    assert len(e.inputs) == 1
    assert sum(1 for _ in used(e)) <= 4


def test_the_strategy_can_be_reached_as_an_attribute():
    assert testing.strategies.expressions is expressions
    with pytest.raises(AttributeError):
        testing.nonsense


@given(expressions())
def test_three_lines(e):
    gradcheck(e, e.inputs, order=2)


# ---- bad input ----


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_bad_ranges(bounds):
    with pytest.raises(ValueError, match="invalid range"):
        values(*bounds)


def test_bad_arguments():
    with pytest.raises(TypeError, match="expected a real number"):
        values("0", 1)
    with pytest.raises(TypeError, match="expected a primitive"):
        inputs("tanh")
    with pytest.raises(ValueError, match="max_ops"):
        expressions(max_ops=0)
    with pytest.raises(ValueError, match="max_inputs"):
        expressions(max_inputs=1.5)
