"""数値微分: 3 つの方法が互いに、そして規則と合う。点の種類を見分ける。悪い入力は断る。"""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.engine import operations
from micrograd_jp.ops.primitive import elementwise_primitives, reductions
from micrograd_jp.testing import numerical_gradient, strategies
from micrograd_jp.testing.estimate import DISCERNIBLE, Kind, estimate
from micrograd_jp.testing.faults import run
from micrograd_jp.testing.numerical import paths

METHODS = ("central", "richardson", "complex")
PRIMITIVES = [*elementwise_primitives(), *reductions()]
every_primitive = pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
few = settings(max_examples=20)


def flat(tree):
    return [x for _, x in paths(tree)]


@every_primitive
@few
@given(data=st.data())
def test_the_three_methods_and_the_rule_agree(op, checkable, data):
    f, args = checkable(op, data.draw(strategies.inputs(op)))
    variables = [mg.Value(x) if isinstance(x, float) else [*map(mg.Value, x)] for x in args]
    f(*variables).backward()
    rule = [v.grad for v in flat(variables)]
    richardson = flat([numerical_gradient(f, *args, method="richardson")])
    assert richardson == pytest.approx(rule, rel=1e-7, abs=1e-9)
    central = flat([numerical_gradient(f, *args)])
    assert central == pytest.approx(rule, rel=1e-5, abs=1e-7)
    if op.name in ("erf", "gelu"):
        with pytest.raises(TypeError, match="複素ステップ法"):
            numerical_gradient(f, *args, method="complex")
    else:
        exact = flat([numerical_gradient(f, *args, method="complex")])
        assert exact == pytest.approx(rule, rel=1e-12, abs=1e-14)


NUMPY_NAMES = {"sub": "subtract", "mul": "multiply", "div": "divide", "neg": "negative"}


@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
@few
@given(data=st.data())
def test_generated_code_the_rule_itself_and_numpy_agree(op, data):
    xs = data.draw(strategies.inputs(op))
    z, *partials = operations.evaluate(op, xs, range(op.arity))
    out = run(op, *map(mg.Value, xs))
    assert out.data == pytest.approx(z, rel=1e-14, abs=1e-15)
    assert out.partials == pytest.approx(partials, rel=1e-13, abs=1e-14)
    reference = getattr(np, NUMPY_NAMES.get(op.name) or op.numpy_name or op.name, None)
    if reference is not None:
        assert z == pytest.approx(float(reference(*xs)), rel=1e-14)


@given(e=strategies.expressions())
@few
def test_methods_agree_on_whole_expressions(e):
    richardson = numerical_gradient(e, *e.inputs, method="richardson")
    if "erf" not in e.source and "gelu" not in e.source:
        exact = numerical_gradient(e, *e.inputs, method="complex")
        assert flat([exact]) == pytest.approx(flat([richardson]), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_the_answer_has_the_structure_of_the_inputs(method):
    def f(x, net):
        return x * net["w"][0] + net["b"][1] ** 2

    net = {"w": [mg.Value(2.0)], "b": (0.0, 5)}
    x, rest = numerical_gradient(f, 3.0, net, method=method)
    assert x == pytest.approx(2.0)
    assert rest["w"] == pytest.approx([3.0])
    assert rest["b"] == pytest.approx((0.0, 10.0))
    assert isinstance(numerical_gradient(lambda x: x * x, 3.0, method=method), float)
    (only,) = numerical_gradient(lambda xs: xs[0] * 2, [3.0], method=method)
    assert only == pytest.approx(2.0)


@pytest.mark.parametrize("method", METHODS)
def test_the_callers_values_are_untouched(method):
    x, w = mg.Value(2.0, "x"), mg.Value(3.0)
    x.grad = 7.0
    assert numerical_gradient(lambda v: v * w, x, method=method) == pytest.approx(3.0)
    assert (x.data, x.grad, x.label) == (2.0, 7.0, "x")
    assert (w.data, w.has_grad) == (3.0, False)


@pytest.mark.parametrize("method", METHODS)
def test_functions_that_return_plain_numbers(method):
    if method == "complex":
        assert numerical_gradient(lambda x: 3.0, 2.0, method=method) == 0.0
    else:
        slope = numerical_gradient(lambda x: x.data**2, 3.0, method=method)
        assert slope == pytest.approx(6.0)


def test_python_comparisons_take_the_real_branch_of_a_complex_step():
    f = lambda x: mg.exp(x) if x > 0 else -x
    assert numerical_gradient(f, 1.0, method="complex") == math.e
    assert numerical_gradient(f, -1.0, method="complex") == -1.0


def test_a_complex_step_follows_the_branch_of_the_real_numbers():
    def f(x, y):
        z = x * y
        while z > 1:  # how often depends on the inputs
            z = z / 2 - mg.sin(x) / 4
        return mg.maximum(z, x) if z == z.data else z

    for point in ((3.0, 0.55), (7.0, 0.6), (0.2, 0.3), (5.0, -0.2)):
        exact = numerical_gradient(f, *point, method="complex")
        assert exact == pytest.approx(numerical_gradient(f, *point, method="richardson"), rel=1e-9)
    step = lambda x: mg.Value(1.0) if x >= 0 else mg.Value(2.0)
    assert numerical_gradient(step, -1e-12, method="complex") == 0.0


def test_a_complex_step_calls_the_function_with_real_numbers():
    seen = []
    f = lambda x, y: (seen.append((x.data, y.data)), x * mg.exp(y))[1]
    assert numerical_gradient(f, 2.0, 0.0, method="complex") == (1.0, 2.0)
    assert (2.0, 0.0) in seen and {float} == {type(x) for at in seen for x in at}


def leaves_the_graph_in_no_grad(x):
    with mg.no_grad():
        y = 2 * x
    return x * y


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.data**2,
        lambda x: x * x.data,
        lambda x: x * x.detach(),
        lambda x: mg.sum([x, mg.Value(x.data)]),
        leaves_the_graph_in_no_grad,
    ],
)
def test_a_complex_step_refuses_numbers_taken_out_of_the_graph(f):
    with pytest.raises(TypeError, match="leaves the graph"):
        numerical_gradient(f, 3.0, method="complex")


@pytest.mark.parametrize("f", [lambda x: mg.stack([x, x]).sum(), lambda x: mg.ones(2)[0] * x])
def test_a_complex_step_refuses_arrays_on_the_way(f):
    with pytest.raises(TypeError, match="配列の演算には使えません"):
        numerical_gradient(f, 3.0, method="complex")


@pytest.mark.parametrize("x", [1e-12, 1e-5, 1.0, 1e6, 1e150, -1e6])
def test_steps_follow_the_size_of_x(x):
    assert estimate(lambda t: t * t, x).derivative == pytest.approx(2 * x, rel=1e-9)


@pytest.mark.parametrize(
    ("f", "x", "kind"),
    [
        (abs, 0.0, Kind.KINK),
        (lambda x: 100 * x * x + 100 * x + abs(x), 0.0, Kind.KINK),
        (lambda x: max(x, 1e-9), 0.0, Kind.KINK),
        (math.floor, 2.0, Kind.JUMP),
        (lambda x: (x > 0) - (x < 0), 0.0, Kind.JUMP),
        (math.cbrt, 0.0, Kind.STEEP),
        (lambda x: math.sqrt(x) if x >= 0 else math.nan, 0.0, Kind.EDGE),
        (lambda x: x + abs(x) ** 1.5, 0.0, Kind.SMOOTH),
        (lambda x: x + max(x, 0) ** 2, 0.0, Kind.SMOOTH),
        (lambda x: math.log(x) if x > 0 else math.nan, 1e-5, Kind.SMOOTH),
        (lambda x: math.sin(100 * x), 1.0, Kind.SMOOTH),
        (math.cos, 1e-6, Kind.SMOOTH),
        (lambda x: 7.0, 0.3, Kind.SMOOTH),
    ],
)
def test_what_the_function_looks_like_at_the_point(f, x, kind):
    assert estimate(lambda t: float(f(t)), x).kind is kind


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-6, 1e-9])
def test_a_kink_beside_the_point_does_not_disturb(distance):
    right = estimate(lambda x: max(x, 0.0) + 5.0, distance)
    assert (right.kind, right.derivative) == (Kind.SMOOTH, pytest.approx(1.0, rel=1e-3))


@pytest.mark.parametrize("hidden", [1e4, 1e8, 1e12])
def test_rounding_inside_the_function_is_noticed(hidden):
    """Large numbers cancel; the value of f, about 1, does not show how coarse it is."""
    rng = random.Random(0)
    off = 0
    for _ in range(200):
        x = rng.uniform(-1.4, 1.4)
        found = estimate(lambda t: (hidden + math.sin(t)) - hidden, x)
        if found.error <= DISCERNIBLE * abs(found.derivative):
            off += found.derivative != pytest.approx(math.cos(x), rel=DISCERNIBLE)
    assert off <= 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [("1", "str"), (None, "NoneType"), (1j, "complex"), (np.zeros(2, complex), "ndarray")],
)
def test_inputs_that_are_no_numbers(bad, message):
    with pytest.raises(TypeError, match=rf"入力\[1\] は実数.*{message}"):
        numerical_gradient(lambda x, y: x, 1.0, bad)


def test_bad_arguments():
    with pytest.raises(ValueError, match="empty inputs"):
        numerical_gradient(lambda: mg.Value(1.0))
    with pytest.raises(ValueError, match="non-finite input"):
        numerical_gradient(lambda x: x, float("nan"))
    with pytest.raises(ValueError, match="non-finite output"):
        numerical_gradient(mg.log, 0.0)
    with pytest.raises(ValueError, match="unknown method"):
        numerical_gradient(mg.sin, 0.0, method="forward")
    with pytest.raises(TypeError, match="expected a function"):
        numerical_gradient(mg.sin(0.0), 0.0)
    with pytest.raises(TypeError, match="NoneType を返しました"):
        numerical_gradient(lambda x: None, 0.0)
    with pytest.raises(TypeError, match="list を返しました"):
        numerical_gradient(lambda x: [x], 0.0)


def test_a_function_that_writes_to_its_input():
    def f(x):
        x.data = 0.5
        return x * x

    with pytest.raises(RuntimeError, match="modifies its input"):
        numerical_gradient(f, 3.0)
