"""逆伝播: トポロジカル順序を逆にたどり、連鎖律で勾配を求める。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.graph.anomaly import watched
from micrograd_jp.graph.modes import unusual
from micrograd_jp.graph.node import N, Node, lock, topological_order
from micrograd_jp.graph.shares import shares, spent_graph
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
            _require_unspent(order)
        warnings = quiet.silenced()
        try:
            _run(root, seed, order, keep)
        finally:
            quiet.restore(warnings)


def _require_unspent(order: list[Any]) -> None:
    """Refuse a graph that went through a backward pass, before any gradient changes."""
    for node in order:
        if node.spent:  # a Value never is
            raise spent_graph()


def _run(root: Node, seed: Any, order: list[Node], keep: bool) -> None:
    for node in order:
        if node._da is not None:  # the result of an operation on numbers
            node._grad = 0.0
        elif node.op is not None or node._grad is None:
            node._grad = node.no_gradient
    root.accumulate(seed)
    if unusual.contexts:
        watched(reversed(order), keep)
        return
    for node in reversed(order):
        a = node._a
        if a.__class__ is tuple:
            if node._da is None:
                node.pull(keep)
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


def gradients(root: N, seed: N) -> dict[N, N]:
    """計算グラフ自身の演算で連鎖律をたどる。結果の勾配もまた微分できる。

    Args:
        root: 微分される出力。
        seed: 出力の勾配。

    Returns:
        `root` に至る各ノードの勾配。`grad` 属性には触れない。

    Raises:
        RuntimeError: 順伝播のあとで `data` が書き換えられていて、局所微分が合わない。
    """
    return pulled_back({root: seed})


def pulled_back(seeds: dict[N, N]) -> dict[N, N]:
    """`gradients` と同じことを、いくつもの出力から 1 度に行う。

    Args:
        seeds: 出力から、その勾配への対応。
    """
    total: dict[Any, Any] = dict(seeds)
    order = topological_order(*seeds)
    _require_unspent(order)
    for node in reversed(order):
        upstream = total.get(node)
        if upstream is None or node.op is None:
            continue
        for parent, share in zip(node.parents, shares(node, upstream), strict=True):
            total[parent] = total[parent] + share if parent in total else share
    return total
