"""重みの勾配 (weights): dW[c, j] += Σ g[c] x[j]。和は、場所と標本についてとる。

入力か上流の勾配の、小さい方を転置する。

場所が 1 つの積では、1 つの組で足すものが標本の数しかなく、勾配を読み書きする時間のほうが長い。
そこで、上流の勾配を `v` に残しておき (`left`)、すべての組を過ぎてから、組にわたって足す
(`give_left`)。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.compiler.lift.blocks import PARAMETERS
from micrograd_jp.compiler.machine.backward import Backward
from micrograd_jp.compiler.machine.forward import Emitter
from micrograd_jp.compiler.machine.kernels import outer, registers, tile, transpose
from micrograd_jp.compiler.machine.layouts import Place
from micrograd_jp.compiler.machine.loops import loops, split, stripes
from micrograd_jp.compiler.machine.packing import beside, packed
from micrograd_jp.compiler.machine.parts import Part
from micrograd_jp.compiler.machine.places import STRIDE
from micrograd_jp.native.ir import Pointer

_CHUNK = 16  # columns of a matrix that are transposed at once

_Rows = tuple[Pointer, tuple[Any, Any], int]
"""Rows (n, R) of one block of lanes: where, how far apart, how many."""


def left(e: Emitter, part: Part) -> Place | None:
    """上流の勾配を残しておく `v` の行。残さずに、組ごとに足すなら `None`。"""
    x = e.places.source(part.blocks[1])
    assert isinstance(x, Place)
    if e.places.lanes == 1 or part.shape[1] > 1 or x.table >= 0:
        return None
    return e.places.kept(int(part.out.flat[0]), part.shape)


def give_weights(e: Backward, part: Part, g: Pointer) -> None:
    """1 つの組の、重みの勾配。"""
    weights, inputs = part.blocks[:2]
    (c, r), j, lanes = part.shape, len(inputs), e.places.lanes
    known = e.marks.has(weights).any()
    e.marks.mark(weights)
    x, later = e.places.source(inputs), left(e, part)
    assert isinstance(x, Place)
    if later is not None:
        upstream = e.upstream(part)
        e.loops((c, r), lambda i: e.store(later, i, e.load(upstream, i)))
        e.left.append(part)
        return
    if lanes == 1:
        to = e.places.of_weights(weights)
        # Nobody has added to these numbers before, and they lie side by side: the first sample's
        # share need not be added to zeros.
        is_first = not known and to.first < e.places.sizes[PARAMETERS] and to.strides[0] == j
        if is_first:
            e.places.stored.append((to.first, to.first + c * j))
        _of_one(e, beside(e, x), (c, j, r), g, to, is_first)
        return
    chunk = min(r, _CHUNK)
    _reserve(e, part, chunk)

    def positions(first: Any, count: int) -> None:
        of_g = g + first * lanes, (r * lanes, lanes), c
        if x.table < 0:
            source = e.bases["v"] + x.first + first * x.strides[1]
            of_x = source, (x.strides[0], x.strides[1]), j
        else:
            own = e.bases["t"] + chunk * (max(c, j) + lanes) * lanes
            of_x = packed(e, x, (first, count), own), (count * lanes, lanes), j
        _outer(e, part, of_g, of_x, (count, e.lanes), chunk)

    stripes(e.f, r, chunk, positions)


def give_left(e: Backward, part: Part, count: Any, samples: Any) -> None:
    """組にわたって足す、重みの勾配。

    Args:
        e: 組によらない書き手。
        part: 上流の勾配の残してある積。
        count, samples: 組の数と、その標本の数。終わりの組だけは、標本が足りないことがある。
    """
    f, lanes, inputs = e.f, e.places.lanes, part.blocks[1]
    x, g, stride = e.places.source(inputs), left(e, part), e.entry(STRIDE)
    assert isinstance(x, Place) and g is not None
    _reserve(e, part, _CHUNK)
    whole = samples / lanes

    def blocks(first: Any, counts: tuple[Any, Any]) -> None:
        at = e.bases["v"] + stride * first
        of_g = at + g.first, (g.strides[0], stride), part.shape[0]
        of_x = at + x.first, (x.strides[0], stride), len(inputs)
        _outer(e, part, of_g, of_x, counts, _CHUNK)

    f.loop(whole, lambda b: blocks(b, (f.least(whole - b, _CHUNK), lanes)), step=_CHUNK)
    f.when(whole < count, lambda: blocks(whole, (1, samples - whole * lanes)))


def _of_one(
    e: Backward, x: Place, shape: tuple[int, int, int], g: Pointer, to: Place, is_first: bool
) -> None:
    """to[c, j] += Σᵣ g[c, r] x[j, r]、標本が 1 つのとき。`is_first` なら、はじめの標本では = 。"""
    f, (c, j, r) = e.f, shape
    source, width = e.bases[x.base] + x.first, -(-j // f.width) * f.width
    if r > 1:  # the rows of x, turned, behind those that have been put side by side
        own = j * r + f.width
        e.places.reserve(own + (-(-r // f.width) * width + 1) * f.width)
        turned = e.bases["t"] + own
        for first in range(0, r, f.width):
            for column in range(0, j, f.width):
                f.call(
                    transpose, source + (x.strides[0] * column + first), x.strides[0], j - column,
                    min(r - first, f.width), turned + (first * width + column), width,
                )  # fmt: skip
        source = turned
    given = (g, (r, 0), c), (source, width, j), (1, r), to, r
    if is_first:
        f.when(e.block == 0, lambda: _tiles(e, *given, adds=False))
        f.when(e.block != 0, lambda: _tiles(e, *given))
    else:
        _tiles(e, *given)


def _reserve(e: Backward, part: Part, chunk: int) -> None:
    c, j, lanes = part.shape[0], len(part.blocks[1]), e.places.lanes
    e.places.reserve((chunk * (max(c, j) + lanes) + chunk * j) * lanes)


def _cost_of_turning(j: int, c: int, lanes: int) -> int:
    """Of a product (C, J) one side is turned to vectors, here J: both take about a cycle a row."""
    return -(-j // lanes) * lanes * (c + 2 * lanes)


def _outer(
    e: Backward, part: Part, of_g: _Rows, of_x: _Rows, counts: tuple[Any, Any], usual: int
) -> None:
    """dW += Σ over columns and lanes of g x.

    Args:
        counts: how many columns, and how many of their lanes.
        usual: how many columns are added at once where there are enough.
    """
    weights, lanes = part.blocks[0], e.places.lanes
    (_, _, c), (_, _, j) = of_g, of_x
    # What comes out the wrong way round is put in order, number by number, once a call.
    once = c * j / part.shape[1]
    if _cost_of_turning(c, j, lanes) + once < _cost_of_turning(j, c, lanes):
        _turned(e, of_x, of_g, counts, e.places.of_weights(weights.T), usual)
    else:
        _turned(e, of_g, of_x, counts, e.places.of_weights(weights), usual)


def _turned(
    e: Backward, a: _Rows, b: _Rows, counts: tuple[Any, Any], to: Place, usual: int
) -> None:
    """to[i, j] += Σ over columns and lanes of a[i] b[j]."""
    f, lanes, turned = e.f, e.places.lanes, e.bases["t"]
    source, strides, j = b
    vectors = -(-j // lanes)
    width = vectors * lanes

    def turn(k: Any) -> None:
        def some(i: tuple[Any, ...]) -> None:
            (v,) = i
            f.call(
                transpose, source + strides[0] * (v * lanes) + strides[1] * k, strides[0],
                f.whole(j) - v * lanes, lanes, turned + k * (lanes * width) + v * lanes, width,
            )  # fmt: skip

        loops(f, (vectors,), some)

    f.loop(counts[0], turn)
    _tiles(e, a, (turned, width, j), counts, to, usual * lanes)


def _tiles(
    e: Backward, a: _Rows, b: tuple[Pointer, int, int], counts: tuple[Any, Any], to: Place,
    terms: int, adds: bool = True,
) -> None:  # fmt: skip
    """to[i, j] += Σ a[i] b[j]。

    Args:
        a: 行。
        b: 転置した行の、番地、間隔、j の個数。
        counts: 場所の数と、それぞれで足すものの数。
        to: 勾配の番地。
        terms: 足すものの、おおよその数。
        adds: 前からある値に足すか。
    """
    (at, (across, along), c), (turned, width, j), (count, here) = a, b, counts
    f, lanes, oc = e.f, e.f.width, to.strides[0]
    vectors = -(-j // lanes)
    rows, panel = tile(c, vectors, terms, registers(f.vector), 4)
    for v, panels, wide in split(vectors, panel):
        for row, tiles, height in split(c, rows):

            def some(i: tuple[Any, ...], v: int = v, wide: int = wide, row: int = row,
                     tiles: int = tiles, height: int = height) -> None:  # fmt: skip
                column = (i[0] * wide + v) * lanes
                last = f.least(f.whole(j) - column - (wide - 1) * lanes, lanes)
                kernel = outer(height, wide, j % lanes == 0, adds)
                f.call(
                    kernel, at + row * across, across, along, count, here, turned + column, width,
                    e.bases["d"] + to.first + row * oc + column, oc, tiles, last,
                )  # fmt: skip

            loops(f, (panels,), some)
