"""コンパイルの各段を描く (picture)。

配列のプログラムでは 1 行の式が 1 つの箱、表 (`Trace`) では 1 つのノードが 1 つの丸になる。
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from micrograd_jp import viz
from micrograd_jp.compiler.lift.printing import lines_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.table.table import Trace
from micrograd_jp.viz.text import clean, label


def drawn(program: Program, direction: str = "LR") -> viz.Drawing:
    """配列のプログラムの図。Jupyter にそのまま表示され、`.save("program.svg")` で保存できる。

    Args:
        program: 配列のプログラム。
        direction: `"LR"` は左から右、`"TB"` は上から下。

    Raises:
        ValueError: 知らない向き。
    """
    drawing = _blank("配列のプログラム", direction, "box")
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


MOST_NODES = 300
"""表を描けるノードの数。これより多い図は読めない。"""


def drawn_table(
    trace: Trace, groups: Sequence[tuple[str, int]], labels: dict[int, str], direction: str = "LR"
) -> viz.Drawing:
    """表の図。入力は名前と番号、パラメータは名前（なければ `θ` と番号）、演算は記号で描く。

    Args:
        trace: 記録したままの表、または簡約した表。
        groups: 入力の名前と大きさ。
        labels: 何番目のパラメータに、どんな名前がついているか。
        direction: `"LR"` は左から右、`"TB"` は上から下。

    Raises:
        ValueError: 知らない向き、または `MOST_NODES` より多いノード。
    """
    drawing = _blank("記録した計算", direction, "ellipse")
    used = sorted({*trace.args.tolist(), *trace.outputs.tolist()})
    shown = sorted({*used, *trace.operations})
    if len(shown) > MOST_NODES:
        raise ValueError(
            f"{len(shown):,} 個のノードは多すぎて描けません (too many nodes): {MOST_NODES} 個まで"
            "です。小さな入力で記録するか、見つかった行列の図 draw() を使ってください。"
        )
    names = _names(trace, groups, labels)
    outputs = set(trace.outputs.tolist())
    for i in shown:
        op = trace.primitive(i)
        style = {"peripheries": "2"} if i in outputs else {}
        shape = "box" if op is None else "ellipse"
        drawing.node(f"n{i}", label(clean(names[i])), shape=shape, **style)
        for parent in trace.operands(i).tolist():
            drawing.edge(f"n{parent}", f"n{i}")
    return drawing


def _names(
    trace: Trace, groups: Sequence[tuple[str, int]], labels: dict[int, str]
) -> dict[int, str]:
    """What is written on each node."""
    rows = [f"{name}[{i}]" if size > 1 else name for name, size in groups for i in range(size)]
    parameters = trace.parameters.tolist()
    names = {
        **dict(zip(trace.inputs.tolist(), rows, strict=True)),
        **{node: labels.get(i) or f"θ{i}" for i, node in enumerate(parameters)},
        **{n: f"{x:g}" for n, x in zip(trace.constants.tolist(), trace.values, strict=True)},
    }
    for i in trace.operations:
        op = trace.primitive(i)
        assert op is not None
        names[i] = op.symbol
    return names


def _blank(title: str, direction: str, shape: str) -> viz.Drawing:
    if direction not in ("LR", "TB"):
        raise ValueError(
            f"direction は 'LR' か 'TB' です (unknown direction): {direction!r} が渡されました。"
        )
    return viz.Drawing(
        title,
        graph_attr={"rankdir": direction, "fontname": "Helvetica"},
        node_attr={"fontname": "Helvetica", "fontsize": "12", "shape": shape},
        edge_attr={"arrowsize": "0.7"},
    )
