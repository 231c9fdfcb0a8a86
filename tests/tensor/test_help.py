"""help(mg.tanh): 署名、公式、局所微分。書いてある式を動かすと、演算そのものになる。"""

import pydoc
import re

import pytest

import micrograd_jp as mg
from micrograd_jp import namespace
from micrograd_jp.engine.run import evaluate
from micrograd_jp.namespace.scalar import slope
from micrograd_jp.ops.primitive import elementwise_primitives

OPS = elementwise_primitives()


def formula(op):
    return [line.strip() for line in re.findall(r"^    (\w+ = .*)$", doc(op), re.M)]


def doc(op):
    return mg.functions.__dict__[op.name].__doc__


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_the_formula_that_help_shows_is_the_operation(op):
    points = [[low, (low + high) / 2, high] for low, high in op.domain]
    points += [[0.0]] * (op.arity - len(points))
    for k in range(3):
        xs = [p[k % len(p)] for p in points]
        scope = dict(vars(namespace.scalar))
        scope.update(zip("xyw", xs, strict=False))
        exec("\n".join(formula(op)), scope)
        found = [float(scope["z"]), *(slope(scope[f"d{name}"]) for name in "xyw"[: op.arity])]
        assert found == pytest.approx(list(evaluate(op, xs, range(op.arity))), rel=1e-12)


def test_the_signature_stands_there():
    assert doc(mg.ops.elementwise.tanh).startswith("双曲線正接 (tanh)。")
    assert "\nleaky_relu(x, negative_slope=0.01) の値" in doc(mg.ops.elementwise.leaky_relu)
    shown = pydoc.plain(pydoc.render_doc(mg.tanh))
    assert "z = tanh(x)" in shown and "dx = 1.0 - z * z" in shown and "Tensor" in shown
