"""計算グラフを、ページの中で動くプログラムにする: ノードの表と、演算ごとの JavaScript。"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.graph.node import Node, topological_order
from micrograd_jp.graph.shares import parameters, tracked
from micrograd_jp.graph.writes import latest
from micrograd_jp.namespace import javascript
from micrograd_jp.namespace.javascript.arrays import Unsupported
from micrograd_jp.namespace.javascript.ways import array_rule
from micrograd_jp.ops.primitive import Reduction
from micrograd_jp.ops.symbols import Symbol
from micrograd_jp.viz import words
from micrograd_jp.viz.text import clean

_LONGEST = 64
"""これより長くなる式は、途中の式を開いて書かない。"""

_MOST_PARTS = 24
_DIGITS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Program(NamedTuple):
    """ページの中で動く計算グラフ。

    Attributes:
        nodes: 1 つのノードが 1 つの辞書（JSON になる）。親が子より先で、最後が出力。
            `x` は葉の値、`args` は引数（ノードの番号か、定数 `{"c": 数}`）、`wanted` は勾配が流れる
            引数の番号、`rule` は `rules` の名前、`whole` は名前のない途中の式を開いた式
            （`{12}` は 12 番のノード）。
        ops: ノードごとの演算。葉では `None`。
        rules: 演算の名前から、JavaScript の `{value, partials}`。
    """

    nodes: list[dict[str, Any]]
    ops: list[Any]
    rules: dict[str, str]


def program(root: Node, learned: list[Node] | None, names: Mapping[Node, str]) -> Program:
    """計算グラフから。

    Args:
        root: 出力。
        learned: はじめから学習する葉。`None` ならすべて。
        names: 葉の名前。葉の `label` の代わりになる。
    """
    order = _order(root)
    index = {id(node): i for i, node in enumerate(order)}
    rules: dict[str, str] = {}
    trees: list[Any] = []
    nodes: list[dict[str, Any]] = []
    for node, name in zip(order, _names(order, names), strict=True):
        operands = node.operands
        grad = bool(node.requires_grad)
        entry: dict[str, Any] = {
            "name": name, "shape": None, "grad": grad,
            "args": [index[id(x)] if isinstance(x, Node) else _constant(x) for x in operands],
            "wanted": tracked(node),
        }  # fmt: skip
        if hasattr(node, "shape"):
            entry["shape"], entry["dtype"] = list(node.shape), str(node.dtype)
            entry["size"] = prod(node.shape)
        if node.op is None:
            entry["x"] = _numbers(node._data)
            entry["learned"] = grad and (learned is None or any(node is x for x in learned))
        else:
            entry["words"] = words.value(node.op, operands)
            entry["slopes"] = words.slopes(node.op, operands)
            entry["summary"] = node.op.summary
            entry["rule"] = _rule(node, len(nodes), rules)
        nodes.append(entry)
        label = names.get(node) or node.label
        whole = _opened(node, len(trees), trees, index, bool(label) or node is order[-1])
        if whole and len(inside(whole, nodes)) <= _LONGEST:
            entry["whole"] = whole
    return Program(nodes, [node.op for node in order], rules)


def _opened(node: Any, number: int, trees: list[Any], index: Mapping[int, int], named: bool) -> str:
    """The formula of a named node with all unnamed intermediates in it written out.

    Unnamed ones leave the tree of their formula for what is made of them; in a long one they keep
    their names. Empty where nothing is written out.
    """
    trees.append(Symbol("name", f"{{{number}}}"))
    if node.op is None:
        return ""
    xs = [
        trees[index[id(x)]] if isinstance(x, Node)
        else Symbol("name", _constant(x)["text"]) if hasattr(x, "shape") else x
        for x in node.operands
    ]  # fmt: skip
    written = words.tree(node.op, node.operands, xs)
    if not named and _size_of(written) <= _MOST_PARTS:
        trees[-1] = written
    opened = any(isinstance(x, Symbol) and x.kind != "name" for x in xs)
    return words.text(written) if named and opened else ""


def _size_of(tree: Any) -> int:
    if not isinstance(tree, Symbol) or tree.kind == "name":
        return 1
    return 1 + sum(map(_size_of, tree.args))


def inside(whole: str, nodes: list[dict[str, Any]]) -> str:
    """`{12}` を、12 番のノードの名前にした式。"""
    return re.sub(r"\{(\d+)\}", lambda found: str(nodes[int(found[1])]["name"]), whole)


def _numbers(x: Any) -> Any:
    return np.ravel(np.asarray(x)).tolist() if hasattr(x, "shape") else float(x)


def _constant(x: Any) -> dict[str, Any]:
    if not hasattr(x, "shape"):
        return {"c": x}
    shape = tuple(x.shape)
    return {"c": _numbers(x), "shape": list(shape), "text": f"{shape} の定数"}


def size(root: Node) -> int:
    """ノードと定数の数。"""
    order = _order(root)
    return len(order) + sum(not isinstance(x, Node) for node in order for x in node.operands)


def _order(root: Node) -> list[Any]:
    """Parents first. The order in which `backward` adds up is the reverse of the tracked part."""
    tracked = topological_order(latest(root))
    known = {id(node) for node in tracked}
    constants = [
        x for node in tracked for x in node.operands if isinstance(x, Node) and id(x) not in known
    ]
    return [*{id(x): x for x in constants}.values(), *tracked]


def _names(order: list[Any], given: Mapping[Node, str]) -> list[str]:
    """The labels, made different from one another; what has none is u₁, u₂, …"""
    labels = [clean(given.get(node) or node.label) for node in order]
    taken, names, count = set(labels), [], 0
    for label in labels:
        name = label
        if not label:
            while not name or name in taken:
                count += 1
                name = f"u{count}".translate(_DIGITS)
        again = 1
        while name in names:
            again += 1
            name = f"{label} ({again})"
        names.append(name)
    return names


def _rule(node: Any, number: int, rules: dict[str, str]) -> str:
    op = node.op
    if hasattr(node, "shape") or node.is_array_op:
        name = f"{number} {op.name}"
        try:
            rules[name] = array_rule(
                op, node.operands, tracked(node), parameters(node), _like(node)
            )
        except Unsupported:
            raise ValueError(
                f"{op.name.removeprefix('tensor.')} は再生できません (cannot be played): "
                "ページの中で計算できるのは、要素ごとの演算、行列の積、形を変える演算、和や最大値、"
                "損失です。"
            ) from None
    elif isinstance(op, Reduction):
        name = f"{op.name}/{len(node.operands)}"
        rules[name] = rules.get(name) or javascript.reduction(op, len(node.operands))
    else:
        name = op.name
        rules[name] = rules.get(name) or javascript.elementwise(op)
    return name


def _like(node: Any) -> Any:
    return node if hasattr(node, "shape") else np.float64(0)
