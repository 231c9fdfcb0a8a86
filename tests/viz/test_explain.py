"""勾配の説明: 寄与の和は逆伝播の勾配、文には道の数と式と数がある。"""

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from test_draw import graph, steps

import micrograd_jp as mg

X = mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.0, 1.0, 0.0], [2.0, 2.0, 2.0]])


def leaves_of(root):
    found, stack = {}, [root]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(node.parents)
    return [node for node in found if node.is_leaf]


@given(steps)
@settings(max_examples=30)
def test_the_contributions_of_all_paths_add_up_to_the_gradient(program):
    root = graph(program) * 1.0
    leaves = leaves_of(root)
    explained = [mg.explain(leaf, root).share_sum for leaf in leaves]
    assert not any(leaf.has_grad for leaf in leaves)  # nothing was touched
    root.backward()
    assert explained == pytest.approx([leaf.grad for leaf in leaves], rel=1e-12)


TENSORS = {
    "行列積の右": ((3, 2), lambda w: (X @ w).tanh().sum(), "Aᵀ G", None),
    "行列積の左": ((2, 4), lambda w: (w @ X).sin().sum(), "G Bᵀ", None),
    "行に足す": ((3,), lambda w: ((X + w) ** 2).sum(), "4 本の道", "軸 0"),
    "列に掛ける": ((4, 1), lambda w: (X * w).exp().mean(), "3 本の道", "軸 1"),
    "全結合の重み": ((2, 3), lambda w: mg.nn.functional.linear(X, w).sum(), "Gᵀ A", None),
    "2 か所": ((4, 3), lambda w: (w * X + w.relu()).sum(), "2 か所で使われ", None),
    "形を変える": ((12,), lambda w: (w.reshape(4, 3) * X).sum(), "(12,)", None),
}


@pytest.mark.parametrize("shape, f, said, also", TENSORS.values(), ids=TENSORS)
def test_arrays_too_and_the_sentence_says_how(shape, f, said, also):
    w = mg.tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)
    loss = f(w)
    found = mg.explain(w, loss)
    assert w.grad is None
    loss.backward()
    np.testing.assert_allclose(found.share_sum, w.grad.numpy(), rtol=1e-12)
    assert said in str(found)
    assert also is None or also in str(found)


def test_the_line_of_the_seminar_in_words():
    w, b = mg.Value(3.0, label="w"), mg.Value(-8.0, label="b")
    E = 0.5 * ((w * 3 + b - 7) ** 2 + (w * 9 + b - 13) ** 2)
    E.label = "E"
    assert str(mg.explain(w, E)).splitlines() == [
        "∂E/∂w = 36。w は 2 か所で使われ、寄与の和が勾配になります: (−18) + 54 = 36",
        "  1. w × 3 = 9: 上流の勾配 (−6) × 局所微分 3 → −18",
        "  2. w × 9 = 27: 上流の勾配 6 × 局所微分 9 → 54",
    ]
    assert "局所微分 1 − z × z = " in str(mg.explain(b, mg.tanh(b)))
    assert "b × (−2) = 16: 上流の勾配 1 × 局所微分 −2 → −2" in str(
        mg.explain(b, b * mg.Value(-2.0))
    )
    assert "7 − b = 15: 上流の勾配 1 × 局所微分 −1 → −1" in str(mg.explain(b, 7 - b))


def test_the_tables_hold_the_numbers():
    pytest.importorskip("matplotlib")
    if not importlib.util.find_spec("matplotlib_fontja"):
        pytest.skip("matplotlib_fontja がない")
    b = mg.tensor([0.5, -1.0, 0.0], requires_grad=True)
    b.label = "b<script>"
    found = mg.explain(b, ((X + b) ** 2).sum())
    upstream, total = (axes.images[0].get_array() for axes in found.picture().axes)
    np.testing.assert_allclose(upstream, 2 * (X.numpy() + b.detach().numpy()))
    np.testing.assert_allclose(total[0], upstream.sum(0))
    assert "<script>" not in found._repr_html_()
    w = mg.Value(2.0)
    columns = [axes.images[0].get_array() for axes in mg.explain(w, w * w * 3.0).picture().axes]
    assert [column.ravel().tolist() for column in columns] == [[3, 3], [2, 2], [6, 6], [12]]
    assert "<img" in found._repr_html_()
    assert "<img" not in mg.explain(w, w * 3.0)._repr_html_(), "a square for a number says nothing"


def test_parameters_are_called_by_their_place_in_the_module():
    model = mg.nn.Sequential(mg.nn.Linear(3, 2), mg.nn.Tanh())
    loss = model(X).sum()
    text = str(mg.explain(model[0].weight, loss, parameters=model))
    assert text.startswith("∂(出力)/∂0.weight = ")
    assert "A @ 0.weightᵀ + 0.bias の形は (4, 2)" in text and "0.weight の勾配は Gᵀ A" in text
    assert "0.weight" not in str(mg.explain(model[0].weight, loss))


@pytest.mark.parametrize(
    "x, root, sentence",
    [
        (3.0, mg.Value(1.0), "葉と出力"),
        (mg.Value(1.0), mg.Value(2.0) * 3, "使われていない"),
        (mg.tensor([1.0], requires_grad=True), mg.ones(2), "1 つの数"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_sentence(x, root, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        mg.explain(x, root)


def test_a_spent_graph_says_what_to_do():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        mg.explain(w, loss)
