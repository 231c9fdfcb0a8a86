"""名前のある値の 1 歩は、名前のない途中の式も開いて、記号と数で見せる。"""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_player import line

import micrograd_jp as mg
from micrograd_jp import Value
from micrograd_jp.viz.player import play
from micrograd_jp.viz.player.program import inside, program


def read(formula, values):
    """The number that a written formula stands for."""
    text = re.sub(r"\{(\d+)\}", lambda k: f"({values[int(k[1])]!r})", formula)
    text = re.sub("([⁰¹²³⁴⁵⁶⁷⁸⁹⁻·]+)", lambda k: f"**({k[1].translate(LOWERED)})", text)
    for ours, theirs in (("×", "*"), ("÷", "/"), ("−", "-")):
        text = text.replace(ours, theirs)
    return eval(text, {"tanh": lambda x: mg.tanh(x).data, "exp": lambda x: mg.exp(x).data})


LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹·", "-0123456789.")


@st.composite
def formulas(draw):
    """Sums, products, powers of named leaves, with here and there a name on an intermediate."""
    nodes = [Value(draw(st.integers(-3, 3)) / 2, label=name) for name in "abc"]
    for k in range(draw(st.integers(1, 8))):
        x, y = (draw(st.sampled_from(nodes)) for _ in range(2))
        z = draw(st.sampled_from([
            lambda: x + y, lambda: x - y, lambda: x * y, lambda: x / (y * y + 1), lambda: -x,
            lambda: x - 2.5, lambda: -1.5 * x, lambda: x + (-8.0), lambda: mg.tanh(x),
            lambda: mg.sum([x, y, 1.0]), lambda: mg.dot([x, -1.0], [y, x]), lambda: x**2,
        ]))()  # fmt: skip
        z.label = draw(st.sampled_from(["", "", f"n{k}"]))
        nodes.append(z)
    return nodes[-1]


@given(formulas())
def test_a_formula_that_is_written_out_is_the_value(root):
    assume(math.isfinite(root.data) and not root.is_leaf)
    found = program(root, None, {})
    values = [x.data for x in mg.graph.topological_order(root)]
    for node, value in zip(found.nodes, values, strict=True):
        if "whole" in node:
            assert read(node["whole"], values) == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_a_step_shows_the_whole_expression_in_symbols_and_numbers(page, tmp_path):
    page.goto(play(line()).save(tmp_path / "play.html").as_uri() + "#step=2")
    said = page.get_by_role("status").locator("p")
    assert said.all_inner_texts() == [
        "y1 = u₁ + b = 9 + (−8) = 1", "途中の式も開くと y1 = w × 3 + b = 3 × 3 + (−8) = 1",
    ]  # fmt: skip
    page.get_by_role("spinbutton", name="w", exact=True).fill("-2")
    assert "w × 3 + b = −2 × 3 + (−8) = −14" in said.all_inner_texts()[1]
    page.locator("summary").click()
    whole = "E = 0.5 × ((7 − y1)² + (13 − y2)²) = 0.5 × ((7 − (−14))² + (13 − (−26))²)"
    page.locator("#sentences", has_text=whole).wait_for()  # until it is open


def test_a_negative_argument_of_a_function_stands_in_one_pair_of_brackets(page, tmp_path):
    x = Value(-0.5, label="x")
    y = mg.tanh(x)
    y.label = "y"
    page.goto(play(y * -2 + mg.maximum(x, -3.0)).save(tmp_path / "play.html").as_uri() + "#step=1")
    said = page.get_by_role("status").locator("p").first.inner_text()
    assert said.startswith("y = tanh(x) = tanh(−0.5) = "), said
    page.keyboard.press("ArrowRight")
    said = page.get_by_role("status").locator("p").first.inner_text()
    assert "× (−2)" in said, said


def test_negative_numbers_stand_in_brackets():
    x = Value(0.5, label="x")
    found = program(mg.tanh((x + -8.0) * -2.0 - -1.5), None, {})
    assert inside(found.nodes[-1]["whole"], found.nodes) == "tanh((x + (−8)) × (−2) − (−1.5))"


def test_long_formulas_keep_the_names_of_their_parts():
    x = Value(0.5, label="x")
    y = x
    for _ in range(2000):
        y = mg.tanh(y * x)
    short, long = program(mg.tanh(x * x), None, {}), program(y, None, {})
    assert inside(short.nodes[-1]["whole"], short.nodes) == "tanh(x × x)"
    assert "whole" not in long.nodes[-1] or len(inside(long.nodes[-1]["whole"], long.nodes)) <= 64
