"""計算グラフの 2 つの描き方。どちらも、値を持つノードと、演算の記号の円を交互につなぐ。

葉は角丸か枠のない文字、途中は四角、出力は太枠。色がなくても見分けられる。
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from micrograd_jp.graph.node import Node
from micrograd_jp.namespace.javascript.ways import VJP
from micrograd_jp.viz.drawing import Drawing
from micrograd_jp.viz.operations import in_order, partial, raised, symbol
from micrograd_jp.viz.selection import Input, Selection
from micrograd_jp.viz.text import (
    NOT_COMPUTED,
    clean,
    em_width,
    escape,
    grad_text,
    hover_text,
    label,
    label_line,
    name_text,
    node_rows,
    number_text,
    with_shape,
)

_QUIET_COLOR = "#555555"
_CONSTANT = MappingProxyType({"color": _QUIET_COLOR})
_Edge = tuple[str, str, Mapping[str, str]]  # from, to, what it says and looks like
_KINDS = {
    "leaf": {"style": "rounded,filled", "fillcolor": "#eef6ee"},
    "intermediate": {"style": "filled", "fillcolor": "white"},
    "output": {"style": "filled", "fillcolor": "#fff4d6", "penwidth": "2.5"},
}
_MOST_KINDS = 6
"""省略したノードの内訳を何種類まで書くか。"""


def cell(
    selection: Selection, outputs: Collection[Node], direction: str, show: frozenset[str]
) -> Drawing:
    """ノードを枠で描き、上から名前、値、勾配を書く。辺には局所微分を書く。"""
    drawing = _blank(direction, ranksep="0.35", nodesep="0.2")
    names = _names(selection)
    for node, name in names.items():
        rows = node_rows(node, show)
        kind = "output" if node in outputs else "leaf" if node.is_leaf else "intermediate"
        attributes = _KINDS[kind]
        if node.is_leaf and kind == "output":
            attributes = {**attributes, "style": "rounded,filled"}
        if "grad" in show and grad_text(node):
            kind += " graded"
        drawing.node(
            name, _record(rows, direction), shape="record", _attributes=attributes,
            **{"class": kind, "tooltip": escape(hover_text(node))},
        )  # fmt: skip
        if node.op is None:
            continue
        for given, start in _operation(drawing, selection, name, node):
            said = partial(selection, node, given, show) if start is None else _CONSTANT
            drawing.edge(start or names[given.operand], f"{name}op", **said)
        drawing.edge(f"{name}op", name)
    terms = {"data": "値: data", "grad": "勾配: grad", "partial": "∂: 局所微分 (local derivative)"}
    shapes = "角丸: 葉 (leaf)　四角: 途中 (intermediate)　太枠: 出力 (output)"
    words = "　".join(text for key, text in terms.items() if key in show)
    _caption(drawing, selection, [shapes, words], show)
    return drawing


class _Use(NamedTuple):
    """Where a value goes: to an operation, or to the end of the graph (which has no share)."""

    end: str
    place: tuple[int, int]  # the operation, and which of its operands
    said: Mapping[str, str] = MappingProxyType({})  # what the edge to it says
    share: str = ""


def textbook(
    selection: Selection, outputs: Collection[Node], direction: str, show: frozenset[str]
) -> Drawing:
    """教科書のように描く: 線の上に順伝播の値、下に逆伝播の勾配（上から下の図では左と右）。

    2 か所以上で使われる値は ● で分かれる。枝ごとの勾配の和が、その値の勾配になる。
    """
    drawing = _blank(direction, ranksep="0.3", nodesep="0.25")
    for node in selection.nodes:
        for operand, slope, _ in selection.inputs[node]:
            if getattr(operand, "count", 0) == 1:  # a leaf beside one of its uses
                operand.set_share(node, slope)
    names = _names(selection)
    uses: dict[Node, list[_Use]] = {node: [] for node in names}
    arriving: dict[tuple[int, int], _Edge] = {}
    for number, (node, name) in enumerate(names.items()):
        if node in outputs:
            text = name_text(node, show) or "出力"
            _textbook_end(drawing, f"{name}out", text, node, "output")
            uses[node].append(_Use(f"{name}out", (len(names), number)))
        if node.op is None:
            _textbook_end(drawing, name, name_text(node, show), node, "leaf")
            continue
        for given, start in _operation(drawing, selection, name, node):
            end, place = f"{name}op", (number, given.place)
            if start is not None:
                arriving[place] = start, end, _CONSTANT
                continue
            share = _contribution(node, given.partial)
            uses[given.operand].append(
                _Use(end, place, partial(selection, node, given, show), share)
            )
    for node, name in names.items():
        named = "" if node.is_leaf or node in outputs else name_text(node, show)
        arriving |= _textbook_lines(drawing, node, name, named, uses[node], direction, show)
    for place in sorted(arriving):  # the order in which Graphviz puts them around an operation
        start, end, said = arriving[place]
        drawing.edge(start, end, **said)
    above, below = ("上", "下") if direction == "LR" else ("左", "右")
    terms = {
        "data": f"線の{above}: 順伝播の値 (data)",
        "grad": f"線の{below}: 逆伝播の勾配 (grad)",
        "partial": "∂: 局所微分 (local derivative)",
    }
    words = ["　".join(text for key, text in terms.items() if key in show)]
    if any(len(ends) > 1 for ends in uses.values()):
        words.append("●: 分岐。枝の勾配の和が、もとの値の勾配")
    if any(node.is_leaf and not name_text(node, show) for node in set(names) - set(outputs)):
        words.append("○: 名前のない葉 (leaf)")
    _caption(drawing, selection, words, show)
    return drawing


def _textbook_lines(
    drawing: Drawing, node: Node, name: str, named: str, uses: list[_Use],
    direction: str, show: frozenset[str],
) -> dict[tuple[int, int], _Edge]:  # fmt: skip
    """The line from a node to its only use, or to a branching point and on to each use.

    The last edges are given back: around an operation they stand in the order of its operands.
    """
    start = name if node.is_leaf else f"{name}op"
    total = _flow(drawing, f"{name}f", node, grad_text(node), named, show, direction)
    if len(uses) == 1:
        use = uses[0]
        return {use.place: _line(drawing, start, total, use.end, direction, **use.said)}
    branch = f"{name}b"
    drawing.node(branch, "", shape="point", width="0.08")
    into, end, said = _line(drawing, start, total, branch, direction, arrowhead="none")
    drawing.edge(into, end, **said)
    last: dict[tuple[int, int], _Edge] = {}
    for i, (end, place, said, share) in enumerate(uses):
        last[place] = branch, end, said
        if share:
            flow = _flow(drawing, f"{name}f{i}", node, share, "", show, direction)
            last[place] = _line(drawing, branch, flow, end, direction, **said)
    return last


# ---- どちらの描き方でも使う部品 -----------------------------------------------------------------


def _blank(direction: str, **graph: str) -> Drawing:
    return Drawing(
        "計算グラフ",
        graph_attr={"rankdir": direction, "fontname": "Helvetica", **graph},
        node_attr={"fontname": "Helvetica", "fontsize": "12", "height": "0.3", "width": "0.3"},
        edge_attr={"fontname": "Helvetica", "fontsize": "10", "arrowsize": "0.7"},
    )


def _names(selection: Selection) -> dict[Node, str]:
    return {node: f"n{i}" for i, node in enumerate(selection.nodes)}


def _record(rows: list[str], direction: str) -> str:
    """Fields stacked from top to bottom, or side by side: records turn with the direction."""
    fields = "|".join(map(label, rows))
    return fields if direction == "LR" else f"{{{fields}}}"


def _operation(
    drawing: Drawing, selection: Selection, name: str, node: Node
) -> Iterator[tuple[Input, str | None]]:
    """Draw the operation, `{name}op`, with its constants; the caller draws the edges that come."""
    assert node.op is not None
    op, sign = f"{name}op", symbol(node, selection.inputs[node])
    size = {"width": "0.36", "height": "0.36", "fixedsize": "true"} if em_width(sign) < 1.6 else {}
    drawing.node(
        op, label(sign), shape="ellipse", margin="0.04,0.02", fontsize="14",
        style="filled", fillcolor="#f1f1f6", _attributes={**size, **in_order(node)},
        **{"class": "op", "tooltip": escape(clean(node.op.summary))},
    )  # fmt: skip
    for i, given in enumerate(selection.inputs[node]):
        operand = given.operand
        if isinstance(operand, Node):
            yield given, None
            continue
        if raised(node, given):  # it stands in the symbol
            continue
        constant = {"shape": "plain", "fontcolor": _QUIET_COLOR, "class": "constant"}
        drawing.node(f"{name}c{i}", label(number_text(operand)), **constant)
        yield given, f"{name}c{i}"
    count = selection.hidden_inputs.get(node, 0)
    if count:
        drawing.node(
            f"{name}more", label(f"… 他 {count} 個"), shape="box", style="dashed",
            fontcolor=_QUIET_COLOR, **{"class": "stub"},
        )  # fmt: skip
        drawing.edge(f"{name}more", op, style="dashed")


def _caption(
    drawing: Drawing, selection: Selection, legend: list[str], show: frozenset[str]
) -> None:
    """The legend, and always the note of what is hidden."""
    lines = [line for line in legend if line] if "legend" in show else []
    if lines and VJP in drawing.source:
        lines.append(f"{VJP}: 逆伝播の規則 (vector-Jacobian product)。数や行列 1 つでは書けない所")
    if selection.hidden:
        hidden = selection.hidden.total()
        kinds = selection.hidden.most_common()
        counted = [f"{kind} {count} 個" for kind, count in kinds[:_MOST_KINDS]]
        others = sum(count for _, count in kinds[_MOST_KINDS:])
        lines += [
            f"全 {selection.total} 個のノード（定数を含む）のうち、"
            f"出力に近い {selection.total - hidden} 個を表示。",
            f"省略した {hidden} 個: "
            + "　".join([*counted, f"その他 {others} 個"] if others else counted),
        ]
    elif any(getattr(node, "count", 1) > 1 for node in selection.nodes):
        lines.append(f"全 {selection.total} 個のノード（定数を含む）を表示。")
    if any(getattr(node, "count", 1) > 1 for node in selection.nodes):
        lines.append("×n: 同じ形の n 個を 1 つにまとめたもの。値と勾配は、最小 〜 最大。")
    if selection.repeated:
        lines.append("何度も使われる葉は、使う場所ごとに描いています。")
    if lines:
        text = "".join(map(label_line, lines))
        drawing.attr(label=text, labelloc="b", labeljust="l", fontsize="10", fontcolor=_QUIET_COLOR)


# ---- 教科書の描き方の部品 ---------------------------------------------------------------------


def _contribution(node: Node, partial: Any) -> str:
    """The gradient that flows back through one input of `node`."""
    if partial is None:  # operations on arrays have no partial derivative to write
        return ""
    if not node.has_grad:
        return NOT_COMPUTED
    grad = getattr(node, "grad", None)
    return number_text(getattr(grad, "data", grad) * partial)


def _textbook_end(drawing: Drawing, name: str, text: str, node: Node, kind: str) -> None:
    shape = {"shape": "plaintext"} if kind == "leaf" else {"shape": "box", "penwidth": "2"}
    if not text:
        shape = {"shape": "circle", "width": "0.12", "height": "0.12", "fixedsize": "true"}
    drawing.node(
        name, label(text), _attributes=shape, margin="0.08,0.04",
        **{"class": kind, "tooltip": escape(hover_text(node))},
    )  # fmt: skip


def _flow(
    drawing: Drawing, name: str, node: Node, grad: str, named: str,
    show: frozenset[str], direction: str,
) -> str:  # fmt: skip
    """A stretch of line with the value on one side and the gradient on the other.

    It is a record of two cells; `layout.svg` takes the box away and keeps the dividing line.
    """
    value = with_shape(node._data) if "data" in show else ""
    above = " = ".join(text for text in (named, value) if text)
    below = grad if "grad" in show else ""
    # Side by side (TB) the cells must be equally wide, or the line would not be in the middle.
    wide = max(em_width(above), em_width(below)) if direction == "TB" else 0.0
    fields = f"{label(above, wide)}|{label(below, wide)}"
    drawing.node(
        name, fields, shape="record", margin="0.06,0.01", height="0.42",
        **{"class": "flow graded" if below else "flow", "tooltip": escape(hover_text(node))},
    )  # fmt: skip
    return name


def _line(
    drawing: Drawing, start: str, flow: str, end: str, direction: str, **last: str
) -> _Edge:  # fmt: skip
    """Up to the flow; the edge from there to the end is given back."""
    into, out = ("w", "e") if direction == "LR" else ("n", "s")
    drawing.edge(start, flow, headport=into, arrowhead="none")
    return flow, end, {"tailport": out, **last}
