"""書き換えられた `Tensor` と計算グラフ: 値ごとのノード (version)。

計算グラフの中の値が書き込まれると、`Tensor` は値を見せるだけになり、計算グラフには値ごとのノードが
残る（`Tensor.latest` が、いまの値のノード）。だから h → 書き込んだ値 → 前の h という輪はできず、
書き込む前の h から計算したものの勾配も正しい。ビューに書き込むと、もとの `Tensor` に新しいノードが
でき、ほかのビューのノードは、次に使うときにそこから作り直される。
"""

from __future__ import annotations

from typing import Any, Self, TypeVar

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.writes import writes
from micrograd_jp.ops import arrays as ops
from micrograd_jp.ops import complex as complexes
from micrograd_jp.tensor.keys import BASIC

_RECORD = ("op", "_a", "_db", "_made", "_params", "_xs", "spent", "requires_grad")

T = TypeVar("T")
V = TypeVar("V", bound="Versions")


class Versions(Node):
    """`Tensor` のうち、値ごとのノードを知る部分。"""

    __slots__ = ()

    _base: Any  # of a view: what it is a view of, by which operation, with which parameters
    _now: Any  # once something tracked was written: the node of its value since then
    _made: Any  # the others are of `Tensor`, which stands on this
    _params: Any
    _retained: Any
    ndim: Any
    node: Any
    record: Any
    shape: Any

    @property
    def latest(self) -> Self:
        """計算グラフの中で、いまの値を表すノード。書き換えられたことがなければ自分。

        計算グラフの中の値が書き込まれると、`Tensor` は値を見せるだけになり、計算グラフには値ごとの
        ノードが残る。だから h → 書き込んだ値 → 前の h という輪はできず、前の h の勾配も正しい。
        """
        now = getattr(self, "_now", None)
        base = self.base
        if base is not None and base[1] is not None:
            whole, op, params = base
            source = whole.latest
            if source is whole:
                return self
            if now is None or not now._a or now._a[0] is not source:
                if self._data.__class__ is not np.ndarray:  # no memory in common
                    m = namespace.of(source._data)
                    self._data = op.value(m, source._data, **params)
                before, now = now, self.node(self._data)
                self._now = _with_retained(now, self, before)
                if source.requires_grad:
                    for t in (now, self)[: 1 + (not self.requires_grad)]:
                        t.record(op, (source,), (source,), (source._data,), params)
        if now is not None:
            now._data = self._data
        return self if now is None else now

    @property
    def base(self) -> Any:
        """ビューなら、(もとの Tensor, 演算, その引数)。なければ `None`。"""
        found = getattr(self, "_base", None)
        if found is None and self.op is not None and self.op.views and self._a:
            found = (self._a[0], self.op, self._params)
        if not found:
            return None
        data, op, source = self._data, found[1], found[0]._data
        if op is None:
            return found
        if data.__class__ is not np.ndarray:
            chosen = op is ops.getitem and not all(k.__class__ in BASIC for k in found[2]["key"])
            return None if chosen else found
        shared = data.base is not None and (data.base is source or data.base is source.base)
        return found if shared else None  # else a copy


def root_of(t: V) -> V:
    """ビューなら、計算グラフの上でのもとの `Tensor`。なければ自分。"""
    while (base := t.base) is not None and base[1] is not None:
        t = base[0]
    return t


def keep_versions(t: Versions) -> Versions | None:
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


def become(t: Versions, keys: tuple[Any, ...] | None, value: Versions) -> None:
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
        elif op in PARTS:
            node = _recorded(t, complexes.complex, _both_parts(t.latest, op, node), {})
        else:
            node = _recorded(t, op, (node,), _back(op, params, t.ndim, t.shape))
    if not t.requires_grad or not t._a or t._a[0] is t._now:  # no node has t as its parent
        t.record(ops.current, (node,), (node,), (node._data,), {})
    t._now = _with_retained(node, t, t._now)
    if written is not t:
        written.latest  # noqa: B018 - the view, too, is now of the graph


PARTS = (complexes.real, complexes.imag)


def _both_parts(x: Versions, op: Any, part: Versions) -> tuple[Versions, ...]:
    """書き込まれた部分と、x のもう 1 つの部分を、実部、虚部の順に。"""
    other = _other(op)
    rest = x.node(other.value(namespace.of(x._data), x._data))
    if x.requires_grad:
        rest.record(other, (x,), (x,), (x._data,), {})
    return _in_order(op, part, rest)


def _other(op: Any) -> Any:
    return PARTS[1 - PARTS.index(op)]


def _in_order(op: Any, part: T, rest: T) -> tuple[T, T]:
    return (part, rest) if op is PARTS[0] else (rest, part)


def _with_retained(node: Versions, *before: Versions | None) -> Versions:
    """`retain_grad` は Tensor のもの: 値のノードが `node` に変わったら、そこに引き継ぐ。"""
    for old in before:
        if old is not None and old._retained is not False:
            node._retained, node._grad = old._retained, old._grad
            old._retained, old._grad = False, None
    return node


def _recorded(
    t: Versions, op: Any, operands: tuple[Versions, ...], params: dict[str, Any]
) -> Versions:
    """A node that shows the numbers of t."""
    out: Versions = t.node(t._data)
    xs = tuple(x._data for x in operands)
    out.record(op, operands, tuple(x for x in operands if x.requires_grad), xs, params)
    return out


def _back(op: Any, params: dict[str, Any], ndim: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """The parameters with which the same operation leads back from a view."""
    if op is ops.reshape:
        return {"shape": shape}
    return {"axes": tuple(sorted(range(ndim), key=params["axes"].__getitem__))}


def show(t: Versions, data: Any) -> None:
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
    elif op in PARTS:
        show(whole, m.complex(*_in_order(op, data, _other(op).value(m, whole._data))))
    else:
        show(whole, op.value(m, data, **_back(op, params, whole.ndim, whole.shape)))
    t._data = op.value(m, whole._data, **params)


def forget(t: Versions, old: Versions) -> None:
    """いまの値に至るノードの引数を、`t` とそのビューから、書き込む前の値のノードに替える。

    はじめての書き込みの前に `t` から計算したものは、`t` を引数に持っている。そのままだと、
    t → いまの値 → … → t という輪になる。
    """
    root = root_of(t)
    plain: dict[int, Any] = {id(root): old}

    def without(x: Any) -> Any:
        if isinstance(x, Versions) and id(x) not in plain:
            plain[id(x)] = _twin(x) if x.base is not None and root_of(x) is root else x
        return plain.get(id(x), x)

    seen, stack, scalars = {id(old)}, [root._now], 1000
    while stack:
        node = stack.pop()
        if id(node) in seen or not isinstance(node, Node) or node.op is None:
            continue
        seen.add(id(node))
        if isinstance(node, Versions):
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


def _twin(t: Versions) -> Versions:
    """Another Tensor with the same numbers and the same record, and no view of anything."""
    out: Versions = t.node(t._data)
    out._made = getattr(t, "_made", -1)
    if t.op is not None:
        for name in _RECORD:
            setattr(out, name, getattr(t, name))
    return out
