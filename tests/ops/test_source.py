"""生成されるコードは、宣言そのものと同じ答えを出す。型スタブは宣言と揃っている。"""

import dataclasses
import inspect
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import stub
from micrograd_jp.engine import Value
from micrograd_jp.engine.operations import _kernel, evaluate
from micrograd_jp.engine.source import statements
from micrograd_jp.namespace import ieee
from micrograd_jp.namespace.scalar import slope
from micrograd_jp.ops.primitive import elementwise_primitives, lookup, register
from micrograd_jp.ops.symbols import Symbol

anything = st.floats(width=64) | st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -3.0, 710.0, -750.0, math.inf, -math.inf, math.nan]
)


def same(a, b):
    return a == pytest.approx(b, rel=1e-9, abs=1e-300, nan_ok=True)


def declared_partials(op, z, xs):
    """The rules under IEEE, at the very z that the generated code found.

    Python's tanh and NumPy's differ in the last digit: all there is in 1 − z² near saturation.
    """
    with np.errstate(all="ignore"):
        args = [np.float64(z), *map(np.float64, xs)]
        return [slope(0 if rule is None else rule(ieee, *args)) for rule in op.partials]


@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
@given(data=st.data())
def test_generated_code_agrees_with_the_rule_everywhere(op, data):
    """All floats, infinities and nan included: the generated code, and the rule under IEEE."""
    xs = data.draw(st.tuples(*[anything] * op.arity))
    wanted = tuple(range(op.arity))
    generated, declared = _kernel(op, wanted)(*xs), evaluate(op, xs, wanted)
    assert type(generated[0]) is float
    assert list(map(type, generated)) == list(map(type, declared))  # float, or a gate that is shut
    assert same(generated[0], declared[0]), (op, xs, generated, declared)
    expected = declared_partials(op, generated[0], xs)
    assert same(list(generated[1:]), expected), (op, xs, generated, expected)


@pytest.mark.parametrize(
    "op", [op for op in elementwise_primitives() if op.arity <= 2], ids=lambda op: op.name
)
@given(data=st.data())
def test_methods_agree_with_the_kernel(op, data):
    xs = data.draw(st.tuples(*[anything] * op.arity))
    z, *partials = _kernel(op, tuple(range(op.arity)))(*xs)
    values = [Value(x) for x in xs]
    out = getattr(Value, op.name)(*values)
    assert same(out.data, z) and same(list(out.partials), partials)
    assert out.parents == tuple(values) or any(x != x for x in xs)
    if op.arity == 2:
        out = getattr(Value, op.name)(values[0], xs[1])
        assert same(out.data, z) and same(list(out.partials), partials[:1])
    if op.operator:
        out = eval(f"x {op.operator} y", {"x": xs[0], "y": values[1]})
        assert same(out.data, z) and same(list(out.partials), partials[1:])


@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
def test_a_derivative_that_repeats_the_value_takes_it(op):
    again = dataclasses.replace(op, partials=(lambda m, z, *xs: op.value(m, *xs),) * op.arity)
    lines = statements(again, "xyw"[: op.arity], {0: "d"})
    assert lines[-1] == ("d = x" if op.name == "clone" else "d = z")


def test_the_generated_source_can_be_read():
    source = inspect.getsource(Value.tanh)
    assert "z = tanh(x)" in source and "dx = 1.0 - z * z" in source


def test_a_method_is_written_when_it_is_first_asked_for():
    program = """
from micrograd_jp.engine import Value

class Counted(Value):
    calls = 0
    def sin(self):
        Counted.calls += 1
        return super().sin()

first = vars(Value)["sin"]
same = Counted(0.0).sin().data == 0.0 and Counted.calls == 1
print(same, vars(Value)["sin"] is not first, Value.sin is Value.sin, Counted.cos is Value.cos)
print(Value(0.0).arcsin().data, Value.__abs__ is Value.abs, "tanh" in dir(Value))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == [*["True"] * 4, "0.0", "True", "True"], done.stderr


def test_common_subexpressions_are_computed_once():
    lines = statements(lookup("gelu"), ["x"], {0: "dx"})
    assert "\n".join(lines).count("erf(") == 1


def test_what_is_not_wanted_is_not_computed():
    assert statements(lookup("pow"), ["x", "y"], {}) == ["z = pow(x, y)"]


numbers = st.floats(-3, 3).filter(lambda x: abs(x) > 0.1)
_operators = ["+", "-", "*", "/"]


@st.composite
def arithmetic(draw, depth=3):
    """Source text of a random arithmetic expression in x and y."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["x", "y", "2.0", "(-1.5)"]))
    left, right = draw(arithmetic(depth=depth - 1)), draw(arithmetic(depth=depth - 1))
    return draw(st.sampled_from([f"(-{left})", *[f"({left} {op} {right})" for op in _operators]]))


@given(arithmetic(), numbers, numbers)
def test_written_expressions_keep_their_meaning(text, x, y):
    """Parentheses and precedence: the text written from the symbols evaluates to the same."""
    rule = eval(f"lambda m, x, y: {text}")
    op = type(lookup("add"))("t", "t", "", rule, (None, None), arguments=("x", "y"))
    scope = {"x": x, "y": y}
    try:
        expected = eval(text, {}, {"x": x, "y": y})
    except ZeroDivisionError:
        return
    exec("\n".join(statements(op, ["x", "y"], {})), scope)
    assert scope["z"] == expected


def test_a_rule_may_not_branch_in_python():
    with pytest.raises(TypeError, match=r"m\.where"):
        bool(Symbol("name", "x") > 0)


def test_names_are_registered_once():
    with pytest.raises(ValueError, match="already registered"):
        register(lookup("add"))


@pytest.mark.parametrize("name", stub.FILES)
def test_the_type_stubs_are_in_step_with_the_declarations(name):
    assert (stub.FOLDER / name).read_text(encoding="utf-8") == stub.FILES[name](), (
        "python -m micrograd_jp.stub を実行してください"
    )


def test_the_stub_is_written_where_there_is_none(tmp_path, monkeypatch):
    whole = stub.surface().splitlines()
    monkeypatch.setattr(stub, "FOLDER", tmp_path)
    assert sorted(stub.surface().splitlines()) == sorted(whole)


def test_the_stub_keeps_its_order_and_adds_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(stub, "FOLDER", tmp_path)
    (tmp_path / "_surface.pyi").write_text("def tan_(self)\ndef abs_(self)\n", encoding="utf-8")
    names = re.findall(r"    def ([a-z]\w*_)\(self", stub.surface())
    assert names[:2] == ["tan_", "abs_"] and len(names) > 40 and len({*names}) == len(names)


def test_every_function_of_the_issue_exists_as_method_and_function():
    names = """exp log log1p expm1 sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh
    atanh relu leaky_relu sigmoid hard_sigmoid softplus elu gelu silu mish hardswish sign floor
    maximum minimum clip where abs log2 log10"""
    for name in names.split():
        assert callable(getattr(mg, name)) and callable(getattr(Value, name))
    for name in ["sum", "prod", "dot", "logsumexp", "softmax", "log_softmax"]:
        assert callable(getattr(mg, name))
