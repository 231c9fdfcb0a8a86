"""配列のノードの逆伝播: 上流の勾配から、各親の勾配を作る。

配列のまま計算することも、計算グラフの演算として（高階微分のために）計算することもでき、
どちらも同じ規則を使う。ブロードキャストの逆と型合わせは、規則ではなくここで 1 度だけ行う。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.graph.backward import ONE, Node, graph
from micrograd_jp.graph.writes import writes
from micrograd_jp.ops.arrays import summed_to
from micrograd_jp.ops.primitive import Elementwise


def data_of(x: Any) -> Any:
    """ノードなら配列か数、そうでなければそのまま。"""
    return x.data if isinstance(x, Node) else x


def array_shares(node: Any, upstream: Any) -> list[Any]:
    """各親の勾配。`upstream` が配列なら配列、ノードなら（さらに微分できる）ノード。"""
    op, operands = node.op, node._a if node._db is None else node._db
    if isinstance(upstream, Node):
        if hasattr(node, "_made"):
            require_unwritten(node, now=[data_of(x) for x in operands])
        m, z, xs = graph, node, operands
    else:
        m, z, xs = namespace.of(upstream, node.data), node.data, node._xs
    shares = []
    if op.__class__ is Elementwise:
        for rule, x in zip(op.partials, operands):
            if isinstance(x, Node) and x.requires_grad:
                d = 0 if rule is None else rule(m, z, *xs)
                shares.append(_fitted(m, upstream if d is ONE else m.times(upstream, d), x))
        return shares
    wanted = [isinstance(x, Node) and x.requires_grad for x in operands]
    every = op.shares(m, upstream, z, xs, node._params, wanted)
    return [_fitted(m, s, x) for s, x, want in zip(every, operands, wanted) if want]


def require_unwritten(node: Any, now: Sequence[Any] | None = None) -> None:
    """順伝播で使った値が変わっていないことを確かめる。

    Args:
        node: 配列のノード。
        now: 引数のいまの値。渡すと、別の配列に取り替えられていても断る（計算グラフの演算として
            微分するときは、いまの値が使われるから）。

    Raises:
        RuntimeError: 書き換えられた。
    """
    replaced = now is not None and any(
        x is not y for x, y in zip(node._xs, now) if hasattr(x, "dtype")
    )
    if replaced or writes.after(node._made, node._xs):
        raise RuntimeError(
            f"順伝播のあとで、{node.op.name.removeprefix('tensor.')} が使った値が書き換えられて"
            "います (modified in place): 勾配が変わってしまいます。optimizer.step() や w -= … は "
            "backward() の後に書くか、書き換える前に t.clone() を使って計算してください。"
        )


def _fitted(m: Any, share: Any, x: Any) -> Any:
    """The share in the shape and dtype of what it is the gradient of."""
    data = x.data
    if data.__class__ is float:  # the gradient of a Value is a Value
        share = summed_to(m, share, ())
        return share.to_value() if m is graph else share
    if share.shape != data.shape:
        share = summed_to(m, share, data.shape)
    if share.dtype == data.dtype:
        return share
    dtype = namespace.of(data_of(share)).available(data.dtype)  # JAX may have no float64
    return share if share.dtype == dtype else m.astype(share, dtype)
