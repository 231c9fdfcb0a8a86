"""数千ノードのグラフは、深くても広くても、再帰せずに、写せて、描けて、微分できて、消える。"""

import base64
import copy
import operator
import pickle
import sys
import zlib
from itertools import pairwise

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import Value
from micrograd_jp.graph import copying, topological_order
from micrograd_jp.graph.node import Node

N = 3_000
"""Three times as deep as Python goes."""


def _value_chain():
    x = Value(1.0)
    y = x
    for i in range(N):
        y = y * 0.9999 if i % 2 else y + x
    return x, y


def _tensor_chain():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x
    for _ in range(N):
        y = y + x
    return x, y.sum()


def _spent_chain():
    x = mg.tensor(np.ones(300), requires_grad=True)
    y = x
    for _ in range(N // 3):
        y = y * 0.9999
    y = y.mean()
    y.backward()
    return x, y


def _wide_values():
    xs = [Value(i / N) for i in range(N // 3)]
    return xs[1], mg.sum([x * x for x in xs])


def _wide_tensors():
    x = mg.tensor([0.5], requires_grad=True)
    return x, mg.concatenate([x * float(i) for i in range(N // 3)]).sum()


def _chain_in_a_gradient():
    x = Value(2.0)
    y = x
    for _ in range(N // 3):
        y = y * 0.9999
    (y * y).backward(create_graph=True)
    return x, x.grad * x


GRAPHS = [
    _value_chain, _tensor_chain, _spent_chain, _wide_values, _wide_tensors, _chain_in_a_gradient
]  # fmt: skip
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.fixture(params=GRAPHS, ids=lambda make: make.__name__.strip("_"))
def graph(request):
    return request.param()


@pytest.mark.parametrize("copied", [  # by pickle, every node is asked for its state, too
    pytest.param(copy.deepcopy, marks=pytest.mark.slow), COPIES["pickle"]
], ids=COPIES)  # fmt: skip
def test_copies_of_a_long_graph(graph, copied):
    x, y = graph
    other_y, other_x = copied([y, x])
    before, after = topological_order(y), topological_order(other_y)
    assert [node.op for node in after] == [node.op for node in before]
    assert not {*map(id, before)} & {*map(id, after)}
    if not getattr(y, "spent", False):
        assert any(node is other_x for node in after)  # one graph, as it was
        x.grad = other_x.grad = None
        y.backward()
        other_y.backward()
        np.testing.assert_array_equal(_number(x.grad), _number(other_x.grad))
    assert len(mg.draw(other_y).source) == len(mg.draw(y).source)


def _number(x):
    return getattr(x, "_data", x)


def test_everything_else_about_a_long_graph(graph):
    x, y = graph
    assert copy.copy(y).operands == y.operands
    assert len(repr(y)) < 300
    assert len({y, x}) == 2
    assert [bool(compare(y, y)) for compare in COMPARISONS] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert "を表示" in mg.draw(y).source
    if not getattr(y, "spent", False):
        y.backward(**({} if isinstance(y, Value) else {"retain_graph": True}))
        y.backward(create_graph=True)
    if isinstance(x, Value):
        assert isinstance(x.grad, Value)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("order", [1, -1])
def test_nodes_of_one_container_share_one_graph(copied, order):
    x = Value(1.0)
    chain = [x]
    for _ in range(300):
        chain.append(chain[-1] + 1.0)
    t = mg.tensor([1.0], requires_grad=True)
    mixed = mg.stack([chain[-1], chain[3]]).sum() * t
    new, (new_mixed, new_t) = copied((chain[::order], {"a": [mixed, t]}["a"]))
    new = new[::order]
    assert all(b.operands[0] is a for a, b in pairwise(new))
    assert any(node is new[3] for node in topological_order(new_mixed))
    new_mixed.backward()
    assert (new[0].grad, new_t.grad.item(), x.has_grad, t.grad) == (2.0, 305.0, False, None)


def test_nothing_is_held_when_a_copy_is_done():
    _, y = _value_chain()
    pickle.dumps(y)
    copy.deepcopy(y)
    assert not copying._holders


class _Noted(Value):
    """A user's own Value with an attribute."""


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_users_attributes_come_along(copied):
    x = _Noted(2.0, label="v")
    x.note = ["memo"]
    (x * x * x).backward(create_graph=True)  # now its gradient is a graph that leads back to it
    for other in (copied(x * 3.0).operands[0], copied(x), copy.copy(x)):
        assert (type(other), other.label, other.note) == (_Noted, "v", ["memo"])
        assert (other.data, other.grad.data) == (2.0, 12.0)


# Written by version 0.1.0 before graphs were copied as one: [x, y, w, z, Parameter].
OLD = zlib.decompress(
    base64.b85decode(
        r"c-n<h-D(p-6yD8me@uHJ2r7tpQCeCS6%`S&slBKe7^J8mD9dbi+Sw-i<LqvmUR3HuV*_*7<Gt_T3wY&Q_ze0"
        r"6@$AfIn}li;c6Ltko$s9QobR~uwNW+H=L0Ou>%P|(;jW;ry%$+5*!2Qt?bB|`Kvv(X_Zh5w26BYpl1+i&>EK"
        r"zmU8-MMRJAh-ywvP2byydq*+T-`r=o+uR$Q7;*lNz`!m<=bK+--qyqt6M+U3^@uj4aQ(D2#wYlHBGt>&FPT9"
        r"h{?bcIoDMZ)vF#M?(<wQd-8(g>BwvY&S01hzqSQzuBj{^y+Dn4n)8(es<KOkH;>@!8eY7e7=Y(FyCnhr{9b?"
        r"O!UPlF)#UWlT#cz`9l)qo1FaF!ff3pITJHf;bcw6@nh3p4TcI+f?0-sGxofM<8cy!4islbzvYIf_+Rq!D79z"
        r"Q(28879=p>HKJ6Itou26ElB<7(6Za1U>43O@$y<%kgXjCaU#-ol1;FxkRa=Ut08C5GEQLAbl?k$U2d89E%kv"
        r"vl2tc3j50&X(#``Ioa+C}(tHYpke8@<sE(GAfHT;{*&MHD4`9gWrFj6nA!nS_!*+rgb%)L#Q(d5LzQ7;y$60"
        r"CqWU}z{g34$rszvR+)zP#vpSld&<`&MYLVI3}LCfqz%<m4+<GmOzAxEbiZ)D_%xOd9$<2(y~{zfw+7k~GE9w"
        r"XyXO%~qk|BH~fH6ghOx`q|<b@H`wz?}9b-x)b;4A{8{_+HyR3J(hNo~MukHZ5x<Q&cgGZyS2#$T63@HctJ5O"
        r"5UFEbr4v7=%!s}DgUyB2{iDl;$Ap>G|yZwnP_NU8gOw}E%OBO#&TO}FEHybTl&3="
    )
)


def test_pickles_of_before_are_read():
    x, y, w, z, p = pickle.loads(OLD)
    y.backward()
    z.backward()
    assert x.label == "x"
    assert x.grad == pytest.approx(1.0, abs=1e-6)
    assert (w.grad.tolist(), p.tolist()) == ([[9.0, 17.0]], [1.0])


@pytest.mark.control
def test_negative_control_without_it_a_chain_is_too_deep(monkeypatch):
    _, y = _value_chain()
    monkeypatch.setattr(Node, "__reduce_ex__", object.__reduce_ex__)
    with pytest.raises(RecursionError):
        copy.deepcopy(y)


@pytest.mark.parametrize("make", GRAPHS[:5], ids=lambda make: make.__name__.strip("_"))
def test_a_long_graph_is_gone_at_once(make):
    x, y = make()
    count = sys.getrefcount(x)
    del y
    assert sys.getrefcount(x) < count
