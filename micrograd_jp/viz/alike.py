"""同じ形の繰り返しを 1 つにまとめる: 層のニューロン 16 個は、×16 と書いた 1 つの箱になる。

まとめるのは、出力からの遠さ、演算、名前（数字を除く）、引数と使われ方が同じノード。引数と使われ方は、
まとめた結果で見る（色の細分, Weisfeiler & Leman 1968）ので、どの辺も箱から箱への 1 本になる。
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.graph.spent import Outline, Shown
from micrograd_jp.viz.text import number_text

Graph = dict[Any, tuple[Any, ...]]

_FEWEST = 3
"""これより少ない同じ形は、まとめない。"""

_MOST = 50_000
"""これより大きなグラフでは、同じ形を探さない。"""

_ROUNDS = 8


class Span:
    """いくつかの数の、最小と最大。"""

    def __init__(self, numbers: Iterable[Any], count: int = 1) -> None:
        self.numbers, self.count = list(numbers), count

    def __str__(self) -> str:
        known = [x for x in self.numbers if x == x]
        low, high = (number_text(f(known, default=float("nan"))) for f in (min, max))
        text = low if low == high else f"{low} 〜 {high}"
        text += "、nan" if 0 < len(known) < len(self.numbers) else ""
        return f"{text} ×{self.count}" if self.count > 1 else text


class Alike(Shown):
    """いくつかのノードの代わりに描くもの。

    Attributes:
        count: いくつのノードの代わりか。
    """

    def __init__(self, members: Sequence[Any]) -> None:
        first, last = members[0], members[-1]
        label = first.label if first.label == last.label else _from_to(first.label, last.label)
        grads = [data_of(x.grad) for x in members if x.has_grad]
        data = _together([x._data for x in members])
        super().__init__(first.op, label, data, _together(grads) if grads else None)
        self.count, self.requires_grad = len(members), first.requires_grad
        if hasattr(first, "shape"):
            self.shape, self.dtype = first.shape, first.dtype

    def set_share(self, user: Any, partial: Any) -> None:
        """勾配を、`user` を通って来る分だけにする。"""
        known = partial is not None and user.has_grad and isinstance(user.grad, float)
        self.grad = self._grad = user.grad * partial if known else None


def _from_to(first: str, last: str) -> str:
    """0.w.1 … 0.w.9 is 0.w.1 … 9: the place that both share is said once."""
    ours, theirs = first.split("."), last.split(".")
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), 0)
    return f"{first} … {'.'.join(theirs[same:])}"


def _together(xs: list[Any]) -> Any:
    if len(xs) == 1:
        return xs[0]
    if any(getattr(x, "shape", ()) for x in xs):
        return Outline(xs[0].shape, xs[0].dtype)
    return Span([x.item() if hasattr(x, "item") else x for x in xs])


def levels(graph: Graph) -> dict[Any, int]:
    """ノードごとの、出力からの遠さ（いちばん長い道の長さ）。"""
    level: dict[Any, int] = {}
    for node in reversed(graph):
        below = level.setdefault(node, 0) + 1
        for x in graph[node]:
            if isinstance(x, Node):
                level[x] = max(level.get(x, 0), below)
    return level


def side(graph: Graph) -> int:
    """縦に並ぶ箱か、横に並ぶ演算の、多いほうの数。"""
    level, boxes = levels(graph), Counter[int]()
    for node, operands in graph.items():
        boxes[level[node]] += 1
        boxes[level[node] + 1] += sum(not isinstance(x, Node) for x in operands)
    return max(*boxes.values(), max(level.values()))


def grouped(graph: Graph, outputs: Sequence[Any]) -> tuple[Graph, list[Any]]:
    """同じ形のノードを `Alike` にまとめたグラフと、その出力。"""
    if len(graph) > _MOST:
        return graph, list(outputs)
    classes: dict[int, list[Any]] = defaultdict(list)
    for node, color in _colors(graph, outputs).items():
        classes[color].append(node)
    boxes: list[list[Any]] = []
    for members in classes.values():
        boxes += [members] if len(members) >= _FEWEST else [[x] for x in members]
    level = levels(graph)
    boxes.sort(key=lambda box: -level[box[0]])  # parents first, as before
    stands = {x: box[0] if len(box) == 1 else None for box in boxes for x in box}
    for box in boxes:
        if len(box) > 1:
            stands.update(dict.fromkeys(box, Alike(box)))
    every = {stands[box[0]]: _operands([graph[x] for x in box], stands) for box in boxes}
    return every, list(dict.fromkeys(stands[x] for x in outputs))


def _operands(every: list[tuple[Any, ...]], stands: dict[Any, Any]) -> tuple[Any, ...]:
    """What a box is computed from: each box once, and many constants as one."""
    out: list[Any] = []
    constants = [x for operands in every for x in operands if not isinstance(x, Node)]
    many = len(every) > 1 or len(constants) >= _FEWEST
    for x in every[0]:
        if isinstance(x, Node):
            x = stands[x]
            if not (isinstance(x, Alike) and any(x is y for y in out)):
                out.append(x)
        elif not many:
            out.append(x)
    if many and constants:
        numbers = [x for x in constants if not hasattr(x, "shape") or x.shape == ()]
        plain = len(numbers) == len(constants)
        out.append(Span(numbers, len(constants)) if plain else constants[0])
    return tuple(out)


def _colors(graph: Graph, outputs: Sequence[Any]) -> dict[Any, int]:
    level, last = levels(graph), set(map(id, outputs))
    users: dict[Any, list[Any]] = defaultdict(list)
    for node, operands in graph.items():
        for x in operands:
            if isinstance(x, Node):
                users[x].append(node)
    color = _numbered({
        x: (level[x], x.op, re.sub(r"\d+", "#", x.label), getattr(x, "shape", None), id(x) in last)
        for x in graph
    })  # fmt: skip
    for _ in range(_ROUNDS):
        finer = _numbered({
            x: (color[x], _seen(operands, color), frozenset(color[user] for user in users[x]))
            for x, operands in graph.items()
        })  # fmt: skip
        if max(finer.values()) == max(color.values()):
            break
        color = finer
    return color


def _seen(operands: tuple[Any, ...], color: dict[Any, int]) -> tuple[int, ...]:
    colors = [color[x] if isinstance(x, Node) else -1 for x in operands]
    return tuple(colors if len(colors) <= 2 else sorted(colors))


def _numbered(keys: dict[Any, Any]) -> dict[Any, int]:
    numbers: dict[Any, int] = {}
    return {x: numbers.setdefault(key, len(numbers)) for x, key in keys.items()}
