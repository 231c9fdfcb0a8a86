"""ページの中で書き換わる図: `mg.draw` の描き方そのままに、数の代わりに欄 (slot) を置いたもの。

描き方 (`viz/styles.py`) には、値と勾配が欄になった写しを渡す。できた SVG では、欄の文字に
`data-slot`（`v3` は 3 番のノードの値、`g3` は勾配、`d3.0` は 3 番の演算の 0 番目の引数の局所微分、
`s3.0` はそこを通る勾配）、図形に `data-node`、辺に `data-edge` が付く。
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from typing import Any

from micrograd_jp.graph.spent import Shown
from micrograd_jp.viz import layout
from micrograd_jp.viz.graphs import STYLES
from micrograd_jp.viz.selection import Input, Selection

_SHOW = frozenset({"label", "data", "grad", "partial"})
_MARK = "\ue000"  # for private use: no label keeps it
_SLOT = re.compile(rf"{_MARK}([vgds]\d+(?:\.\d+)?):0*")
_PART = re.compile(r"n(\d+)(\D.*)?")
_XML = "http://www.w3.org/XML/1998/namespace"
_MOST_USES = 8


class Slot:
    """欄。数が入るだけの幅の文字になる。"""

    def __init__(self, name: str, width: int = 8) -> None:
        self.name, self.width = name, width

    def __str__(self) -> str:
        return _MARK + f"{self.name}:".ljust(self.width, "0")

    def __mul__(self, partial: Slot) -> Slot:
        """The contribution that goes back through one operand."""
        return Slot("s" + partial.name[1:], self.width)


class Standin(Shown):
    """ノードの代わりに描くもの。"""

    def __init__(self, node: dict[str, Any], data: Slot, grad: Slot | None, leaf: Any) -> None:
        super().__init__(leaf, node["name"].replace(_MARK, ""), data, grad)
        self.requires_grad = grad is not None
        if node["shape"] is not None:
            self.shape, self.dtype = tuple(node["shape"]), node["dtype"]


def svg(nodes: list[dict[str, Any]], ops: list[Any], style: str, direction: str) -> str:
    """計算グラフの SVG。

    Args:
        nodes: `program.py` のノード。最後が出力。
        ops: ノードごとの演算（葉では `None`）。
        style: `"cell"` か `"textbook"`。
        direction: `"LR"` か `"TB"`。
    """
    uses: dict[int, list[str]] = defaultdict(list)
    for j, node in enumerate(nodes):
        for k, x in enumerate(node["args"]):
            if isinstance(x, int):
                uses[x].append(f"{j}.{k}")
    beside = {i for i, places in uses.items() if not ops[i] and len(places) > _MOST_USES}
    drawn: list[Standin] = []
    which: list[int] = []

    def stand(i: int, grad: str) -> Standin:
        wide = 8 if nodes[i]["shape"] is None else 22
        slot = Slot(grad, wide) if nodes[i]["grad"] else None
        drawn.append(Standin(nodes[i], Slot(f"v{i}", wide), slot, ops[i]))
        which.append(i)
        return drawn[-1]

    standins = [None if i in beside else stand(i, f"g{i}") for i in range(len(nodes))]
    inputs: dict[Any, list[Input]] = {x: [] for x in drawn}
    for j, node in enumerate(nodes):
        for k, x in enumerate(node["args"]):
            if not isinstance(x, int):
                inputs[standins[j]].append(Input(x["c"], None, k))
                continue
            operand = standins[x]
            if operand is None:  # drawn beside each of its many uses
                operand = stand(x, f"s{j}.{k}")
                inputs[operand] = []
            wide = 8 if node["shape"] is None else 12
            partial = Slot(f"d{j}.{k}", wide) if k in node["wanted"] else None
            inputs[standins[j]].append(Input(operand, partial, k))
    output = standins[-1]
    found = Selection([output], drawn, inputs, len(nodes), repeated=len(beside))  # type: ignore[list-item, arg-type]
    drawing = STYLES[style](found, {output: None}, direction, _SHOW)  # type: ignore[dict-item]
    return _marked(layout.svg(drawing.source, named=True), which)


def _marked(text: str, which: list[int]) -> str:
    root = ET.fromstring(text)
    space = root.tag.removesuffix("svg")
    ET.register_namespace("", space.strip("{}"))
    for group in root.iter(f"{space}g"):
        group.attrib.pop("id", None)
        title = group.find(f"{space}title")
        if title is not None:  # hover texts would show the slots
            group.remove(title)
        part = _PART.fullmatch(group.attrib.pop("data-name", ""))
        if part and "node" in group.get("class", ""):
            group.set("data-node", str(which[int(part[1])]))
            group.set("data-part", part[2] or "")
        for words in group.findall(f"{space}text"):
            for said_once in ("font-family", f"{{{_XML}}}space"):  # by the style sheet
                words.attrib.pop(said_once, None)
            slot = _SLOT.search(words.text or "")
            if slot:
                words.set("data-slot", slot[1])
                words.set("data-before", (words.text or "")[: slot.start()])
                words.text = ""
                if slot[1][0] in "ds":
                    group.set("data-edge", slot[1][1:])
    root.set("aria-label", "計算グラフ (computational graph)")
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    return ET.tostring(root, encoding="unicode")
