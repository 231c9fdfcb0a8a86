"""機械語の LSTM（extra `fast`）: すべての時刻を、Python に戻らずに。

系列どうしは関わらないので、何本かずつを 1 つのスレッドが、はじめから終わりまで読む。重みは、
積和の核 (`products`) の読む順に、1 度だけ並べ直す。門の公式は `ops/recurrent.py` にあるもの。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.native.blockwise import written
from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Writer, function
from micrograd_jp.native.products import Tile, tile, tile_of
from micrograd_jp.ops.recurrent import lstm_cell, lstm_cell_back

SMALL = 1 << 12
"""すべての時刻の状態の数がこれより少なければ、NumPy に任せる。"""

FEW = 4
"""時刻がこれより少なければ、重みを並べ直すのに見合わない。"""

LARGE = 1 << 20
"""重みがこのバイト数より多ければ、キャッシュに収まらない。BLAS は、それも速く計算する。"""

Sizes = tuple[int, ...]
Arrays = tuple[Any, ...]


def lstm_forward(
    rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool
) -> Any:
    """すべての時刻の i, f, g, o, c', h' の行。系列の長さが違えば、射影があれば、`None`。"""
    (x,), (h, c), (w, *p) = rows, states, weights
    if p or not _suits(sizes, c, x, w, h):
        return None
    (batch, n), times, shape = c.shape, len(sizes), tile_of(x.dtype)
    # The start stands in rows of its own, where the time before the first would be.
    whole = np.empty(((times + 1) * batch, 6 * n), x.dtype)
    start, z = (whole[-batch:], whole[:-batch]) if backwards else (whole[:batch], whole[batch:])
    start[:, 4 * n : 5 * n], start[:, 5 * n :] = c, h
    first, step = ((times - 1) * batch, -batch) if backwards else (0, batch)
    x, sums = np.ascontiguousarray(x), np.empty((batch, 4 * n), x.dtype)
    panels, none = shape.panels(w.T), np.zeros(shape.padded(4 * n), x.dtype)
    x_at, z_at, w_at, none_at, sums_at = map(address, (x, z, panels, none, sums))
    work, size = kernel(_forward, x.dtype), n * x.itemsize

    def part(row: int, count: int) -> None:
        places, at = shape.filled_up(np.arange(count) * (6 * n)), (first + row) * size
        work(
            x_at + 4 * at, z_at + 6 * at, step, -step, times, w_at, none_at, address(places),
            sums_at + 4 * row * size, count, n,
        )  # fmt: skip

    in_parts(part, batch, _each(batch, shape))
    return z


def lstm_backward(
    rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool
) -> Any:
    """x の勾配と、h, c の勾配。`rows` は、上流の勾配、順伝播の結果、行ごとの、その前の c。"""
    (u, z, before), (h, c), (w, *p) = rows, states, weights
    if p or not _suits(sizes, c, u, z, before, w, h):
        return None
    (batch, n), times, shape = c.shape, len(sizes), tile_of(z.dtype)
    u, z, before = map(np.ascontiguousarray, (u, z, before))
    dx, (dh, dc) = np.empty((len(z), 4 * n), z.dtype), np.zeros((2, batch, n), z.dtype)
    first, step = (0, batch) if backwards else ((times - 1) * batch, -batch)
    panels, none = shape.panels(w), np.zeros(shape.padded(n), z.dtype)
    u_at, z_at, before_at, dx_at, dh_at, dc_at = map(address, (u, z, before, dx, dh, dc))
    w_at, none_at = address(panels), address(none)
    work, size = kernel(_backward, z.dtype), n * z.itemsize

    def part(row: int, count: int) -> None:
        places = shape.filled_up(np.arange(count) * (4 * n))
        at, own = (first + row) * size, row * size
        work(
            u_at + 6 * at, z_at + 6 * at, before_at + at, dx_at + 4 * at, dh_at + own, dc_at + own,
            step, times, w_at, none_at, address(places), count, n,
        )  # fmt: skip

    in_parts(part, batch, _each(batch, shape))
    return (dx,), (dh, dc)


def _suits(sizes: Sizes, c: Any, *others: Any) -> bool:
    if len(set(sizes)) > 1 or len(sizes) < FEW or len(sizes) * c.size < max(SMALL, 1):
        return False
    return 4 * c.shape[1] * c.shape[1] * c.itemsize <= LARGE and suits(c, *others)


def _each(batch: int, size: Tile) -> int:
    """So many rows at a time, which read a panel of weights one after the other."""
    return size.pixels * min(4, -(-batch // (2 * size.pixels)))


def _summed(m: Any, *xs: Any) -> tuple[Any, ...]:
    """The cell, of what the input gives to the gates, what the state gives, and c."""
    gates = [x + y for x, y in zip(xs[:4], xs[4:8])]
    return lstm_cell(m, *gates, *xs[8:])


def _summed_back(m: Any, *xs: Any) -> tuple[Any, ...]:
    """The cell's gradients, of u, what came back to h and c, the cell itself, and c before it."""
    (*given, dh), back, dc, cell = xs[:6], xs[6], xs[7], xs[8:]
    return lstm_cell_back(m, *given, dh + back, *cell, dc)


@function("pppppiii")
def _product(
    f: Writer, x: Any, places: Any, w: Any, none: Any, out: Any, n: Any, rows: Any, outputs: Any
) -> None:
    """All places × all outputs, one panel of the weights after the other.

    none: zeros, which the sums begin with, and the one jump of the kernel.
    """
    size = Tile.of(f.vector)

    def panel(o: Number) -> None:
        left = outputs - o
        apart = f.m.where(left > size.lanes, f.whole(size.lanes * size.vectors), size.lanes)

        def some(p: Number) -> None:
            f.call(
                tile, x, places.of("i64") + p, 1, none, n, 1, w + n * o, apart, none, 0,
                out + p * outputs + o, outputs, rows - p, left,
            )  # fmt: skip

        f.loop(rows, some, step=size.pixels)

    f.loop(outputs, panel, step=size.vectors * size.lanes)


@function("ppiiippppii")
def _forward(
    f: Writer, x: Any, z: Any, step: Any, before: Any, times: Any, w: Any, none: Any, *more: Any
) -> None:
    """`step` rows from one time to the next, `before` rows to the one that was computed last."""
    places, sums, rows, n = more
    cell = written(_summed, (4, 4, 1), (6,))

    def one(t: Number) -> None:
        at = t * step
        last = z + (at + before) * n * 6
        f.call(_product, last + n * 5, places, w, none, sums, n, rows, n * 4)
        here = x + at * n * 4, sums, last + n * 4, z + at * n * 6
        f.call(cell, *here, n * 4, n * 4, n * 6, n * 6, rows, n)

    f.loop(times, one)


@function("ppppppiipppii")
def _backward(
    f: Writer, u: Any, z: Any, before: Any, dx: Any, dh: Any, dc: Any, step: Any, *more: Any
) -> None:
    """In dh and dc stands what comes back from the time that was computed last."""
    times, w, none, places, rows, n = more
    cell = written(_summed_back, (6, 1, 1, 5, 1), (4, 1))

    def one(t: Number) -> None:
        at = t * step * n
        here = u + at * 6, dh, dc, z + at * 6, before + at, dx + at * 4, dc
        f.call(cell, *here, n * 6, n, n, n * 6, n, n * 4, n, rows, n)
        f.call(_product, dx + at * 4, places, w, none, dh, n * 4, rows, n)

    f.loop(times, one)
