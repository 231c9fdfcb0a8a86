"""Every executor computes what eager `Value` computes: values, gradients, in every corner."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from agreement import EXECUTORS, agree
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.ops.primitive import Reduction, elementwise_primitives, lookup, reductions
from micrograd_jp.testing import strategies
from micrograd_jp.testing.faults import run

every_executor = pytest.mark.parametrize("executor", EXECUTORS)
# To compile a program takes LLVM longer than to run it.
quick_to_compile = pytest.mark.parametrize("executor", [e for e in EXECUTORS if e != "native"])
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, math.inf, -math.inf, math.nan, 700.0, -700.0]


@quick_to_compile
@given(e=strategies.expressions(max_ops=10))
@settings(max_examples=40)
def test_expressions_of_inputs(executor, e):
    agree(e, [np.array([x, x]) for x in e.inputs], executor=executor)


@quick_to_compile
@given(e=strategies.expressions(max_ops=10), scale=st.sampled_from([0.5, 1.0]))
@settings(max_examples=40)
def test_expressions_of_inputs_and_parameters(executor, e, scale):
    """The first variable is an input, the others are captured parameters."""
    rest = [mg.Value(x) for x in e.inputs[1:]]
    agree(lambda x: e(x, *rest) * scale, [np.array([e.inputs[0]] * 3)], rest, executor)


@pytest.mark.slow
@given(e=strategies.expressions(max_ops=10))
@settings(max_examples=8)
def test_expressions_as_machine_code(e):
    rest = [mg.Value(x) for x in e.inputs[1:]]
    agree(lambda x: e(x, *rest), [np.array([e.inputs[0]] * 3)], rest, "native")


@every_executor
@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
def test_primitives_through_special_numbers(executor, op):
    rng = np.random.default_rng(0)
    columns = [rng.permutation(SPECIAL * 2) for _ in range(op.arity)]
    if op.partials[0] is None:
        columns[0] = (np.nan_to_num(columns[0]) > 0) * 1.0
    function = getattr(mg, op.name)
    agree(lambda *xs: function(*xs), columns, executor=executor)
    fixed = mg.Value(0.75)
    if op.arity > 1 and op.partials[0] is not None:
        agree(lambda x: function(x, *[fixed] * (op.arity - 1)), columns[:1], [fixed], executor)


@every_executor
@pytest.mark.parametrize("op", reductions(), ids=lambda op: op.name)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_reductions(executor, op, n):
    rng = np.random.default_rng(n)
    function = getattr(mg, op.name)
    arrays = [rng.choice(SPECIAL, (30, n)) for _ in range(op.lists)]
    finite = [np.nan_to_num(a, nan=0.25, posinf=3.0, neginf=-2.0).clip(-9, 9) for a in arrays]
    for some in (arrays, finite):
        agree(lambda *xs: function(*xs), some, executor=executor)
    weights = [mg.Value(x) for x in rng.standard_normal(n)]
    lists = [weights] if op.lists == 2 else []
    agree(lambda x: function(*lists, x) * weights[0], finite[:1], weights, executor)
    assert isinstance(op, Reduction)


@quick_to_compile
@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_random_networks(executor, sizes, seed):
    random.seed(seed)
    model = nn.MLP(sizes[0], sizes[1:])
    rng = np.random.default_rng(seed)

    def loss(x):
        z = model(x)
        z = z if isinstance(z, list) else [z]
        penalty = mg.sum([p * p for p in model.parameters()])
        return mg.logsumexp(z) - z[0] + 0.01 * penalty

    agree(loss, [rng.standard_normal((4, sizes[0]))], model.parameters(), executor)


@every_executor
@pytest.mark.parametrize("n", [0, 1, 7])
def test_batches_of_any_size_in_turn(executor, n):
    w = [mg.Value(0.5), mg.Value(-1.5)]
    loss = mg.compile(lambda x: mg.tanh(mg.dot(w, x)), dtype=np.float64, executor=executor)
    for count in (3, n, 3, n):
        x = np.random.default_rng(count).standard_normal((count, 2))
        loss.zero_grad() if loss.compilations else None
        values = loss(x)
        z = x @ [0.5, -1.5]
        np.testing.assert_allclose(values._data, np.tanh(z), rtol=1e-12)
        loss.backward()
        wanted = ((1 - np.tanh(z) ** 2)[:, None] * x).sum(0) / max(count, 1)
        np.testing.assert_allclose([v.grad for v in w], wanted, rtol=1e-12)


@every_executor
def test_shared_unused_and_constant(executor):
    w, unused, reached = mg.Value(2.0), mg.Value(5.0), mg.Value(7.0)

    def loss(x, y):
        dead = reached * x[0]
        assert dead is not None
        shared = w * x[0]
        return shared * shared + shared + mg.Value(3.0) * x[1] + 0 * x[0] + w + 4

    compiled = agree(loss, [[[1, 2], [3, 4]], [[1.0], [2.0]]], [w, unused, reached], executor)
    assert type(unused) is mg.Value and type(reached) is not mg.Value
    assert sum(p.size for p in compiled.parameters()) == 2


@every_executor
def test_outputs_that_do_not_depend_on_the_inputs(executor):
    w = mg.Value(2.0)
    agree(lambda x: w * w, [[1.0, 2.0, 3.0]], [w], executor)
    agree(lambda x: w, [[1.0, 2.0, 3.0]], [w], executor)
    agree(lambda x: x, [[1.0, 2.0, 3.0]], [], executor)
    agree(lambda x: 5, [[1.0, 2.0]], [], executor)


@every_executor
def test_float32(executor):
    random.seed(1)
    model = nn.MLP(3, [4, 2])
    rng = np.random.default_rng(1)
    agree(
        lambda x: mg.logsumexp(model(x)), [rng.standard_normal((6, 3))], model.parameters(),
        executor, dtype=np.float32, rtol=1e-5,
    )  # fmt: skip


@every_executor
def test_graphs_made_outside_are_computed_again(executor):
    w = mg.Value(3.0)
    square = w * w
    agree(lambda x: square * x, [[1.0, 2.0]], [w], executor)
    compiled = mg.compile(lambda x: square * x, executor=executor, dtype=np.float64)
    w.data = 5.0
    assert compiled(np.array([1.0, 2.0])).tolist() == [25.0, 50.0]


@every_executor
def test_long_chains(executor):
    w = mg.Value(0.999)

    def loss(x):
        for _ in range(100):
            x = x * w + 0.01
        return x

    agree(loss, [[1.0, 2.0]], [w], executor, rtol=1e-7)


@every_executor
def test_conditions(executor):
    w = mg.Value(0.5)
    x = np.array([-2.0, -0.5, 0.0, 0.5, 2.0, math.nan])
    for condition in (
        lambda x: x > w, lambda x: x >= 0, lambda x: x > 0.5, lambda x: w <= x, lambda x: x == 0,
        lambda x: x != 0,
    ):  # fmt: skip
        agree(lambda x: mg.where(condition(x), x * w, w * w), [x], [w], executor)
    both = mg.compile(
        lambda x: mg.where((x > -1) & (x < 1) | ~(x < 2), 1, x), dtype=np.float64, executor=executor
    )
    assert both(np.array([-2.0, 0.0, 1.5, 3.0])).tolist() == [-2.0, 1.0, 1.5, 1.0]


@every_executor
def test_detach(executor):
    w = mg.Value(2.0)
    loss = mg.compile(lambda x: (w * x).detach() * w, dtype=np.float64, executor=executor)
    assert loss(np.array([1.0, 3.0])).tolist() == [4.0, 12.0]
    loss.backward()
    assert w.grad == (2.0 + 6.0) / 2


@every_executor
def test_calls_that_find_everything_ready(executor):
    """Any order of batches, kinds of arguments and new weights: as the first call of its kind."""
    w, rng = [mg.Value(x) for x in (0.5, -1.5, 2.0)], np.random.default_rng(0)

    def f(x, t):
        return mg.tanh(mg.dot(w, x)) * t[0] + w[0] * w[1]

    compiled = mg.compile(f, dtype="float64", executor=executor)
    numbers = compiled.trace(np.ones((1, 3)), np.ones((1, 1))).parameters()[0]
    held, expected = [], []
    for turn, n in enumerate([2, 2, 2, 5, 2, 1, 1, 5000, 2, 2]):
        if turn % 3 == 2:
            numbers.data = rng.normal(size=numbers.shape)
        x, t = rng.normal(size=(n, 3)), rng.normal(size=(n, 1))
        as_tensor = mg.tensor(x, requires_grad=True) if turn % 4 == 3 else x
        compiled.zero_grad()
        held.append(compiled(as_tensor, t.astype(np.float32) if turn % 2 else t))
        compiled.backward()
        t = t.astype(np.float32).astype(np.float64) if turn % 2 else t
        p = np.array([v.data for v in w])
        h = np.tanh(x @ p)
        expected.append(h * t[:, 0] + p[0] * p[1])
        gradient = ((1 - h**2) * t[:, 0]) @ x / n + [p[1], p[0], 0]
        assert np.allclose([v.grad for v in w], gradient, rtol=1e-10, atol=1e-12)
        if turn % 4 == 3:
            assert np.allclose(as_tensor.grad.numpy(), np.outer((1 - h**2) * t[:, 0], p) / n)
    for y, wanted in zip(held, expected, strict=True):  # none is written over by the next
        assert np.allclose(y.detach().numpy(), wanted, rtol=1e-10)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ["tanh", "doubled_by_somebody"])
def test_an_operation_recorded_meanwhile_changes_nothing(executor, name):
    """Neither a new one nor a namesake: operations are told apart by what they are."""
    w = [mg.Value(0.3), mg.Value(-0.7)]

    def f(x):
        return mg.sum([mg.tanh(mg.dot(w, [x, x * x])), mg.softmax([x, w[0]])[0], mg.tanh(x)])

    compiled = mg.compile(f, dtype=np.float64, executor=executor)
    x = np.linspace(-1.0, 1.0, 7)

    def answers():
        loss = compiled(x)
        for v in w:
            v.grad = None
        loss.backward(np.ones(7))
        return loss.tolist(), [v.grad for v in w]

    before = answers()
    doubling = {"value": lambda m, x: x * 2.0, "partials": (lambda m, z, x: 2.0,)}
    other = replace(lookup("tanh"), name=name, **doubling)
    doubled = mg.compile(lambda x: run(other, x) + mg.tanh(x), dtype=np.float64, executor=executor)
    np.testing.assert_allclose(doubled(x).data, x * 2 + np.tanh(x), rtol=1e-12)
    assert answers() == before
    agree(f, [x], w, executor=executor)
