"""比較: 数でないものとは等しくない（`==` は False、`!=` は True）。大小は決まらない (PyTorch)。"""

import operator

import numpy as np
import pytest

import micrograd_jp as mg
from tests.reference import torch

NODES = {
    "Value": (lambda: mg.Value(1.0), lambda: torch.tensor(1.0)),
    "0 次元": (lambda: mg.tensor(1.0), lambda: torch.tensor(1.0)),
    "ベクトル": (lambda: mg.tensor([1.0, 2.0]), lambda: torch.tensor([1.0, 2.0])),
    "整数": (lambda: mg.tensor([1, 2]), lambda: torch.tensor([1, 2])),
    "真偽値": (lambda: mg.tensor(True), lambda: torch.tensor(True)),
}
STRANGERS = [None, "a", b"a", [1.0], (1.0,), {}, {"a": 1}, {1}, object(), ..., int, len]
NUMBERS = [0, 1, 1.0, True, float("inf"), float("nan"), np.float64(1), np.int64(1)]

nodes = pytest.mark.parametrize("name", NODES)


def plain(x):
    return x.tolist() if hasattr(x, "tolist") else x


@nodes
@pytest.mark.parametrize("other", STRANGERS, ids=lambda x: type(x).__name__)
def test_a_stranger_is_not_equal(name, other):
    ours, theirs = (make() for make in NODES[name])
    assert (ours == other) is (theirs == other) is False
    assert (ours != other) is (theirs != other) is True
    assert (other == ours) is False
    assert (other != ours) is True
    assert ours not in [other, None]
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        for pair in ((ours, other), (other, ours)):
            with pytest.raises(TypeError):
                compare(*pair)


@pytest.mark.control
def test_negative_control_a_node_that_refuses_is_noticed(monkeypatch):
    def refuses(self, other):
        raise TypeError

    for kind in (mg.Value, mg.Tensor):
        monkeypatch.setattr(kind, "__eq__", refuses)
        monkeypatch.setattr(kind, "__hash__", object.__hash__)
    for name in NODES:
        with pytest.raises(TypeError):
            test_a_stranger_is_not_equal(name, None)


@nodes
@pytest.mark.parametrize("compare", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_numbers(name, compare):
    ours, theirs = (make() for make in NODES[name])
    f = getattr(operator, compare)
    for other in NUMBERS:
        assert plain(f(ours, other)) == plain(f(theirs, float(other))), other
        assert plain(f(other, ours)) == plain(f(float(other), theirs)), other


def test_a_type_of_its_own_is_asked():
    class Friend:
        def __eq__(self, other):
            return "friend"

        __hash__ = None

    for make, _ in NODES.values():
        assert (make() == Friend()) == "friend"


def test_membership_is_by_number():
    rows = [[1.0, 2.0], [3.0, 4.0]]
    for x in (3.0, 5.0, 2):
        assert (x in mg.tensor(rows)) is (x in torch.tensor(rows))
    assert None not in mg.tensor(rows)
    assert mg.tensor(1.0) in [None, "a", mg.tensor(1.0)]
    assert mg.Value(1.0) in [None, "a", 1.0]


def test_the_function_refuses_what_the_operator_tells_apart():
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        for other in (None, "a", object()):
            with pytest.raises(TypeError, match="real number"):
                getattr(mg, name)(mg.ones(2), other)


def test_numpy_asks_values():
    v = mg.Value(float("nan"))
    assert np.isnan(v)
    assert not np.isfinite(v)
    assert not np.signbit(mg.Value(1.0))
    assert np.maximum(v * 0 + 1, 2).data != np.maximum(mg.Value(1.0), 2).data == 2.0
    x = mg.Value(-3.0)
    y = np.sign(x) * np.minimum(x, 2.0)
    y.backward()
    assert (y.data, x.grad) == (3.0, -1.0)
    for ufunc in (np.logaddexp, np.exp2, np.modf, np.heaviside, np.hypot, np.arctan2):
        with pytest.raises(TypeError, match="unsupported ufunc"):
            ufunc(*[x] * ufunc.nin)
