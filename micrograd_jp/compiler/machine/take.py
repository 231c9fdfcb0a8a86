"""番号で選ぶ (take): 標本ごとに違う番号の、表の行か、並びの 1 つ。

表の行 (K, C) が隣り合った数なら、標本ごとに 1 行をまとめて読み、L×L ずつ転置して `v` の行にする。
逆伝播では、`g` の行を転置し、標本ごとに、選んだ行に足す。選ばなかったものには触れない。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.compiler.machine.backward import Backward
from micrograd_jp.compiler.machine.forward import Emitter
from micrograd_jp.compiler.machine.kernels import transpose
from micrograd_jp.compiler.machine.layouts import Place
from micrograd_jp.compiler.machine.loops import loops
from micrograd_jp.compiler.machine.parts import Part
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Pointer


def take(e: Emitter, part: Part) -> None:
    """順伝播。"""
    index, table = part.blocks
    (c, r), lanes, f = part.shape, e.places.lanes, e.f
    at, x, out = e.places.source(index), e.places.source(table), e.out(part)
    assert isinstance(at, Place)
    if not isinstance(x, Place):
        loops(f, (c, r), lambda i: e.store(out, i, x))
        return
    if lanes == 1 or not _has_rows(x, table.ndim):

        def one(i: tuple[Any, ...]) -> None:
            *where, lane = i
            row = e.at(x, _chosen(_number(e, at, where[1], lane), where, table.ndim))
            number = (row + lane if x.base == "v" else row).item()
            (e.at(out, where) + lane).store(number)

        loops(f, (c, r, lanes), one)
        return
    rows = e.bases["t"]
    turned = rows + lanes * lanes
    e.places.reserve(2 * lanes * lanes)

    def position(i: tuple[Any, ...]) -> None:
        for first in range(0, c, lanes):
            width = min(lanes, c - first)
            mask = None if width == lanes else f.first(f.whole(width))

            def copy(lane: tuple[Any, ...], first: int = first, mask: Any = mask) -> None:
                row = e.at(x, (_number(e, at, i[0], lane[0]), first))
                (rows + lane[0] * lanes).store(row.load(mask))

            loops(f, (lanes,), copy)
            f.call(transpose, rows, lanes, lanes, lanes, turned, lanes)

            def put(k: tuple[Any, ...], first: int = first) -> None:
                e.store(out, (k[0] + first, i[0]), (turned + k[0] * lanes).load())

            loops(f, (width,), put)

    loops(f, (r,), position)


def take_pulled(e: Backward, part: Part) -> None:
    """逆伝播。"""
    index, table = part.blocks
    (c, r), lanes, f = part.shape, e.places.lanes, e.f
    at, g = e.places.source(index), e.upstream(part)
    assert isinstance(at, Place)
    if not e.marks.needs(table):
        return
    fixed = table.ndim == 2
    to = e.places.place(*(("d", e.places.slot(table)) if fixed else e.gathering(table)))
    e.marks.mark(table)
    if lanes == 1 or not _has_rows(to, table.ndim):

        def one(i: tuple[Any, ...], lane: Number) -> None:
            row = e.at(to, _chosen(_number(e, at, i[1], lane), i, table.ndim))
            row = row if fixed else row + lane
            row.store(row.item() + (e.at(g, i) + lane).item())

        loops(f, (c, r), lambda i: f.loop(e.lanes, lambda lane: one(i, lane)))
        return
    turned = e.bases["t"]
    e.places.reserve(lanes * lanes)

    def position(i: tuple[Any, ...]) -> None:
        for first in range(0, c, lanes):
            width = min(lanes, c - first)
            mask = None if width == lanes else f.first(f.whole(width))
            step = g.strides[0] if c > 1 else lanes
            f.call(transpose, e.at(g, (first, i[0])), step, width, lanes, turned, lanes)

            def give(lane: Number, first: int = first, mask: Any = mask) -> None:
                row = e.at(to, (_number(e, at, i[0], lane), first))
                row.store(row.load(mask) + (turned + lane * lanes).load(), mask)

            f.loop(e.lanes, give)

    loops(f, (r,), position)


def _has_rows(place: Place, dimensions: int) -> bool:
    """Whether a row of the table is contiguous numbers, the same ones for all samples."""
    return dimensions == 2 and place.table < 0 and place.base != "v" and place.strides[1] == 1


def _chosen(k: Any, where: Any, dimensions: int) -> tuple[Any, ...]:
    return (k, where[0]) if dimensions == 2 else (k, 0, where[1])


def _number(e: Emitter, at: Place, r: Any, lane: Any) -> Number:
    place: Pointer = e.at(at, (r,)) + lane
    return place.item().cast("fptosi", "i64")
