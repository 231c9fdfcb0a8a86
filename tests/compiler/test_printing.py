"""The program is printed like a textbook, and the choice of executor explained."""

import random
import subprocess
import sys

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn

TEXTBOOK = """\
h₁ = relu(W₁ x + b₁)      # 6→4
h₂ = W₂ h₁ + b₂           # 4→3
y = logsumexp(h₂) − t·h₂"""


def compiled_network():
    random.seed(0)
    model = nn.MLP(6, [4, 3])

    @mg.compile(executor="lift")
    def loss(x, t):
        z = model(x)
        return mg.logsumexp(z) - mg.dot(t, z)

    return loss.trace(np.zeros((5, 6)), np.zeros((5, 3)))


def test_a_network_reads_like_a_textbook():
    assert str(compiled_network().program) == TEXTBOOK


def test_the_picture_has_a_box_for_every_line_and_an_arrow_for_every_use():
    drawing = compiled_network().draw()
    edges = [line.strip() for line in drawing.source.splitlines() if "->" in line]
    assert edges == ["x0 -> s0", "s0 -> s1", "x1 -> s2", "s1 -> s2"]
    for line in ("relu(W₁ x", "logsumexp(h₂)", "x (6)", "t (3)"):
        assert line.split("(")[0] in drawing.source
    with pytest.raises(ValueError, match="direction"):
        compiled_network().draw(direction="up")


def test_convolution():
    w = [[mg.Value(1.0), mg.Value(2.0)], [mg.Value(3.0), mg.Value(4.0)]]

    def f(x):
        return mg.sum([
            sum(w[u][v] * x[i + u][j + v] for u in (0, 1) for v in (0, 1)).tanh()
            for i in range(3) for j in range(3)
        ])  # fmt: skip

    text = str(mg.compile(f).trace(np.zeros((1, 4, 4))).program)
    assert text.splitlines() == [
        "h₁ = tanh(W₁ ∗ x)  # 4→1 を 9 か所で（畳み込み）",
        "y = Σ(h₁)",
    ]


def test_operators_and_parentheses():
    f = mg.compile(lambda a, b: mg.where(a > 0, mg.exp(-a * b) / b, a * 3 - (b - 2) ** 2))
    assert str(f.trace(1.0, 2.0).program) == "y = where(a > 0, exp((−a)·b) / b, 3·a − (b − 2) ** 2)"


def test_every_program_of_the_tests_of_lifting_can_be_printed():
    w = mg.Value(2.0)
    for f in (
        lambda x: x, lambda x: w, lambda x: 5, lambda x: [x, w, 1], lambda x: x + w * w,
        lambda x: [x * w, mg.prod([x, w, x, 2])], lambda x: mg.clip(x, -1, w),
    ):  # fmt: skip
        assert "=" in str(mg.compile(f).trace(np.ones(3)).program)


def test_the_choice_is_explained():
    loss = compiled_network()
    text = loss.explain()
    assert "4×6、3×4" in text and "executor='lift'" in text and "\n" not in text
    (compilation,) = loss.compilations
    assert set(compilation.choice.microseconds) >= {"lift", "python"}


def _chain(x):
    for _ in range(100):
        x = mg.sin(x) * x
    return x


def test_small_and_single_runs_in_python_many_samples_do_not():
    w = mg.Value(2.0)
    one = mg.compile(lambda x: w * x + 1).trace(3.0).compilations[0].choice
    chain = mg.compile(_chain).trace(np.ones(3)).compilations[0]
    assert chain.choice.name != "lift" or "tape" not in chain.choice.microseconds
    many = mg.compile(lambda x: w * x + 1).trace(np.ones(10_000)).compilations[0].choice
    estimate = one.microseconds
    assert estimate["python"] < estimate["lift"] and one.name != "lift"
    assert many.microseconds["lift"] < many.microseconds["python"] and many.name != "python"


def test_every_step_is_drawn():
    w = [mg.Value(1.0, label="w₁"), mg.Value(2.0, label="w₂")]
    f = mg.compile(lambda x: mg.relu(w[0] * x[0] + w[1] * x[1] + 0.5) ** 2)
    f(np.ones((3, 2)))
    for step in ("trace", "simplified"):
        source = f.draw(step).source
        assert all(name in source for name in ("w₁", "w₂", "x[0]", "x[1]", "ReLU", "0.5"))
        assert source.count("peripheries=2") == 1
    assert f.draw("trace").source.count("->") > f.draw("simplified").source.count("->")
    with pytest.raises(ValueError, match="unknown step"):
        f.draw("matrices")


def test_graphviz_is_loaded_by_the_first_drawing():
    code = (
        "import sys\n"
        "import numpy as np, micrograd_jp as mg\n"
        "f = mg.compile(lambda x: x * x)\n"
        "f(np.ones(3))\n"
        "assert not {'graphviz', 'matplotlib', 'micrograd_jp.nn'} & set(sys.modules)\n"
        "assert 'digraph' in f.draw().source\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tables_too_large_to_read_are_refused():
    f = mg.compile(lambda x: mg.sum([mg.sin(a) * mg.cos(a) for a in x]))
    f(np.ones((2, 200)))
    with pytest.raises(ValueError, match="too many nodes"):
        f.draw("trace")
