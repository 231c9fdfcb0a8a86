"""順伝播の機械語を書く (forward): 標本 L 個の組ごとに、手順を順に。"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import NEUTRAL
from micrograd_jp.compiler.machine.layouts import Place, Span
from micrograd_jp.compiler.machine.loops import loops, total
from micrograd_jp.compiler.machine.parts import Maps, Part
from micrograd_jp.compiler.machine.places import (
    FROM_P,
    FROM_P_AT,
    FROM_S,
    FROM_S_AT,
    Places,
)
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Pointer, Writer

_TROUBLE = (TypeError, ArithmeticError, ValueError)


class UnsupportedStep(Exception):
    """機械語にできない手順がある。"""


class Emitter:
    """書きかけの関数と、その中の数の置き場。

    Args:
        f: 書き手。
        places: 数の置き場。
        bases: 置き場の名前から、番地へ。
    """

    def __init__(self, f: Writer, places: Places, bases: dict[str, Pointer]) -> None:
        self.f, self.m, self.places, self.bases = f, f.m, places, bases
        self.layout = places.layout

    # ---- 番地 ----

    def entry(self, at: Any) -> Number:
        """番地の表の 1 つ。"""
        place = self.bases["tables"].of("i64") + at
        return self.f.integer(f"load i64, ptr {place.text}")  # never written: read once

    def at(self, place: Place, index: Sequence[Any]) -> Pointer:
        """ブロックの 1 つの数の番地。"""
        if place.table >= 0:
            flat: Any = 0
            for n, i in zip(place.shape, index, strict=True):
                flat = flat * n + (i.first if isinstance(i, Span) else i)
            offset: Any = self.entry(flat + place.table)
        else:
            offset = place.first
            for stride, i in zip(place.strides, index, strict=True):
                if stride:
                    offset = (i.first if isinstance(i, Span) else i) * stride + offset
        found: Pointer = self.bases[place.base] + offset
        return found

    def load(self, place: Place | float, index: Sequence[Any]) -> Any:
        """ブロックの 1 つの数: 行か、広げた数か、Python の数。"""
        if not isinstance(place, Place):
            return place
        return self.layout.load(self.f, self.at, place, index)

    def store(self, place: Place, index: Sequence[Any], x: Any) -> None:
        """1 つの数を書く。"""
        self.layout.store(self.f, self.at, place, index, self.m.number(x))

    def loops(self, shape: tuple[int, ...], body: Callable[[Any], Any]) -> None:
        """`body(添字)` のくり返し。ベクトル 1 本ずつ進む。"""
        self.layout.loops(self.f, shape, body)

    def terms(self, shape: tuple[int, ...], n: int, body: Callable[[Any], Any]) -> None:
        """まとめる並びの添字のくり返し: 結果が 1 つなら、並びがベクトルになる。"""
        if math.prod(shape) == 1:
            self.loops((n,), body)
        else:
            loops(self.f, (n,), body)

    def sum(self, shape: tuple[int, ...], n: int, term: Callable[[Any], Any]) -> Any:
        """形 `shape` の結果 1 つの、Σ term(k)。"""
        f, whole = self.f, n // self.f.width
        if self.places.lanes > 1 or math.prod(shape) > 1 or not whole:
            return total(f, n, term)
        x = total(f, whole, lambda k: term(Span(f.whole(k) * f.width, f.width)))
        rest = n % f.width
        if rest:
            some = self.m.number(term(Span(n - rest, rest)))
            x = x + self.m.where(f.first(f.whole(rest)), some, 0)
        return f.all(self.m.total(x))

    def value(self, rule: Callable[..., Any], *xs: Any) -> Any:
        """規則の値。引数がただの数では規則が動かないときは、機械語の数にする。"""
        try:
            if any(isinstance(x, Number) for x in xs):
                return rule(self.m, *xs)
        except _TROUBLE:  # plain numbers raise where IEEE 754 has an answer
            pass
        return rule(self.m, *[self.m.number(x) for x in xs])

    def sources(self, part: Part) -> list[Place | float]:
        """引数の番地。"""
        neutral = NEUTRAL.get(part.op.name, 0.0)
        return [self.places.source(block, neutral) for block in part.blocks]

    def kept(self, part: Part) -> Place:
        """`logsumexp` が残す値: 指数関数の値と、その和の逆数。"""
        shape = (len(part.blocks[0]) + 1, *part.shape)
        return self.places.kept(int(part.out.flat[0]), shape)

    def out(self, part: Part) -> Place:
        """結果の番地。"""
        found = self.places.source(part.out)
        assert isinstance(found, Place)
        return found


class Values:
    """1 つのくり返しの、要素ごとの手順の値。`self[k]` は k 番目のもの。

    Args:
        e: 書き手。
        maps: 手順の並び。
        sources: 引数の番地。
        index: くり返しの添字。
        outs: 結果の番地。あれば、メモリにある値は計算せずに読む。
    """

    def __init__(
        self, e: Emitter, maps: Maps, sources: Sequence[Sequence[Place | float]],
        index: tuple[Any, ...], outs: Sequence[Place] = (),
    ) -> None:  # fmt: skip
        self._e, self._maps, self._sources, self._index = e, maps, sources, index
        self._outs = outs
        self._known: dict[int, Any] = {}

    def __getitem__(self, k: int) -> Any:
        if k not in self._known:
            self._known[k] = self._value(k)
        return self._known[k]

    def _value(self, k: int) -> Any:
        if self._outs and self._maps.stored[k]:
            return self._e.load(self._outs[k], self._index)
        op = self._maps.pieces[k].op
        return self._e.m.number(self._e.value(op.value, *self.operands(k)))

    def operands(self, k: int) -> list[Any]:
        """引数の値。"""
        found = []
        for block, source in zip(self._maps.pieces[k].blocks, self._sources[k], strict=True):
            inside = producer(self._maps, block, k)
            found.append(self._e.load(source, self._index) if inside is None else self[inside])
        return found


def producer(maps: Maps, block: Array, k: int) -> int | None:
    """ブロックが、k 番目より前の手順の結果なら、その番号。"""
    for i, piece in enumerate(maps.pieces[:k]):
        if np.array_equal(piece.out, block):
            return i
    return None


class Forward(Emitter):
    """順伝播。"""

    def write(self, part: Part | Maps) -> None:
        """手順 1 つ。"""
        writer = getattr(self, f"_{part.kind}", None)
        if writer is None:
            raise UnsupportedStep(part.kind)
        writer(part)

    def spread(self) -> None:
        """混ざったブロックのために、標本によらない数を行に広げる。"""
        for base, count, start in (("p", FROM_P, FROM_P_AT), ("s", FROM_S, FROM_S_AT)):
            first = self.entry(start)

            def one(i: Number, base: str = base, first: Number = first) -> None:
                pair = first + i * 2
                number = (self.bases[base] + self.entry(pair)).item()
                self.layout.write(self.bases["v"] + self.entry(pair + 1), self.f.all(number))

            self.f.loop(self.entry(count), one)

    def results(self, outputs: Array, n: Number, first: Number, mask: Number) -> None:
        """出力を (O, N) に書く。"""
        x, out = self.places.source(outputs), self.bases["out"] + first

        def one(i: tuple[Any, ...]) -> None:
            self.layout.write(out + n * i[0], self.m.number(self.load(x, i)), mask)

        if outputs.size:
            loops(self.f, outputs.shape, one)

    def _map(self, maps: Maps) -> None:
        sources, outs = [self.sources(p) for p in maps.pieces], [self.out(p) for p in maps.pieces]

        def one(i: tuple[Any, ...]) -> None:
            values = Values(self, maps, sources, i)
            for k, out in enumerate(outs):
                z = values[k]
                if maps.stored[k]:
                    self.store(out, i, z)

        self.loops(maps.shape, one)

    def _fold(self, part: Part) -> None:
        reduce = REDUCTIONS.get(part.op.name)
        if reduce is None:
            raise UnsupportedStep(part.op.name)
        [x], out, n = self.sources(part), self.out(part), len(part.blocks[0])
        if part.op.name == "logsumexp" and part.varying:
            self._kept_logsumexp(part, x, out)
            return

        def one(i: tuple[Any, ...]) -> None:
            def number(k: Any) -> Number:
                return self.m.number(self.load(x, (k, *i)))

            if part.op.name == "sum":
                self.store(out, i, self.sum(part.shape, n, number))
            else:
                self.store(out, i, reduce(self, n, number))

        self.loops(part.shape, one)

    def _kept_logsumexp(self, part: Part, x: Place | float, out: Place) -> None:
        """The powers, and 1 / their sum, are kept: their products are the partial derivatives.

        With infinities made finite, they are what e^(x − z) is, also where x is infinite.
        """
        n, m = len(part.blocks[0]), self.m
        kept = self.kept(part)

        def one(i: tuple[Any, ...]) -> None:
            # A nan that this maximum may overlook reaches the sum by itself.
            top = _gathered(
                self,
                n,
                lambda k: m.number(self.load(x, (k, *i))),
                lambda a, b: m.where(a > b, a, b),
            )
            low = m.finite(top)

            def power(k: Any) -> Any:
                e = m.exp(m.number(self.load(x, (k, *i))) - low)
                self.store(kept, (k, *i), e)
                return e

            sum_ = self.sum(part.shape, n, power)
            self.store(kept, (n, *i), 1 / sum_)
            self.store(out, i, m.log(sum_) + low)

        self.loops(part.shape, one)

    def _dot(self, part: Part) -> None:
        (a, b), out, n = self.sources(part), self.out(part), len(part.blocks[0])

        def one(i: tuple[Any, ...]) -> None:
            def term(k: Any) -> Any:
                return self.m.number(self.load(a, (k, *i))) * self.load(b, (k, *i))

            self.store(out, i, self.sum(part.shape, n, term))

        self.loops(part.shape, one)


def _sum(e: Emitter, n: int, x: Callable[[Any], Any]) -> Any:
    return total(e.f, n, x)


def _prod(e: Emitter, n: int, x: Callable[[Any], Any]) -> Any:
    return _gathered(e, n, x, lambda a, b: a * b)


def _max(e: Emitter, n: int, x: Callable[[Any], Any]) -> Any:
    return _gathered(e, n, x, e.m.maximum)


def _gathered(e: Emitter, n: int, x: Callable[[Any], Any], join: Callable[[Any, Any], Any]) -> Any:
    if n == 1:
        return x(0)
    return e.f.fold((1, n, 1), [x(0)], lambda k, so_far: [join(so_far, x(k))])[0]


def _logsumexp(e: Emitter, n: int, x: Callable[[Any], Any]) -> Any:
    """As the namespace computes it: the largest is taken out where it is finite."""
    top = _max(e, n, x)
    low = e.m.where(e.m.abs(top) < math.inf, top, 0)
    return e.m.log(total(e.f, n, lambda k: e.m.exp(x(k) - low))) + low


REDUCTIONS = {"sum": _sum, "prod": _prod, "amax": _max, "logsumexp": _logsumexp}
"""並びをまとめる演算の名前から、値を書く関数へ。"""
