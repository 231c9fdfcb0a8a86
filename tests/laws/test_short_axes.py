"""短い軸: 長さ 0 の軸、長さ 1 の軸、軸のない数 (0-d)。値も勾配も PyTorch と同じか、同じく断る。"""

import functools
import inspect
import re

import numpy as np
import pytest
import ways

import micrograd_jp as mg
from micrograd_jp.tensor.registry import METHODS
from tests.reference import torch
from tests.tensor.composed_rows import composed

FRACTION = r"\d+\.\d*(e-\d+)?|\d+e-\d+"
REFUSALS = (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError)


def shown(x):
    """The numbers and the shapes of whatever was returned."""
    if isinstance(x, tuple | list):
        return [shown(y) for y in x]
    if hasattr(x, "shape"):
        text = re.sub(FRACTION, lambda number: str(round(float(number[0]), 12)), str(x.tolist()))
        return text, tuple(x.shape)
    return x


def in_each(expression, **names):
    """The expression on both libraries: results, or the word "refused"; and the gradient of x."""
    found = []
    for L in (mg, torch):
        scope = {"L": L, **{name: make(L) for name, make in names.items()}}
        try:
            out = eval(expression, scope)
            found.append([shown(out), gradient(L, out, scope.get("x"))])
        except REFUSALS:
            found.append("refused")
    return found


def gradient(L, out, x):
    parts = out if isinstance(out, tuple | list) else [out]
    total = [p.sum() for p in parts if isinstance(p, L.Tensor) and p.requires_grad]
    if x is None or not total:
        return None
    sum(total).backward()
    return None if x.grad is None else shown(x.grad)


# ---- 軸を 1 つ選ぶメソッドのすべて --------------------------------------------------------------

# How a method with an axis is called; a new one is asked for here. `i`: indices as many as numbers.
WITH_AXIS = {
    **dict.fromkeys(
        "sum mean var std prod amax amin max min argmax argmin logsumexp softmax log_softmax "
        "cumsum all any sort argsort squeeze unsqueeze flip size".split(), "x.{}({})"),
    "norm": "x.{}(dim={})", "topk": "x.{}(1, {})", "roll": "x.{}(1, {})",
    "gather": "x.{}({}, i)", "index_select": "x.{}({}, L.tensor([0]))",
    "scatter_add": "x.{}({}, i, x)", "index_add": "x.{}({}, i, x)",
    "repeat_interleave": "x.{}(2, {})",
    "split": "x.{}(1, {})", "chunk": "x.{}(1, {})", "unbind": "x.{}({})",
    "flatten": "x.{}({})", "swapaxes": "x.{0}({1}, {1})", "movedim": "x.{0}({1}, {1})",
    "permute": "x.{}({})", "diagonal": "x.{0}(0, {1}, {1})", "transpose": "x.{0}({1}, {1})",
}  # fmt: skip
NOT_PYTORCHS = {"take", "repeat"}  # with these arguments they are NumPy's
SHAPES = [(), (0,), (1,), (2, 0), (0, 2), (1, 0), (1, 2)]


def test_every_method_with_an_axis_is_asked():
    takes_axis = {
        name
        for name, f in METHODS.items()
        if any(re.match("axis|axes|dim", p) for p in inspect.signature(f).parameters)
        and name not in composed(METHODS)
    }
    assert takes_axis - WITH_AXIS.keys() - NOT_PYTORCHS == set()


def differences(name):
    found = []
    for shape in SHAPES:
        numbers = np.linspace(2.5, 3.5, int(np.prod(shape))).reshape(shape)
        for axis in (0, -1, 1, -2):
            if name == "roll" and 0 in shape and not -len(shape) <= axis < len(shape):
                continue  # PyTorch does not look at the axis where there is nothing to roll
            ours, theirs = in_each(
                WITH_AXIS[name].format(name, axis),
                x=lambda L: L.tensor(numbers, requires_grad=True),
                i=lambda L: L.zeros(shape if name != "index_add" else shape[:1], dtype=L.int64),
            )
            if ours != theirs:
                found.append((shape, axis, ours, theirs))
    return found


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("name", WITH_AXIS)
def test_short_axes(name):
    assert differences(name) == []


@pytest.mark.control
@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("name", ["softmax", "cumsum", "amax"])
def test_a_number_without_an_axis_that_is_refused_is_noticed(name, monkeypatch):
    """The old fault: NumPy has no axis 0 of a number. And an axis of nothing is let through."""
    right = getattr(mg.Tensor, name)

    def numpys(x, axis):
        np.moveaxis(x._data, axis, 0)
        return right(x, axis)

    monkeypatch.setattr(mg.Tensor, name, numpys)
    assert {shape for shape, *_ in differences(name)} == {()}
    monkeypatch.setattr(mg.Tensor, name, lambda x, axis: right(x, axis) if x.size else x * 2)
    assert {shape for shape, *_ in differences(name)} >= {(0,)}


def calls(name, axes):
    """As above, with the gradient, on arrays of any kind."""

    def call(array, shape, axis):
        x = mg.tensor(array(np.ones(shape)), requires_grad=True)
        i = mg.tensor(array(np.zeros(shape if name != "index_add" else shape[:1], np.int64)))
        out = eval(WITH_AXIS[name].format(name, axis), {"L": mg, "x": x, "i": i})
        sums = [y.sum() for y in (out if isinstance(out, tuple) else [out])
                if isinstance(y, mg.Tensor) and y.requires_grad]  # fmt: skip
        if sums:
            sum(sums).backward()
        return out, x.grad

    return [
        functools.partial(call, shape=shape, axis=axis) for shape in SHAPES for axis in axes
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("axes", [(-1,), pytest.param((0, 1, -2), marks=pytest.mark.slow)])
def test_short_axes_in_a_trace(axes):
    """Where `mg.jit` looks; a `Value` has no axes, nor has a compiled function."""
    every = [call for name in WITH_AXIS for call in calls(name, axes)]
    assert ways.traced_otherwise(every) == []


# ---- 空 -----------------------------------------------------------------------------------------

EMPTY = [
    "x.max()", "x.topk(0, 1)", "x.all()", "x.any()",
    "L.zeros(0).split(0)", "L.zeros(0).split([])", "L.zeros(0).split(-1)",
    "L.zeros(0, 2).split(3)", "L.zeros(3).split(0)", "L.zeros(0).chunk(3)",
    "L.cat([L.zeros(0), L.ones(2, 3)], 1)", "L.cat([L.ones(2, 3), L.zeros(0)], -2)",
    "L.cat([L.zeros(0), L.zeros(0)])", "L.cat([L.zeros(1), L.ones(2, 3)])", "L.cat([])",
    "L.cat([L.zeros(0), L.tensor(1.0)])", "L.stack([L.zeros(0), L.ones(2)])",
    "x.nonzero()", "L.tensor(2.0).nonzero()", "L.tensor(0).nonzero()",
    "L.tensor(2.0).nonzero(as_tuple=True)",
]  # fmt: skip


@pytest.mark.parametrize("expression", EMPTY)
def test_what_is_empty(expression):
    ours, theirs = in_each(expression, x=lambda L: L.zeros(2, 0))
    assert ours == theirs


@pytest.mark.control
def test_an_empty_part_that_is_refused_is_noticed(monkeypatch):
    joined = mg.cat
    monkeypatch.setattr(mg, "cat", lambda xs, axis=0: joined([*xs, mg.zeros(1, 1)], axis))
    with pytest.raises(AssertionError):
        test_what_is_empty("L.cat([L.zeros(0), L.ones(2, 3)], 1)")


@pytest.mark.parametrize("f", ["max", "min", "argmax", "argmin", "amax", "amin"])
def test_no_largest_of_nothing(f):
    with pytest.raises(ValueError, match=r"空の軸.*empty axis"):
        getattr(mg.zeros(2, 0), f)(1)


def test_an_empty_tensor_shows_its_shape():
    assert repr(mg.zeros(0, 3)) == "tensor([], shape=(0, 3))"
    assert repr(mg.zeros(0)) == "tensor([])"
    assert repr(mg.zeros(2, 0, dtype=mg.int64)) == "tensor([], shape=(2, 0), dtype=int64)"


# ---- einsum -------------------------------------------------------------------------------------


def test_an_axis_of_length_1_broadcasts_in_einsum():
    rng = np.random.default_rng(0)
    broadcast = 0
    for _ in range(300):
        sizes = dict(zip("ijk", rng.choice([2, 3], 3)))
        labels, arrays = [], []
        for _ in range(rng.integers(1, 4)):
            own = "".join(rng.choice(list("ijk"), rng.integers(0, 4)))
            labels.append(own)
            arrays.append(rng.random([rng.choice([1, sizes[c], sizes[c]]) for c in own]))
        used = sorted(set("".join(labels)))
        out = "".join(rng.permutation(used)[: rng.integers(0, len(used) + 1)])
        spec = f"{','.join(labels)}->{out}"
        theirs = ours = "refused"
        leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
        xs = [mg.tensor(a, requires_grad=True) for a in arrays]
        try:
            theirs = torch.einsum(spec, *leaves)
        except RuntimeError:
            with pytest.raises(ValueError, match="einsum"):
                mg.einsum(spec, *xs)
            continue
        ours = mg.einsum(spec, *xs)
        ours.sum().backward()
        theirs.sum().backward()
        assert np.allclose(ours.detach().numpy(), theirs.detach()), spec
        for x, leaf in zip(xs, leaves):
            assert np.allclose(x.grad.numpy(), leaf.grad), spec
        broadcast += any(1 in a.shape for a in arrays)
    assert broadcast > 50
