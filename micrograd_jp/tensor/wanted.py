"""求める入力だけの勾配: 出力から入力へ（`autograd.grad`、`backward(inputs=)`）。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd_jp.engine.value import Value
from micrograd_jp.graph.higher_order import pulled_back
from micrograd_jp.graph.modes import enable_grad, no_grad
from micrograd_jp.graph.node import Node, topological_order
from micrograd_jp.graph.spent import let_go
from micrograd_jp.graph.writes import latest
from micrograd_jp.namespace import quiet


def gradients_of(
    seeds: Sequence[tuple[Any, Any]], inputs: Sequence[Any], keep: bool, create_graph: bool
) -> list[Any]:
    """Σ seed·∂出力/∂入力 を入力ごとに。つながっていなければ `None`。

    Args:
        seeds: 出力とその勾配（ノード）の組。
        inputs: 入力。途中のノードでもよい。
        keep: 偽なら、たどったグラフはもう一度は使えない。
        create_graph: 真なら、勾配も計算グラフの一部になる。
    """
    nodes = [latest(x) for x in inputs]
    wanted = set(nodes)
    if create_graph:
        with enable_grad():
            total = pulled_back([*seeds], inputs=wanted)
        found = [total.get(x) if x in total else None for x in nodes]
    else:
        with no_grad():
            raw = [(y, seed._data) for y, seed in seeds]
            total = quiet.silence()(pulled_back)(raw, inputs=wanted)
        found = [_node(x, total[x]) if x in total else None for x in nodes]
    if not keep:
        let_go(topological_order(*[latest(y) for y, _ in seeds]))
    return found


def _node(x: Any, gradient: Any) -> Any:
    """The gradient as what its input is, in memory of its own, and outside of any graph."""
    if isinstance(x, Value):
        return Value(getattr(gradient, "_data", gradient))
    if isinstance(gradient, Node):
        return x.of_array(gradient._data).clone()
    return x.of_array(gradient).clone()
