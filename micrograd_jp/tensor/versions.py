"""書き換えられた `Tensor` と計算グラフ: 値ごとのノード (version)。

計算グラフの中の値が書き込まれると、`Tensor` は値を見せるだけになり、計算グラフには値ごとのノードが
残る（`Tensor.latest` が、いまの値のノード）。だから h → 書き込んだ値 → 前の h という輪はできず、
書き込む前の h から計算したものの勾配も正しい。ビューに書き込むと、もとの `Tensor` に新しいノードが
でき、ほかのビューのノードは、次に使うときにそこから作り直される。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp import namespace
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.writes import writes
from micrograd_jp.ops import arrays as ops
from micrograd_jp.tensor.array import Tensor, with_retained

_RECORD = ("op", "_a", "_db", "_made", "_params", "_xs", "spent", "requires_grad")


def root_of(t: Tensor) -> Tensor:
    """ビューなら、計算グラフの上でのもとの `Tensor`。なければ自分。"""
    while (base := t.base) is not None and base[1] is not None:
        t = base[0]
    return t


def keep_versions(t: Tensor) -> Tensor | None:
    """これからは値ごとのノードを残す。はじめてなら、いままでの値のノードを返す。"""
    root = root_of(t)
    if getattr(root, "_now", None) is not None:
        return None
    writes.tracked = True
    root._now = old = _twin(root)
    if root.op is not None:
        old._data = namespace.of(root._data).array(root._data)  # its rule may need the numbers
        # What was computed from the root so far hands its gradient on to what the root was.
        root._db, root._params = None, {}
        root.record(ops.current, (old,), (old,), (old._data,), {})
        root._now = _recorded(root, ops.current, (old,), {})
    return old


def become(t: Tensor, keys: tuple[Any, ...] | None, value: Tensor) -> None:
    """`t[keys] = value` を記録する（`keys` がなければ全体）。数はもう書いてある。"""
    written = t
    if keys is not None:
        node = _recorded(t, ops.assigned, (t.latest, value), {"key": keys})
    else:
        node = _recorded(t, ops.current, (value,), {})
    while (base := t.base) is not None and base[1] is not None:
        t, op, params = base
        if "key" in params:
            node = _recorded(t, ops.assigned, (t.latest, node), {"key": params["key"]})
        else:
            node = _recorded(t, op, (node,), _back(op, params, t.ndim, t.shape))
    if not t.requires_grad or not t._a or t._a[0] is t._now:  # no node has t as its parent
        t.record(ops.current, (node,), (node,), (node._data,), {})
    t._now = with_retained(node, t, t._now)
    if written is not t:
        written.latest  # noqa: B018 - the view, too, is now of the graph


def _recorded(t: Tensor, op: Any, operands: tuple[Tensor, ...], params: dict[str, Any]) -> Tensor:
    """A node that shows the numbers of t."""
    out = Tensor.node(t._data)
    xs = tuple(x._data for x in operands)
    out.record(op, operands, tuple(x for x in operands if x.requires_grad), xs, params)
    return out


def _back(op: Any, params: dict[str, Any], ndim: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """The parameters with which the same operation leads back from a view."""
    if op is ops.reshape:
        return {"shape": shape}
    return {"axes": tuple(sorted(range(ndim), key=params["axes"].__getitem__))}


def show(t: Tensor, data: Any) -> None:
    """値の配列を取り替える。ビューなら、もとの `Tensor` の配列も。"""
    t._data = data
    if t.base is None:
        return
    whole, op, params = t.base
    m = namespace.of(data)
    if op is None:
        show(whole, data)
        return
    if "key" in params:
        show(whole, m.assigned(m.array(whole._data), params["key"], data))
    else:
        show(whole, op.value(m, data, **_back(op, params, whole.ndim, whole.shape)))
    t._data = op.value(m, whole._data, **params)


def forget(t: Tensor, old: Tensor) -> None:
    """いまの値に至るノードの引数を、`t` とそのビューから、書き込む前の値のノードに替える。

    はじめての書き込みの前に `t` から計算したものは、`t` を引数に持っている。そのままだと、
    t → いまの値 → … → t という輪になる。
    """
    root = root_of(t)
    plain: dict[int, Any] = {id(root): old}

    def without(x: Any) -> Any:
        if isinstance(x, Tensor) and id(x) not in plain:
            plain[id(x)] = _twin(x) if x.base is not None and root_of(x) is root else x
        return plain.get(id(x), x)

    seen, stack, scalars = {id(old)}, [root._now], 1000
    while stack:
        node = stack.pop()
        if id(node) in seen or not isinstance(node, Node) or node.op is None:
            continue
        seen.add(id(node))
        if isinstance(node, Tensor):
            if node._made < old._made:  # older than t
                continue
        elif (scalars := scalars - 1) < 0:  # among many numbers, a ring is left to the collector
            continue
        if node._a.__class__ is tuple:
            node._a = tuple(map(without, node._a))
            if node._db.__class__ is tuple:
                node._db = tuple(map(without, node._db))
            stack += node._a
        else:
            stack += (node._a, node._b)


def _twin(t: Tensor) -> Tensor:
    """Another Tensor with the same numbers and the same record, and no view of anything."""
    out = Tensor.node(t._data)
    out._made = getattr(t, "_made", -1)
    if t.op is not None:
        for name in _RECORD:
            setattr(out, name, getattr(t, name))
    return out
