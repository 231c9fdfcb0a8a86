"""パラメータのリストと辞書とベクトル、埋め込みの引数、初期値の分布。"""

import numpy as np
import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from micrograd_jp.nn import init
from micrograd_jp.nn.utils import parameters_to_vector, vector_to_parameters
from tests.reference import pytorch_answers


def collections(m):
    """Names, shapes and order of what holds parameters."""
    inner = m.nn.ParameterList([m.ones(2), m.nn.Parameter(m.zeros(1, 3))])
    inner.append(m.zeros(4))
    inner.extend([m.ones(1)])
    inner[1] = m.nn.Parameter(m.ones(5))
    named = m.nn.ParameterDict({"left": m.ones(2), "right": m.zeros(3)})
    named["top"] = m.nn.Parameter(m.ones(1, 1))
    named.update({"bottom": m.nn.Parameter(m.ones(6))})
    del named["left"]
    whole = m.nn.ModuleDict({"list": inner, "dict": named})
    found = [[k, list(v.shape)] for k, v in whole.state_dict().items()]
    return found, [len(inner), len(inner[1:3]), [len(p) for p in inner], "top" in named,
                   list(named), sorted(named.keys()), len(named), list(named.pop("top").shape),
                   named.get("nothing")]  # fmt: skip


@pytorch_answers
def collections_of_pytorch(torch):
    return collections(torch)


def test_lists_and_dictionaries_of_parameters():
    (ours, facts), (theirs, wanted) = collections(mg), collections_of_pytorch()
    assert ours == [list(row) for row in theirs] and facts == list(wanted)
    inner = nn.ParameterList([mg.ones(2)])
    inner[0].sum().backward()
    assert isinstance(inner[0], nn.Parameter) and inner[0].grad.tolist() == [1, 1]
    assert all(p.requires_grad for p in inner.parameters())


def embedded(m, how):
    """A layer of embeddings after one backward pass."""
    rows = np.random.default_rng(0).normal(size=(5, 3)) * 2
    layer = m.nn.Embedding(5, 3, **how, _weight=m.tensor(rows))
    y = layer(m.tensor([[1, 2, 2], [4, 1, 2]]))
    (y * y * y).sum().backward()
    fixed = m.nn.Embedding.from_pretrained(m.tensor(rows), padding_idx=1)
    free = m.nn.Embedding.from_pretrained(m.tensor(rows), freeze=False)
    facts = [fixed.weight.requires_grad, free.weight.requires_grad, fixed.padding_idx, repr(layer)]
    return [a.detach().numpy() for a in (y, layer.weight.grad, layer.weight)], facts


@pytorch_answers
def embedded_in_pytorch(torch, how):
    return embedded(torch, how)


@pytest.mark.parametrize("how", [
    {}, {"max_norm": 1.5}, {"max_norm": 2.0, "norm_type": 1.0}, {"scale_grad_by_freq": True},
    {"padding_idx": 2, "scale_grad_by_freq": True},
])  # fmt: skip
def test_the_arguments_of_an_embedding(how):
    (ours, facts), (theirs, wanted) = embedded(mg, how), embedded_in_pytorch(how)
    assert facts == list(wanted)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12)


def test_vectors_of_parameters():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Conv1d(1, 2, 2))
    vector = parameters_to_vector(model.parameters())
    (vector * mg.arange(len(vector))).sum().backward()
    assert parameters_to_vector(p.grad for p in model.parameters()).tolist() == [
        *range(len(vector))
    ]
    vector_to_parameters(vector * 2, model.parameters())
    assert (parameters_to_vector(model.parameters()) == vector * 2).all()
    before = vector.tolist()
    with pytest.raises(ValueError, match="length mismatch"):
        vector_to_parameters(vector[1:], model.parameters())
    assert parameters_to_vector(model.parameters()).tolist() == [2 * x for x in before]


def test_a_truncated_normal():
    mg.manual_seed(0)
    x = init.trunc_normal_(mg.zeros(20_000), 1.0, 2.0, 0.0, 2.0).data
    assert x.min() >= 0 and x.max() <= 2
    # The density at the edges is exp(−1/8) of that in the middle, however much is cut off.
    edge, middle = (x < 0.2).sum() + (x > 1.8).sum(), ((x > 0.8) & (x < 1.2)).sum()
    assert edge / middle == pytest.approx(np.exp(-(0.9**2) / 8), rel=0.05)


def test_sparse_and_eye():
    mg.manual_seed(0)
    x = init.sparse_(mg.ones(10, 50), 0.25, std=2.0).data
    assert ((x == 0).sum(0) == 3).all() and 1.7 < x[x != 0].std() < 2.3
    assert (init.eye_(mg.zeros(2, 3)).data == np.eye(2, 3)).all()


@pytest.mark.parametrize(("layer", "fan"), [
    (lambda: nn.LSTM(3, 16), 16), (lambda: nn.Bilinear(9, 40, 30), 9),
    (lambda: nn.Conv1d(4, 200, 4), 16), (lambda: nn.Conv3d(2, 200, 2), 16),
])  # fmt: skip
def test_the_layers_begin_within_one_over_the_root(layer, fan):
    mg.manual_seed(0)
    for p in layer().parameters():
        assert abs(p.data).max() <= fan**-0.5
        assert p.data.std() == pytest.approx(fan**-0.5 / 3**0.5, rel=0.3)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: nn.ParameterList([1.0]), "Parameter"),
        (lambda: nn.ParameterDict({"a": 1.0}), "Parameter"),
        (lambda: nn.ParameterDict({"a.b": mg.ones(1)}), "点"),
        (lambda: nn.ParameterDict()["a"], "a"),
        (lambda: nn.Embedding(2, 3, _weight=mg.ones(3, 2)), "weight shape"),
        (lambda: nn.Embedding.from_pretrained(mg.ones(3)), "2 dimensions"),
        (lambda: init.trunc_normal_(mg.ones(3), a=2.0, b=1.0), "interval"),
        (lambda: init.sparse_(mg.ones(3), 0.5), "行列"),
        (lambda: init.eye_(mg.ones(3)), "行列"),
        (lambda: F.embedding(mg.tensor([5]), mg.ones(2, 2), max_norm=1.0), "範囲"),
    ],
)
def test_what_is_refused(wrong, text):
    with pytest.raises((ValueError, TypeError, KeyError), match=text):
        wrong()


def test_a_dictionary_of_parameters_is_one():
    a, b = nn.Parameter([1.0]), nn.Parameter([2.0])
    held = nn.ParameterDict({"a": a})
    assert held.setdefault("b", b) is b and held.setdefault("a", b) is a
    other = held.copy()
    assert held.popitem() == ("b", b) and list(held) == ["a"] and list(other) == ["a", "b"]
    held.clear()
    assert len(held) == 0 and other["a"] is a
    with pytest.raises(KeyError, match="empty"):
        held.popitem()
    assert nn.ParameterDict.fromkeys("ab", a)["b"] is a
