"""`mg.play(root)`: 順伝播、逆伝播、更新を、自分の式で 1 歩ずつ見るページ。

>>> from micrograd_jp import Value
>>> from micrograd_jp.viz.player import play
>>> w = Value(3.0, label="w")
>>> play((w - 1) ** 2).save("play.html")  # doctest: +SKIP
"""

from __future__ import annotations

from math import prod
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import as_number
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.spent import history
from micrograd_jp.viz.graphs import DIRECTIONS, STYLES, draw, one_of
from micrograd_jp.viz.naming import gives_names, names_of
from micrograd_jp.viz.pages.page import Page
from micrograd_jp.viz.player import page, picture
from micrograd_jp.viz.player.program import program, size

MOST_NODES = 300
"""これより大きな計算グラフ（定数を含む）は、1 歩ずつは再生せず、まとめた図を見せる。"""

MOST_ELEMENTS = 256
"""再生する配列の、最大の要素の数。"""


class Player(Page):
    """1 歩ずつ再生するページ。"""

    _what, _example = "誤差逆伝播法の再生 (step player)", "play.html"


def play(
    root: Node,
    *,
    parameters: Any = None,
    learning_rate: float = 0.1,
    style: str = "cell",
    direction: str = "LR",
) -> Player:
    """計算グラフの順伝播、逆伝播、更新を、1 歩ずつ再生するページを作る。

    ページの中では、葉の値を書き換えたり引っ張ったりでき、値も勾配もすぐに変わる。ページの計算は
    演算の宣言から書いた JavaScript で、倍精度 (float64) である。

    Args:
        root: 出力（損失）。1 つの数の `Value` か `Tensor`。
        parameters: 更新する葉のリスト。省略すると、勾配の流れるすべての葉。ページの中でも選べる。
            `model` か `dict(model.named_parameters())` を渡すと、`0.weight` のような名前も付く。
        learning_rate: 学習率 η のはじめの値。ページの中で変えられる。
        style: 図の描き方。`mg.draw` と同じ `"cell"` か `"textbook"`。
        direction: `"LR"` は左から右、`"TB"` は上から下。

    Raises:
        TypeError: `root` が計算グラフのノードでない。
        ValueError: 計算グラフがない（葉だけ）、1 つの数でない、ページの中で計算できない演算
            （畳み込み、プーリング、行列式など）や大きすぎる配列がある、または知らない選択肢。
        ImportError: 図を描くプログラムがない。
    """
    _require_scalar_graph(root)
    one_of("style", style, tuple(STYLES))
    one_of("direction", direction, DIRECTIONS)
    rate = as_number(learning_rate)
    if not 0 < rate < float("inf"):
        raise ValueError(
            f"learning_rate は正の数です (expected a positive number): {learning_rate!r} が"
            "渡されました。"
        )
    _require_small_arrays(root)
    model = parameters if gives_names(parameters) else None
    names = names_of(model)
    learned = None if parameters is None else _leaves(parameters if model is None else names)
    count = size(root)
    if count > MOST_NODES:
        drawing = draw(root, direction=direction, style=style, parameters=model)
        svg = drawing.pipe("svg", encoding="utf-8")
        title = f"{count} 個のノードの計算グラフ"
        return Player(page.collapsed(svg, title, count, MOST_NODES), title)
    found = program(root, learned, names)
    svg = picture.svg(found.nodes, found.ops, style, direction)
    title = f"誤差逆伝播法を 1 歩ずつ: {found.nodes[-1]['name']}"
    return Player(page.player(found, svg, title, rate), title)


def _require_scalar_graph(root: Any) -> None:
    if not isinstance(root, Node):
        raise TypeError(
            "1 つの出力の Value か Tensor を再生します (expected a Value or a Tensor): "
            f"{type(root).__name__} が渡されました。モデルなら、損失を計算して "
            "mg.play(loss) のように渡してください。"
        )
    shape = tuple(getattr(root, "shape", ()))
    if shape not in ((), (1,)):
        raise ValueError(
            f"再生する出力は 1 つの数です (expected a scalar): 形 {shape} が渡されました。"
            "loss.sum() や loss.mean() のように、1 つの数にしてください。"
        )
    if root.op is None:
        raise ValueError(
            "計算グラフがありません (no graph): 渡されたのは、計算の結果ではなく葉です。"
            "式の結果を渡してください。no_grad の中で計算したものには、計算グラフが残りません。"
        )


def _require_small_arrays(root: Node) -> None:
    """Every array must still be there, and fit a table."""
    for node in history(root):
        if isinstance(node.spent, list):
            raise ValueError(
                "計算グラフの配列は、backward() のあとに手放されています (the graph let go of its "
                "arrays): backward の前に mg.play(loss) を呼ぶか、"
                "loss.backward(retain_graph=True) と書いてください。"
            )
        elements = prod(getattr(node, "shape", ()))
        if elements > MOST_ELEMENTS:
            raise ValueError(
                f"形 {tuple(node.shape)} の配列は、表にして見るには大きすぎます (too large): "
                f"要素は {MOST_ELEMENTS} 個までです。標本や入力を減らした小さな例で試してください。"
            )


def _leaves(parameters: Any) -> list[Node]:
    leaves = [parameters] if isinstance(parameters, Node) else list(parameters)
    for x in leaves:
        if not isinstance(x, Node) or not x.is_leaf:
            raise TypeError(
                "parameters は葉の Value か Tensor のリストです (expected leaves): "
                f"{x!r} が渡されました。"
            )
    return leaves


explain_all(globals())
