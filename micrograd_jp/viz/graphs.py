"""計算グラフを描く (computational graph)。

>>> from micrograd_jp import Value
>>> from micrograd_jp.viz import draw
>>> x = Value(3.0, label="x")
>>> drawing = draw(x * x)
>>> drawing.source.count("->")  # 2 本の入力と、演算から結果への 1 本
3
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.graph.node import Node
from micrograd_jp.viz import styles
from micrograd_jp.viz.drawing import FORMATS, Drawing
from micrograd_jp.viz.naming import names_of
from micrograd_jp.viz.selection import select

DIRECTIONS = ("LR", "TB")
SHOWABLE = ("label", "data", "grad", "partial", "legend")
STYLES = {"cell": styles.cell, "textbook": styles.textbook}
_SHOWN = {"cell": SHOWABLE, "textbook": ("label", "data", "grad", "legend")}


def draw(
    root: Node | Sequence[Node],
    *,
    direction: str = "LR",
    show: Collection[str] | None = None,
    style: str = "cell",
    max_nodes: int | None = None,
    parameters: Any = None,
) -> Drawing:
    """計算グラフを描く。結果は Jupyter ではそのまま図になり、`.save("x.svg")` で保存できる。

    Args:
        root: 出力の `Value`、またはそのリスト。
        direction: `"LR"` は左から右、`"TB"` は上から下。
        show: 描くもの。`"label"`（名前）、`"data"`（値）、`"grad"`（勾配）、`"partial"`
            （局所微分）、`"legend"`（凡例）の組。省略するとすべて。`"textbook"` では
            局所微分だけを省く。
        style: `"cell"` は枠の中に値と勾配を重ねる。`"textbook"` は教科書のように、
            線の上に順伝播の値、下に逆伝播の勾配を書く。
        max_nodes: これより大きなグラフは、出力に近いノードだけを描き、残りを数で示す。省略すると、
            150 個を超えるか、縦か横に 30 個を超えて並ぶグラフでは、同じ形の繰り返し（層のニューロン
            など）を ×n の 1 つの箱にまとめ、それでも大きければ出力に近い所を描く。
        parameters: 葉の名前。`model` を渡すと、モジュールの中の場所 (`0.weight`) が名前になる。
            `dict(model.named_parameters())` のような、名前から葉への辞書でもよい。

    Raises:
        TypeError: `root` が計算グラフのノードでない、`parameters` から名前が分からない。
        ValueError: 知らない選択肢、または空のリスト。
    """
    outputs = _outputs(root)
    direction = one_of("direction", direction, DIRECTIONS)
    style = one_of("style", style, tuple(STYLES))
    shown = _SHOWN[style] if show is None else show
    if isinstance(shown, str) or not set(shown) <= set(SHOWABLE):
        raise ValueError(
            f"show は {', '.join(map(repr, SHOWABLE))} を並べたものです "
            f"(expected a tuple of these): {show!r} が渡されました。"
        )
    if max_nodes is not None:
        require_count("max_nodes", max_nodes)
    found = select(outputs, max_nodes, names_of(parameters))
    return STYLES[style](found, dict.fromkeys(found.outputs), direction, frozenset(shown))


def draw_dot(root: Node | Sequence[Node], format: str = "svg", rankdir: str = "LR") -> Drawing:
    """micrograd の `draw_dot`。結果は graphviz.Digraph として使える（`dot.render("gout")` など）。

    Args:
        root: 出力の `Value`、またはそのリスト。
        format: `render` が作るファイルの形式。
        rankdir: `"LR"` は左から右、`"TB"` は上から下。

    Raises:
        TypeError: `root` が計算グラフのノードでない。
        ValueError: 知らない形式か向き。
    """
    one_of("format", format, FORMATS)
    drawing = draw(root, direction=one_of("rankdir", rankdir, DIRECTIONS))
    drawing.default_format = format
    return drawing


def _outputs(root: Any) -> list[Node]:
    outputs = list(root) if isinstance(root, list | tuple) else [root]
    for x in outputs:
        if not isinstance(x, Node):
            raise TypeError(
                "計算グラフのノード (Value) か、そのリストを描きます "
                f"(expected a Value or a list of them): {type(x).__name__} が渡されました。"
                "モデルや関数なら、その出力を mg.draw(model(x)) のように渡してください。"
                "モデルそのものの図は mg.viz.network(model) です。"
            )
    if not outputs:
        raise ValueError("空のリストは描けません (empty list): 出力の Value を渡してください。")
    return list(dict.fromkeys(outputs))


def one_of(name: str, given: str, known: Sequence[str]) -> str:
    """知っている選択肢の 1 つであることを確かめる。"""
    if given not in known:
        raise ValueError(
            f"{name} は {', '.join(map(repr, known))} のどれかです "
            f"(unknown {name}): {given!r} が渡されました。"
        )
    return given


explain_all(globals())
