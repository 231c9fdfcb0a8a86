"""1 つの数の持ち方 (layout): 標本 L 個の行か、標本 1 つの数か。どちらも、書く手順は同じである。

- `Samples`: 数ごとに、標本 L 個の値がベクトル 1 本になる。くり返しは 1 つの数ずつ進む。
- `Numbers`: 標本は 1 つ。ベクトルになるのは、となりの L 個の数である。くり返しは、いちばん内側の
  添字を L 個ずつ (`Span`) 進み、となり合わない数は 1 つずつ集める。はしたの要素は、書かない。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from micrograd_jp.compiler.machine.loops import loops
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Pointer, Writer

Index = Sequence[Any]


class Place(NamedTuple):
    """ブロックの数の番地: `base[first + Σ strides·i]`、または `base[tables[table + i]]`。

    Attributes:
        base: 置き場の名前。
        shape: 添字ごとの個数。
        first, strides: 1 次式。要素を数で数える（行の番地は L 倍してある）。
        table: 表の始まり。1 次式なら −1。
    """

    base: str
    shape: tuple[int, ...]
    first: int
    strides: tuple[int, ...]
    table: int = -1


At = Callable[[Place, Index], Pointer]


class Span(NamedTuple):
    """続いた添字 first, first + 1, …: ベクトル 1 本で計算する。

    Attributes:
        first: はじめの添字。
        size: 個数。ベクトルの幅まで。
    """

    first: Any
    size: int


class Samples:
    """数ごとに、標本 L 個の値の行。`p`, `s`, `d` の数は、どの標本にも同じ。"""

    def loops(self, f: Writer, shape: tuple[int, ...], body: Callable[[Any], Any]) -> None:
        """`body(添字)` のくり返し。"""
        loops(f, shape, body)

    def load(self, f: Writer, at: At, place: Place, index: Index) -> Number:
        """1 つの数の行。"""
        where = at(place, index)
        return where.load() if place.base in "vg" else f.all(where.item())

    def store(self, f: Writer, at: At, place: Place, index: Index, x: Number) -> None:
        """1 つの数を書く。標本によらない数は、どのレーンも同じである。"""
        at(place, index).store(x if place.base in "vg" else x.split()[0])

    def add(self, f: Writer, at: At, place: Place, index: Index, x: Number) -> None:
        """1 つの数に足す。"""
        where = at(place, index)
        if place.base == "d":
            where.store(where.item() + x.split()[0])
        else:
            where.store(where.load() + x)

    def read(self, where: Pointer, mask: Number | None) -> Number:
        """呼び手の配列の、標本の並びから。"""
        return where.load(mask)

    def write(self, where: Pointer, x: Number, mask: Number | None = None) -> None:
        """行か、呼び手の配列に。"""
        where.store(x, mask)

    def total(self, f: Writer, where: Pointer) -> Number:
        """標本についての和。"""
        return f.m.total(where.load())


class Numbers:
    """標本 1 つ。どの置き場も、1 つの数の並び。"""

    def loops(self, f: Writer, shape: tuple[int, ...], body: Callable[[Any], Any]) -> None:
        """`body(添字)` のくり返し。大きさ 2 以上の、最後の添字が `Span` になる。"""
        axes = [axis for axis, n in enumerate(shape) if n > 1]
        if not axes:
            body((0,) * len(shape))
            return
        axis = axes[-1]

        def inner(outer: tuple[Any, ...]) -> None:
            def some(first: Any, count: int) -> None:
                body((*outer, Span(first, count), *(0,) * (len(shape) - axis - 1)))

            whole, rest = divmod(shape[axis], f.width)
            if whole:
                loops(f, (whole,), lambda i: some(i[0] * f.width, f.width))
            if rest:
                some(whole * f.width, rest)

        loops(f, shape[:axis], inner)

    def load(self, f: Writer, at: At, place: Place, index: Index) -> Number:
        """ベクトル。はしたの要素は、何でもよい。"""
        count, stride = _along(place, index)
        if count == 1 or stride == 0:
            return f.all(at(place, index).item())
        if stride == 1:
            where = at(place, index)
            # All memory but that of the parameters goes on behind its last number.
            mask = f.first(f.whole(count)) if place.base == "p" and count < f.width else None
            return where.load(mask)
        return f.gathered([at(place, i).item() for i in _each(index)])

    def store(self, f: Writer, at: At, place: Place, index: Index, x: Number) -> None:
        """ベクトルを書く。"""
        count, stride = _along(place, index)
        if stride == 1 and count > 1:
            at(place, index).store_some(x, count)
            return
        for i, number in zip(_each(index), x.split()):
            at(place, i).store(number)

    def add(self, f: Writer, at: At, place: Place, index: Index, x: Number) -> None:
        """ベクトルを足す。同じ数が 2 度あってもよい。"""
        count, stride = _along(place, index)
        if count > 1 and stride == 1:
            where = at(place, index)
            where.store_some(where.load() + x, count)
        elif count > 1 and stride == 0:
            where = at(place, index)
            if count < f.width:
                x = f.m.where(f.first(f.whole(count)), x, 0)
            where.store(where.item() + f.m.total(x))
        else:
            for i, number in zip(_each(index), x.split()):
                where = at(place, i)
                where.store(where.item() + number)

    def read(self, where: Pointer, mask: Number | None) -> Number:
        """呼び手の配列の、1 つの数。"""
        return where.f.all(where.item())

    def write(self, where: Pointer, x: Number, mask: Number | None = None) -> None:
        """1 つの数を。"""
        where.store(x.split()[0])

    def total(self, f: Writer, where: Pointer) -> Number:
        """1 つの数。"""
        return where.item()


def _along(place: Place, index: Index) -> tuple[int, int]:
    """How many numbers a vector has, and how far apart they are; −1 where a table says it."""
    for axis, i in enumerate(index):
        if isinstance(i, Span):
            return i.size, -1 if place.table >= 0 else place.strides[axis]
    return 1, 1


def _each(index: Index) -> list[Index]:
    """One index for every number of a vector."""
    for axis, i in enumerate(index):
        if isinstance(i, Span):
            return [[*index[:axis], i.first + k, *index[axis + 1 :]] for k in range(i.size)]
    return [index]
