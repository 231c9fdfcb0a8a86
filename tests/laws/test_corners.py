"""隅: 空の軸、0 次元の軸、長さ 1 の軸、無限大の余り、空の 1 次元。どれも PyTorch の答えになる。"""

import math
import re

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.tensor.registry import METHODS

torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")


def shown(x):
    """The numbers and the shapes of whatever was returned."""
    if isinstance(x, tuple | list):
        return [shown(y) for y in x]
    if hasattr(x, "shape"):
        return str(x.tolist()), tuple(x.shape)
    return x


def both(expression, **names):
    """The expression on both libraries: results, or the word "refused"."""
    found = []
    for L in (mg, torch):
        scope = {"L": L, **{name: make(L) for name, make in names.items()}}
        try:
            found.append(shown(eval(expression, scope)))
        except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError):
            found.append("refused")
    return found


# ---- 0 次元の軸 ---------------------------------------------------------------------------------

# How a method with an axis is called on a number; a new one is asked for here.
WITH_AXIS = {
    **dict.fromkeys(
        "sum mean var std prod amax amin max min argmax argmin logsumexp softmax log_softmax "
        "cumsum all any sort argsort squeeze unsqueeze flip size".split(), "x.{}({})"),
    "norm": "x.{}(dim={})", "topk": "x.{}(1, {})", "roll": "x.{}(1, {})",
    "gather": "x.{}({}, L.tensor([0, 0]))", "index_select": "x.{}({}, L.tensor([0]))",
    "scatter_add": "x.{}({}, L.tensor(0), x)", "index_add": "x.{}({}, L.tensor(0), x)",
    "repeat_interleave": "x.{}(2, {})",
    "split": "x.{}(1, {})", "chunk": "x.{}(1, {})", "unbind": "x.{}({})",
    "flatten": "x.{}({})", "swapaxes": "x.{0}({1}, {1})", "movedim": "x.{0}({1}, {1})",
    "permute": "x.{}({})", "diagonal": "x.{0}(0, {1}, {1})", "transpose": "x.{0}({1}, {1})",
}  # fmt: skip
NOT_PYTORCHS = {"take", "repeat"}  # with these arguments they are NumPy's


def test_every_method_with_an_axis_is_asked():
    import inspect

    takes_axis = {
        name
        for name, f in METHODS.items()
        if any(re.match("axis|axes|dim", p) for p in inspect.signature(f).parameters)
    }
    assert takes_axis - WITH_AXIS.keys() - NOT_PYTORCHS == set()


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("axis", [0, -1, 1, -2])
@pytest.mark.parametrize("name", WITH_AXIS)
def test_the_axis_of_a_number(name, axis):
    ours, theirs = both(WITH_AXIS[name].format(name, axis), x=lambda L: L.tensor(2.5))
    assert ours == theirs


def test_its_gradient():
    x = mg.tensor(2.5, requires_grad=True)
    (x.max(0).values + x.sum(-1) + x.cumsum(0) + x.sort(0).values + x.softmax(0)).backward()
    assert x.grad.item() == 4.0


# ---- 空 -----------------------------------------------------------------------------------------

EMPTY = [
    "x.softmax(1)", "x.log_softmax(1)", "x.logsumexp(1)", "x.softmax(0)", "x.logsumexp(0)",
    "x.sum(1)", "x.prod(1)", "x.mean(1)", "x.amax(1)", "x.max(1)", "x.argmax(1)", "x.max()",
    "x.min(1)", "x.amax(0)", "x.cumsum(1)", "x.sort(1)", "x.topk(0, 1)", "x.all()", "x.any()",
    "L.zeros(0).split(1)", "L.zeros(0).split(0)", "L.zeros(0).split([])", "L.zeros(0).split(-1)",
    "L.zeros(0, 2).split(3)", "L.zeros(3).split(0)", "L.zeros(0).chunk(3)",
    "L.cat([L.zeros(0), L.ones(2, 3)], 1)", "L.cat([L.ones(2, 3), L.zeros(0)], -2)",
    "L.cat([L.zeros(0), L.zeros(0)])", "L.cat([L.zeros(1), L.ones(2, 3)])", "L.cat([])",
    "L.cat([L.zeros(0), L.tensor(1.0)])", "L.stack([L.zeros(0), L.ones(2)])",
    "x.nonzero()", "L.tensor(2.0).nonzero()", "L.tensor(0).nonzero()",
    "L.tensor(2.0).nonzero(as_tuple=True)",
]  # fmt: skip


@pytest.mark.parametrize("expression", EMPTY)
def test_what_is_empty(expression):
    ours, theirs = both(expression, x=lambda L: L.zeros(2, 0))
    assert ours == theirs


@pytest.mark.parametrize("f", ["max", "min", "argmax", "argmin", "amax", "amin"])
def test_no_largest_of_nothing(f):
    with pytest.raises(ValueError, match=r"空の軸.*empty axis"):
        getattr(mg.zeros(2, 0), f)(1)


def test_the_gradient_of_what_is_empty():
    x = mg.zeros(2, 0, requires_grad=True)
    (x.softmax(1).sum() + x.logsumexp(1).sum()).backward()
    assert x.grad.shape == (2, 0)


def test_an_empty_tensor_shows_its_shape():
    assert repr(mg.zeros(0, 3)) == "tensor([], shape=(0, 3))"
    assert repr(mg.zeros(0)) == "tensor([])"
    assert repr(mg.zeros(2, 0, dtype=mg.int64)) == "tensor([], shape=(2, 0), dtype=int64)"


# ---- 余り ---------------------------------------------------------------------------------------

CORNERS = (0.0, -0.0, math.inf, -math.inf, math.nan, 5.0, -5.0, 0.3)


@pytest.mark.parametrize("sign", ["%", "//"])
def test_remainders(sign):
    for x in CORNERS:
        for y in CORNERS:
            expression = f"t {sign} u, t {sign} {y}, {x} {sign} u".replace("inf", "L.inf")
            expression = expression.replace("nan", "L.nan")
            results = []
            for L in (mg, torch):
                t, u = (L.tensor([z], dtype=L.float64, requires_grad=True) for z in (x, y))
                scope = {"L": math, "t": t, "u": u}
                out = [getattr(o, "detach", lambda o=o: o)() for o in eval(expression, scope)]
                z = t % u
                z.backward(L.ones(1, dtype=L.float64))
                results.append([np.asarray(o, float) for o in (*out, t.grad, u.grad)])
            assert np.array_equal(*results, equal_nan=True), (x, y, results)


@pytest.mark.parametrize("expression", ["t % 0", "t // 0", "5 % (t * 0)", "t % t.bool() // False"])
def test_whole_numbers_are_not_divided_by_zero(expression):
    assert both(expression, t=lambda L: L.tensor([5]))[1] == "refused"
    with pytest.raises(ZeroDivisionError, match="integer division by zero"):
        eval(expression, {"t": mg.tensor([5])})


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


# ---- 作る ---------------------------------------------------------------------------------------


def test_the_class_makes_floats_of_a_list():
    assert shown(mg.Tensor([1, 2])) == shown(torch.Tensor([1, 2]))
    assert mg.Tensor([1, 2]).dtype == mg.get_default_dtype()
    assert shown(mg.Tensor([])) == shown(torch.Tensor([]))
    integers = np.array([1, 2])
    assert mg.Tensor(integers).data is integers
    for wrong in (3, 2.5, None, "a", {}):
        with pytest.raises(TypeError, match=r"mg\.tensor"):
            mg.Tensor(wrong)
    with pytest.raises(TypeError, match=r"mg\.zeros"):
        mg.Tensor(2, 3)
    with pytest.raises(ValueError, match="ragged"):
        mg.Tensor([1, [2]])


def test_one_bound_of_clip():
    x = [-1.0, 0.5, 2.0]
    assert mg.clip(mg.tensor(x), 0, None).tolist() == [0.0, 0.5, 2.0]
    assert mg.clip(mg.tensor(x), None, 1).tolist() == [-1.0, 0.5, 1.0]
    assert mg.clip(mg.Value(-1.0), 0, None).data == 0.0
