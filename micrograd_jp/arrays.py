"""配列のノードの逆伝播: 上流の勾配から、各親の勾配を作る。

配列のまま計算することも、計算グラフの演算として（高階微分のために）計算することもでき、
どちらも同じ規則を使う。ブロードキャストの逆と型合わせは、規則ではなくここで 1 度だけ行う。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp import namespace
from micrograd_jp.graph import ONE, Node, graph
from micrograd_jp.ops.arrays import summed_to
from micrograd_jp.ops.primitive import ArrayOp, Elementwise


def data_of(x: Any) -> Any:
    """ノードなら配列か数、そうでなければそのまま。"""
    return x.data if isinstance(x, Node) else x


def array_shares(node: Any, upstream: Any) -> list[Any]:
    """各親の勾配。`upstream` が配列なら配列、ノードなら（さらに微分できる）ノード。"""
    operands = node.operands
    if isinstance(upstream, Node):
        return _shares(graph, node, upstream, node, operands, operands)
    xs = [x.data if isinstance(x, Node) else x for x in operands]
    m = namespace.of(upstream, node.data, *xs)
    with m.quiet():
        return _shares(m, node, upstream, node.data, xs, operands)


def _shares(m: Any, node: Any, g: Any, z: Any, xs: Any, operands: Any) -> list[Any]:
    op = node.op
    wanted = [isinstance(x, Node) and x.requires_grad for x in operands]
    if isinstance(op, Elementwise):
        shares = []
        for rule, want, x in zip(op.partials, wanted, operands):
            if want:
                d = 0 if rule is None else rule(m, z, *xs)
                shares.append(_fitted(m, g if d is ONE else g * d, x))
        return shares
    assert isinstance(op, ArrayOp)
    every = op.shares(m, g, z, xs, getattr(node, "_params", {}), wanted)
    return [_fitted(m, s, x) for s, x, want in zip(every, operands, wanted) if want]


def _fitted(m: Any, share: Any, x: Any) -> Any:
    """The share in the shape and dtype of what it is the gradient of."""
    data = x.data
    shape = getattr(data, "shape", ())
    if share.shape != shape:
        share = summed_to(m, share, shape)
    if data.__class__ is float:  # the gradient of a Value is a Value
        return share.to_value() if m is graph else share
    dtype = data.dtype
    if share.dtype == dtype:
        return share
    dtype = namespace.of(data_of(share)).available(dtype)  # JAX may have no float64
    return share if share.dtype == dtype else m.astype(share, dtype)
