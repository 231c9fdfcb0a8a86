"""積の引数を、作業用のメモリに並べる (packing)。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.compiler.machine.forward import Emitter
from micrograd_jp.compiler.machine.layouts import Place
from micrograd_jp.compiler.machine.loops import loops
from micrograd_jp.native.ir import Pointer


def packed(
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


def beside(e: Emitter, place: Place) -> Place:
    """ブロック (J, R) の、列がとなり合う番地。そうでなければ、作業用のメモリに並べる。"""
    (j, r), strides = place.shape, place.strides
    if place.table < 0 and (strides[1] == 1 or (r == 1 and strides[0] == 1)):
        return place
    found = Place("t", (j, r), 0, (r, 1))
    e.places.reserve(j * r + e.places.width)
    e.loops((j, r), lambda i: e.store(found, i, e.load(place, i)))
    return found
