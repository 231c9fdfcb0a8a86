"""配列のプログラムを描く (picture): 1 行の式が 1 つの箱、使われる名前が矢印。"""

from __future__ import annotations

import re

from micrograd_jp.compiler.printing import lines_of
from micrograd_jp.compiler.program import Program
from micrograd_jp.viz.drawing import Drawing
from micrograd_jp.viz.text import clean, label


def drawn(program: Program, direction: str = "LR") -> Drawing:
    """配列のプログラムの図。Jupyter にそのまま表示され、`.save("program.svg")` で保存できる。

    Args:
        program: 配列のプログラム。
        direction: `"LR"` は左から右、`"TB"` は上から下。

    Raises:
        ValueError: 知らない向き。
    """
    if direction not in ("LR", "TB"):
        raise ValueError(
            f"direction は 'LR' か 'TB' です (unknown direction): {direction!r} が渡されました。"
        )
    drawing = Drawing(
        "配列のプログラム",
        graph_attr={"rankdir": direction, "fontname": "Helvetica"},
        node_attr={"fontname": "Helvetica", "fontsize": "12", "shape": "box"},
        edge_attr={"arrowsize": "0.7"},
    )
    known: dict[str, str] = {}
    for i, (name, size) in enumerate(program.groups):
        known[name] = f"x{i}"
        drawing.node(f"x{i}", label(clean(f"{name} ({size})")), shape="ellipse")
    for i, (text, comment) in enumerate(lines_of(program)):
        name, _, formula = text.partition(" = ")
        shown = f"{text}   {comment}" if comment else text
        drawing.node(f"s{i}", label(clean(shown)), tooltip=clean(shown, 1000))
        for used, node in known.items():
            if re.search(rf"(?<![\w]){re.escape(used)}(?![\w₀-₉])", formula):
                drawing.edge(node, f"s{i}")
        known[name] = f"s{i}"
    return drawing
