"""逆伝播: トポロジカル順序を逆にたどり、連鎖律で勾配を求める。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.graph.anomaly import watched
from micrograd_jp.graph.modes import unusual
from micrograd_jp.graph.node import Node, lock, topological_order
from micrograd_jp.graph.spent import let_go, require_unspent
from micrograd_jp.namespace import quiet


def backward(root: Node, seed: Any, keep: bool = True) -> None:
    """連鎖律で勾配を求める。葉には足し込み、途中のノードには今回の値を入れる。

    Args:
        root: 微分される出力。
        seed: 出力の勾配（ふつう 1）。
        keep: 偽なら、配列のノードはもう一度は逆伝播できなくなる。
    """
    with lock:
        order = topological_order(root)
        if root._da is None:  # made by an operation on arrays
            require_unspent(order)
        warnings = quiet.silenced()
        try:
            _run(root, seed, order)
        finally:
            quiet.restore(warnings)
        if not keep:
            let_go(order)


def _run(root: Node, seed: Any, order: list[Node]) -> None:
    for node in order:
        if node._da is not None:  # the result of an operation on numbers
            node._grad = 0.0
        elif node.op is not None or node._grad is None:
            node._grad = node.no_gradient
    root.accumulate(seed)
    if unusual.contexts:
        watched(reversed(order))
        return
    for node in reversed(order):
        a = node._a
        if a.__class__ is tuple:
            if node._da is None:
                node.pull()
                continue
            g = node._grad
            for parent, partial in zip(a, node._da, strict=True):
                parent._grad += g * partial
            continue
        if a is not None:
            a._grad += node._grad * node._da
        b = node._b
        if b is not None:
            b._grad += node._grad * node._db
