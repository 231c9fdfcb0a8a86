"""複素ステップ法 (complex step): 実数で記録した計算グラフに、複素数を流し直す。

Im f(x + ih) / h が微分になる (Squire & Trapp, 1998)。`f` は普通の `Value` で呼ばれるので、
Python の `if` は実数が選んだ枝を通る。各ノードは、宣言の式だけで計算し直す（局所微分は使わない）。
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from micrograd_jp.engine.value import Value
from micrograd_jp.graph.modes import enable_grad
from micrograd_jp.graph.node import Node, topological_order
from micrograd_jp.namespace import analytic
from micrograd_jp.namespace.complex import ByRealPart
from micrograd_jp.ops.primitive import Elementwise, Reduction

_STEP = 1e-30
_INSTEAD = 'method="central" か "richardson" を使ってください。'


def complex_steps(
    call: Callable[[Sequence[float]], tuple[list[Value], Any]], point: Sequence[float]
) -> list[float]:
    """`point` での、各入力についての偏微分。

    Args:
        call: 入力から、葉と出力への関数。
        point: 入力。

    Raises:
        TypeError: 計算グラフに現れない数か、配列を通して微分することになる。
    """
    with enable_grad():
        leaves, order, constants = _recorded(call, point)
        if all(_others(call, _beside(point, side), order, constants) for side in (1, -1)):
            raise TypeError(
                "f は計算グラフの外で入力の数を使っています (leaves the graph): x.data、detach()、"
                "no_grad() を通った数や乱数は、複素ステップ法 (complex step) ではたどれません。"
                f"入力の Value のまま計算するか、{_INSTEAD}"
            )
    return [_derivative(order, leaf) for leaf in leaves]


def _beside(point: Sequence[float], side: int) -> list[float]:
    """Each input moved in its own way: two that move alike could hide behind x − y."""
    small = [side * 1e-7 * (1 + 0.1 * math.sin(i)) for i in range(len(point))]
    return [x + d * (abs(x) or 0.01) for x, d in zip(point, small, strict=True)]


def _others(call: Any, beside: Any, order: list[Node], constants: list[Any]) -> bool:
    """Whether the same way through f has other numbers there: numbers made from the inputs."""
    _, order_there, constants_there = _recorded(call, beside)
    same_way = [node.op for node in order] == [node.op for node in order_there]
    return same_way and repr(constants) != repr(constants_there)


def _recorded(call: Any, at: Sequence[float]) -> tuple[list[Value], list[Node], list[Any]]:
    """The leaves, the graph, and its numbers that are no inputs."""
    leaves, output = call(at)
    if not isinstance(output, Node):
        return leaves, [], [output]
    order, constants, inputs = topological_order(output), [], set(map(id, leaves))
    for node in order:
        constants += [x for x in node.operands if not isinstance(x, Node)]
        if node.op is None and id(node) not in inputs:
            constants.append(node.data)
    return leaves, order, constants


def _derivative(order: list[Node], leaf: Node) -> float:
    """Of the last node in the order."""
    moved: dict[int, complex] = {id(leaf): complex(leaf.data, _STEP)}
    for node in order:
        op, operands = node.op, node.operands
        if moved.keys().isdisjoint(map(id, operands)):
            continue
        if not isinstance(node, Value) or not isinstance(op, Elementwise | Reduction):
            raise TypeError(f"複素ステップ法 (complex step) は配列の演算には使えません。{_INSTEAD}")
        xs = [ByRealPart(moved.get(id(x), x.data if isinstance(x, Node) else x)) for x in operands]
        z = op.value(analytic, xs) if isinstance(op, Reduction) else op.value(analytic, *xs)
        moved[id(node)] = complex(z)
    return moved[id(order[-1])].imag / _STEP if order and id(order[-1]) in moved else 0.0
