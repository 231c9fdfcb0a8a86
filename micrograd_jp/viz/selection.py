"""どのノードを描くか。大きなグラフは、出力に近い所だけを残す。"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from micrograd_jp.graph.node import Node
from micrograd_jp.graph.spent import history
from micrograd_jp.graph.writes import latest


class Input(NamedTuple):
    """演算の引数の 1 つ。定数には局所微分がない。"""

    operand: Any
    partial: Any


@dataclass(frozen=True)
class Selection:
    """描くものと、描かないものの数。

    Attributes:
        nodes: 描くノード。親が子より先。
        inputs: ノードごとの、描く引数（同じ親が 2 度現れることもある）。
        hidden_inputs: ノードごとの、描かない引数の数（0 のノードは含まない）。
        total: グラフ全体のノードと定数の数。
        hidden: 描かないものの数。鍵は「葉」「定数」か演算の記号。
    """

    nodes: list[Node]
    inputs: dict[Node, list[Input]]
    hidden_inputs: dict[Node, int]
    total: int
    hidden: Counter[str]


def select(outputs: Sequence[Node], max_nodes: int) -> Selection:
    """描くノードを選ぶ。全体が `max_nodes` 個以下ならすべて。"""
    outputs = [latest(x) for x in outputs]
    graph = history(*outputs)
    constants = sum(not isinstance(x, Node) for operands in graph.values() for x in operands)
    total = len(graph) + constants
    if total <= max_nodes:
        inputs = {node: _inputs(node, operands) for node, operands in graph.items()}
        return Selection(list(graph), inputs, {}, total, Counter())
    shown, places = _nearest(outputs, graph, max_nodes)
    nodes = [node for node in graph if node in shown]
    hidden = Counter(_kind(node) for node in graph if node not in shown)
    drawn: dict[Node, list[Input]] = {}
    left_out: dict[Node, int] = {}
    for node in nodes:
        every = _inputs(node, graph[node])
        drawn[node] = [
            x
            for i, x in enumerate(every)
            if (x.operand in shown if isinstance(x.operand, Node) else (node, i) in places)
        ]
        if len(every) > len(drawn[node]):
            left_out[node] = len(every) - len(drawn[node])
    if constants > len(places):
        hidden["定数"] = constants - len(places)
    return Selection(nodes, drawn, left_out, total, hidden)


def _inputs(node: Node, operands: tuple[Any, ...]) -> list[Input]:
    partials = iter(node.partials)
    return [Input(x, next(partials, None) if _tracked(x) else None) for x in operands]


def _tracked(x: Any) -> bool:
    return isinstance(x, Node) and bool(x.requires_grad)


def _kind(node: Node) -> str:
    return "葉" if node.op is None else node.op.symbol


def _nearest(
    outputs: Sequence[Node], graph: dict[Node, tuple[Any, ...]], limit: int
) -> tuple[dict[Node, None], set[tuple[Node, int]]]:
    """Breadth first from the outputs: nodes, and the places (node, argument) of constants."""
    shown = dict.fromkeys(outputs[:limit])
    places: set[tuple[Node, int]] = set()
    room = limit - len(shown)
    widest = max(2, limit // 10)  # else the 784 weights of one dot product would take all the room
    queue = deque(shown)
    while queue and room > 0:
        node = queue.popleft()
        operands = graph[node]
        for i in sorted(range(len(operands)), key=lambda i: _rank(operands[i]))[:widest]:
            x = operands[i]
            if room <= 0 or (isinstance(x, Node) and x in shown):
                continue
            if isinstance(x, Node):
                shown[x] = None
                queue.append(x)
            else:
                places.add((node, i))
            room -= 1
    return shown, places


def _rank(x: Any) -> int:
    """Results of operations first: they lead on into the graph."""
    if isinstance(x, Node):
        return 1 if x.is_leaf else 0
    return 2
