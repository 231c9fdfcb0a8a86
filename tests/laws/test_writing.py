"""書き込み: 入らないものは断り、何も変えない。入るものは、どこから入れても同じになる。"""

import weakref

import numpy as np
import pytest

import micrograd_jp as mg


def test_the_update_written_by_hand():
    """`p.data = p.data - lr * p.grad`: the right side is a Tensor."""
    p, v = mg.tensor([1.0, 2.0], requires_grad=True), mg.Value(3.0)
    for _ in range(3):
        loss = (p * p).sum().to_value() + v * v
        p.grad = v.grad = None
        loss.backward()
        p.data = p.data - 0.25 * p.grad
        v.data = mg.Value(v.data) - 0.25 * v.grad
    assert (type(p.data), type(v.data)) == (np.ndarray, float)
    assert (p.tolist(), v.data) == ([0.125, 0.25], 0.375)
    assert p.is_leaf and v.is_leaf


@pytest.mark.parametrize("bad", ["1", None, [1.0, 2.0], {"a": 1}, 1j])
def test_data_is_a_number_or_an_array(bad):
    for x in (mg.tensor([1.0, 2.0]), mg.Value(1.0), mg.nn.Parameter([1.0])):
        before = x.data
        with pytest.raises(TypeError, match="expected"):
            x.data = bad
        assert x.data is before


def test_data_of_a_tensor():
    t = mg.tensor([1.0, 2.0])
    t.data = 3
    assert (t.shape, t.dtype, t.item()) == ((), np.float32, 3.0)
    t.data = mg.Value(2.0)
    assert t.item() == 2.0
    t.data = np.float64(2.0) * np.ones(2)
    assert t.dtype == np.float64


KINDS = {
    "parameter": lambda: (mg.nn.Linear(2, 2), "weight"),
    "frozen": lambda: (mg.nn.Linear(2, 2).requires_grad_(False), "weight"),
    "plain": lambda: (Plain(), "w"),
    "buffer": lambda: (mg.nn.BatchNorm2d(2), "running_mean"),
    "module": lambda: (Plain(), "part"),
    "value": lambda: (mg.nn.Neuron(2), "b"),
}


class Plain(mg.nn.Module):
    def __init__(self):
        self.w = mg.tensor([1.0], requires_grad=True)
        self.part = mg.nn.ReLU()


NEW = {
    "tensor": lambda: mg.zeros(2, 2),
    "tracked": lambda: mg.zeros(2, 2, requires_grad=True) * 1,
    "parameter": lambda: mg.nn.Parameter([1.0]),
    "number": lambda: 1.0,
    "array": lambda: np.zeros(2),
    "value": lambda: mg.Value(1.0),
    "tracked value": lambda: mg.Value(1.0) * 2,
    "module": lambda: mg.nn.ReLU(),
}
ALLOWED = {
    "parameter": {"parameter", "value"}, "frozen": {"parameter", "value"},
    "plain": {"parameter", "value"},
    "buffer": {"tensor", "tracked", "parameter", "value", "tracked value"}, "module": {"module"},
    "value": {"parameter", "value", "number"},
}  # fmt: skip


@pytest.mark.parametrize("new", NEW)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_unregistered_silently(kind, new):
    module, name = KINDS[kind]()
    before = getattr(module, name)
    if new in ALLOWED[kind]:
        setattr(module, name, NEW[new]())
    else:
        with pytest.raises(TypeError, match="cannot assign"):
            setattr(module, name, NEW[new]())
        assert getattr(module, name) is before
    setattr(module, name, None)
    assert getattr(module, name) is None


def test_a_tensor_can_be_weakly_referenced():
    t = mg.zeros(2)
    seen = weakref.ref(t)
    assert seen() is t
    del t
    assert seen() is None
