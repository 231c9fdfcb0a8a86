"""ページの中の計算機: どの配列のプログラムでも、値も勾配も、1 つずつの `Value` の計算と同じ。

倍精度で比べる（ページの学習は、同じものを float32 で動かす）。
"""

import json
import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.compiler.lift.lift import lifted
from micrograd_jp.compiler.pipeline import record
from micrograd_jp.compiler.simplify import simplified
from micrograd_jp.data import datasets
from micrograd_jp.ops.primitive import elementwise_primitives, reductions
from micrograd_jp.testing import strategies
from micrograd_jp.viz.playground import playground
from micrograd_jp.viz.playground.program import Tables
from tests.compiler.agreement import eager

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -3.0, math.inf, -math.inf, math.nan, 700.0, -700.0]
RUN = """([program, weights, inputs, n]) => {
  const machine = new Machine(program, {RULES}, n, Float64Array);
  inputs.forEach((numbers, i) => machine.load(i, numbers));
  machine.forward(weights, "");
  const kinds = program.steps.map((step) => step.kind);
  return [[...machine.row(program.loss)], [...machine.backward("")], kinds];
}"""


@pytest.fixture(scope="module")
def machine(browser, tmp_path_factory):
    """A page that runs other programs than its own."""
    path = tmp_path_factory.mktemp("machine") / "x.html"
    page = browser.new_page()
    page.goto(playground(nn.MLP(2, [1]), datasets.xor()).save(path).as_uri())
    yield page
    page.close()


def agree(page, function, arrays, parameters=()):
    """Values and gradients of the page are those of eager `Value`; the kinds of its steps."""
    arrays = [np.asarray(a, dtype=np.float64) for a in arrays]
    n = len(arrays[0])
    with np.errstate(all="ignore"):
        values, gradients, _ = eager(function, arrays, parameters)
    found = record(function, tuple(arrays), {}, n)
    place = {id(p): i for i, p in enumerate(parameters)}
    places = np.array([place[id(v)] for v in found.values], dtype=np.int64)
    program = lifted(simplified(found.trace)).placed(places, len(place))
    tables = Tables(program, 0)
    rules = ", ".join(f"{json.dumps(name)}: {text}" for name, text in tables.rules.items())
    inputs = [row.tolist() for a in arrays for row in a.reshape(n, -1).T]
    data = json.loads(json.dumps(tables.data))
    weights = [p.data for p in parameters]
    got = page.evaluate(RUN.replace("{RULES}", f"{{{rules}}}"), [data, weights, inputs, n])
    close = {"rtol": 1e-8, "atol": 1e-8, "equal_nan": True}
    np.testing.assert_allclose(got[0], values, **close)
    np.testing.assert_allclose(got[1], [0.0 if g is None else g for g in gradients], **close)
    return set(got[2])


@pytest.mark.slow
@given(e=strategies.expressions(max_ops=10), scale=st.sampled_from([0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_expressions(machine, e, scale):
    """The first variable is an input, the others are parameters."""
    rest = [mg.Value(x) for x in e.inputs[1:]]
    agree(machine, lambda x: e(x, *rest) * scale, [np.array([e.inputs[0]] * 3)], rest)


# `where` has no slope in its first argument: the expressions above have it.
@pytest.mark.parametrize(
    "op", [op for op in elementwise_primitives() if op.partials[0]], ids=lambda op: op.name
)
def test_primitives_through_special_numbers(machine, op):
    function, w = getattr(mg, op.name), [mg.Value(1.0), mg.Value(0.75)]
    for x in SPECIAL:  # one parameter each, or nan would hide the others
        w[0].data = x
        fixed = w[1:] * (op.arity - 1)
        agree(machine, lambda t: function(w[0], *fixed) * t, [[1.0, 0.5]], w)


@pytest.mark.parametrize("op", reductions(), ids=lambda op: op.name)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_reductions(machine, op, n):
    rng = np.random.default_rng(n)
    function, x = getattr(mg, op.name), rng.standard_normal((7, n))
    w = [mg.Value(v) for v in rng.standard_normal(n)]
    lists = [w] if op.lists == 2 else []
    agree(machine, lambda x: function(*lists, x) * w[0], [x], w)
    agree(machine, lambda x: function(*lists, w) * x[0], [x], w)
    agree(machine, lambda x: function(*lists, [a * b for a, b in zip(w, x)]), [x], w)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 99), st.integers(1, 6))
@example([6, 5, 5, 3], 0, 1)
@settings(max_examples=25, deadline=None)
def test_networks_with_a_penalty(machine, sizes, seed, n):
    random.seed(seed)
    model = nn.MLP(sizes[0], sizes[1:])

    def loss(x):
        z = model(x)
        z = z if isinstance(z, list) else [z]
        penalty = mg.sum([p * p for p in model.parameters()])
        return mg.logsumexp(z) - z[0] + 0.01 * penalty

    x = np.random.default_rng(seed).standard_normal((n, sizes[0]))
    agree(machine, loss, [x], list(model.parameters()))


@pytest.mark.parametrize("padded", [False, True])
def test_convolutions(machine, padded):
    """The same weights at many places; at the border some of them meet nothing."""
    rng = np.random.default_rng(0)
    w, b = ([mg.Value(v) for v in rng.standard_normal(3)] for _ in range(2))

    def loss(x):
        h = x
        for _ in range(2):
            places = range(len(h)) if padded else range(1, len(h) - 1)
            h = [
                mg.tanh(
                    mg.sum([w[k] * h[i + k - 1] for k in range(3) if 0 <= i + k - 1 < len(h)])
                    + b[0]
                )
                for i in places
            ]
        return mg.dot([*b, *b][: len(h)], h)

    kinds = agree(machine, loss, [rng.standard_normal((4, 6))], [*w, *b])
    assert "matmul" in kinds


def test_what_is_no_computation(machine):
    w = [mg.Value(2.0)]
    for function in (lambda x: x, lambda x: w[0], lambda x: mg.Value(5.0), lambda x: w[0] * w[0]):
        agree(machine, function, [[1.0, 3.0]], w)


@pytest.mark.parametrize("kind", ["map", "fold", "dot", "matmul"])
def test_negative_control_each_kind_is_seen(machine, kind):
    rng = np.random.default_rng(0)
    w = [[mg.Value(v) for v in rng.standard_normal(3)] for _ in range(3)]

    def loss(x):
        h = [mg.tanh(mg.dot(row, x)) for row in w]
        return mg.logsumexp(h) + mg.dot(h, x) + mg.prod(h)

    case = (loss, [rng.standard_normal((3, 3))], [v for row in w for v in row])
    assert agree(machine, *case) >= {"map", "fold", "dot", "matmul"}
    for way in ("forward", "backward"):
        machine.evaluate(
            f"() => {{ kept.was = KINDS.{kind}.{way}; KINDS.{kind}.{way} = () => {{}}; }}"
        )
        try:
            with pytest.raises(AssertionError):
                agree(machine, *case)
        finally:
            machine.evaluate(f"() => {{ KINDS.{kind}.{way} = kept.was; }}")
