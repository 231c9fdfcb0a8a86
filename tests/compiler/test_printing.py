"""The program is printed like a textbook, and the choice of executor explained."""

import itertools
import operator
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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


THETA = []  # new ones for each program: parameters keep the place of an earlier one


def _between(x):
    h = [v.tanh() for v in x]
    return [v.exp() for v in h[1:3]] + [h[0]]


def _deep(x):
    v = x[0] * x[1]
    for _ in range(4):
        v = mg.exp(mg.cos(mg.sin(v)))
    return v


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (_between, "h₁ = tanh(x[0:3])\nh₂ = exp(h₁[1:3])\ny = [h₂, h₁[0]]"),
        (
            lambda x, t: mg.sum([mg.maximum(a, b) for a, b in zip(x + t, t + x)]),
            "h₁ = maximum([x, t], [t, x])\ny = Σ(h₁)",
        ),
        (lambda x: [v.sin() for v in x[::2]], "y = sin(x[0:3:2])"),
        (lambda x: [x[2], x[0], x[1]], "y = x[2, 0, 1]"),
        (lambda x: [*x, 3.0, *x[1:]], "y = [x, 3, x[1:4]]"),
        (lambda x: [x[0].exp(), x[0].exp().sin()], "h₁ = exp(x[0])\nh₂ = sin(h₁)\ny = [h₁, h₂]"),
        (lambda x: mg.sum(THETA) * x[0], "y = Σ(θ)·x[0]"),
        (
            lambda x: mg.exp(THETA[1]) * x[0] + THETA[0] * mg.exp(THETA[2]) - THETA[3],
            "h₁ = exp(θ[0:2])\ny = h₁[0]·x[0] + θ[2]·h₁[1] − θ[3]",
        ),
        (lambda x: (x[0] - x[1]) - (x[2] - x[3]), "y = x[0] + x[3] − x[1] − x[2]"),
        (
            lambda x: mg.sum(
                mg.sum([THETA[j] * x[i + j - 1] for j in (0, 1, 2) if i + j > 0]).sin()
                for i in (0, 1, 2)
            ),
            "h₁ = sin(W₁ ∗ x)           # 3→1 を 3 か所で（畳み込み）\ny = h₁[0] + h₁[1] + h₁[2]",
        ),
        (lambda x: [THETA[2], THETA[0] * x[0], x[0]], "h₁ = θ[0]·x[0]\ny = [θ[1], h₁, x[0]]"),
        (lambda x, y: mg.dot(x, y) * 2, "out = x·y·2"),
        (
            _deep,
            "h₁ = cos(sin(exp(cos(sin(exp(cos(sin(exp(cos(sin(x[0]·x[1])))))))))))\ny = exp(h₁)",
        ),
    ],
)
def test_which_numbers_in_which_order(f, text):
    THETA[:] = map(mg.Value, (2.0, 3.0, 4.0, 5.0))
    rows = [np.ones((1, 4))] * f.__code__.co_argcount
    assert str(mg.compile(f, executor="lift").trace(*rows).program) == text


class _List:
    """`_List()[a, b]`: what the printed `[a, b]` holds."""

    def __getitem__(self, parts):
        return np.hstack(parts)


def computed(text, **given):
    """The value of the last name of the printed program, read as Python; all names are arrays."""
    names = {n: np.atleast_1d(x) for n, x in given.items()} | {"Σ": np.sum, "Π": np.prod}
    names |= {n: getattr(np, n) for n in ("exp", "sin", "tanh", "where", "maximum", "inf", "nan")}
    names |= {"_": _List(), "norm2": lambda x: np.dot(x, x)}
    text = text.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉−·", "0123456789-*"))
    text = re.sub(r"‖(.*?)‖²", r"norm2(\1)", text)
    text = re.sub(r"(\w)\[(\d+(?:, \d+)+)\]", r"\1[(\2),]", text)  # h[2, 0]: two numbers of h
    text = re.sub(r"(?<!\w)\[", "_[", text)
    for line in text.splitlines():
        name, _, formula = line.partition("  #")[0].partition(" = ")
        names[name] = np.atleast_1d(eval(formula, names))
    return names[name]


def _formulas():
    leaves = [lambda a, x: a, lambda a, x: x[0], lambda a, x: x[-1], lambda a, x: 2.0]
    both = [operator.add, operator.sub, operator.mul, operator.truediv, mg.maximum]
    alone = [operator.neg, mg.exp, mg.sin, mg.tanh, lambda x: x**2, lambda x: x**-1]
    many = [mg.sum, mg.prod, lambda x: mg.dot(x, x)]

    def larger(smaller):
        def one(op, f):
            return lambda a, x: op(f(a, x))

        def two(op, f, g):
            return lambda a, x: op(f(a, x), g(a, x))

        def chosen(f, g):
            return lambda a, x: mg.where(f(a, x) > 0, f(a, x), g(a, x))

        def several(op, f, k, back):
            return lambda a, x: op([f(a, [v, *x]) for v in x[k :: 1 - 2 * back]])

        return st.one_of(
            st.builds(one, st.sampled_from(alone), smaller),
            st.builds(two, st.sampled_from(both), smaller, smaller),
            st.builds(chosen, smaller, smaller),
            st.builds(several, st.sampled_from(many), smaller, st.integers(0, 2), st.booleans()),
        )

    return st.recursive(st.sampled_from(leaves), larger, max_leaves=10)


@given(_formulas(), st.floats(0.3, 2), st.lists(st.floats(-2, -0.3), min_size=3, max_size=3))
@settings(deadline=None)
def test_what_is_printed_is_what_is_computed(formula, a, x):
    with np.errstate(all="ignore"):
        program = mg.compile(formula, executor="lift").trace(a, x).program
        expected = formula(mg.Value(a), [*map(mg.Value, x)])
        expected = getattr(expected, "_data", expected)
        blocks = [block for step in program.steps for block in step.blocks]
        assume("…" not in str(program) and all(b.ndim == 1 or b.shape[-1] == 1 for b in blocks))
        np.testing.assert_allclose(computed(str(program), a=a, x=x), expected, rtol=1e-4)


@pytest.mark.parametrize("parts", [*itertools.permutations(range(4))], ids=str)
def test_a_list_is_printed_in_its_order(parts):
    w = mg.Value(5.0)

    def f(x):
        return [[x[0], x[1], w, mg.exp(w)][i] for i in parts]

    text = str(mg.compile(f, executor="lift").trace(np.ones((1, 2))).program)
    wanted = np.array([2.0, 3.0, 5.0, np.exp(5.0)])[[*parts]]
    np.testing.assert_allclose(computed(text, x=[2.0, 3.0], θ=[5.0]), wanted)


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


def test_a_wide_sum_is_not_left_to_python():
    """What Python takes grows with the numbers added up, not with the sums."""
    wide = [
        mg.compile(nn.MLP(n, [2])).trace(np.ones((1, n))).compilations[0].choice for n in (64, 640)
    ]
    short, long = (choice.microseconds["python"] for choice in wide)
    assert long > 5 * short and all(choice.name != "python" for choice in wide)


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
