"""その場で書き換える演算: 誰の値が変わり、何が断られ、勾配はどうなるか。"""

import operator

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.tensor.inplace import IN_PLACE
from tests.reference import torch
from tests.tensor.composed_rows import composed

AUGMENTED = [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow]


def leaf(x):
    return mg.tensor(np.array(x, dtype=float), requires_grad=True)


@pytest.mark.parametrize("op", AUGMENTED)
def test_a_leaf_changes_only_without_recording(op):
    w = leaf([1.5, 2.0])
    want = op(w.detach().numpy().copy(), np.array([2.0, 3.0]))
    with pytest.raises(RuntimeError, match="in-place on a leaf"):
        op(w, 2.0)
    assert w.tolist() == [1.5, 2.0]
    with mg.no_grad():
        same = op(w, mg.tensor([2.0, 3.0]))
    assert same is w
    assert (w.is_leaf, w.requires_grad) == (True, True)
    np.testing.assert_allclose(w.data, want)


@pytest.mark.parametrize("op", AUGMENTED)
def test_in_a_graph_the_same_tensor_goes_on(op):
    x, y = leaf([1.5, 2.0]), leaf([2.0, 0.5])
    h = before = x * 1.0
    h = op(h, y)
    assert h is before
    h.sum().backward()
    a, b = leaf([1.5, 2.0]), leaf([2.0, 0.5])
    plain = {operator.iadd: a + b, operator.isub: a - b, operator.imul: a * b,
             operator.itruediv: a / b, operator.ipow: a**b}[op]  # fmt: skip
    plain.sum().backward()
    np.testing.assert_array_equal(h.detach().numpy(), plain.detach().numpy())
    np.testing.assert_array_equal(x.grad.numpy(), a.grad.numpy())
    np.testing.assert_array_equal(y.grad.numpy(), b.grad.numpy())


@pytest.mark.parametrize("op", [operator.ifloordiv, operator.imod])
def test_operators_without_a_gradient_write_too(op):
    x = leaf([7.0, 9.0])
    h = x * 1.0
    row = h[:1]
    assert op(row, 4.0) is row
    assert h.tolist() == [op(7.0, 4.0), 9.0]
    h.sum().backward()
    assert x.grad.tolist() == [1.0 if op is operator.imod else 0.0, 1.0]
    with pytest.raises(RuntimeError, match="in-place on a leaf"):
        op(x, 2.0)


def test_adding_something_tracked_to_a_plain_tensor_joins_the_graph():
    x, total = leaf([1.0, 2.0]), mg.zeros(2, dtype=mg.float64)
    kept = total
    for _ in range(3):
        total += x
    assert kept is total
    total.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    v = mg.Value(2.0)
    t = mg.zeros(2)
    t += v
    t.sum().backward()
    assert v.grad == 2.0


def test_a_plain_tensor_is_written_where_it_lies():
    array = np.zeros((2, 3), dtype=np.float32)
    t = mg.from_numpy(array)
    row, same = t[0], t
    t += 1
    row.add_(mg.ones(3), alpha=2)
    assert same is t
    assert array.tolist() == [[3.0] * 3, [1.0] * 3]
    t[1] -= 1
    assert array[1].tolist() == [0.0] * 3
    assert t.T.mul_(2).shape == (3, 2)
    assert array[0].tolist() == [6.0] * 3


def test_read_only_memory_is_left_alone():
    array = np.broadcast_to(np.float32(1.0), (2,))
    t = mg.Tensor(array)
    t += 1
    assert t.tolist() == [2.0, 2.0]
    assert array.tolist() == [1.0, 1.0]


def test_overlapping_memory():
    t = mg.arange(5.0)
    t[1:].copy_(t[:-1])
    assert t.tolist() == [0.0, 0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "view",
    [lambda t: t, lambda t: t[0:1], lambda t: t[:, :2].T, lambda t: t.reshape(2, 3),
     lambda t: t.detach(), lambda t: t[0:1].detach()],
)  # fmt: skip
def test_what_was_spread_and_its_views_are_not_written(view):
    x = mg.zeros(3)
    for write in (lambda t: t.__setitem__(0, 1.0), lambda t: t.add_(1.0), lambda t: t.copy_(t + 1)):
        with pytest.raises(RuntimeError, match="single memory location"):
            write(view(x.expand(2, 3)))
    assert x.tolist() == [0.0, 0.0, 0.0]


POINT = np.array([[0.3, 0.5], [0.7, 0.9]])
ARGUMENTS = {
    "add_": (2.0,), "sub_": (2.0,), "mul_": (2.0,), "div_": (2.0,), "pow_": (2.0,),
    "remainder_": (0.4,), "clamp_": (0.4, 0.6), "clip_": (0.4, 0.6), "copy_": (1.0,),
    "fill_": (3.0,), "masked_fill_": (POINT > 0.4, 5.0), "index_add_": (0, [1, 0], POINT),
    "scatter_add_": (0, [[0, 1], [1, 1]], POINT),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(IN_PLACE.keys() - composed()))
def test_methods_do_what_their_namesakes_do(name):
    arguments = ARGUMENTS.get(name, ())
    t = mg.tensor(POINT + (1 if name == "acosh_" else 0))
    before, memory = t.numpy().copy(), t._data
    out = getattr(t, name)(*arguments)
    assert out is t
    assert t._data is memory
    assert t.dtype == np.float64
    plain = {"copy_": "1", "fill_": "3", "zero_": "0"}.get(name)
    if plain is not None:
        np.testing.assert_array_equal(t.data, np.full((2, 2), float(plain)))
    elif name not in ("normal_", "uniform_"):
        want = getattr(mg.tensor(before), name.removesuffix("_"), None) or (
            lambda *xs: getattr(mg, name.removesuffix("_"))(before, *xs)
        )
        np.testing.assert_array_equal(t.data, want(*arguments).data)
    mg.manual_seed(0)
    once = getattr(mg.tensor(before), name)(*arguments)
    mg.manual_seed(0)
    tracked = leaf(before) * 1.0
    assert getattr(tracked, name)(*arguments) is tracked
    np.testing.assert_array_equal(tracked.data, once.data)
    assert tracked.requires_grad and not tracked.is_leaf


def test_in_place_methods_are_pytorchs():
    for name in sorted(
        IN_PLACE.keys() - {"normal_", "uniform_", "clip_", "scatter_add_"} - composed()
    ):
        arguments = ARGUMENTS.get(name, ())
        given = [torch.tensor(x) if isinstance(x, np.ndarray | list) else x for x in arguments]
        start = POINT + (1 if name == "acosh_" else 0)
        got, want = mg.tensor(start), torch.tensor(start)
        getattr(got, name)(*arguments), getattr(want, name)(*given)
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12, err_msg=name)


def test_random_numbers_in_place():
    mg.manual_seed(0)
    t = mg.empty(2000).normal_(3.0, 0.5)
    assert abs(t.mean().item() - 3.0) < 0.05
    assert abs(t.std().item() - 0.5) < 0.05
    t.uniform_(-2, -1)
    assert -2 <= t.min().item() < -1.99
    assert -1.01 < t.max().item() <= -1
    w = mg.zeros(3, requires_grad=True)
    with mg.no_grad():
        w.normal_()
    assert w.requires_grad
    assert w.tolist() != [0.0] * 3


def test_gradients_are_zeroed_where_they_lie():
    w = leaf([1.0, 2.0])
    (w * 3.0).sum().backward()
    w.grad.zero_()
    assert w.grad.tolist() == [0.0, 0.0]
    (w * 3.0).sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]


def test_gradients_of_jax_are_zeroed_too():
    jnp = pytest.importorskip("jax.numpy", reason="JAX がない")
    w = mg.tensor(jnp.array([1.0, 2.0]), requires_grad=True)
    (w * 3.0).sum().backward()
    w.grad.zero_()
    assert w.grad.tolist() == [0.0, 0.0]
    with mg.no_grad():
        same = w
        same -= 0.5
    assert same is w
    assert w.tolist() == [0.5, 1.5]
    assert not isinstance(w._data, np.ndarray)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.add_(np.ones((2, 2))), ValueError, "shape mismatch"),
        (lambda t: operator.iadd(t, np.ones((3, 2))), ValueError, "shape mismatch"),
        (lambda t: t.copy_(np.ones(3)), ValueError, "do not broadcast"),
        (lambda t: t.fill_([1.0]), ValueError, "0-d"),
        (lambda t: t.long().add_(leaf([1.0, 2.0])), TypeError, "cannot cast"),
        (lambda t: t.long().copy_(leaf([1.0, 2.0])), TypeError, "cannot cast"),
        (lambda t: t.long().__setitem__(0, leaf(1.0)), TypeError, "cannot cast"),
        (lambda t: t.long().add_(0.5), TypeError, "cannot cast"),
        (lambda t: operator.itruediv(t.long(), 2), TypeError, "cannot cast"),
        (lambda t: t.bool().add_(1), TypeError, "cannot cast"),
        (lambda t: t.bool().add_(t.long(), alpha=2), TypeError, "cannot cast"),
        (lambda t: t.add_("a"), TypeError, "expected a real number"),
    ],
)
def test_what_is_refused_changes_nothing(change, error, message):
    t = mg.tensor([1.0, 2.0])
    with pytest.raises(error, match=message):
        change(t)
    assert t.tolist() == [1.0, 2.0]


def test_an_array_takes_a_tensor():
    w = leaf([1.0, 2.0])
    (w * 3.0).sum().backward()
    w.data -= 0.5 * w.grad
    assert w.tolist() == [-0.5, 0.5]
    w.data -= w * 2.0  # as in PyTorch: what is written to is cut off from the graph
    assert w.tolist() == [0.5, -0.5] and w.is_leaf


def test_what_is_assigned_wrongly_is_said_of_the_brackets():
    with pytest.raises(TypeError, match=r"Tensor\.__setitem__"):
        mg.zeros(3).__setitem__(0)
