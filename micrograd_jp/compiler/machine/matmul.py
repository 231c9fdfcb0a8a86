"""行列の積の手順 (matmul): 順伝播、重みの勾配、入力の勾配を、核 (`kernels.py`) で計算する。

入力の行が 1 次式の場所になければ、列をいくつかずつ、作業用の行に並べてから掛ける（畳み込みの窓）。
重みの勾配では、入力か上流の勾配の、小さい方を転置する。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import PARAMETERS
from micrograd_jp.compiler.machine.backward import Backward
from micrograd_jp.compiler.machine.forward import Emitter
from micrograd_jp.compiler.machine.kernels import (
    outer,
    product,
    registers,
    rows_dot,
    rows_times,
    tile,
    transpose,
)
from micrograd_jp.compiler.machine.layouts import Place
from micrograd_jp.compiler.machine.loops import RUN, loops, split, stripes, total
from micrograd_jp.compiler.machine.parts import Part
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native.ir import Pointer

_CHUNK = 16  # columns of a matrix that are transposed at once
_ROWS = 8


_Rows = tuple[Pointer, Sequence[int], int]
"""Rows (n, R) of one block of lanes: where, how far apart, how many."""


def _cost_of_turning(j: int, c: int, lanes: int) -> int:
    """Of a product (C, J) one side is turned to vectors, here J: both take about a cycle a row."""
    return -(-j // lanes) * lanes * (c + 2 * lanes)


def _product(
    e: Emitter,
    w: Place,
    shape: tuple[int, int, int],
    x: Pointer,
    x_strides: tuple[int, ...],
    out: Pointer,
    out_strides: tuple[int, ...],
    keep: bool,
) -> None:
    """out[c, r] (+)= Σⱼ w[c, j] x[j, r]。

    Args:
        w: 番地。間隔は (c, j) の順。
        shape: (C, J, R)。
        x, x_strides: x の番地と、(j, r) の間隔。
        out, out_strides: 結果の番地と、(c, r) の間隔。
        keep: 前からある値に足すか。
    """
    c, length, r = shape
    if e.places.lanes == 1 and r == 1:
        _times_one(e, w, (c, length), x, x_strides[0], out, out_strides[0], keep)
        return
    for first in range(0, length, RUN):
        part = w._replace(first=w.first + first * w.strides[1])
        j = min(RUN, length - first)
        own = x + first * x_strides[0]
        _once(e, part, (c, j, r), own, x_strides, out, out_strides, keep or first > 0)


def _once(
    e: Emitter,
    w: Place,
    shape: tuple[int, int, int],
    x: Pointer,
    x_strides: tuple[int, ...],
    out: Pointer,
    out_strides: tuple[int, ...],
    keep: bool,
) -> None:
    f, (c, j, r) = e.f, shape
    rest, over = 0, out_strides[0] == r
    if e.places.lanes == 1:  # a vector is f.width of the columns, which lie side by side
        r, rest = -(-r // f.width), r % f.width
        x_strides, out_strides = (x_strides[0], f.width), (out_strides[0], f.width)
    rows, columns = tile(c, r, j, registers(f.vector))
    start = e.bases[w.base] + w.first

    def stripe(first: Any, width: int, last: int = 0) -> None:
        for row, count, height in split(c, rows):
            kernel = product(height, width, keep, last, over and last > 0)
            f.call(
                kernel, start + row * w.strides[0], *w.strides, j,
                x + first * x_strides[1], *x_strides,
                out + (first * out_strides[1] + row * out_strides[0]), *out_strides,
                count,
            )  # fmt: skip

    if rest:
        behind = (r - 1) // columns * columns
        over = over and not behind and out_strides[0] + rest >= f.width
        stripes(f, behind, columns, stripe)
        stripe(behind, r - behind, rest)
    else:
        stripes(f, r, columns, stripe)


def _times_one(
    e: Emitter, w: Place, shape: tuple[int, int], x: Pointer, xj: int, out: Pointer, oc: int,
    keep: bool,
) -> None:  # fmt: skip
    """out[c] (+)= Σⱼ w[c, j] x[j]、標本も場所も 1 つのとき。w のとなり合うほうがベクトルになる。"""
    f, (c, j), start = e.f, shape, e.bases[w.base] + w.first
    wc, wj = w.strides
    if wj == 1 and (xj == 1 or j == 1):
        for row, count, height in split(c, _ROWS):
            f.call(
                rows_dot(height, keep, j % f.width), start + row * wc, wc, j, x,
                out + row * oc, oc, count,
            )  # fmt: skip
    elif wc == 1 and (oc == 1 or c == 1):
        vectors, last = -(-c // f.width), c % f.width
        for first, count, width in split(vectors, _ROWS):
            for k in range(count):
                own = (first + k * width) * f.width
                rest = last if first + (k + 1) * width == vectors else 0
                f.call(rows_times(width, keep, rest), start + own, wj, j, x, xj, out + own)
    else:

        def one(i: tuple[Any, ...]) -> None:
            def term(k: Any) -> Any:
                return f.all((start + wc * i[0] + wj * k).item() * (x + xj * k).item())

            to, sum_ = out + oc * i[0], total(f, j, term).split()[0]
            to.store(sum_ + to.item() if keep else sum_)

        loops(f, (c,), one)


def _packed(
    e: Emitter, place: Place, columns: tuple[Any, int], to: Pointer | None = None
) -> Pointer:
    """ブロック (J, R) の、いくつかの列を、作業用の行に並べる。"""
    first, width = columns
    lanes, t = e.places.width, to or e.bases["t"]
    e.places.reserve(place.shape[0] * width * lanes)

    def copy(i: tuple[Any, ...]) -> None:
        (t + (i[0] * width + i[1]) * lanes).store(e.load(place, (i[0], i[1] + first)))

    loops(e.f, (place.shape[0], width), copy)
    return t


def _beside(e: Emitter, place: Place) -> Place:
    """ブロック (J, R) の、列がとなり合う番地。そうでなければ、作業用のメモリに並べる。"""
    (j, r), strides = place.shape, place.strides
    if place.table < 0 and (strides[1] == 1 or (r == 1 and strides[0] == 1)):
        return place
    found = Place("t", (j, r), 0, (r, 1))
    e.places.reserve(j * r + e.places.width)
    e.loops((j, r), lambda i: e.store(found, i, e.load(place, i)))
    return found


def matmul(e: Emitter, part: Part) -> None:
    """順伝播。"""
    weights, inputs, *bias = part.blocks
    (c, r), j, lanes = part.shape, len(inputs), e.places.lanes
    w, x, out = e.places.weights(weights), e.places.source(inputs), e.out(part)
    assert isinstance(x, Place)
    if bias:
        b = e.places.source(np.broadcast_to(bias[0], (c, r)))
        e.loops((c, r), lambda i: e.store(out, i, e.load(b, i)))
    to, strides = e.bases["v"] + out.first, (r * lanes, lanes)
    if lanes == 1:
        x = _beside(e, x)
    if x.table < 0:
        source = e.bases[x.base] + x.first
        _product(e, w, (c, j, r), source, x.strides, to, strides, bool(bias))
        return
    _, columns = tile(c, r, j, registers(e.f.vector))

    def stripe(first: Any, width: int) -> None:
        xs, place = _packed(e, x, (first, width)), to + first * lanes
        shape = (c, j, width)
        _product(e, w, shape, xs, (width * lanes, lanes), place, strides, bool(bias))

    stripes(e.f, r, columns, stripe)


def matmul_pulled(e: Backward, part: Part) -> None:
    """逆伝播。"""
    weights, inputs, *bias = part.blocks
    g = e.bases["g"] + e.upstream(part).first
    if bias and e.marks.needs(bias[0]):
        _bias(e, part, bias[0])
    if e.marks.needs(weights):
        _weights(e, part, g)
    if e.marks.needs(inputs):
        _inputs(e, part, g)


def _bias(e: Backward, part: Part, bias: Array) -> None:
    [to], g, (c, r) = e.receivers([bias]), e.upstream(part), part.shape
    if bias.shape[1] == r:
        e.loops((c, r), lambda i: e.give(to, i, e.load(g, i)))
        return

    def one(i: tuple[Any, ...]) -> None:
        e.give(to, (*i, 0), total(e.f, r, lambda k: e.load(g, (*i, k))))

    e.loops((c,), one)


def _weights(e: Backward, part: Part, g: Pointer) -> None:
    (weights, inputs), (c, r), lanes = part.blocks[:2], part.shape, e.places.lanes
    j, x = len(inputs), e.places.source(inputs)
    assert isinstance(x, Place)
    known = e.marks.has(weights).any()
    e.marks.mark(weights)
    if lanes == 1:
        to = e.places.of_weights(weights)
        # Nobody has added to these numbers before, and they lie side by side: the first sample's
        # share need not be added to zeros.
        is_first = not known and to.first < e.places.sizes[PARAMETERS] and to.strides[0] == j
        if is_first:
            e.places.stored.append((to.first, to.first + c * j))
        _weights_of_one(e, _beside(e, x), (c, j, r), g, to, is_first)
        return
    chunk = min(r, _CHUNK)
    # What comes out the wrong way round is put in order, number by number, once a call.
    once = c * j / r
    turns_g = _cost_of_turning(c, j, lanes) + once < _cost_of_turning(j, c, lanes)
    most = max(c, j)
    e.places.reserve((chunk * (most + lanes) + chunk * j) * lanes)

    def positions(first: Any, count: int) -> None:
        of_g = g + first * lanes, (r * lanes, lanes), c
        if x.table < 0:
            source = e.bases["v"] + x.first + first * x.strides[1]
            of_x = source, x.strides, j
        else:
            own = e.bases["t"] + chunk * (most + lanes) * lanes
            of_x = _packed(e, x, (first, count), own), (count * lanes, lanes), j
        if turns_g:
            _outer(e, of_x, of_g, count, e.places.of_weights(weights.T))
        else:
            _outer(e, of_g, of_x, count, e.places.of_weights(weights))

    stripes(e.f, r, chunk, positions)


def _weights_of_one(
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
    given = (g, (r, 0), c), (source, width, j), (1, r), to
    if is_first:
        f.when(e.block == 0, lambda: _tiles(e, *given, adds=False))
        f.when(e.block != 0, lambda: _tiles(e, *given))
    else:
        _tiles(e, *given)


def _outer(e: Backward, a: _Rows, b: _Rows, count: int, to: Place) -> None:
    """to[i, j] += Σ over positions and lanes of a[i] b[j]."""
    f, lanes, turned = e.f, e.places.lanes, e.bases["t"]
    source, strides, j = b
    vectors = -(-j // lanes)
    width = vectors * lanes

    def turn(i: tuple[Any, ...]) -> None:
        k, v = i
        f.call(
            transpose, source + strides[0] * (v * lanes) + strides[1] * k, strides[0],
            f.whole(j) - v * lanes, lanes, turned + k * (lanes * width) + v * lanes, width,
        )  # fmt: skip

    loops(f, (count, vectors), turn)
    _tiles(e, a, (turned, width, j), (count, e.lanes), to)


def _tiles(
    e: Backward, a: _Rows, b: tuple[Pointer, int, int], counts: tuple[int, Any], to: Place,
    adds: bool = True,
) -> None:  # fmt: skip
    """to[i, j] += Σ a[i] b[j]。

    Args:
        a: 行。
        b: 転置した行の、番地、間隔、j の個数。
        counts: 場所の数と、それぞれで足すものの数。
        to: 勾配の番地。
        adds: 前からある値に足すか。
    """
    (at, (across, along), c), (turned, width, j), (count, here) = a, b, counts
    f, lanes, oc = e.f, e.f.width, to.strides[0]
    vectors = -(-j // lanes)
    terms = count * (here if isinstance(here, int) else lanes)
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


def _inputs(e: Backward, part: Part, g: Pointer) -> None:
    weights, inputs = part.blocks[:2]
    (c, r), j, lanes = part.shape, len(inputs), e.places.lanes
    w = e.places.weights(weights)
    w = w._replace(shape=(j, c), strides=(w.strides[1], w.strides[0]))
    [to] = e.receivers([inputs])
    strides = (r * lanes, lanes)
    alone = to.place.table < 0 and len(np.unique(inputs)) == inputs.size
    if alone and (lanes > 1 or r == 1 or to.place.strides[1] == 1):
        out = e.bases["g"] + to.place.first
        _product(e, w, (j, c, r), g, strides, out, to.place.strides, to.adds)
        return
    t = e.bases["t"]
    if lanes == 1:
        e.places.reserve(j * r + e.places.width)
        _product(e, w, (j, c, r), g, strides, t, strides, False)
        found = Place("t", (j, r), 0, (r, 1))
        e.loops((j, r), lambda i: e.give(to, i, e.load(found, i)))
        return
    _, columns = tile(j, r, c, registers(e.f.vector))
    e.places.reserve(j * columns * lanes)

    def stripe(first: Any, width: int) -> None:
        own = (width * lanes, lanes)
        _product(e, w, (j, c, width), g + first * lanes, strides, t, own, False)

        def scatter(k: tuple[Any, ...]) -> None:
            share = (t + (k[0] * width + k[1]) * lanes).load()
            e.give(to, (k[0], k[1] + first), share)

        loops(e.f, (j, width), scatter)

    stripes(e.f, r, columns, stripe)
