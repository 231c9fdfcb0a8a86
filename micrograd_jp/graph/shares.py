"""規則から各親の勾配（分け前 share）を作る: 上流の勾配を、局所微分や VJP で分ける。

配列や数のまま計算することも、計算グラフの演算として（高階微分のために）計算することもでき、
どちらも同じ規則を使う。ブロードキャストの逆と型合わせは、規則ではなくここで 1 度だけ行う。
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.graph.anomaly import observe_shares
from micrograd_jp.graph.modes import unusual
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.graph.spent import spent_graph
from micrograd_jp.graph.writes import Overwritten, writes
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.namespace.numpy_kernels import computed_in
from micrograd_jp.ops.arrays import summed_to
from micrograd_jp.ops.primitive import Elementwise, Reduction

MANY_STEPS = frozenset(
    "leaky_relu sigmoid hard_sigmoid softplus elu erf gelu silu mish hardswish".split()
)
"""要素ごとの演算のうち、手順が多くて、配列では 1 度に計算するほうが速いもの。"""

ONE = 1  # small ints are singletons: rules that say 1 give back the upstream gradient itself


def shares(node: Any, upstream: Any) -> list[Any]:
    """各親の勾配。`upstream` がノードなら（さらに微分できる）ノード、でなければ配列か数。"""
    return of_arrays(node, upstream) if node.is_array_op else of_numbers(node, upstream)


def hand_on(node: Any) -> None:
    """配列の演算のノードの勾配から各親の勾配を作り、渡す。"""
    upstream = node._grad
    parts = of_arrays(node, upstream)
    if unusual.contexts:
        observe_shares(node, upstream, parts)
    for parent, part in zip(node._a, parts):
        # What a rule made anew need not be copied; the upstream gradient itself must be.
        parent.accumulate(part, part is not upstream)


def of_arrays(node: Any, upstream: Any, m: Any = None) -> list[Any]:
    """配列の演算の各親の勾配。`m` は、上流の勾配を計算する名前空間（省くと、上流から決まる）。"""
    op, operands = node.op, node._a if node._db is None else node._db
    if m is None and isinstance(upstream, Node):
        m = on_graph
    if m is not None:
        if node.spent:
            raise spent_graph()
        z, xs = node, operands
        if node._data.__class__ is not float:
            z, *xs = screened(node, (node._data, *node._xs), (node, *operands))
    else:
        m, z = namespace.of(upstream, node._data), node._data
        if z.__class__ is float:  # a Value made of a Tensor keeps nothing but the Tensor
            xs = operands  # of which only the shape is asked
        else:
            xs = node._xs
            if node._made != writes.count:
                z, *xs = screened(node, (z, *xs))
            if z.dtype.itemsize == 2 and op.__class__ is Elementwise:
                upstream, z, *xs = widened(m, (upstream, z, *xs))
    # The parents are, in order, those of the operands that were tracked when it was recorded.
    parents, all_tracked = node._a, node._db is None
    parts: list[Any] = []
    if op.__class__ is Elementwise:
        at_once = op.name in MANY_STEPS and m is namespace.ieee
        for rule, x in zip(op.partials, operands):
            if all_tracked or ((n := len(parts)) < len(parents) and x is parents[n]):
                if at_once and rule is op.partials[0]:
                    part = namespace.ieee.fused_share(op, upstream, z, *xs)
                    if part is not None:
                        parts.append(_fitted(m, part, x))
                        continue
                d = 0 if rule is None else rule(m, z, *xs)
                parts.append(_fitted(m, upstream if d is ONE else m.times(upstream, d), x))
        return parts
    params = getattr(node, "_params", {})
    wanted, n = [], 0
    for x in operands:
        wanted.append(all_tracked or (n < len(parents) and x is parents[n]))
        n += wanted[-1]
    if isinstance(op.vjp, tuple):  # a rule for each operand, called where it is wanted
        every = [
            rule(m, upstream, z, *xs, **params) if want else None
            for rule, want in zip(op.vjp, wanted)
        ]
    else:
        every = op.vjp(m, upstream, z, *xs, **params)
    return [_fitted(m, s, x) for s, x, want in zip(every, operands, wanted) if want]


def local_derivative(node: Any, i: int, ones: Any) -> Any:
    """配列の要素ごとの演算の、i 番目の引数での局所微分。

    Args:
        node: 演算の結果。
        i: 引数の番号。
        ones: 結果と同じ形の、1 の配列。
    """
    z, *xs = screened(node, (node._data, *node._xs))
    m, rule = namespace.of(z), node.op.partials[i]
    return m.times(ones, 0 if rule is None else rule(m, z, *xs))


def parameters(node: Any) -> dict[str, Any]:
    """配列の演算の、勾配のない引数（軸や形）。"""
    found: dict[str, Any] = getattr(node, "_params", {})
    return found


def tracked(node: Any) -> list[int]:
    """何番目の引数に勾配が流れるか: 親は、そのうち追跡していたものを順に並べたもの。"""
    parents, places = list(node.parents), []
    for i, x in enumerate(node.operands):
        if parents and x is parents[0]:
            places.append(i)
            parents.pop(0)
    return places


def widened(m: Any, xs: tuple[Any, ...]) -> tuple[Any, ...]:
    """半精度の数は単精度にする: 公式の途中で丸めず、PyTorch と同じく、結果を 1 度だけ丸める。"""
    wide = [computed_in(x.dtype) if hasattr(x, "dtype") else None for x in xs]
    if all(w is None or w is x.dtype for x, w in zip(xs, wide)):
        return xs
    return tuple(
        x if w is None or x.__class__ is Overwritten else m.astype(x, w) for x, w in zip(xs, wide)
    )


def _fitted(m: Any, share: Any, x: Any) -> Any:
    """The share in the shape and dtype of what it is the gradient of."""
    data = x._data
    if data.__class__ is float:  # the gradient of a Value is a Value
        share = summed_to(m, share, ())
        if share.dtype.kind == "c":
            share = m.real(share)
        if hasattr(share, "to_value"):
            return share.to_value()
        return namespace.concrete(share, "Value の勾配")
    if share.shape != data.shape:
        share = summed_to(m, share, data.shape)
    if share.dtype == data.dtype:
        return share
    dtype = namespace.of(data_of(share)).available(data.dtype)  # JAX may have no float64
    return share if share.dtype == dtype else m.astype(share, dtype)


def of_numbers(node: Node, upstream: Any, m: Any = on_graph) -> list[Any]:
    """数の演算の各親の勾配: 上流の勾配と局所微分の積。どれも計算グラフの一部になる。"""
    parts = []
    for partial, recorded in zip(differentiable_partials(node), node.partials, strict=True):
        _check_unchanged(node, getattr(partial, "data", partial), recorded)
        parts.append(upstream if partial is ONE else m.times(upstream, partial))
    return parts


def differentiable_partials(node: Node) -> list[Any]:
    """局所微分を、親と同じ順に、計算グラフの式（または数）として作り直す。"""
    xs, op = node.operands, node.op
    if isinstance(op, Reduction):
        partials: Iterable[Any] = op.partials(on_graph, node, xs)
        return [d for x, d in zip(xs, partials, strict=True) if isinstance(x, Node)]
    if isinstance(op, Elementwise):
        return [
            0 if rule is None else rule(on_graph, node, *xs)
            for x, rule in zip(xs, op.partials, strict=True)
            if isinstance(x, Node)
        ]
    return []


# ---- 使えないグラフは断る -----------------------------------------------------------------------


def screened(node: Any, used: Sequence[Any], now: Sequence[Any] | None = None) -> list[Any]:
    """順伝播で使った値。そのあと書き換えられたものは、使うと断る `Overwritten` になる。

    Args:
        node: 配列のノード。
        used: 値と引数の、順伝播のときの配列。
        now: それらの、いまのノード。渡すとノードを返し、別の配列に取り替えられていても断る
            （計算グラフの演算として微分するときは、いまの値が使われるから）。
    """
    out = list(used if now is None else now)
    for i, x in enumerate(used):
        if not hasattr(x, "dtype"):
            continue
        replaced = now is not None and data_of(now[i]) is not x
        if replaced or (node._made != writes.count and writes.after(node._made, x)):
            out[i] = Overwritten(x, overwritten(node.op.name.removeprefix("tensor.")))
    return out


def overwritten(name: str) -> RuntimeError:
    """`name` という演算が使った値が、もうない。"""
    return RuntimeError(
        f"順伝播のあとで、{name} が使った値が書き換えられて"
        "います (modified in place): 勾配が変わってしまいます。optimizer.step() や w -= … は "
        "backward() の後に書くか、書き換える前に t.clone() を使って計算してください。"
    )


def _check_unchanged(node: Node, now: float, recorded: float) -> None:
    if now == recorded or math.isclose(now, recorded, rel_tol=1e-9):
        return
    if math.isnan(now) and math.isnan(recorded):
        return
    assert node.op is not None
    raise RuntimeError(
        f"順伝播のあとで data が書き換えられています (modified in place): {node.op.name} の"
        f"局所微分は順伝播のとき {recorded:.6g}、いまの data では {now:.6g} です。"
        "create_graph=True で微分するまでは、グラフの中の data を変えないでください。"
    )
