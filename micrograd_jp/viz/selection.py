"""どのノードを描くか。大きなグラフは、出力に近い所だけを残す。"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from micrograd_jp.graph.node import Node
from micrograd_jp.graph.spent import history
from micrograd_jp.graph.writes import latest
from micrograd_jp.viz.alike import Alike, Graph, grouped, side
from micrograd_jp.viz.naming import named


class Input(NamedTuple):
    """演算の引数の 1 つと、何番目か。定数と配列の演算には、数の局所微分がない。"""

    operand: Any
    partial: Any
    place: int


@dataclass
class Selection:
    """描くものと、描かないものの数。

    Attributes:
        outputs: 出力。
        nodes: 描くノード。親が子より先。
        inputs: ノードごとの、描く引数（同じ親が 2 度現れることもある）。
        total: グラフ全体のノードと定数の数。
        hidden_inputs: ノードごとの、描かない引数の数（0 のノードは含まない）。
        hidden: 描かないものの数。鍵は「葉」「定数」か演算の記号。
        repeated: 使う場所ごとに描いた葉の数。
    """

    outputs: list[Node]
    nodes: list[Node]
    inputs: dict[Node, list[Input]]
    total: int
    hidden_inputs: dict[Node, int] = field(default_factory=dict)
    hidden: Counter[str] = field(default_factory=Counter)
    repeated: int = 0


MOST_NODES = 150
"""`max_nodes` を渡さないとき、これより大きなグラフはまとめる。"""

LONGEST = 30
"""`max_nodes` を渡さないときの、縦に並ぶ箱と、横に並ぶ演算の最大の数。"""

_MOST_USES = 8
"""これより多く使われる葉は、使う場所ごとに描く。遠くからの何百本もの線は、読めず、配置も終わらない。"""


def select(
    outputs: Sequence[Node], max_nodes: int | None, names: Mapping[Node, str] | None = None
) -> Selection:
    """描くノードを選ぶ。

    Args:
        outputs: 出力。
        max_nodes: 全体がこの数以下ならすべて、多ければ出力に近い所を描く。`None` なら、大きなグラフ
            では同じ形の繰り返しをまとめ、それでも大きければ、縦横の長さも限って描く。
        names: 葉の名前。葉の `label` の代わりに描く。
    """
    ends = list(dict.fromkeys(map(latest, outputs)))
    graph, ends = named(history(*ends), ends, names or {})
    total = _size(graph)
    limit, longest = max_nodes or MOST_NODES, total + 1 if max_nodes else LONGEST

    def fits() -> bool:
        return _size(graph) <= limit and (max_nodes is not None or side(graph) <= longest)

    if max_nodes is None and not fits():
        graph, ends = grouped(graph, ends)
    if fits():
        inputs = {node: _inputs(node, operands) for node, operands in graph.items()}
        found = Selection(ends, list(graph), inputs, total)
    else:
        found = _near_the_outputs(graph, ends, total, limit, longest)
    _beside_each_use(found)
    return found


def _size(graph: Graph) -> int:
    """Nodes and constants."""
    return len(graph) + sum(not isinstance(x, Node) for xs in graph.values() for x in xs)


def _near_the_outputs(
    graph: Graph, outputs: list[Node], total: int, limit: int, longest: int
) -> Selection:
    shown, places = _nearest(outputs, graph, limit, longest)
    ends = [x for x in outputs if x in shown]
    found = Selection(ends, [x for x in graph if x in shown], {}, total)
    for node in graph:
        if node not in shown:
            found.hidden[_kind(node)] += _weight(node)
    for node in found.nodes:
        every = _inputs(node, graph[node])
        found.inputs[node] = [
            x
            for i, x in enumerate(every)
            if (x.operand in shown if isinstance(x.operand, Node) else (node, i) in places)
        ]
        if len(every) > len(found.inputs[node]):
            found.hidden_inputs[node] = sum(_weight(x.operand) for x in every) - sum(
                _weight(x.operand) for x in found.inputs[node]
            )
    unseen = sum(
        _weight(x)
        for node, operands in graph.items()
        for i, x in enumerate(operands)
        if not isinstance(x, Node) and (node, i) not in places
    )
    if unseen:
        found.hidden["定数"] = unseen
    return found


def _weight(x: Any) -> int:
    """How many nodes or constants one box stands for."""
    return getattr(x, "count", 1)


def _beside_each_use(found: Selection) -> None:
    """A leaf with many uses is drawn beside each of them."""
    uses: dict[Node, list[tuple[Node, int]]] = {}
    for node in found.nodes:
        for i, (operand, *_) in enumerate(found.inputs[node]):
            if isinstance(operand, Node) and operand.is_leaf:
                uses.setdefault(operand, []).append((node, i))
    copies = []
    for leaf, places in uses.items():
        if len(places) <= _MOST_USES:
            continue
        found.repeated += 1
        for node, i in places:
            copy = Alike([leaf])
            copies.append(copy)
            found.inputs[copy] = []
            found.inputs[node][i] = found.inputs[node][i]._replace(operand=copy)
        if not any(leaf is x for x in found.outputs):  # == would compare the numbers
            found.nodes = [x for x in found.nodes if x is not leaf]
    found.nodes = [*copies, *found.nodes]


def _inputs(node: Node, operands: tuple[Any, ...]) -> list[Input]:
    partials: dict[int, list[float]] = {}
    for parent, partial in zip(node.parents, node.partials):
        partials.setdefault(id(parent), []).append(partial)
    found = []
    for place, x in enumerate(operands):
        own = partials.get(id(getattr(x, "stands_for", x)))
        found.append(Input(x, own.pop(0) if own else None, place))
    return found


def _kind(node: Node) -> str:
    return "葉" if node.op is None else node.op.symbol


def _nearest(
    outputs: Sequence[Node], graph: Graph, limit: int, longest: int
) -> tuple[dict[Node, None], set[tuple[Node, int]]]:
    """Breadth first from the outputs: nodes, and the places (node, argument) of constants."""
    shown = dict.fromkeys(outputs[: min(limit, longest)])
    depth, columns = dict.fromkeys(shown, 0), Counter({0: len(shown)})
    places: set[tuple[Node, int]] = set()
    room = limit - len(shown)
    widest = max(2, limit // 10)  # else the 784 weights of one dot product would take all the room
    queue = deque(shown)
    while queue and room > 0:
        node = queue.popleft()
        operands = graph[node]
        for i in sorted(range(len(operands)), key=lambda i: _rank(operands[i]))[:widest]:
            x = operands[i]
            column = depth[node] + 1
            if room <= 0 or (isinstance(x, Node) and x in shown):
                continue
            if max(column, columns[column]) >= longest:
                continue
            columns[column] += 1
            if isinstance(x, Node):
                shown[x], depth[x] = None, column
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
