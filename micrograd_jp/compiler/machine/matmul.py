"""行列の積の手順 (matmul): 順伝播、重みの勾配、入力の勾配を、核 (`kernels.py`) で計算する。

入力の行が 1 次式の場所になければ、列をいくつかずつ、作業用の行に並べてから掛ける（畳み込みの窓）。
重みの勾配は `weights.py`。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.compiler.machine.backward import Backward
from micrograd_jp.compiler.machine.forward import Emitter
from micrograd_jp.compiler.machine.kernels import product, registers, rows_dot, rows_times, tile
from micrograd_jp.compiler.machine.layouts import Place
from micrograd_jp.compiler.machine.loops import RUN, loops, split, stripes, total
from micrograd_jp.compiler.machine.packing import beside, packed
from micrograd_jp.compiler.machine.parts import Part
from micrograd_jp.compiler.machine.weights import give_weights, left
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native.ir import Pointer

_ROWS = 8


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
    left(e, part)  # the size of a block is what it will be when the gradients come
    if lanes == 1:
        x = beside(e, x)
    if x.table < 0:
        source = e.bases[x.base] + x.first
        _product(e, w, (c, j, r), source, x.strides, to, strides, bool(bias))
        return
    _, columns = tile(c, r, j, registers(e.f.vector))

    def stripe(first: Any, width: int) -> None:
        xs, place = packed(e, x, (first, width)), to + first * lanes
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
        give_weights(e, part, g)
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
