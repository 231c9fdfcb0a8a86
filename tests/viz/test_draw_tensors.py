"""`Tensor` と `Value` の混ざった計算グラフを描く。"""

import math

import numpy as np
import pytest
from drawn import groups, svg, texts
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.viz.graphs import SHOWABLE
from micrograd_jp.viz.text import number_text, value_text


def rows(root, **options):
    """The texts of every node, and the number of edges."""
    picture = svg(root, **options)
    cells = [texts(g) for kind in ("leaf", "intermediate", "output") for g in groups(picture, kind)]
    return cells, len(groups(picture, "edge"))


def test_small_arrays_show_their_numbers_and_large_ones_their_range():
    small = mg.tensor([[1.0, 2.0]], requires_grad=True, label="小")
    large = mg.arange(-9.0, 11.0).reshape(4, 5).detach().requires_grad_()
    large.label = "大"
    total = small.sum() + large.sum()
    total.backward()
    cells, _ = rows(total)
    assert ["小", "(1, 2) float32", "値 [[1, 2]]", "勾配 [[1, 1]]"] in cells
    assert [
        "大",
        "(4, 5) float32",
        "値 最小 -9、平均 0.5、最大 10",
        "勾配 最小 1、平均 1、最大 1",
    ] in cells


def test_one_drawing_shows_values_and_tensors():
    v = mg.Value(2.0, label="v")
    t = mg.stack([v, v * 3])
    total = (t * t).sum()
    total.backward()
    cells, edges = rows(total)
    assert ["v", "値 2", "勾配 40"] in cells
    assert ["(2,) float64", "値 [2, 6]"] in cells
    assert edges == 3 + 3 + 3 + 2  # v × 3, stack, t × t, Σ: each with its result


def test_gradients_that_are_not_kept_are_not_called_missing():
    x = mg.tensor([1.0, 2.0], requires_grad=True, label="x")
    constant = mg.tensor([3.0, 4.0], label="定数")
    y = (x * constant).sum()
    cells, _ = rows(y)
    assert ["x", "(2,) float32", "値 [1, 2]", "勾配 未計算"] in cells
    assert ["定数", "(2,) float32", "値 [3, 4]"] in cells  # a constant is drawn, and has no row
    assert sum("未計算" in text for cell in cells for text in cell) == 1


def test_textbook_style_draws_arrays():
    x = mg.tensor([1.0, 2.0], requires_grad=True, label="x")
    y = (x * x).sum()
    y.backward()
    shown = texts(svg(y, style="textbook"))
    assert "[1, 2]" in shown
    assert "[2, 4]" in shown


# ---- 大きな配列、辺、順序 -----------------------------------------------------------------------


@given(arrays(float, st.integers(7, 20), elements=st.floats(-1e6, 1e6) | st.just(math.nan)))
def test_a_large_array_is_told_by_its_extremes_and_its_mean(x):
    known = x[~np.isnan(x)]
    told = value_text(x)
    if known.size:
        numbers = (known.min(), known.mean(), known.max())
        assert told.startswith("最小 {}、平均 {}、最大 {}".format(*map(number_text, numbers)))
    assert (f"nan {np.isnan(x).sum()} 個" in told) is (known.size < x.size)


def test_truth_values_are_counted():
    assert value_text(np.arange(10) < 3) == "True 3 個、False 7 個"
    assert value_text(mg.zeros(0)) == number_text(mg.zeros(0)) == "(0,) の配列"


def edge_labels(root, **options):
    return [text for g in groups(svg(root, **options), "edge") for text in texts(g)]


def product():
    X = mg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [0.0, 1.0]], label="X")
    W = mg.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True, label="W")
    return X, W, X @ W


@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_edges_say_the_derivative_the_other_factor_or_that_there_is_a_rule(style):
    X, W, p = product()
    loss = (p.tanh() ** 2).sum()
    slope = 1 - np.tanh((X @ W).detach().numpy()) ** 2
    low, high = (number_text(f(slope)) for f in (np.min, np.max))
    assert "∂ Xᵀ" in edge_labels(loss, style=style, show=SHOWABLE)
    assert f"∂ {low} 〜 {high}" in edge_labels(loss, style=style, show=SHOWABLE)
    assert "⟨vjp⟩" in edge_labels(loss, style=style, show=SHOWABLE)  # of the sum
    assert any(text.startswith("⟨vjp⟩: ") for text in texts(svg(loss)))
    assert not any("∂" in x or "vjp" in x for x in edge_labels(loss, show=("label", "legend")))
    X.label = ""
    assert "∂ Xᵀ" not in edge_labels(loss, style=style, show=SHOWABLE)


def test_no_rule_is_spoken_of_where_no_gradient_flows():
    t = mg.ones(2, requires_grad=True)
    assert "⟨vjp⟩" not in edge_labels(t * mg.ones(2))
    assert not any("vjp" in text for text in texts(svg(t * mg.ones(2))))


def test_a_graph_that_let_go_of_its_arrays_has_rules_only():
    x = mg.ones(300, requires_grad=True)
    loss = (x.tanh() * x).sum()
    assert "∂ 0.42" in edge_labels(loss)
    loss.backward()
    assert set(edge_labels(loss)) == {"⟨vjp⟩"}


def test_what_was_overwritten_since_has_no_derivative_to_show():
    x = mg.ones(3, requires_grad=True)
    y = x.exp()
    z = (y * y).sum()
    with mg.no_grad():
        y.add_(1.0)
    assert set(edge_labels(z)) >= {"⟨vjp⟩"}


def test_a_gradient_that_was_asked_for_is_drawn():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3
    y = (h * h).sum()
    assert not h.retains_grad and not x.retains_grad
    h.retain_grad()
    assert h.retains_grad
    assert ["(2,) float32", "値 [3, 6]", "勾配 未計算"] in rows(y)[0]
    y.backward()
    assert ["(2,) float32", "値 [3, 6]", "勾配 [6, 12]"] in rows(y)[0]


@pytest.mark.parametrize("power, sign", [(2, "x²"), (3, "x³"), (0.5, "x⁰·⁵"), (-1, "x⁻¹")])
@pytest.mark.parametrize("make", [mg.Value, lambda x: mg.tensor([x], requires_grad=True)])
def test_a_power_stands_in_the_sign(make, power, sign):
    picture = svg(make(2.0) ** power)
    assert [texts(g) for g in groups(picture, "op")] == [[sign]]
    assert groups(picture, "constant") == []
    assert [texts(g) for g in groups(svg(2.0 ** make(3.0)), "op")] == [["xʸ"]]


def heights(picture, op):
    """Where the edges into the operations of one sign end, from top to bottom, with their start."""
    (circle,) = [g.find("ellipse") for g in groups(picture, "op") if texts(g) == [op]]
    x, y, rx, ry = (float(circle.get(k)) for k in ("cx", "cy", "rx", "ry"))
    tips = []
    for edge in groups(picture, "edge"):
        arrow = edge.find("polygon")
        if arrow is None:
            continue
        points = [tuple(map(float, p.split(","))) for p in arrow.get("points").split()]
        tip = min(points, key=lambda p: (p[0] - x) ** 2 + (p[1] - y) ** 2)
        inside = ((tip[0] - x) / (rx + 3)) ** 2 + ((tip[1] - y) / (ry + 3)) ** 2 < 1
        if inside and tip[0] < x + rx / 2:
            tips.append((tip[1], texts(edge)))
    return [said for _, said in sorted(tips)]


@pytest.mark.parametrize("first", ["deep", "leaf"])
@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_operands_come_in_from_top_to_bottom_as_they_were_written(style, first):
    a = mg.Value(0.5, label="a")
    deep = mg.exp(mg.exp(a * 2.0))
    b = mg.Value(3.0, label="b")
    root = deep / b if first == "deep" else b / deep
    slopes = [f"∂ {number_text(d)}" for d in root.partials]
    found = heights(svg(root * a, style=style, show=SHOWABLE), "÷")
    assert found == [[slope] for slope in slopes]


@pytest.mark.parametrize("style", ["cell", "textbook"])
@pytest.mark.parametrize("first", [True, False])
def test_a_constant_has_its_place_too(style, first):
    x = mg.Value(3.0, label="x")
    found = heights(svg(7.0 / x if first else x / 7.0, style=style, show=SHOWABLE), "÷")
    assert [bool(said) for said in found] == [not first, first]


# ---- パラメータの名前 ---------------------------------------------------------------------------


def network():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    return model, (model(mg.ones(4, 2)) ** 2).mean()


def names(root, **options):
    return {text for g in groups(svg(root, **options), "leaf") for text in texts(g)[:1]}


@pytest.mark.parametrize("style", ["cell", "textbook"])
@pytest.mark.parametrize("make", [network, lambda: (m := nn.MLP(2, [2, 1]), m([1.0, 2.0]))])
def test_parameters_are_called_by_their_place_in_the_module(make, style):
    model, loss = make()
    expected = set(dict(model.named_parameters()))
    labels = [p.label for p in model.parameters()]
    for given_ in (model, dict(model.named_parameters())):
        assert expected <= names(loss, style=style, parameters=given_)
    assert not expected & names(loss, style=style)
    assert [p.label for p in model.parameters()] == labels  # nothing was written anywhere
    assert "∂ 2.weight" in edge_labels(loss, parameters=model) or isinstance(model, nn.MLP)


def test_slopes_and_gradients_are_those_of_the_leaves():
    model = nn.MLP(2, [2, 1])
    loss = model([1.0, 2.0]) ** 2
    loss.backward()
    assert sorted(edge_labels(loss)) == sorted(edge_labels(loss, parameters=model))
    cells = [texts(g) for g in groups(svg(loss, parameters=model), "leaf")]
    for name, p in model.named_parameters():
        assert [name, f"値 {number_text(p.data)}", f"勾配 {number_text(p.grad)}"] in cells


def test_the_name_that_is_given_goes_before_the_label_and_groups_keep_it():
    w = mg.Value(2.0, label="w")
    assert names(w * 3.0, parameters={"重み": w}) == {"重み"}
    assert names(w * 3.0, parameters={}) == {"w"}
    model = nn.MLP(8, [12, 1])
    collapsed = names(model([1.0] * 8), parameters=model)
    assert any(x.startswith("layers.0.neurons.0.w.0 … 11.w.7 ×96") for x in collapsed)
    assert "x" in texts(svg(w, parameters={"x": w}))  # an output that is a leaf


@pytest.mark.parametrize("bad, sentence", [
    ([mg.Value(1.0)], "expected a Module or a dict"), (3, "expected a Module or a dict"),
    ({"h": mg.Value(1.0) * 2}, "expected leaves"), ({"h": 3.0}, "expected leaves"),
    ({mg.Value(1.0): "w"}, "expected leaves"),
])  # fmt: skip
def test_what_gives_no_names_is_refused(bad, sentence):
    w = mg.Value(2.0)
    for call in (mg.draw, lambda root, **o: mg.explain(w, root, **o)):
        with pytest.raises(TypeError, match=sentence):
            call(w * 3, parameters=bad)
