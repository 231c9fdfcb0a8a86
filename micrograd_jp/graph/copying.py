"""計算グラフの写し (copy, deepcopy, pickle): 何万ノードの鎖でも、再帰せずに。

写されるのはグラフ全体で、平らな 1 つの入れ物 `Nodes` に入り、ノードはその中の番号になる。
`[loss, h]` のように並べて写しても、同じグラフを分け合う。
"""

from __future__ import annotations

from threading import get_ident
from typing import Any
from weakref import WeakValueDictionary


class Copied:
    """写せるもの: `Node` の土台。"""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        if type(self).__reduce__ is not object.__reduce__:
            return self.__reduce__()
        if not _is_linked(self):
            return _plain(self)
        nodes = _holders.get((get_ident(), id(self))) or Nodes().gather(self)
        return _taken, (nodes, nodes.places[id(self)])

    def __copy__(self) -> Any:
        make, args, state = _plain(self)[:3]
        out = make(*args)
        _restore(out, state)
        return out


class Nodes:
    """1 つのグラフのノードを並べたもの。

    pickle と deepcopy は、写したものを終わるまで持っている。だから写す間だけ生きていて、
    その間に出会ったノードはこの中に見つかる。
    """

    def __init__(self, kinds: tuple[type, ...] = ()) -> None:
        self.nodes: list[Any] = [object.__new__(kind) for kind in kinds]
        self.places: dict[int, int] = {}
        self.records: list[Any] = []

    def gather(self, root: Any) -> Nodes:
        """`root` からたどれる、まだどの入れ物にもないノードを入れる。"""
        thread, entered, stack = get_ident(), set(), [root]
        while stack:
            x = stack.pop()
            key = id(x)
            if key in entered:
                # Records come after those they name: a list that was written needs no recursion.
                if x.__class__ is list and key not in self.places:
                    self.places[key] = len(self.records)
                    self.records.append(x)
                continue
            entered.add(key)
            if x.__class__ is list:
                stack += [x, *map(_link, x[1])]
            elif isinstance(x, Copied) and _is_linked(x) and (thread, key) not in _holders:
                self.places[key] = len(self.nodes)
                self.nodes.append(x)
                _holders[thread, key] = self
                stack += map(_link, _links(x))
        return self

    def __reduce__(self) -> Any:
        states = [_plain(x)[2] for x in self.nodes]
        return Nodes, (tuple(map(type, self.nodes)),), (self.records, states)

    def __setstate__(self, state: Any) -> None:
        for node, own in zip(self.nodes, state[1]):
            _restore(node, own)


# Which container a node is being copied in, by thread.
_holders: WeakValueDictionary[tuple[int, int], Nodes] = WeakValueDictionary()


def _taken(nodes: Nodes, place: int) -> Any:
    return nodes.nodes[place]


def _is_linked(x: Any) -> bool:
    """Whether other nodes hang on it; all others are copied as any object is."""
    reduce: Any = type(x).__reduce_ex__
    return reduce is Copied.__reduce_ex__ and (
        x.op is not None or isinstance(getattr(x, "_grad", None), Copied)
    )


def _links(x: Any) -> list[Any]:
    spent = getattr(x, "spent", None)
    found = [x._a, x._b, x._da, x._db, getattr(x, "_grad", None), getattr(x, "_now", None), spent]
    return [y for one in found for y in (one if one.__class__ is tuple else (one,))]


def _link(x: Any) -> Any:
    return x if isinstance(x, Copied) or x.__class__ is list else None


def _plain(x: Any) -> Any:
    """What `object` says of a copy, without the marks of a traversal."""
    reduced: Any = object.__reduce_ex__(x, 2)
    make, args, state = reduced[:3]
    if hasattr(args[0], "plain_class"):  # hooks stay with the original
        make, args = _of_class, (args[0].plain_class,)
    if isinstance(state, tuple) and "_mark" in state[1]:
        state[1]["_mark"] = None
        if state[1].get("op") is None and state[1].get("_a") == ():  # a leaf with hooks
            state[1]["_a"] = None
        if state[1].get("_base") is not None:
            state[1]["_base"] = ()  # a copy has memory of its own: it is no view
    return make, args, state


def _of_class(cls: Any) -> Any:
    return cls.__new__(cls)


def _restore(node: Any, state: Any) -> None:
    attributes, slots = state if isinstance(state, tuple) else (state, {})
    if attributes:
        node.__dict__.update(attributes)
    for name, x in slots.items():
        setattr(node, name, x)
