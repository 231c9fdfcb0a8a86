"""help(mg.tanh): 署名、公式、局所微分。書いてある式を動かすと、演算そのものになる。"""

import math
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


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_the_letters_of_the_formula_are_explained(op):
    """Where an argument is called otherwise, and only there."""
    (told,) = re.findall(r"= ∂z/∂x(.*?)。", doc(op))
    pairs = [p for p in zip("xyw", op.arguments, strict=False) if p[0] != p[1]]
    assert told == (f"（{'、'.join(map(' は '.join, pairs))}）" if pairs else "")


def edges(op):
    """Of every line: what the arguments are, and what z, dx, … are said to be."""
    lines = re.findall(r"^    (\w+ が .*) のとき (.*)$", doc(op), re.M)
    return [
        ([float(x.split(" が ")[1]) for x in given.split("、")],
         [float(x.split(" = ")[1]) for x in told.split("、")])
        for given, told in lines
    ]  # fmt: skip


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_what_help_says_of_kinks_and_ends_is_what_backward_gives(op):
    for xs, (z, *slopes) in edges(op):
        leaves = [mg.Value(x) for x in xs]
        out = mg.functions.__dict__[op.name](*leaves)
        out.backward()
        found = [out.data, *(leaf.grad for leaf in leaves)]
        assert found == pytest.approx([z, *slopes], rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_kink_and_every_infinite_slope_is_told(op):
    told = [xs[0] for xs, _ in edges(op)]
    if op.kink is not None and op.name not in ("where", "floor"):
        rest = edges(op)[0][0][1:]
        assert told == [x for x in range(-9, 10) if op.kink(x, *rest) == 0]
    elif op.arity == 1 and op.name != "floor":
        ends = [
            x
            for x in (-1.0, 0.0, 1.0)
            if not math.isfinite(mg.grad(mg.functions.__dict__[op.name])(x).data)
        ]
        assert set(ends) <= set(told)
    assert doc(mg.ops.elementwise.relu).endswith("x が 0 のとき z = 0、dx = 0\n")
