"""Tapes: which instructions a computation becomes, and that they are run right."""

import math
from dataclasses import replace

import numpy as np
import pytest
from agreement import agree
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.tape import cost, kernel
from micrograd_jp.compiler.tape import executor as tape_executor
from micrograd_jp.compiler.tape.executor import NativeTape
from micrograd_jp.compiler.tape.layout import LANES, chunks
from micrograd_jp.compiler.tape.tape import assembled
from micrograd_jp.ops.primitive import elementwise_primitives, reductions
from micrograd_jp.testing import strategies

NATIVE = pytest.param(
    "tape",
    marks=pytest.mark.skipif(
        not kernel.available(), reason="machine code needs llvmlite (extra fast)"
    ),
)
on_both = pytest.mark.parametrize("executor", [NATIVE, "levels"])
on_all = pytest.mark.parametrize("executor", [NATIVE, "levels", "lift", "python"])
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, math.inf, -math.inf, math.nan, 700.0, -700.0]


def compiled(function, *arrays, executor="levels", dtype=np.float64):
    """The compiled function after its first call."""
    made = mg.compile(function, executor=executor, dtype=dtype)
    made(*[np.asarray(a, dtype=np.float64) for a in arrays])
    return made


def tape_of(function, n):
    """The tape of a function of one list of n numbers."""
    return assembled(compiled(function, np.zeros((1, n))).compilations[0].trace)


def names(function, n):
    return [i.name for i in tape_of(function, n).instructions]


def weighted(xs):
    """Different weights, so that no output can be taken for another."""
    return mg.dot([1.0, 2.5, -3.0, 0.5, 4.0, -0.25, 1.5][: len(xs)], xs)


# ---- 命令 ------------------------------------------------------------------------------------


def by_hand(xs):
    top = xs[0]
    for x in xs[1:]:
        top = mg.maximum(top, x)
    es = [mg.exp(x - top) for x in xs]
    total = mg.sum(es)
    return [e / total for e in es]


def through_logsumexp(xs):
    total = mg.logsumexp(xs)
    return [mg.exp(x - total) for x in xs]


SOFTMAXES = [mg.softmax, by_hand, through_logsumexp]


@pytest.mark.parametrize(
    ("softmax", "name"),
    [(mg.softmax, "ratio"), (by_hand, "ratio"), (through_logsumexp, "softmax")],
    ids=["mg", "by hand", "through logsumexp"],
)
@pytest.mark.parametrize("k", [2, 3, 4, 5, 7])
def test_a_softmax_in_pieces_becomes_one_instruction(softmax, name, k):
    assert names(lambda x: weighted(softmax(list(x))), k)[0] == (f"{name}4" if k < 5 else name)
    assert len(names(lambda x: weighted(softmax(list(x))), k)) == 2


def test_a_softmax_of_which_only_one_output_is_used():
    assert names(lambda x: mg.softmax(list(x))[1], 4) == ["ratio4"]
    assert names(lambda x: through_logsumexp(list(x))[1], 4) == ["softmax4"]
    assert names(lambda x: by_hand(list(x))[2], 4) == ["ratio4"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: through_logsumexp(list(x))[0] + x[0] - mg.logsumexp(list(x)),  # a logarithm, too
        lambda x: through_logsumexp(list(x))[0] * mg.logsumexp(list(x)),
        lambda x: mg.exp(x[0] - mg.logsumexp([x[0], x[0], x[1]])),  # an argument twice
        lambda x: mg.exp(x[2] - mg.logsumexp([x[0], x[1]])),  # another argument
        lambda x: by_hand(list(x))[0] * mg.exp(x[0] - mg.maximum(mg.maximum(x[0], x[1]), x[2])),
        lambda x: mg.exp(x[0]) / (mg.exp(x[0]) + mg.exp(x[1])),  # no maximum: it may overflow
        lambda x: mg.exp(x[0] - x[1]) / (mg.exp(x[0] - x[1]) + mg.exp(x[2] - x[1])),
    ],
)
def test_what_only_looks_like_a_softmax_is_left_alone(function):
    assert not {"softmax4", "ratio4", "softmax", "ratio"} & set(names(function, 3))
    agree(function, [np.random.default_rng(0).standard_normal((3, 3))], executor="tape")


def test_products_become_terms_of_the_sum_that_uses_them():
    assert names(lambda x: x[0] * x[1] + x[2], 3) == ["muladd"]
    assert names(lambda x: x[0] * x[1] + x[2] * x[3], 4) == ["dot"]
    assert names(lambda x: mg.dot(x[:2], x[2:4]) + x[4], 5) == ["dot"]
    assert names(lambda x: mg.sum([x[0] * x[1], x[2], x[3], x[4]]), 5) == ["sum4", "muladd"]
    assert names(lambda x: mg.dot(x[:1], x[1:]), 2) == ["mul"]
    twice = names(lambda x: (x[0] * x[1] + x[2]) * (x[0] * x[1]), 3)
    assert sorted(twice) == ["add", "mul", "mul"]


def test_sums_of_any_length():
    assert names(lambda x: x[0] + x[1], 2) == ["add"]
    assert names(lambda x: mg.sum(list(x)), 4) == ["sum4"]
    assert names(lambda x: mg.sum(list(x)), 9) == ["sum"]


def test_a_square_is_a_product():
    assert names(lambda x: x[0] ** 2, 1) == ["mul"]
    assert names(lambda x: x[0] ** 3, 1) == ["pow"]


# ---- 実行 ------------------------------------------------------------------------------------


@pytest.mark.slow  # always: of every executor, in test_executors.py
@on_both
@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
def test_primitives_through_special_numbers(executor, op):
    rng = np.random.default_rng(0)
    columns = [rng.permutation(SPECIAL * 2) for _ in range(op.arity)]
    if op.partials[0] is None:
        columns[0] = (np.nan_to_num(columns[0]) > 0) * 1.0
    agree(lambda *xs: getattr(mg, op.name)(*xs), columns, executor=executor)


@on_all
@pytest.mark.parametrize("op", reductions(), ids=lambda op: op.name)
@pytest.mark.parametrize(
    "n", [1, 3, 4, 9, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 5, 8))]
)
def test_reductions_through_special_numbers(executor, op, n):
    rng = np.random.default_rng(n)
    arrays = [rng.choice(SPECIAL, (20, n)) for _ in range(op.lists)]
    arrays = [np.concatenate([a, rng.standard_normal((20, n))]) for a in arrays]
    agree(lambda *xs: getattr(mg, op.name)(*xs) * 0.5, arrays, executor=executor)


@on_all
@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("n", [3, 6, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4))])
def test_softmax_through_special_numbers(executor, softmax, n):
    rng = np.random.default_rng(n)
    rows = np.concatenate([rng.choice(SPECIAL, (60, n)), rng.standard_normal((20, n))])
    agree(lambda x: weighted(softmax(list(x))), [rows], executor=executor)
    agree(lambda x: softmax(list(x))[0], [rows], executor=executor)  # 0 or nan beside an infinity?


@on_both
@given(e=strategies.expressions(max_ops=12), batch=st.sampled_from([1, 2, 17]))
@settings(max_examples=40)
def test_random_expressions(executor, e, batch):
    rest = [mg.Value(x) for x in e.inputs[1:]]
    agree(lambda x: e(x, *rest), [np.full(batch, e.inputs[0])], rest, executor)


def mixed(w):
    """A function of three numbers with every kind of instruction in it."""

    def function(x):
        a, b, c, d = mg.softmax([x[0], x[1] * w[0], x[2], w[1]])
        e = by_hand([a + x[0], b, c, d, x[1]])
        f = mg.prod([e[0] + 1, e[1] + 2, x[2] + 3]) + mg.logsumexp([e[2], x[0], x[1]])
        g = mg.dot([w[0], w[1], x[0]], [f, x[1], e[3]]) + mg.softplus(f) * mg.tanh(x[0])
        return mg.sum([g, e[4], mg.erf(x[1]), mg.elu(x[2], w[0]), a, b * c + d]) - g / 3

    return function


@on_all
@pytest.mark.parametrize(
    "batch",
    [0, 1, 17, 64, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 16, 32, 50, 65, 150))],
)
def test_every_way_to_divide_a_batch_into_lanes(executor, batch):
    w = [mg.Value(0.3), mg.Value(-0.7)]
    rows = np.random.default_rng(batch).standard_normal((batch, 3))
    agree(mixed(w), [rows], w, executor)


@on_all
@pytest.mark.parametrize("batch", [1, 40])
def test_float32(executor, batch):
    w = [mg.Value(0.3), mg.Value(-0.7)]
    rows = np.random.default_rng(0).standard_normal((batch, 3)).astype(np.float32)
    agree(mixed(w), [rows], w, executor, dtype=np.float32, rtol=2e-5)


def test_lanes_cover_every_sample_once():
    for batch in range(300):
        parts = list(chunks(batch))
        samples = [i for start, stop, _ in parts for i in range(start, stop)]
        assert samples == list(range(batch))
        assert all(stop - start <= lanes in LANES for start, stop, lanes in parts)


@on_both
def test_a_long_chain(executor):
    w = mg.Value(0.999)

    def loss(x):
        for _ in range(700):
            x = mg.sin(x) * w + 0.01
        return x

    agree(loss, [[1.0, 2.0]], [w], executor, rtol=1e-7)


@on_all
def test_outputs_that_are_leaves_or_repeated(executor):
    function = compiled(
        lambda x: [x[0], x[0], mg.tanh(x[0]), mg.tanh(x[0]), 5.0], np.zeros((1, 1)),
        executor=executor,
    ).compilations[0].executor  # fmt: skip
    x = np.array([[0.5, -0.25, 2.0]])
    out = function.forward(np.empty(0), [x])
    np.testing.assert_allclose(out, [x[0], x[0], *[np.tanh(x[0])] * 2, [5.0] * 3], rtol=1e-14)
    _, gradient = function.backward(np.arange(15.0).reshape(5, 3), True)
    wanted = np.array([3.0, 5, 7]) + np.array([15.0, 17, 19]) * (1 - np.tanh(x) ** 2)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-14)


@on_all
def test_results_belong_to_the_caller(executor):
    made = compiled(lambda x: mg.exp(x[0]), [[1.0]], executor=executor).compilations[0].executor
    parameters = np.empty(0)
    first = made.forward(parameters, [np.array([[1.0]])])
    _, gradient = made.backward(np.ones((1, 1)), True)
    made.forward(parameters, [np.array([[2.0]])])
    made.backward(np.ones((1, 1)), True)
    np.testing.assert_allclose([first.item(), gradient.item()], math.e, rtol=1e-14)


# ---- 機械語だけのこと ---------------------------------------------------------------------------


@pytest.fixture
def native():
    if not kernel.available():
        pytest.skip("machine code needs llvmlite (extra fast)")
    made = compiled(mixed([mg.Value(0.3), mg.Value(-0.7)]), np.zeros((1, 3)), executor="tape")
    executor = made.compilations[0].executor
    assert isinstance(executor, NativeTape)
    return executor


def test_an_unknown_opcode_is_an_error_and_leaves_nothing_behind(native):
    parameters, x = np.array([0.3, -0.7]), [np.ones((3, 2))]
    native.forward(parameters, x)
    wanted = native.backward(np.ones((1, 2)), True)
    words = native.layout.backward
    opcode, words[0] = words[0], 60000
    with pytest.raises(RuntimeError, match="unknown opcode"):
        native.backward(np.ones((1, 2)), True)
    words[0] = opcode
    for again, was in zip(native.backward(np.ones((1, 2)), True), wanted, strict=True):
        np.testing.assert_array_equal(again, was)


@pytest.mark.parametrize(
    ("name", "other"),
    [("softplus", "silu"), ("erf", "sin"), ("tanh", "sigmoid"),
     ("muladd", "where"), ("add", "sub"), ("div", "mul"), ("mul", "add")],
)  # fmt: skip
def test_a_wrong_instruction_gives_wrong_answers(native, name, other):
    """The comparisons of this file do notice when an instruction is taken for another."""
    tape = native.tape
    assert name in {i.name for i in tape.instructions}
    wrong = [i._replace(name=other if i.name == name else i.name) for i in tape.instructions]
    faulty = NativeTape(replace(tape, instructions=wrong), np.float64)
    parameters, x = np.array([0.3, -0.7]), [np.array([[0.4, np.inf], [-0.4, 1], [0.2, 3]])]
    with np.errstate(all="ignore"):
        answers = [e.forward(parameters, x) for e in (native, faulty)]
        gradients = [e.backward(np.ones((1, 2)), True)[1] for e in (native, faulty)]
    same = [np.allclose(*pair, rtol=1e-6, equal_nan=True) for pair in (answers, gradients)]
    assert not all(same)


def test_values_that_were_not_kept_are_computed_again(native, monkeypatch):
    parameters, x = np.array([0.3, -0.7]), np.random.default_rng(0).standard_normal((3, 150))
    seeds = np.random.default_rng(1).standard_normal((1, 150))
    values = native.forward(parameters, [x])
    wanted = native.backward(seeds, True)
    monkeypatch.setattr("micrograd_jp.compiler.tape.executor.KEPT_BYTES", 0)
    np.testing.assert_array_equal(native.forward(parameters, [x]), values)
    parameters[:], x[:] = 0, 0  # an optimizer may write into what it passed
    for again, was in zip(native.backward(seeds, True), wanted, strict=True):
        np.testing.assert_array_equal(again, was)


def test_without_machine_code_the_levels_take_over(monkeypatch):
    for module in (tape_executor, cost):
        monkeypatch.setattr(module, "available", lambda: False)
    made = compiled(lambda x: mg.tanh(x[0]), [[1.0]], executor="tape")
    assert isinstance(made.compilations[0].executor, Levels)
    assert cost.cost(made.compilations[0].trace, 10) == math.inf


@pytest.mark.usefixtures("native")
def test_the_estimate_grows_with_the_work():
    short = compiled(lambda x: mg.tanh(x[0]), [[1.0]]).compilations[0].trace
    long = compiled(lambda x: mg.sum([mg.tanh(x[0] * i) for i in range(2, 99)]), [[1.0]])
    trace = long.compilations[0].trace
    assert cost.cost(short, 1) < cost.cost(trace, 1)
    assert cost.cost(trace, 1) < cost.cost(trace, 64)
    assert cost.cost(trace, 64) < 64 * cost.cost(trace, 1) / 4
