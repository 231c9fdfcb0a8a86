"""順伝播と逆伝播の間の書き換えは、黙って違う勾配にならない。"""

import gc

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.graph.writes import Writes, writes


def product():
    w, x = (mg.tensor(np.array([2.0, 3.0]), requires_grad=True) for _ in range(2))
    return w, x, (w * x).sum()


def in_place(w):
    with mg.no_grad():
        w += 1


def by_the_optimizer(w):
    w.grad = mg.ones_like(w)
    mg.optim.SGD([w], lr=0.1).step()


def through_a_view(w):
    w.detach()[0] = 7.0


def by_hand(w):
    w.data -= 1


def by_hand_in_a_view(w):
    row = w[:1]
    row.data *= 7


CHANGES = [in_place, by_the_optimizer, through_a_view, by_hand, by_hand_in_a_view]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_value_written_over_before_backward(change, create_graph):
    w, x, y = product()
    change(w)
    with pytest.raises(RuntimeError, match="modified in place"):
        y.backward(create_graph=create_graph)
    assert x.grad is None


def test_a_part_written_over():
    w = mg.tensor(np.arange(4.0))
    x = mg.tensor(np.ones(4), requires_grad=True)
    y = (w * x).sum()
    w[1:3].add_(1)
    with pytest.raises(RuntimeError, match="modified in place"):
        y.backward()


def test_writes_elsewhere_and_before_do_not_matter():
    w, x, y = product()
    other = mg.zeros(2)
    other += 1
    y.backward()
    assert x.grad.tolist() == w.tolist()
    in_place(w)
    y = (w * x).sum()
    y.backward()
    assert x.grad.tolist() == [5.0, 7.0]  # 2 + 3 and 3 + 4


def test_another_array_in_its_place():
    w, x, y = product()
    w.data = np.zeros(2)
    with pytest.raises(RuntimeError, match="modified in place"):
        y.backward(create_graph=True)
    y.backward()  # which uses what the forward pass used
    assert x.grad.tolist() == [2.0, 3.0]


@pytest.mark.control
def test_writes_that_nobody_notes_change_the_gradient(monkeypatch):
    monkeypatch.setattr(Writes, "note", lambda *_: None)
    for change in CHANGES:
        with pytest.raises(pytest.fail.Exception):
            test_a_value_written_over_before_backward(change, False)


def test_an_update_by_hand_of_a_view_is_one_of_the_whole():
    t = mg.tensor([1.0, 2.0])
    row = t[:1]
    row.data -= 3
    row.add_(1)
    assert t.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("by_hand", [True, False])
def test_training_goes_on(by_hand):
    w = mg.tensor(np.array([5.0]), requires_grad=True)
    optimizer = mg.optim.SGD([w], lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        (w * w).sum().backward()
        if by_hand:
            w.data -= 0.1 * w.grad
        else:
            optimizer.step()
    assert abs(w.item()) < 1e-3


@pytest.mark.parametrize("order", ["C", "F"])
def test_each_element_is_remembered(order):
    record, array = Writes(), np.asarray(np.zeros((3, 4)), order=order)
    record.note(array[1:, ::2], (0,))  # elements (1, 0) and (1, 2)
    for i, j in np.ndindex(3, 4):
        assert record.after(0, array[i, j, None]) == ((i, j) in [(1, 0), (1, 2)])
    assert record.after(0, array) and not record.after(1, array)
    assert record.after(0, array.T[::-1, 1]) and not record.after(0, array[::2])
    other_size = (array if order == "C" else array.T).view(np.int32)
    assert record.after(0, other_size)  # it cannot be told where
    record.note(array, (array > 1,))
    assert not record.after(1, array)
    record.note(array)
    assert record.after(2, array[0, 1, None])


def test_arrays_that_are_gone_are_forgotten():
    record = Writes()
    array = np.zeros(3)
    record.note(array)
    assert record.after(0, array) and not record.after(1, array)
    assert not record.after(0, np.zeros(3))
    del array
    gc.collect()
    assert not record._last
    assert writes is not record


@pytest.mark.parametrize("rule", ["exp", "tanh", "sqrt", "sigmoid"])
@pytest.mark.parametrize("twice", [False, True])
def test_a_rule_that_needs_its_result_has_the_numbers_of_before_the_write(rule, twice):
    x = mg.tensor([0.5, 1.5, 2.5], requires_grad=True)
    w = mg.tensor([3.0], requires_grad=True)
    h = getattr(mg, rule)(x)
    y = h * 2.0
    h[1:2] = w
    if twice:
        h[1:2] = w * w
    (y.sum() + (h * h).sum()).backward()
    before = mg.tensor(x.data, requires_grad=True)
    z = getattr(mg, rule)(before)
    (2.0 * z.sum() + z[0] ** 2 + z[2] ** 2).backward()
    np.testing.assert_allclose(x.grad.data, before.grad.data, rtol=1e-12)
    assert w.grad.tolist() == pytest.approx([108.0 if twice else 6.0])
