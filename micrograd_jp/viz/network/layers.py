"""層の箱の図: 層を呼ばれた順に並べ、特徴マップの形を書く。線は、実際にデータが流れた道。

1 度だけ推論して、計算グラフをたどる。だからスキップ接続も、層の間の関数 (`+`, `ReLU`) も描ける。
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from micrograd_jp.graph.modes import enable_grad
from micrograd_jp.graph.node import Node
from micrograd_jp.nn.module import summary, tree
from micrograd_jp.nn.module.evaluating import undisturbed, watching
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.viz.drawing import Drawing
from micrograd_jp.viz.text import clean, escape, label

MOST = 40
"""これより多い層は、外側の部品 (layer1.0 など) を 1 つの箱にする。"""


class Box(NamedTuple):
    """1 つの箱。

    Attributes:
        name: モデルの中での名前（関数では空）。
        kind: 種類。関数では記号。
        shape: 出力の形（最初の軸は標本）。
        parameters: パラメータの要素の数。
        sources: 引数がどの箱から来たか。-1 は入力。
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    sources: list[int]


def boxes(model: Any, x: Tensor) -> list[Box]:
    """呼ばれた順の箱。

    Args:
        model: モデル。
        x: 入力（標本の軸がある）。
    """
    parts = dict(_parts(model))
    start = x.detach()
    if start.dtype.kind == "f":
        start.requires_grad_()
    found: list[Box] = []
    made: dict[int, tuple[Any, int]] = {id(start): (start, -1)}  # who holds it keeps its id

    def source(node: Any) -> list[int]:
        """The boxes that a tensor was made of; functions between them become boxes."""
        if id(node) in made:
            return [made[id(node)][1]]
        if node.op is None:
            return []
        operands = [part for part in node.operands if isinstance(part, Node)]
        sources = list(dict.fromkeys(b for operand in operands for b in source(operand)))
        if not sources:
            return []
        found.append(Box("", node.op.symbol, tuple(node.shape), 0, sources))
        made[id(node)] = (node, len(found) - 1)
        return [len(found) - 1]

    def watch(name: str, module: Any) -> Any:
        def hook(_module: Any, inputs: tuple[Any, ...], output: Any) -> None:
            tensors = [t for t in inputs if isinstance(t, Tensor)]
            sources = list(dict.fromkeys(b for t in tensors for b in source(t)))
            outputs = output if isinstance(output, tuple | list) else [output]
            size = sum(p.size if hasattr(p, "size") else 1 for p in module.parameters())
            shape = tuple(getattr(outputs[0], "shape", ()))
            found.append(Box(name, _kind(module), shape, size, sources or [len(found) - 1]))
            for t in outputs:
                made[id(t)] = (t, len(found) - 1)

        return hook

    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        stack.enter_context(enable_grad())
        for name, module in parts.items():
            stack.enter_context(watching(module, watch(name, module)))
        end = model(start)
        if isinstance(end, Tensor) and id(end) not in made:
            source(end)
    return found


def _parts(model: Any) -> Iterator[tuple[str, Any]]:
    """The modules that are boxes: the innermost, or so far out that there are not too many."""
    for depth in range(9, 0, -1):
        found = list(_down_to(model, "", depth))
        if len(found) <= MOST or depth == 1:
            yield from found
            return


def _down_to(module: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    children = list(module.named_children())
    if not children or depth == 0:
        yield name, module
        return
    for own, child in children:
        yield from _down_to(child, tree.joined(name, own), depth - 1)


def _kind(module: Any) -> str:
    """Conv2d 3 × 3、stride 2: what shapes and numbers of parameters do not say."""
    told = [type(module).__name__]
    if (size := getattr(module, "kernel_size", None)) is not None:
        told[0] += f" {_pair(size)}"
    for name, usual in (("stride", "1 × 1"), ("padding", "0 × 0")):
        pair = _pair(getattr(module, name, usual))
        if size is not None and pair != usual and not (name == "stride" and pair == _pair(size)):
            told.append(f"{name} {pair}")
    return "、".join(told)


def _pair(x: Any) -> str:
    if isinstance(x, str):
        return x
    return " × ".join(map(str, x if isinstance(x, tuple | list) else (x, x)))


def drawing(model: Any, x: Tensor, direction: str = "LR") -> Drawing:
    """箱の図。"""
    found = boxes(model, x)
    out = Drawing(
        "層",
        graph_attr={
            "rankdir": direction,
            "fontname": "Helvetica",
            "ranksep": "0.3",
            "nodesep": "0.2",
        },
        node_attr={"fontname": "Helvetica", "fontsize": "11", "height": "0.3"},
        edge_attr={"arrowsize": "0.7"},
    )
    _node(out, "n-1", ["入力", _shape(tuple(x.shape))], "leaf")
    for k, box in enumerate(found):
        if box.name or not k:
            size = [f"パラメータ {box.parameters:,}"] if box.parameters else []
            _node(out, f"n{k}", [box.name or "モデル", box.kind, _shape(box.shape), *size], "layer")
        else:
            out.node(f"n{k}", label(clean(box.kind)), shape="ellipse", margin="0.04,0.02",
                     style="filled", fillcolor="#f1f1f6", **{"class": "op"})  # fmt: skip
        for source in box.sources:
            out.edge(f"n{source}", f"n{k}")
    total = summary.summarize(model, (x,))
    line = (
        f"箱: 名前、種類、出力の形（標本の軸を除く）。パラメータは合わせて {total.parameters:,}、"
        f"積和は {total.multiply_adds:,}"
    )
    out.attr(label=label(line), labelloc="b", labeljust="l", fontsize="10", fontcolor="#555555")
    return out


def _node(out: Drawing, name: str, rows: list[str], kind: str) -> None:
    style = {"leaf": ("rounded,filled", "#eef6ee"), "layer": ("filled", "white")}[kind]
    fields = "|".join(label(clean(row)) for row in rows)
    out.node(name, fields, shape="record", style=style[0], fillcolor=style[1],
             **{"class": kind, "tooltip": escape(clean(rows[0]))})  # fmt: skip


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[1:])) or "1"


def example(model: Any, x: Any) -> Tensor:
    """入力の例: 形なら 0 の並ぶもの、標本の軸のない画像や数の並びなら付けたもの。"""
    found = as_tensor(summary.example(x, model.parameters()))
    image = any(getattr(getattr(m, "weight", None), "ndim", 0) == 4 for m in model.modules())
    return found.reshape(1, *found.shape) if found.ndim == (3 if image else 1) else found
