"""宣言の登録: 誰が最初に尋ねても揃っていて、宣言はほかの何も要らない。"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.ops.primitive import array_ops, elementwise_primitives, lookup, reductions

_PROGRAM = """
import json, sys, types

root = types.ModuleType("micrograd_jp")  # the package without its own __init__
root.__path__ = [sys.argv[1]]
sys.modules["micrograd_jp"] = root
from micrograd_jp.ops.primitive import array_ops, elementwise_primitives, reductions

kinds = [[op.name for op in kind()] for kind in (elementwise_primitives, reductions, array_ops)]
others = [m for m in sys.modules if m.startswith("micrograd_jp.") and ".ops" not in m]
print(json.dumps([kinds, others, "numpy" in sys.modules]))
"""


def test_whoever_asks_first_finds_every_primitive():
    folder = str(Path(mg.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, folder], capture_output=True, text=True, check=True
    )
    kinds, others, numpy = json.loads(done.stdout)
    assert kinds == [
        [op.name for op in kind()] for kind in (elementwise_primitives, reductions, array_ops)
    ]
    assert kinds[0][:5] == ["add", "sub", "mul", "div", "pow"] and len(kinds[0]) >= 40
    assert kinds[1] == ["sum", "prod", "dot", "logsumexp"] and len(kinds[2]) > 35
    assert others == [] and not numpy  # formulas stand on nothing


def test_what_a_declaration_leaves_out():
    exp, where, pow = lookup("exp"), lookup("where"), lookup("pow")
    assert (exp.symbol, exp.arguments, exp.domain) == ("exp", ("x",), ((-3.0, 3.0),))
    assert pow.symbol == "xʸ" and pow.arguments == ("x", "y") and len(pow.domain) == 2
    assert where.arity == 3 and where.partials[0] is None


SYMBOLS = {
    "log2": "log₂", "log10": "log₁₀",
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "pow": "xʸ", "neg": "−x", "clone": "同じ値",
    "sqrt": "√", "relu": "ReLU", "leaky_relu": "LeakyReLU", "sigmoid": "σ", "elu": "ELU",
    "gelu": "GELU", "silu": "SiLU", "mish": "Mish", "abs": "|x|", "floor": "⌊x⌋", "maximum": "max",
    "minimum": "min",
}  # fmt: skip


def test_what_is_drawn_is_what_is_written_by_hand():
    for op in elementwise_primitives():
        assert op.symbol == SYMBOLS.get(op.name, op.name)


@pytest.mark.parametrize("op", [p for p in elementwise_primitives() if p.arity == 1], ids=repr)
def test_where_there_is_no_value_there_is_no_domain(op):
    ((low, high),) = op.domain
    for x in (-1e3, -2.0, -1.5, -0.5, 0.5, 1.5, 2.0, 1e3):
        value = getattr(mg, op.name)(mg.tensor([x], dtype=np.float64))
        assert not (np.isnan(value.item()) and low <= x <= high)


GRID = (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0)


def _jumps(op, xs, i):
    """Whether the value or a slope is another one beside x_i."""

    def beside(h):
        moved = [mg.Value(x + h * (j == i)) for j, x in enumerate(xs)]
        node = getattr(mg, op.name)(*moved)
        assert {type(slope) for slope in node.partials} <= {float}
        return np.array([node.data, *node.partials])

    left, here, right = beside(-1e-7), beside(0), beside(1e-7)
    return any((abs(side - here) > 1e-3 * (1 + abs(here))).any() for side in (left, right))


SLOPED = [op for op in elementwise_primitives() if None not in op.partials]  # all but `where`


@pytest.mark.parametrize("op", SLOPED, ids=repr)
def test_kinks_are_where_the_slope_jumps_and_nowhere_else(op):
    assert all(low < high for low, high in op.domain)
    points = itertools.product(*([x for x in GRID if a <= x <= b] for a, b in op.domain))
    kinks = [xs for xs in points if any(_jumps(op, xs, i) for i in range(op.arity))]
    assert bool(kinks) == (op.kink is not None)
    assert all(abs(op.kink(*xs)) < 1e-9 for xs in kinks)


@pytest.mark.parametrize("op", [op for op in SLOPED if op.kink], ids=repr)
def test_where_a_function_is_sampled_both_sides_of_its_kinks_are(op):
    grid = itertools.product(*(np.linspace(a, b, 17) for a, b in op.domain))
    assert {-1, 1} <= {np.sign(op.kink(*xs)) for xs in grid}
