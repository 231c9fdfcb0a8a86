"""差分ファザーが見つけた種類: どれも、ある 1 つの例ではなく、種類ぜんぶで PyTorch と同じ。"""

import inspect

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.nn import functional as F
from micrograd_jp.ops import arrays
from tests.reference import torch


def on_jax(x, dtype):
    jax = pytest.importorskip("jax")
    return mg.tensor(jax.numpy.asarray(np.array(x, dtype)))


def on_numpy(x, dtype):
    return mg.tensor(np.array(x, dtype))


BOTH = pytest.mark.parametrize("tensor", [on_numpy, on_jax])

# ---- ソフトマックスは、ロジット全体をずらしても変わらない ---------------------------------------


@BOTH
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shift", [0.0, 1e3, -1e5, 1e7, -1e30])
def test_a_shift_of_all_logits_costs_no_digits(tensor, name, shift):
    x = np.array([[0.0, 8.0, -4.0], [1.0, 1.0, 1.0]]) * max(1.0, abs(shift) / 1e6) + shift
    x = x.astype(np.float32)
    want = getattr(torch, name)(torch.tensor(x, dtype=torch.float64), 1).numpy()
    got = np.asarray(getattr(mg, name)(tensor(x, np.float32), 1)._data)
    assert np.allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.control
def test_the_shift_would_be_noticed(monkeypatch):
    def through_the_sum(m, x, axis):
        return m.exp(x - m.reshape(m.logsumexp_along(x, axis), (-1, 1)))

    monkeypatch.setitem(vars(arrays.softmax), "value", through_the_sum)
    with pytest.raises(AssertionError):
        test_a_shift_of_all_logits_costs_no_digits(on_numpy, "softmax", 1e7)


@pytest.mark.parametrize("x", [[0.0, np.inf], [-np.inf, -np.inf], [np.nan, 0.0], [-np.inf, 1.0]])
def test_infinite_logits_are_pytorchs(x):
    for name in ("softmax", "log_softmax"):
        got, want = (getattr(m, name)(m.tensor(x), 0).tolist() for m in (mg, torch))
        assert np.array_equal(got, want, equal_nan=True)


@pytest.mark.parametrize("xs", [[1e130] * 4, [1e8, 1e8 + 1], [0.0, np.inf], [-1e9, -1e9, -np.inf],
                                [-np.inf] * 2, [np.nan, 1.0], [1.0, 2.0]])  # fmt: skip
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("compiled", [False, True])
def test_large_numbers_of_a_list_are_pytorchs(xs, name, compiled):
    f, n = getattr(mg, name), len(xs)
    with np.errstate(all="ignore"):
        below = np.array(xs) - np.max(xs)
        p = np.exp(below) / np.exp(below).sum()
        want = p if name == "softmax" else below - np.log(np.exp(below).sum())
        slopes = (np.eye(n) - p) * (p[:, None] if name == "softmax" else 1.0)
    for k in range(n):
        if compiled:
            x = mg.tensor(np.array([xs]), requires_grad=True)
            out = mg.compile(lambda x, k=k: f(list(x))[k], dtype=np.float64)(x)
            out.backward(mg.ones_like(out))
            got, slope = out._data[0], x.grad._data[0]
        else:
            values = [mg.Value(x) for x in xs]
            out = f(values)[k]
            out.backward()
            got, slope = out.data, [v.grad for v in values]
        assert np.allclose(got, want[k], rtol=1e-12, equal_nan=True)
        if np.isfinite(want).all():
            assert np.allclose(slope, slopes[k], rtol=1e-12, atol=1e-15)


# ---- 整数の活性化関数は、その小数の活性化関数 ---------------------------------------------------


LEFT_OUT = {"one_hot", "flatten", "pad", "instance_norm", "interpolate", "upsample", "normalize",
            "feature_alpha_dropout", "glu", "gumbel_softmax", "pdist"}  # fmt: skip


def activations():
    """Every function of one array in nn.functional, by its signature."""
    elementwise = {"gelu", "silu", "mish", "hardswish", "softplus", "elu", "leaky_relu", "sigmoid",
                   "tanh", "relu"}  # fmt: skip
    for name in {*vars(F), *elementwise}:
        f = getattr(F, name)
        there = getattr(torch.nn.functional, name, None)
        writes = name.endswith("_")  # a float into whole numbers: PyTorch refuses it, too
        if writes or name.startswith(("_", "dropout")) or not name[0].islower():
            continue
        if callable(f) and there:
            needed = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty]
            if name in elementwise or (len(needed) == 1 and name not in LEFT_OUT):
                yield name


@pytest.mark.parametrize("name", sorted(activations()))
@pytest.mark.parametrize(
    ("dtype", "x"), [("uint8", [0, 2, 250]), ("int8", [-128, 3, 127]), ("bool", [True, False])]
)
def test_whole_numbers_are_taken_as_floats(name, dtype, x):
    how = {"dim": 0} if name in ("softmax", "log_softmax", "softmin") else {}
    got = getattr(F, name)(mg.tensor(x, dtype=getattr(mg, dtype)), **how)
    want = getattr(torch.nn.functional, name)(torch.tensor(x, dtype=torch.float64), **how)
    assert str(got.dtype) == "float32" or name == "relu"
    assert np.allclose(np.asarray(got._data, float), want.numpy(), rtol=1e-5, atol=1e-6)


def test_there_are_such_functions():
    assert {"logsigmoid", "mish", "hardswish", "selu", "gelu"} <= {*activations()}


# ---- 切り捨てには勾配 0 のグラフがあり、余りの 0 の符号は PyTorch のもの ------------------------


@BOTH
@pytest.mark.parametrize("upstream", [1.0, np.inf, np.nan])
def test_what_is_flat_is_of_the_graph_and_its_gradient_is_zero(tensor, upstream):
    for f in (lambda x: x // 2, lambda x: 7 // x, lambda x: mg.slogdet(x)[0]):
        x = tensor([[1.0, -2.0], [3.0, 5.0]], np.float32)
        x.requires_grad_()
        y = f(x)
        assert y.requires_grad
        y.backward(mg.full_like(y, upstream))
        assert x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@BOTH
@pytest.mark.parametrize("divisor", [0.1, -0.7, 1e-3, 3])
def test_a_number_that_divides_half_precision_is_not_rounded_to_it(tensor, divisor):
    """As PyTorch does; what is divided, and both sides of `%`, are."""
    x = np.linspace(-3, 3, 61).astype(np.float16)
    got = np.asarray((tensor(x, np.float16) // divisor)._data)
    assert got.dtype == np.float16
    assert np.array_equal(got, (torch.tensor(x) // divisor).numpy())


@BOTH
@pytest.mark.parametrize("y", [2.0, -2.0, np.inf])
def test_a_zero_that_is_left_has_the_sign_of_the_dividend(tensor, y):
    x = [0.0, -0.0, 4.0, -4.0, 3.0, -3.0]
    got = np.asarray((tensor(x, np.float32) % y)._data)
    want = (torch.tensor(x) % y).numpy()
    assert np.array_equal(got, want)
    assert np.array_equal(np.signbit(got), np.signbit(want))


# ---- 真偽値 --------------------------------------------------------------------------------------


@BOTH
def test_the_sign_of_a_boolean_is_itself(tensor):
    assert mg.sign(tensor([True, False], bool)).tolist() == [True, False]


@pytest.mark.parametrize("alpha", [0, 1, 2, True, False])
@pytest.mark.parametrize("other", [True, "tensor"])
def test_alpha_has_no_say_in_the_dtype(alpha, other):
    results = []
    for m in (mg, torch):
        t = m.tensor([True, False])
        t.add_(m.tensor([False, True]) if other == "tensor" else other, alpha=alpha)
        results.append(t.tolist())
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["add_", "sub_"])
def test_alpha_times_whole_numbers_is_as_exact_as_the_tensor(name):
    for m in (mg, torch):
        t = m.tensor([1.0, 2.0], dtype=m.float64)
        getattr(t, name)(m.tensor([1, 3]), alpha=0.1)
        sign = 1 if name == "add_" else -1
        assert np.allclose(t.tolist(), [1 + sign * 0.1, 2 + sign * 0.3], rtol=1e-15)


# ---- 重みの和が 0 の交差エントロピー -------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [[0.0, 0.0, 1.0], [1.0, -1.0, 2.0], [0.5, 2.0, 1.0]])
def test_weights_that_add_up_to_zero(weight, smoothing):
    x, t = [[2.0, 0.5, 1.0], [1.0, 2.0, 3.0]], [0, 1]
    want = torch.nn.functional.cross_entropy(
        torch.tensor(x), torch.tensor(t), weight=torch.tensor(weight), label_smoothing=smoothing
    ).numpy()
    for rows in (mg.tensor(x), [[mg.Value(v) for v in row] for row in x]):
        got = F.cross_entropy(rows, t, weight=weight, label_smoothing=smoothing)
        assert np.allclose(got.item(), want, rtol=1e-6, equal_nan=True)


# ---- つなぐ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, -1])
def test_an_empty_vector_among_matrices_stays_in_the_graph(axis):
    for m in (mg, torch):
        none = m.zeros(0, dtype=m.float64, requires_grad=True)
        out = m.cat([none, m.ones(2, 3), none], axis)
        assert out.requires_grad
        assert str(out.dtype).removeprefix("torch.") == "float64"
        out.sum().backward()
        assert tuple(none.grad.shape) == (0,)
