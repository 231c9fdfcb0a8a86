"""描かれた計算グラフの中身: 何が、どこに、どの順に描かれるか。"""

import re
from itertools import pairwise

import pytest
from drawn import groups, svg, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_jp import Value, functions, nn
from micrograd_jp.viz import draw, draw_dot
from micrograd_jp.viz.graphs import SHOWABLE
from micrograd_jp.viz.text import number_text

OPERATIONS = [
    lambda x, y: x + y,
    lambda x, y: x * y,
    lambda x, y: x - 2.5,
    lambda x, y: x.tanh(),
    lambda x, y: functions.sum([x, y, x, 1.5]),
]
steps = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50), st.integers(0, 50)), max_size=12)


def graph(program):
    """The same program always builds the same graph."""
    values = [Value(1.5, label="x"), Value(-0.5)]
    for op, i, j in program:
        values.append(OPERATIONS[op](values[i % len(values)], values[j % len(values)]))
    return values[-1]


def apple():
    price, count, tax = Value(100, "りんご"), Value(2, "個数"), Value(1.1, "消費税")
    total = price * count * tax
    total.label = "支払金額"
    return total


def nodes_reaching(root):
    seen, stack = {}, [root]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen[node] = None
            stack.extend(node.parents)
    return list(seen)


# ---- 何が描かれるか ---------------------------------------------------------------------------


def test_the_apple_graph_shows_label_value_and_gradient_of_every_node():
    total = apple()
    total.backward()
    picture = svg(total)
    rows = [texts(g) for kind in ("leaf", "intermediate", "output") for g in groups(picture, kind)]
    assert sorted(rows) == sorted([
        ["りんご", "値 100", "勾配 2.2"], ["個数", "値 2", "勾配 110"],
        ["消費税", "値 1.1", "勾配 200"], ["値 200", "勾配 1.1"],
        ["支払金額", "値 220", "勾配 1"],
    ])  # fmt: skip
    assert [texts(g) for g in groups(picture, "op")] == [["×"], ["×"]]
    partials = sorted(t for g in groups(picture, "edge") for t in texts(g))
    assert partials == sorted(["∂ 2", "∂ 100", "∂ 1.1", "∂ 200"])


def test_the_textbook_style_has_values_above_the_lines_and_gradients_below():
    total = apple()
    total.backward()
    picture = svg(total, style="textbook")
    flows = groups(picture, "flow")
    assert sorted(map(texts, flows)) == sorted(
        [["100", "2.2"], ["2", "110"], ["1.1", "200"], ["200", "1.1"], ["220", "1"]]
    )
    for flow in flows:
        above, below = flow.findall("text")
        ((x0, y0), (x1, y1)) = (
            map(float, xy.split(",")) for xy in flow.find("polyline").get("points").split()
        )
        assert y0 == y1
        assert x0 < x1
        assert float(above.get("y")) < y0 < float(below.get("y"))
        assert above.get("fill") is None
        assert below.get("fill")
        assert flow.find("polygon") is None
    assert [texts(g) for g in groups(picture, "output")] == [["支払金額"]]


def test_the_textbook_style_from_top_to_bottom_has_values_left_and_gradients_right():
    total = apple()
    total.backward()
    for flow in groups(svg(total, style="textbook", direction="TB"), "flow"):
        left, right = flow.findall("text")
        x = float(flow.find("polyline").get("points").split(",")[0])
        assert float(left.get("x")) < x < float(right.get("x"))
        assert (left.get("text-anchor"), right.get("text-anchor")) == ("end", "start")


def test_textbook_branches_show_the_gradients_that_add_up():
    x = Value(3.0, label="x")
    y = x * x + x
    y.backward()
    picture = svg(y, style="textbook")
    through_x = [texts(g) for g in groups(picture, "flow") if texts(g)[0] == "3"]
    assert sorted(through_x) == [["3", "1"], ["3", "3"], ["3", "3"], ["3", "7"]]  # 7 = 1 + 3 + 3
    assert any("分岐" in t for t in texts(picture))


def test_a_value_added_to_itself_has_two_edges():
    x = Value(3.0)
    y = x + x
    y.backward()
    assert draw(y).source.count("n0 -> n1op") == 2
    edges = groups(svg(y), "edge")
    assert [texts(g) for g in edges] == [["∂ 1"], ["∂ 1"], []]
    curves = [g.find("path").get("d") for g in edges[:2]]
    assert curves[0] != curves[1]


@given(steps)
@settings(max_examples=60)
def test_every_edge_into_an_operation_carries_its_local_derivative(program):
    root = graph(program)
    source = draw(root).source
    partials = [number_text(d) for node in nodes_reaching(root) for d in node.partials]
    assert sorted(re.findall(r"∂ (\S+?)\W*\" fontcolor", source)) == sorted(partials)


@given(steps)
@settings(max_examples=60)
def test_every_node_operation_and_constant_is_drawn_once(program):
    root = graph(program)
    every = nodes_reaching(root)
    source = draw(root, show=()).source
    operations = [node for node in every if not node.is_leaf]
    constants = sum(len(node.operands) - len(node.parents) for node in operations)
    assert len(re.findall(r"^\tn\d+ \[", source, re.M)) == len(every)
    assert len(re.findall(r"^\tn\d+op \[", source, re.M)) == len(operations)
    assert len(re.findall(r"^\tn\d+c\d+ \[", source, re.M)) == constants


@given(steps, st.sampled_from(["cell", "textbook"]), st.sampled_from(["LR", "TB"]))
@settings(max_examples=40)
def test_the_same_graph_gives_the_same_drawing(program, style, direction):
    one, two = (draw(graph(program), style=style, direction=direction) for _ in range(2))
    assert one.source == two.source


@given(steps, st.sampled_from(["cell", "textbook"]), st.sets(st.sampled_from(SHOWABLE)))
@settings(max_examples=40)
def test_every_choice_of_what_to_show_gives_a_picture(program, style, show):
    root = graph(program)
    root.grad = 1.0
    shown = texts(svg(root, style=style, show=show))
    if style == "cell":
        assert any(t.startswith("値 ") for t in shown) == ("data" in show)
        assert any(t.startswith("勾配 ") for t in shown) == ("grad" in show)
    assert any("局所微分" in t or "四角" in t or "線の" in t for t in shown) <= ("legend" in show)


def test_a_gradient_not_yet_computed_is_not_zero():
    y = Value(2.0) * Value(0.0)
    assert "勾配 未計算" in texts(svg(y))
    y.backward()
    shown = texts(svg(y))
    assert "勾配 0" in shown
    assert "勾配 未計算" not in shown
    assert texts(groups(svg(Value(1.0), style="textbook"), "flow")[0]) == ["1", "未計算"]


def test_gradients_that_are_values_are_shown_as_numbers():
    x = Value(2.0, label="x")
    y = x**3
    y.backward(create_graph=True)
    assert ["x", "値 2", "勾配 12"] in [texts(g) for g in groups(svg(y), "leaf")]
    assert ["2", "12"] in [texts(g) for g in groups(svg(y, style="textbook"), "flow")]


def test_leaf_intermediate_and_output_differ_in_shape():
    total = apple()
    picture = svg(total)
    (leaf, *_), (middle,), (output,) = (
        groups(picture, kind) for kind in ("leaf", "intermediate", "output")
    )
    assert leaf.find("path") is not None  # rounded corners
    assert middle.find("polygon") is not None
    assert middle.find("path") is None
    assert float(output.find("polygon").get("stroke-width")) > 2


def test_several_outputs_share_their_graph():
    x = Value(2.0, label="x")
    a, b = x * 3, x + 1
    picture = svg([a, b, a])
    assert len(groups(picture, "output")) == 2
    assert len(groups(picture, "leaf")) == 1
    assert len(groups(svg([a, b], style="textbook"), "output")) == 2


def test_hovering_shows_the_number_before_rounding():
    x = Value(1 / 3, label="x")
    title = groups(svg(x), "output")[0].find("title").text
    assert title == f"x data = {1 / 3}, grad = 未計算"


# ---- 大きなグラフ ---------------------------------------------------------------------------


def drawn(source):
    """Nodes and constants, not the operations between them."""
    return len(re.findall(r"^\tn\d+(?:c\d+)? \[", source, re.M))


@given(steps, st.integers(1, 30))
@settings(max_examples=80)
def test_what_is_hidden_is_counted(program, limit):
    root = graph(program)
    every = nodes_reaching(root)
    total = len(every) + sum(len(n.operands) - len(n.parents) for n in every)
    source = draw(root, max_nodes=limit).source
    count = drawn(source)
    assert count <= limit
    note = re.search(
        r"全 (\d+) 個のノード.*出力に近い (\d+) 個を表示。.*省略した (\d+) 個: (.*)", source
    )
    if total <= limit:
        assert count == total
        assert note is None
        assert "他" not in source
        return
    assert (total, count, total - count) == tuple(map(int, note.groups()[:3]))
    assert sum(map(int, re.findall(r" (\d+) 個", note[4]))) == total - count
    assert re.search(r"n\d+more .*他 \d+ 個.*style=dashed", source)


def test_a_network_of_thousands_of_nodes_is_drawn_near_its_output():
    network = nn.MLP(20, [16, 16, 1])
    y = network([0.5] * 20)
    source = draw(y, max_nodes=300).source
    assert drawn(source) <= 300
    assert source.count("ReLU") >= 16
    stubs = re.findall(r"(n\d+)more \[", source)
    assert len(set(stubs)) == len(stubs)


def test_one_operation_with_many_inputs_collapses():
    weights = [Value(0.1) for _ in range(784)]
    picture = svg(functions.dot(weights, [1.0] * 784), max_nodes=300)
    (stub,) = groups(picture, "stub")
    hidden = int(re.search(r"他 (\d+) 個", texts(stub)[0])[1])
    assert hidden + len(groups(picture, "leaf")) + len(groups(picture, "constant")) == 2 * 784
    assert any("葉 754 個" in t for t in texts(picture))


@pytest.mark.slow
@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_a_chain_of_100000_operations_is_drawn(style):
    x = Value(1.0)
    for _ in range(100_000):
        x = x * 1.0001
    assert len(svg(x, style=style)) > 0


def test_more_outputs_than_room():
    x = Value(1.0)
    source = draw([x + i for i in range(20)], max_nodes=5).source
    assert drawn(source) == 5


# ---- 選択肢 ---------------------------------------------------------------------------------


def test_the_direction_turns_the_picture():
    def sizes(direction):
        return map(float, svg(apple(), direction=direction).get("viewBox").split()[2:])

    (wide, low), (narrow, high) = sizes("LR"), sizes("TB")
    assert wide > narrow
    assert low < high
    for direction, axis in (("LR", "y"), ("TB", "y")):  # rows are stacked in both
        for node in groups(svg(apple(), direction=direction), "leaf"):
            rows = [float(text.get(axis)) for text in node.iter("text")]
            assert all(a < b for a, b in pairwise(rows))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"direction": "RL"}, ["direction", "'RL'", "'LR'", "'TB'"]),
        ({"style": "pretty"}, ["style", "'pretty'", "'cell'", "'textbook'"]),
        ({"show": "data"}, ["show", "'data'"]),
        ({"show": ("data", "shape")}, ["show", "shape", "'partial'"]),
        ({"max_nodes": 0}, ["max_nodes", "0"]),
        ({"max_nodes": True}, ["max_nodes", "True"]),
        ({"max_nodes": 2.5}, ["max_nodes", "2.5"]),
    ],
)
def test_unknown_options_are_refused(options, words):
    with pytest.raises(ValueError) as error:
        draw(Value(1.0), **options)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("root", [3.0, "x", None, [Value(1.0), 2.0], {"a": 1}])
def test_only_nodes_can_be_drawn(root):
    with pytest.raises(TypeError, match=r"計算グラフのノード \(Value\)"):
        draw(root)


def test_an_empty_list_cannot_be_drawn():
    with pytest.raises(ValueError, match="empty list"):
        draw([])


def test_micrograds_signature():
    assert draw_dot(apple(), rankdir="TB").source == draw(apple(), direction="TB").source
    with pytest.raises(ValueError, match="rankdir"):
        draw_dot(apple(), rankdir="RL")
    with pytest.raises(ValueError, match="format"):
        draw_dot(apple(), format="gif")
