"""素直な道 `engine/run.py` と、その速い写し（生成されたメソッド、関数）は、いつも一致する。"""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import Value
from micrograd_jp.engine import operations
from micrograd_jp.engine.run import run
from micrograd_jp.ops.primitive import OPERATOR_METHODS, elementwise_primitives

PRIMITIVES = elementwise_primitives()
numbers = st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan])


def same(a, b):
    return a == pytest.approx(b, rel=1e-9, abs=1e-300, nan_ok=True)


def require_equal_nodes(fast, plain, op):
    assert fast.op is plain.op and same(fast.data, plain.data), (fast, plain)
    assert len(fast.operands) == len(plain.operands)
    for a, b in zip(fast.operands, plain.operands, strict=True):
        assert a is b or (type(a) is type(b) is float and same(a, b))
    assert [id(x) for x in fast.parents] == [id(x) for x in plain.parents]
    # At the z that each found: 1 − z² near saturation is all in the last digit of z.
    for a, b in zip(fast.partials, plain.partials, strict=True):
        assert same(a, b) or abs(a - b) <= 1e-12, (op, a, b)


def ways(op, operands):
    """Every fast way to run the operation on these operands."""
    yield getattr(mg, op.name)(*operands)
    yield operations.apply(op, *operands)
    if isinstance(operands[0], Value) and op.arguments[0] == "x":
        yield getattr(operands[0], op.name)(*operands[1:])
    if op.operator:
        a, b = operands
        dunder = OPERATOR_METHODS[op.operator]
        if isinstance(a, Value):
            yield getattr(a, f"__{dunder}__")(b)
        if isinstance(b, Value):
            yield getattr(b, f"__r{dunder}__")(a) if not isinstance(a, Value) else None


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
@given(data=st.data())
def test_the_fast_copies_make_the_node_of_the_plain_path(op, data):
    xs = data.draw(st.tuples(*[numbers] * op.arity))
    tracked = data.draw(st.lists(st.booleans(), min_size=op.arity, max_size=op.arity).filter(any))
    operands = [Value(x) if t else x for x, t in zip(xs, tracked, strict=True)]
    plain = run(op, *operands)
    for fast in ways(op, operands):
        if fast is not None:
            require_equal_nodes(fast, plain, op)


def calls(function, *args):
    """How many functions written in Python are entered."""
    entered = []
    sys.setprofile(lambda frame, event, arg: event == "call" and entered.append(frame.f_code))
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return len(entered)


@pytest.mark.parametrize(
    "op",
    [op for op in PRIMITIVES if op.arity < 3 and op.arguments[0] == "x"],
    ids=lambda op: op.name,
)
def test_a_function_of_a_value_does_hardly_more_than_its_method(op):
    """On the way: the one that explains errors, the one that knows PyTorch's names, its own."""
    for rest in [[Value(0.4)], [0.4]] if op.arity == 2 else [[]]:
        function, method, x = getattr(mg, op.name), getattr(Value, op.name), Value(0.3)
        function(x, *rest)  # the method is written when it is first asked for
        assert calls(function, x, *rest) <= calls(method, x, *rest) + 3
        kept = x.__dict__[op.name] = "something of the user's"
        assert function(x, *rest).op is op and getattr(x, op.name) is kept
    assert calls(operations.apply, op, x, *rest) > calls(method, x, *rest) + 3  # the other way


def test_negative_control_another_rule_is_noticed():
    x = Value(0.3)
    plain = run(next(op for op in PRIMITIVES if op.name == "sin"), x)
    with pytest.raises(AssertionError):
        require_equal_nodes(x.cos(), plain, plain.op)


def test_value_alone_differentiates_twice():
    """`Value` は `Tensor` の部屋を知らない: それだけを読み込んでも、高階微分まで動く。"""
    program = """
import sys
from micrograd_jp.engine import Value
x = Value(0.5)
y = (x.tanh() * x.exp()).relu() + abs(x) ** 3
y.backward(create_graph=True)
first = x.grad
x.grad = None
first.backward()
print(x.grad.data if hasattr(x.grad, "data") else x.grad, "micrograd_jp.tensor" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    number, tensor = done.stdout.split()
    assert float(number) == pytest.approx(
        mg.grad(mg.grad(lambda x: (mg.tanh(x) * mg.exp(x)).relu() + abs(x) ** 3))(0.5).data,
        rel=1e-12,
    )
    assert tensor == "False"
