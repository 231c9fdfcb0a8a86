"""演算の円に書く記号と、引数からの辺に書くもの。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import Node
from micrograd_jp.namespace.javascript.ways import VJP
from micrograd_jp.ops.primitive import Reduction
from micrograd_jp.viz import words
from micrograd_jp.viz.selection import Input, Selection
from micrograd_jp.viz.text import clean, label, number_text, superscript

_COLOR = "#1f5fa8"


def symbol(node: Any, inputs: list[Input]) -> str:
    """演算の記号。2 乗は x² になる。"""
    powers = [text for given in inputs if (text := raised(node, given))]
    return f"x{powers[0]}" if powers else clean(node.op.symbol)


def raised(node: Any, given: Input) -> str | None:
    """x² の ² のように、肩に書く指数。"""
    if node.op.name != "pow" or given.place != 1 or not is_number(given.operand):
        return None
    return superscript(number_text(given.operand))


def in_order(node: Any) -> dict[str, str]:
    """a − b や X @ W のように順序に意味があれば、引数を書かれた順に上から並べる。"""
    free = isinstance(node.op, Reduction) or node.op.name in ("add", "mul", "maximum", "minimum")
    return {} if free else {"ordering": "in"}


def partial(selection: Selection, node: Any, given: Input, show: frozenset[str]) -> dict[str, str]:
    """引数 `given` からの辺に書く、局所微分。"""
    if "partial" not in show:
        return {}
    if given.partial is not None:
        text = f"∂ {number_text(given.partial)}"
    elif hasattr(node, "shape") and getattr(given.operand, "requires_grad", False):
        nodes = {x.place: x.operand for x in selection.inputs[node]}
        names = {i: clean(x.label) for i, x in nodes.items() if isinstance(x, Node)}
        text = words.edge(node, given.place, names)
        text = text if text == VJP else f"∂ {text}"
    else:
        return {}
    return {"label": label(text), "fontcolor": _COLOR}
