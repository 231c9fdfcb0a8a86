"""勾配も計算グラフの一部にする逆伝播 (create_graph): 高階微分のために。"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from micrograd_jp.graph.hooks import hooked
from micrograd_jp.graph.modes import Mode, autocasting, short_dtype
from micrograd_jp.graph.node import N, topological_order
from micrograd_jp.graph.shares import shares
from micrograd_jp.graph.spent import require_unspent
from micrograd_jp.graph.writes import latest
from micrograd_jp.namespace import quiet


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
    return pulled_back([(root, seed)])


@quiet.silence()
def pulled_back(
    seeds: list[tuple[N, Any]], until: N | None = None, shares: Any = shares,
    inputs: Collection[N] | None = None,
) -> dict[N, Any]:  # fmt: skip
    """`gradients` と同じことを、いくつもの出力から 1 度に行う。

    Args:
        seeds: 出力とその勾配。同じ出力が何度もあれば足す。
        until: これより先には進まないノード。
        shares: ノードと上流の勾配から、親の勾配を作る関数。
        inputs: あれば、これらに至るところだけをたどる。
    """
    if autocasting() is not None:  # the rules compute in the dtypes of the forward pass
        with Mode(short_dtype, None):
            return pulled_back(seeds, until, shares, inputs)
    total: dict[Any, Any] = {}
    for root, seed in seeds:
        node = latest(root)
        total[node] = total[node] + seed if node in total else seed
    order = topological_order(*total)
    require_unspent(order)
    passed = None if inputs is None else leading_to(inputs, order)
    for node in reversed(order):
        upstream = total.get(node)
        if upstream is None:
            continue
        upstream = total[node] = hooked(node, upstream)
        if node.op is None or node is until or (passed is not None and node not in passed):
            continue
        for parent, share in zip(node.parents, shares(node, upstream), strict=True):
            total[parent] = total[parent] + share if parent in total else share
    return total


def leading_to(inputs: Collection[N], order: list[N]) -> set[N]:
    """親が先に来る順のノードのうち、`inputs` のどれかから計算されたもの。"""
    found: set[N] = set()
    for node in order:
        if any(parent in found or parent in inputs for parent in node.parents):
            found.add(node)
    return found
