"""パラメータの置き場 (store): 散らばった `Value` の数を、1 本の平らなベクトルにまとめる。

捕まえられた `Value` は `Captured` になり、`data` と `grad` を読み書きするたびにベクトルの
自分の場所を見る。だから最適化は配列 1 つの演算で済み、`v.data` はいつも新しい。
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.table.table import Array, pieces
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.leaves import receive
from micrograd_jp.graph.node import Node, lock
from micrograd_jp.tensor.array import Tensor

# The slots of Node. `Captured` covers them by properties and keeps its own things in them:
# (store, index) in the first, a gradient that is itself a node in the second.
_place_slot: Any = Node.__dict__["_data"]
_node_slot: Any = Node.__dict__["_grad"]


class Store:
    """平らなベクトル 1 本。同じときに捕まえられた `Value` が並んでいる。

    Attributes:
        tensor: 形 (n,) の葉の `Tensor`（勾配を求める）。最適化手法にはこれを渡す。
        changes: `v.data = …` と書き込まれた回数。
        has_nodes: 勾配がノードになった (`create_graph=True`) `Value` があったか。
    """

    def __init__(self, values: Sequence[Value], dtype: Any) -> None:
        self.changes, self.has_nodes = 0, False
        with lock:
            data = np.fromiter((v.data for v in values), np.float64, len(values))
            self.tensor = Tensor(data.astype(dtype), requires_grad=True, label="parameters")
            grads = [v._grad for v in values]
            # A loop in C, over what may be a hundred thousand values: another thread that reads
            # one meanwhile finds it as it was or as it is, and a fork has all or none.
            classes = map(setattr, values, repeat("__class__"), repeat(Captured))
            places = map(_place_slot.__set__, values, zip(repeat(self), range(len(values))))
            nodes = map(_node_slot.__set__, values, repeat(None))
            deque(chain(classes, places, nodes), 0)
            for v, grad in zip(values, grads, strict=True):
                if grad is not None:
                    v._grad = grad

    def __len__(self) -> int:
        return self.tensor.size

    def grad(self) -> Any:
        """勾配の配列。まだなければ `None`。"""
        grad = self.tensor._grad
        return grad._data if isinstance(grad, Tensor) else grad


class Captured(Value):
    """置き場の中に数がある `Value`。使い方は `Value` と同じ。"""

    __slots__ = ()

    @property
    def _data(self) -> float:
        store, index = _place_slot.__get__(self)
        return float(store.tensor._data[index])

    @_data.setter
    def _data(self, number: float) -> None:
        store, index = _place_slot.__get__(self)
        tensor = store.tensor
        tensor.data = namespace.of(tensor._data).assigned(tensor._data, (index,), number)
        store.changes += 1

    @property
    def _grad(self) -> Any:
        node = _node_slot.__get__(self)
        if node is not None:
            return node
        store, index = _place_slot.__get__(self)
        grad = store.grad()
        return None if grad is None else float(grad[index])

    @_grad.setter
    def _grad(self, grad: Any) -> None:
        store, index = _place_slot.__get__(self)
        held = store.grad()
        _node_slot.__set__(self, grad if isinstance(grad, Value) else None)
        if isinstance(grad, Value):  # left by create_graph=True: it can be differentiated again
            grad, store.has_nodes = grad._data, True
        if held is None:
            if grad is None:
                return
            held = np.zeros(len(store), dtype=store.tensor.dtype)
        m = namespace.of(held)
        store.tensor._grad = m.assigned(held, (index,), 0.0 if grad is None else grad)

    @classmethod
    def together(cls, values: Sequence[Value]) -> Together | None:
        """どれも捕まえられていれば、まとめて読み書きするもの。"""
        return Together(values) if all(v.__class__ is cls for v in values) else None

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # A copy is a plain Value with numbers of its own.
        return _copied, (self.data, self._grad, self.label), vars(self) or None

    def __copy__(self) -> Value:
        out = _copied(self.data, self._grad, self.label)
        vars(out).update(vars(self))
        return out


class Together:
    """たくさんの `Captured` を、1 つずつでなく、置き場ごとに読み書きする（最適化手法のために）。

    数は、`Value` のときと同じ float64 で。
    """

    def __init__(self, values: Sequence[Value]) -> None:
        self._size = len(values)
        stores, indices = zip(*map(_place_slot.__get__, values))
        order = {store: i for i, store in enumerate(dict.fromkeys(stores))}
        which = np.fromiter(map(order.__getitem__, stores), np.int64, self._size)
        inside = np.fromiter(indices, np.int64, self._size)
        # What is whole, in order, is a window; only the rest is gathered.
        self._parts: list[tuple[Store, Any, Any]] = []
        for store, i in order.items():
            where = np.flatnonzero(which == i)
            at = inside[where]
            is_whole = len(at) == len(store) and bool((at == np.arange(len(at))).all())
            self._parts.append((store, where, slice(None) if is_whole else at))
        self._covers = self._size == sum(map(len, order))
        if len(order) == 1:
            self._parts = [(store, slice(None), at) for store, _, at in self._parts]

    def __reduce__(self) -> Any:  # copies of the values are plain ones
        return type(None), ()

    def _gathered(self, arrays: Sequence[Any]) -> Array | None:
        if any(x.__class__ is not np.ndarray for x in arrays):
            return None
        out = np.empty(self._size)
        for x, (_, where, at) in zip(arrays, self._parts, strict=True):
            out[where] = x[at]
        return out

    def data(self) -> Array | None:
        """数。NumPy の配列でなければ `None`。"""
        return self._gathered([store.tensor._data for store, *_ in self._parts])

    def grad(self) -> Array | None:
        """勾配。どれかが未計算か、ノードか、NumPy の配列でなければ `None`。"""
        if any(store.has_nodes for store, *_ in self._parts):
            return None
        return self._gathered([store.grad() for store, *_ in self._parts])

    def assign(self, numbers: Array) -> None:
        """数を書き込む。`data()` が配列だったあとに。"""
        for store, where, at in self._parts:
            data = store.tensor._data
            if not data.flags.writeable:
                data = data.copy()
            data[at] = numbers[where]
            store.tensor.data = data
            store.changes += 1

    def clear(self) -> bool:
        """勾配を未計算に戻す。置き場の全部でなければできないので、偽を返す。"""
        if not self._covers or any(store.has_nodes for store, *_ in self._parts):
            return False
        for store, *_ in self._parts:
            store.tensor._grad = None
        return True


def _copied(data: float, grad: Any, label: str) -> Value:
    out = Value(data, label)
    out._grad = grad
    return out


class Binding:
    """1 つの関数のパラメータが、どの置き場のどこにあるか。

    まだ捕まえられていない `Value` は、`layout` の順に並べて新しい置き場に入れる。

    Attributes:
        stores: 置き場の並び。全部をつないだものが、この関数の平らなベクトルである。
        tensors: 置き場ごとの平らな `Tensor`。
        places: 形 (P,)。k 番目のパラメータの、平らなベクトルの中の番号。
        size: 平らなベクトルの長さ。
    """

    def __init__(self, values: Sequence[Value], dtype: Any, layout: Sequence[int]) -> None:
        fresh = [v for v in map(values.__getitem__, layout) if v.__class__ is Value]
        if fresh:
            Store(fresh, dtype)
        stores, indices = zip(*map(_place_slot.__get__, values)) if values else ((), ())
        self.stores: list[Store] = list(dict.fromkeys(stores))
        self.tensors = [store.tensor for store in self.stores]
        self.places = np.fromiter(indices, np.int64, len(values))
        self.size = sum(map(len, self.stores))
        if len(self.stores) > 1:
            starts = dict(zip(self.stores, np.cumsum([0, *map(len, self.stores)]).tolist()))
            self.places += np.fromiter(map(starts.__getitem__, stores), np.int64, len(values))
        self._vector = np.empty(self.size, dtype=dtype)
        self._now: Any = self  # the array that has been looked at

    def vector(self) -> Array:
        """いまの値の平らなベクトル（書き込み用ではない）。いつも同じメモリとは限らない。"""
        if len(self.tensors) == 1:
            data = self.tensors[0]._data
            if data is self._now or (
                data.__class__ is np.ndarray and data.dtype == self._vector.dtype
            ):
                self._now = data
                return data
        for tensor, part in zip(self.tensors, self.split(self._vector), strict=True):
            part[:] = tensor._data
        return self._vector

    def receive(self, gradient: Array) -> None:
        """平らな勾配を、置き場の勾配に足し込む。"""
        if len(self.tensors) == 1:
            receive(self.tensors[0], gradient, fresh=True)
            return
        for tensor, part in zip(self.tensors, self.split(gradient), strict=True):
            receive(tensor, part, fresh=True)

    def split(self, flat: Array) -> list[Array]:
        """最後の軸が平らなベクトルの配列を、置き場ごとに分ける。"""
        if len(self.stores) == 1:  # not a view: a gradient that owns its memory is kept uncopied
            return [flat]
        return [flat[..., own] for own in pieces(map(len, self.stores))]
