"""逆伝播を終えたグラフ (spent) の記録: 形・演算・名前は、逆伝播の前と同じ。"""

import copy
import pickle

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.graph import spent
from micrograd_jp.graph.spent import Outline, history
from micrograd_jp.nn import functional as F


def described(root):
    """The operation, name and shape of every node, with those of its operands."""
    known = {}

    def what(x):
        return known[id(x)] if id(x) in known else (None, "", np.shape(x), False, ())

    for x, operands in history(root).items():
        itself = (x.op and x.op.name, x._label, np.shape(x.data), x.requires_grad)
        known[id(x)] = (*itself, tuple(map(what, operands)))
    return known[id(root)]


GRAPHS = [
    lambda w, c, b, h: (h * c).sum() + (h * c.data).sum(),
    lambda w, c, b, h: mg.concatenate([h, w, c]).sum(),
    lambda w, c, b, h: mg.where(c > 1, h, w).sum() * mg.Value(2.0, label="v"),
    lambda w, c, b, h: (h.T.reshape(-1)[:2] * 2.0).mean(),
    lambda w, c, b, h: F.conv2d(h.reshape(1, 1, -1, 3), mg.ones((1, 1, 2, 2))).sum(),
]


@pytest.mark.parametrize("rows", [2, 400])
@pytest.mark.parametrize("graph", GRAPHS)
def test_the_record_of_a_graph_is_the_graph(graph, rows):
    def made():
        w = mg.tensor(np.ones((rows, 3)), requires_grad=True, label="w")
        c = mg.tensor(np.full((rows, 3), 2.0), label="c")
        b = mg.tensor(np.arange(3.0), requires_grad=True, label="b")
        h = mg.tanh(w * c + b)
        h.label = "h"
        return graph(w, c, b, h)

    used = made()
    used.backward()
    assert described(used) == described(made())
    for copied in (copy.deepcopy(used), pickle.loads(pickle.dumps(used))):
        assert described(copied) == described(used)
    with pytest.raises(RuntimeError, match="既に逆伝播"):
        used.backward()


def test_names_may_change_afterwards():
    x = mg.tensor(np.ones((400, 2)), requires_grad=True)
    h = x * 3.0
    loss = h.sum()
    loss.backward()
    h.label, loss.label = "あと", "損失"
    del h
    assert [x._label for x in history(loss)] == ["", "あと", "損失"]


def test_a_constant_used_twice_is_one_box():
    x = mg.tensor(np.ones((400, 2)), requires_grad=True)
    c = mg.tensor(np.ones((400, 2)), label="c")
    loss = (x * c + c).sum()
    loss.backward()
    assert [type(x._data) for x in history(loss) if x._label == "c"] == [Outline]


def test_few_numbers_stay_and_many_become_an_outline():
    x = mg.tensor(np.ones((400, 6)), requires_grad=True)
    total, product = (x * 2.0).sum(0), x * x
    total.retain_grad()
    product.retain_grad()
    loss = (total * np.arange(6.0)).sum() + product.sum()
    loss.backward()
    del total, product
    of = [x for x in history(loss) if isinstance(x, spent.Spent) and x.grad is not None]
    few, many = sorted(of, key=lambda x: len(x.shape))
    assert few.data.tolist() == [800.0] * 6 and few.grad.tolist() == [*range(6)]
    for outline in (many.data, many.grad):
        assert isinstance(outline, Outline) and repr(outline) == "(400, 6) の配列"
        assert (outline.size, outline.dtype) == (2400, np.float64)
    assert many.requires_grad
    with pytest.raises(RuntimeError, match="既に逆伝播"):
        many.pull()


def test_what_stays_is_no_view_of_what_is_large():
    x = mg.tensor(np.ones((400, 6)), requires_grad=True)
    loss = (x * 2.0)[0].sum() + (x * np.ones((400, 6))[:1]).sum()
    loss.backward()
    found = [y for node, operands in history(loss).items() for y in (node, *operands)]
    arrays = [y.data if isinstance(y, spent.Node) else y for y in found]
    arrays = [y for y in arrays if isinstance(y, np.ndarray) and y is not x._data]
    assert len(arrays) > 2
    for small in arrays:
        assert small.size <= spent.FEW and (small.base is None or small.base.size <= spent.FEW)
