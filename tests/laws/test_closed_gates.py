"""法則: ある引数について局所的に一定な演算は、上流の勾配が inf や nan でも、その引数の勾配が 0。

どこで一定かは、規則ではなく値を見て決める。たまたま 0 になった因子 (`x * 0`) は、nan を通す。
"""

import itertools
import math

import numpy as np
import pytest
import ways

import micrograd_jp as mg
from micrograd_jp.namespace.numpy import NumPy
from micrograd_jp.ops.gates import Gate
from micrograd_jp.ops.primitive import elementwise_primitives

OPS = [op for op in elementwise_primitives() if op.arity]
UPSTREAM = [math.inf, -math.inf, math.nan]
GRID = [-3.5, -1.25, 0.0, 0.75, 3.5]  # far from where rounding would make a slope vanish
STEP = 2.0**-12
PRODUCTS = {"mul", "div", "leaky_relu", "elu"}  # constant also where the other factor is 0
LARGE = 5000  # numbers: the way of large arrays


def function(op):
    return mg.where if op.name == "where" else getattr(mg, op.name)


def at(op, xs):
    """The arguments in the form that the function wants."""
    return [bool(xs[0]), *xs[1:]] if op.partials[0] is None else list(xs)


def value(op, xs):
    return function(op)(*at(op, xs)).data


def constant_places(op):
    """(point, i): places where the value does not depend on the operand i."""
    places = []
    for xs in itertools.product(GRID, repeat=op.arity):
        with np.errstate(all="ignore"):
            middle = value(op, xs)
            for i, rule in enumerate(op.partials):
                moved = [
                    value(op, [x + d if j == i else x for j, x in enumerate(xs)])
                    for d in (STEP, -STEP, STEP / 7)
                ]
                factors = op.name in PRODUCTS and 0 in xs[:i] + xs[i + 1 :]
                at_kink = op.kink is not None and op.kink(*xs) == 0  # conventions hold there
                if (
                    rule
                    and not factors
                    and not at_kink
                    and math.isfinite(middle)
                    and set(moved) == {middle}
                ):
                    places.append((xs, i))
    return places


PLACES = [(op, constant_places(op)) for op in OPS]
GATED = [pytest.param(op, places, id=op.name) for op, places in PLACES if places]


def operands(op, xs, i, leaf):
    """All arguments plain, but for the one that is differentiated."""
    args = at(op, xs)
    args[i] = leaf
    return args


def test_the_operations_with_gates_are_found():
    names = {op.name for op, places in PLACES if places}
    assert names >= {"relu", "clip", "where", "maximum", "minimum", "hard_sigmoid", "sign", "floor",
                     "pow", "leaky_relu", "elu"}  # fmt: skip
    assert not names & {"add", "mul", "div", "exp", "tanh", "sigmoid", "softplus", "abs"}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(("op", "places"), GATED)
def test_values(op, places, create_graph):
    for (xs, i), g in itertools.product(places, UPSTREAM):
        x = mg.Value(float(xs[i]))
        function(op)(*operands(op, xs, i, x)).backward(g, create_graph=create_graph)
        assert getattr(x.grad, "_data", x.grad) == 0, (xs, i, g)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("n", [1, LARGE])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(("op", "places"), GATED)
def test_tensors(op, places, create_graph, n, dtype):
    for i in {i for _, i in places}:
        mine = [xs for xs, j in places if j == i]
        columns = [np.resize(column, n * len(mine)) for column in zip(*mine)]
        arrays = [column.astype(dtype) for column in columns]
        if op.partials[0] is None:
            arrays[0] = columns[0] != 0
        x = mg.tensor(arrays[i], requires_grad=True)
        out = function(op)(*[x if j == i else a for j, a in enumerate(arrays)])
        seed = np.resize(np.array(UPSTREAM, dtype=dtype), len(arrays[i]))
        out.backward(seed, create_graph=create_graph)
        assert (x.grad.detach().numpy() == 0).all()
        assert x.grad.dtype == dtype


def leaks(way):
    """Where the share of an operand behind a closed gate is not 0, whatever comes from above."""
    gates = [(op, i, xs) for op, places in PLACES for xs, i in places]
    fs, kept, columns = [], [], []
    for op, i in dict.fromkeys((op, i) for op, i, _ in gates):
        if op.name == "pow" and ("create_graph" in way or "jvp" in way):
            continue  # x⁰ is constant in x, but its slope is not in y
        mine = [xs for other, j, xs in gates if (other, j) == (op, i)]
        fs.append(lambda *xs, op=op: function(op)(*chosen(op, xs)))
        kept.append((op, i))
        columns.append(np.repeat([xs + (0.0,) * (3 - len(xs)) for xs in mine], 3, 0))
    n = 24 if "captured" in way else max(map(len, columns))
    X = np.stack([np.resize(column, (n, 3)) for column in columns], 1)
    G = np.resize(UPSTREAM, (n, len(fs)))
    for j, column in enumerate(columns):
        G[:, j] = np.resize(np.resize(UPSTREAM, len(column)), n)
    _, slopes = ways.WAYS[way](fs, X, G)
    return {
        (op.name, i, *X[k, j], G[k, j])
        for j, (op, i) in enumerate(kept) for k in np.flatnonzero(slopes[:, j, i] != 0)
    }  # fmt: skip


def chosen(op, xs):
    """The first operands; a condition is a comparison."""
    return [xs[0] != 0, *xs[1:]] if op.partials[0] is None else xs[: op.arity]


@pytest.mark.parametrize("way", ways.some("Value jvp"))
def test_every_way(way):
    assert leaks(way) == set()


ZERO_FACTORS = [
    lambda x: x * 0.0, lambda x: x * 0, lambda x: 0 * x, lambda x: x * np.int64(0),
    lambda x: mg.mul(x, 0), lambda x: x * x, lambda x: 1 - mg.cos(x),
]  # fmt: skip
KINDS = {
    "Value": mg.Value,
    **{name: lambda x, name=name: mg.tensor(x, dtype=getattr(mg, name)).requires_grad_()
       for name in ("float64", "float32", "float16")},
    "in place": lambda x: mg.tensor(x, requires_grad=True) * 1,
    "jax": lambda x: mg.tensor(pytest.importorskip("jax").numpy.asarray(x)).requires_grad_(),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_factor_that_happens_to_be_zero_is_ieee(kind, create_graph):
    factors = [lambda x: x.mul_(0)] if kind == "in place" else ZERO_FACTORS
    for i, f in enumerate(factors):
        x = KINDS[kind](0.0)
        if kind == "in place":
            (leaf,) = x.parents
        f(x).backward(math.inf, create_graph=create_graph)
        grad = (leaf if kind == "in place" else x).grad
        assert math.isnan(float(getattr(grad, "_data", grad))), i


@pytest.mark.control
def test_a_gate_that_multiplies_by_zero_is_noticed(monkeypatch):
    monkeypatch.setattr(
        NumPy, "times",
        lambda self, g, d: g * (np.where(d.shut, 0, d.slope) if isinstance(d, Gate) else d),
    )  # fmt: skip
    for way in ("Tensor", "Tensor native", "compiled levels"):
        assert {op for op, *_ in leaks(way)} >= {"relu", "clip", "where"}
    relu = next(p for p in GATED if p.id == "relu")
    with pytest.raises(AssertionError):
        test_tensors(*relu.values, False, 1, np.float64)
