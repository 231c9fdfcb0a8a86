"""逆伝播の機械語を書く (backward): 手順を逆にたどる。

勾配の行は、はじめに書く手順が値を入れ、あとの手順が足し込む。どの行に書いたかは、書くときに分かって
いる。1 つの手順が同じ行に 2 度書くときは、先に 0 を入れて、どちらも足し込む。

標本によらない数の勾配は、行のまま組をまたいで足しておき、最後に標本について足す。組に足りない標本の
レーンは足さない（0 を掛けるのでは、inf や nan が残る）。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    INPUTS,
    location,
)
from micrograd_jp.compiler.machine.forward import Emitter, UnsupportedStep, Values, producer
from micrograd_jp.compiler.machine.layouts import Place
from micrograd_jp.compiler.machine.loops import loops
from micrograd_jp.compiler.machine.marks import Marks
from micrograd_jp.compiler.machine.parts import Maps, Part
from micrograd_jp.compiler.machine.places import (
    CLEARED,
    CLEARED_AT,
    DENSE,
    DENSE_AT,
    SUMMED,
    SUMMED_AT,
    Places,
    in_rows,
)
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Pointer, Writer
from micrograd_jp.ops.primitive import Elementwise


class Receiver(NamedTuple):
    """勾配の行き先。

    Attributes:
        place: 番地。
        adds: 前からある値に足すか。
        masked: 足りない標本のレーンを除くか。
    """

    place: Place
    adds: bool
    masked: bool = False


class Backward(Emitter):
    """逆伝播。

    Args:
        f, places, bases: `Emitter` のもの。
        marks: 要る勾配と、書いた勾配。
        lanes: 組の中の標本の数。標本によらない手順では `None`。
        block: 何番目の組か。

    Attributes:
        left: 上流の勾配を残した積 (`weights.py`)。
    """

    def __init__(
        self, f: Writer, places: Places, bases: dict[str, Pointer], marks: Marks, lanes: Any,
        block: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(f, places, bases)
        self.marks, self.lanes, self.block = marks, lanes, block
        self.mask = None if lanes is None else f.first(f.whole(lanes))
        self.left: list[Part] = []

    def begins(self, part: Part) -> bool:
        """手順の結果の勾配が要るか。要れば、まだ何も書いていない行に 0 を入れる。"""
        if not (self.marks.needs(part.out) and self.marks.has(part.out).any()):
            return False
        if part.varying:
            self._fill(part.out)
        return True

    def write(self, part: Part | Maps) -> None:
        """手順 1 つ。"""
        writer = getattr(self, f"_{part.kind}", None)
        if writer is None:
            raise UnsupportedStep(part.kind)
        writer(part)

    # ---- 行き先 ----

    def receivers(self, blocks: Sequence[Array]) -> list[Receiver]:
        """1 つの手順の、勾配の行き先。"""
        if self.lanes is None:
            for block in blocks:
                self.marks.mark(block)
            return [
                Receiver(self.places.place("d", self.places.slot(block)), True) for block in blocks
            ]
        flat = np.concatenate([block.ravel() for block in blocks])
        own = flat[in_rows(flat)]
        twice = len(np.unique(own)) < own.size
        found = []
        for block in blocks:
            varying = in_rows(block)
            stores = varying.all() and not twice and not self.marks.has(block).any()
            if not stores:
                self._fill(block)
            if self.places.lanes == 1 and not varying.any():  # no other sample adds to it
                place = self.places.place("d", self.places.slot(block))
            else:
                place = self.places.place("g", self.places.target(block))
            found.append(Receiver(place, not stores, self.places.lanes > 1 and not varying.all()))
        for block in blocks:
            self.marks.mark(block)
        return found

    def _fill(self, block: Array) -> None:
        """まだ何も書いていない行に、0 を入れる。"""
        flat = block[in_rows(block)]
        rows = np.unique(flat[~self.marks.has(flat)])
        if rows.size:
            place = self.places.place("g", self.places.target(rows))
            self.loops((rows.size,), lambda i: self.store(place, i, 0))
            self.marks.mark(rows)

    def gathering(self, block: Array) -> tuple[str, Array]:
        """どこかには足される行。まだ何も書いていない行には、0 を入れておく。"""
        self._fill(block)
        return "g", self.places.target(block)

    def give(self, to: Receiver, index: Sequence[Any], share: Any) -> None:
        """勾配を渡す。"""
        share = self.m.number(share)
        if to.masked:
            share = self.m.where(self.mask, share, 0)
        give = self.layout.add if to.adds else self.layout.store
        give(self.f, self.at, to.place, index, share)

    def upstream(self, part: Part) -> Place:
        """手順の結果の勾配の番地。"""
        if part.varying:
            return self.places.place("g", self.places.target(part.out))
        return self.places.place("d", self.places.slot(part.out))

    def seeds(self, outputs: Array, n: Number, first: Number) -> None:
        """出力の勾配 (O, N) を受け取る。"""
        if not outputs.size:
            return
        [to] = self.receivers([outputs])
        seeds = self.bases["seeds"] + first

        def one(i: tuple[Any, ...]) -> None:
            self.give(to, i, self.layout.read(seeds + n * i[0], self.mask))

        loops(self.f, outputs.shape, one)

    def inputs(self, n: Number, first: Number) -> None:
        """入力の勾配を (I, N) に書く。"""
        size = self.places.sizes[INPUTS]
        if not size:
            return
        self._fill(location(INPUTS, np.arange(size)))
        out, place = self.bases["of_inputs"] + first, self.places.place("g", np.arange(size))
        loops(
            self.f, (size,),
            lambda i: self.layout.write(out + n * i[0], self.load(place, i), self.mask),
        )  # fmt: skip

    def cleared(self) -> None:
        """標本について足す行と、`d` を 0 にする。"""
        f, ranges = self.f, self.entry(CLEARED_AT)

        def clear(k: Number) -> None:
            d = self.bases["d"] + self.entry(ranges + k * 2)
            count = self.entry(ranges + k * 2 + 1)
            f.full_vectors(count, lambda i, mask: (d + i).store(f.zero(), mask))

        f.loop(self.entry(CLEARED), clear)
        first = self.bases["g"] + (self.places.trash + 1) * self.places.lanes
        lanes = self.places.lanes
        f.loop(self.entry(SUMMED), lambda i: self.layout.write(first + i * lanes, f.zero()))

    def added_up(self) -> None:
        """標本によらない数の勾配の行を、標本について足す。並べ直した重みの勾配を、もとの並びに足す。"""
        for count, start, base in ((SUMMED, SUMMED_AT, "g"), (DENSE, DENSE_AT, "d")):
            first = self.entry(start)

            def one(i: Number, first: Number = first, base: str = base) -> None:
                pair = first + i * 2
                share = self.bases[base] + self.entry(pair)
                to = self.bases["d"] + self.entry(pair + 1)
                summed = self.layout.total(self.f, share) if base == "g" else share.item()
                to.store(to.item() + summed)

            self.f.loop(self.entry(count), one)

    # ---- 手順 ----

    def _map(self, maps: Maps) -> None:
        pieces = maps.pieces
        sources, outs = [self.sources(p) for p in pieces], [self.out(p) for p in pieces]
        upstream = {k: self.upstream(p) for k, p in enumerate(pieces) if self.begins(p)}
        # Who gives what to whom: (giver, rule, receiver inside or the key of a block outside).
        shares: list[tuple[int, Any, Any]] = []
        outside: dict[bytes, Array] = {}
        reached = set(upstream)
        for k in reversed(range(len(pieces))):
            op = pieces[k].op
            assert isinstance(op, Elementwise)
            for block, rule in zip(pieces[k].blocks, op.partials, strict=True):
                if k in reached and rule is not None and self.marks.needs(block):
                    inside: Any = producer(maps, block, k)
                    if inside is None:
                        inside = block.tobytes()
                        outside[inside] = block
                    else:
                        reached.add(inside)
                    shares.append((k, rule, inside))
        if not shares:
            return
        receivers = self.receivers(list(outside.values()))

        def one(i: tuple[Any, ...]) -> None:
            values = Values(self, maps, sources, i, outs)
            given: dict[Any, Any] = {k: self.load(place, i) for k, place in upstream.items()}
            for k, rule, to in shares:
                partial = self.value(rule, values[k], *values.operands(k))
                share = self.m.times(given[k], partial)
                given[to] = given[to] + share if to in given else self.m.number(share)
            for to, key in zip(receivers, outside, strict=True):
                self.give(to, i, given[key])

        self.loops(maps.shape, one)

    def _fold(self, part: Part) -> None:
        op, upstream, n, m = part.op.name, self.upstream(part), len(part.blocks[0]), self.m
        if op == "amax":  # only what stops gradients uses it
            return
        if op not in ("sum", "logsumexp", "prod"):
            raise UnsupportedStep(op)
        [x], [to], out = self.sources(part), self.receivers(part.blocks), self.out(part)
        kept = self.kept(part) if op == "logsumexp" and part.varying else None

        def one(i: tuple[Any, ...]) -> None:
            g = self.load(upstream, i)
            if op == "prod":
                self._prod(n, g, i, x, to)
                return
            scale = self.load(out if kept is None else kept, i if kept is None else (n, *i))

            def share(k: tuple[Any, ...]) -> None:
                at, mine = (*k, *i), g
                if kept is not None:
                    mine = g * (self.load(kept, at) * scale)
                elif op == "logsumexp":
                    mine = g * m.exp(m.number(self.load(x, at)) - scale)
                self.give(to, at, mine)

            self.terms(part.shape, n, share)

        self.loops(part.shape, one)

    def _prod(self, n: int, g: Number, i: tuple[Any, ...], x: Place | float, to: Receiver) -> None:
        """The product of those before times the product of those behind: factors may be 0."""
        lanes, t = self.f.width, self.bases["t"]
        self.places.reserve(n * lanes)

        def up(k: Any, before: Number) -> list[Number]:
            (t + k * lanes).store(before)
            return [before * self.load(x, (k, *i))]

        def down(k: Any, behind: Number) -> list[Number]:
            k = n - 1 - k
            self.give(to, (k, *i), g * ((t + k * lanes).load() * behind))
            return [self.load(x, (k, *i)) * behind]

        self.f.fold((0, n, 1), [self.m.number(1)], up)
        self.f.fold((0, n, 1), [self.m.number(1)], down)

    def _dot(self, part: Part) -> None:
        blocks, sources, upstream = part.blocks, self.sources(part), self.upstream(part)
        same = np.array_equal(blocks[0], blocks[1])
        pairs = [(0, 1), (1, 0)]
        wanted = [(a, b) for a, b in pairs[: 1 if same else 2] if self.marks.needs(blocks[a])]
        receivers = self.receivers([blocks[a] for a, _ in wanted])

        def one(i: tuple[Any, ...]) -> None:
            g = self.load(upstream, i)
            g = g * 2 if same else g

            def share(k: tuple[Any, ...]) -> None:
                for to, (_, other) in zip(receivers, wanted, strict=True):
                    self.give(to, (*k, *i), g * self.load(sources[other], (*k, *i)))

            self.terms(part.shape, len(blocks[0]), share)

        self.loops(part.shape, one)
