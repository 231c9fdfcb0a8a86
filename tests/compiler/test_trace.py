"""Tracing: what is written down, what is refused and how, and what simplification may change."""

import gc
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings

import micrograd_jp as mg
from micrograd_jp.compiler import TraceError
from micrograd_jp.compiler.pipeline import record
from micrograd_jp.compiler.record.inputs import read
from micrograd_jp.compiler.simplify import simplified
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.testing import strategies


def recorded(function, *args):
    return record(function, args, {}, read(args, {}).batch)


def operations(trace):
    return [trace.primitive(i).name for i in range(len(trace)) if trace.primitive(i)]


def test_a_trace_is_a_table_in_topological_order():
    w = mg.Value(2.0, label="w")
    trace = recorded(lambda x: (w * x + 1).tanh(), 3.0).trace
    assert operations(trace) == ["mul", "add", "tanh"]
    assert trace.values.tolist() == [1.0]
    assert (trace.args < trace.owners).all()
    assert repr(trace) == "<Trace 6 nodes: 1 inputs, 1 parameters, 1 outputs>"


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: x if x > 0 else -x, "mg.where"),
        (lambda x: max(x, 1.0, key=abs), "mg.maximum"),
        (lambda x: x * (x > 0 and x < 1), "mg.where"),
        (lambda x: sorted([x, x * 2])[0], "mg.where"),
        (lambda x: 1 if not x else 2, "mg.where"),
        (lambda x: math.sin(x), "v.exp"),
        (lambda x: float(x), "v.exp"),
        (lambda x: x.item(), "v.exp"),
        (lambda x: int(x), "mg.floor"),
        (lambda x: round(x), "mg.floor"),
        (lambda x: math.floor(x) * [1, 2][x], "mg.take"),
        (lambda x: sum(x for _ in range(x)), "mg.take"),
        (lambda x: mg.take([x, x], x + 1), "入力"),
        (lambda x: x.backward(), "backward"),
        (lambda x: x.grad, "backward"),
    ],
)
def test_what_cannot_be_compiled_names_the_line_and_the_remedy(function, what):
    with pytest.raises(TraceError) as caught:
        mg.compile(function)(np.ones(3))
    message = str(caught.value)
    assert what in message
    assert __file__ in message and f":{function.__code__.co_firstlineno} " in message


@pytest.mark.parametrize("wrong", ["text", None, [1.0, "text"]])
def test_results_that_are_no_numbers(wrong):
    with pytest.raises(TraceError, match="expected Values"):
        mg.compile(lambda x: wrong)(1.0)


def test_branching_before_anything_was_captured():
    w = mg.Value(1.0)
    before = w.data, type(w)
    with pytest.raises(TraceError):
        mg.compile(lambda x: w * x if w * x > 0 else x)(np.ones(2))
    assert (w.data, type(w)) == before


def test_errors_of_the_function_say_how_the_arguments_were_read():
    with pytest.raises(TypeError) as caught:
        mg.compile(lambda x: mg.sum(x))(np.ones(4))
    assert "標本は 4 個" in caught.value.__notes__[0] and "x.tolist()" in caught.value.__notes__[0]


def test_a_program_of_tensors_is_sent_to_jit():
    model = mg.nn.Linear(2, 2)
    with pytest.raises(TypeError) as caught:
        mg.compile(model)(mg.ones(1, 2))
    assert "mg.jit" in caught.value.__notes__[-1]


def test_a_value_that_leaked_from_an_earlier_trace_is_refused():
    kept = []

    def f(x):
        kept.append(x)
        return kept[0] * x

    compiled = mg.compile(f)
    compiled(1.0)
    with pytest.raises(TraceError, match="leaked"):
        compiled(np.ones(2))


def test_a_value_made_of_a_tensor_is_refused():
    t = mg.tensor([2.0], requires_grad=True)
    with pytest.raises(TraceError, match="Tensor"):
        mg.compile(lambda x: t.to_value() * x)(1.0)


def test_values_made_inside_are_constants_values_kept_outside_are_parameters():
    w, kept = mg.Value(2.0), []

    def f(x):
        start = mg.Value(1.0)
        kept.append(mg.Value(4.0))
        return start + mg.Value(3.0) * mg.Value(2.0) * w * x + kept[-1]

    found = recorded(f, 1.0)
    assert {v.data for v in found.values} == {2.0, 4.0}
    assert set(simplified(found.trace).values.tolist()) == {1.0, 6.0}


def test_the_collector_is_left_as_it_was():
    for enabled in (True, False):
        gc.enable() if enabled else gc.disable()
        try:
            mg.compile(lambda x: x + 1)(1.0)
            assert gc.isenabled() == enabled
        finally:
            gc.enable()


def test_labels_are_kept():
    def f(x):
        h = x * 2 + 1
        h.label = "隠れ"
        assert h.label == "隠れ" and "隠れ" in repr(h)
        return h.tanh() + h

    assert "隠れ" in str(mg.compile(f, executor="lift").trace(np.ones(2)).program)


# ---- 簡約 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x, y: -0.0 + x - 0, []),
        (lambda x, y: x + 0, ["add"]),  # −0.0 + 0 is 0.0
        (lambda x, y: x - -0.0, ["sub"]),
        (lambda x, y: x + -0.0, []),
        (lambda x, y: (x + 0) + y, ["add"]),
        (lambda x, y: (x + y) + 0, ["add"]),
        (lambda x, y: (0 + x) + y, ["add"]),  # sum([x, y])
        (lambda x, y: 1 * x * 1 / 1, []),
        (lambda x, y: (x**1).clone(), []),
        (lambda x, y: mg.neg(-x), []),
        (lambda x, y: mg.neg(mg.neg(-x)), ["neg"]),
        (lambda x, y: mg.sum([x]) * mg.prod([y]), ["mul"]),
        (lambda x, y: x + y + x + y, ["sum"]),
        (lambda x, y: x + (y + (x + y)), ["sum"]),
        (lambda x, y: mg.sum([x, y]) + mg.sum([y, x]), ["sum"]),
        (lambda x, y: (x + y) * (y + x), ["add", "mul"]),
        (lambda x, y: x * y - y * x, ["mul", "sub"]),
        (lambda x, y: (x - y) * (y - x), ["sub", "sub", "mul"]),
        (lambda x, y: (mg.exp(x), x * 2)[1], ["mul"]),
        (lambda x, y: x * (mg.Value(2.0) + mg.Value(3.0)), ["mul"]),
    ],
)
def test_simplification(function, left):
    trace = simplified(recorded(function, 1.0, 2.0).trace)
    assert operations(trace) == left
    assert len(trace.inputs) == 2


@pytest.mark.parametrize("x", [-0.0, math.inf, math.nan])
def test_special_constants_stay_apart(x):
    found = recorded(lambda v: v * x + 0.0 * v, 1.0).trace
    assert len(found.constants) == 2
    value = Levels(simplified(found), np.float64).forward(np.empty(0), [np.array([[1.0]])])
    np.testing.assert_equal(value[0, 0], 1.0 * x + 0.0)


@given(e=strategies.expressions(max_ops=12))
@settings(max_examples=60)
def test_simplification_changes_nothing_beyond_rounding(e):
    found = recorded(lambda xs: e(*xs), list(e.inputs)).trace
    simple = simplified(found)
    inputs = [np.array([[x] for x in e.inputs])]
    values, gradients = [], []
    for trace in (found, simple):
        executor = Levels(trace, np.float64)
        values.append(executor.forward(np.empty(0), inputs))
        gradients.append(executor.backward(np.ones((1, 1)), True)[1])
    np.testing.assert_allclose(*values, rtol=1e-12)
    np.testing.assert_allclose(*gradients, rtol=1e-9, atol=1e-12)
    assert len(simple) <= len(found)


def test_a_chain_of_a_hundred_thousand_nodes():
    def f(x):
        total = x
        for _ in range(50_000):
            total = total + x
            total = total.clone()
        for _ in range(2_000):
            total = total * 1.0001
        return total

    trace = simplified(recorded(f, 1.0).trace)
    assert operations(trace).count("sum") == 1 and len(trace) == 2003


def test_data_that_come_as_constants_are_named():
    w = [mg.Value(0.1) for _ in range(20)]
    x = np.random.default_rng(0).normal(size=(60, 20)).tolist()

    def loss(rows):
        return mg.sum([mg.tanh(mg.dot(w, row)) for row in rows])

    with pytest.warns(UserWarning, match="引数として渡して") as caught:
        mg.compile(lambda: loss(x))()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mg.compile(lambda row: mg.tanh(mg.dot(w, row)))(np.array(x))
        mg.compile(lambda: mg.sum([0.5 * v * v for v in w * 100]))()  # a penalty has no data
