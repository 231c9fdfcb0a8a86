"""行列の積の核 (micro-kernel): 重みは 1 つの数、入力と出力は標本 L 個の行。

    product:    out[c, r] (+)= Σⱼ w[c, j] x[j, r]         w を広げ (broadcast)、行を読む
    outer:      dw[c, j] += Σᵣ Σₗ g[c, r, l] x[j, r, l]    g の数を広げ、転置した x を読む
    transpose:  L×L の転置

どの和も、いくつかの行がレジスタに居続けるうちに足し終える。`product` は順伝播 (w) にも入力の勾配
(w の転置) にもなる。
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

from micrograd_jp.compiler.machine.loops import split
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Vector, Writer

_LATENCY = 4.0  # cycles from one multiply-add to the next into the same register
_ONCE = 24.0  # cycles to begin and end a tile


def registers(vector: Vector) -> int:
    """和に使えるレジスタの数。"""
    return 24 if vector.bits == 512 else 12


@functools.cache
def tile(rows: int, columns: int, length: int, most: int, widest: int = 8) -> tuple[int, int]:
    """積を分ける大きさ: かかる時間の見積もりがいちばん短いもの。

    Args:
        rows, columns: 結果の大きさ。
        length: 足す数。
        most: 和に使えるレジスタの数。
        widest: 列の数の上限。
    """

    def cycles(r: int, c: int) -> float:
        return length * max(r * c / 2, (r + c) / 2, _LATENCY) + _ONCE

    def total(size: tuple[int, int]) -> float:
        parts = [(r, c) for _, _, r in split(rows, size[0]) for _, _, c in split(columns, size[1])]
        counts = [(a, b) for _, a, _ in split(rows, size[0]) for _, b, _ in split(columns, size[1])]
        return sum(a * b * cycles(r, c) for (r, c), (a, b) in zip(parts, counts))

    sizes = [
        (r, c)
        for c in range(1, min(columns, widest) + 1)
        for r in range(1, min(rows, most // c) + 1)
    ]
    return min(sizes, key=total)


@functools.cache
def product(rows: int, columns: int, adds: bool, last: int = 0, over: bool = False) -> Function:
    """`tiles` 個の、rows × columns の結果。前からある値に足すか。間隔は数で数える。

    `last` があれば、列の終わりのベクトルは、`last` 個だけを書く。`over` なら、続きは次の行で
    あとから書かれるから、終わりの行のほかでは全部を書く。
    """

    def body(f: Writer, w: Pointer, wc: Any, wj: Any, n: Any, x: Pointer, *more: Any) -> None:
        xj, xr, out, oc, step, tiles = more

        def one(t: Number) -> list[Number]:
            weights, place = w + wc * rows * t, out + oc * rows * t
            places = [[place + oc * c + step * r for r in range(columns)] for c in range(rows)]
            start = [f.zero() for _ in range(rows * columns)]

            def term(j: Number, *sums: Number) -> list[Number]:
                here = weights + wj * j
                xs = [(x + xj * j + xr * r).load() for r in range(columns)]
                ws = [f.all((here + wc * c).item()) for c in range(rows)]
                return [sums[c * columns + r] + ws[c] * xs[r]
                        for c in range(rows) for r in range(columns)]  # fmt: skip

            sums = f.fold((0, n, 1), start, term)
            flat = [at for own in places for at in own]
            if adds:  # read before anything is written
                sums = [total + at.load() for at, total in zip(flat, sums)]
            for i, (at, total) in enumerate(zip(flat, sums)):
                row, column = divmod(i, columns)
                whole = not last or column < columns - 1 or (over and row < rows - 1)
                at.store_some(total, f.width if whole else last)
            return []

        f.fold((0, tiles, 1), [], one)

    kind = f"{f'_{last}' if last else ''}{'_over' if over else ''}{'_added' if adds else ''}"
    name = f"product{rows}x{columns}{kind}"
    return Function(name, "piiipiipiii", body, inline=False)


@functools.cache
def outer(rows: int, vectors: int, whole: bool, adds: bool = True) -> Function:
    """rows 行 × `vectors` 本のベクトルの勾配を `tiles` 個。前からある値に足すか。

    `whole` でなければ、最後の 1 本は `last` 個だけ。マスクの付いた書き込みは、遅い CPU がある。
    """

    def body(f: Writer, g: Pointer, gc: Any, gr: Any, places: Any, lanes: Any, *more: Any) -> None:
        x, width, out, oc, tiles, last = more

        def one(t: Number) -> list[Number]:
            start = [f.zero() for _ in range(rows * vectors)]

            def position(r: Number, *sums: Number) -> list[Number]:
                here, row = g + gc * rows * t + gr * r, x + width * f.width * r

                def lane(k: Number, *sums: Number) -> list[Number]:
                    xs = [(row + width * k + f.width * v).load() for v in range(vectors)]
                    gs = [f.all((here + gc * c + k).item()) for c in range(rows)]
                    return [sums[c * vectors + v] + gs[c] * xs[v]
                            for c in range(rows) for v in range(vectors)]  # fmt: skip

                return f.fold((0, lanes, 1), sums, lane)

            sums = f.fold((0, places, 1), start, position)
            mask = None if whole else f.first(last)
            for c in range(rows):
                for v in range(vectors):
                    at = out + oc * (t * rows + c) + f.width * v
                    end = mask if v == vectors - 1 else None
                    own = sums[c * vectors + v]
                    at.store(at.load(end) + own if adds else own, end)
            return []

        f.fold((0, tiles, 1), [], one)

    name = f"outer{rows}x{vectors}{'' if whole else '_masked'}{'' if adds else '_stored'}"
    return Function(name, "piiiipipiii", body, inline=False)


@functools.cache
def rows_times(vectors: int, adds: bool, last: int) -> Function:
    """out[c] (+)= Σⱼ w[c, j] x[j]。w の c が隣り合い、`vectors` 本のベクトルになる。

    `last` があれば、終わりのベクトルは `last` 個だけ。ベクトルが少なければ、和をいくつかに分ける。
    """
    ways = max(1, 8 // vectors)

    def body(f: Writer, w: Pointer, wj: Any, n: Any, x: Pointer, xj: Any, out: Pointer) -> None:
        masks: list[Any] = [None] * vectors
        if last:
            masks[-1] = f.first(f.whole(last))

        def terms(j: Any) -> list[Number]:
            row, number = w + wj * j, f.all((x + xj * j).item())
            return [(row + f.width * v).load(masks[v]) * number for v in range(vectors)]

        def some(j: Number, *sums: Number) -> list[Number]:
            new = [term for k in range(ways) for term in terms(j + k)]
            return [a + b for a, b in zip(sums, new, strict=True)]

        def once(sums: Any, j: Number) -> list[Number]:
            return [a + b for a, b in zip(sums, terms(j), strict=True)]

        held = [f.variable(f.zero()) for _ in range(ways * vectors)]

        def put(sums: Sequence[Number]) -> None:
            for place, x in zip(held, sums):
                place.value = x

        whole = n & -ways
        f.loop(whole, lambda j: put(some(j, *[h.value for h in held])), step=ways)
        f.loop(n, lambda j: put(once([h.value for h in held[:vectors]], j)), start=whole)
        for v in range(vectors):
            total = functools.reduce(operator.add, [h.value for h in held[v::vectors]])
            at = out + f.width * v
            count = last if last and v == vectors - 1 else f.width
            at.store_some(total + at.load() if adds else total, count)

    name = f"rows_times{vectors}{f'_{last}' if last else ''}{'_added' if adds else ''}"
    return Function(name, "piipip", body, inline=False)


@functools.cache
def rows_dot(rows: int, adds: bool, last: int) -> Function:
    """out[c] (+)= Σⱼ w[c, j] x[j]。w の j が隣り合う。`tiles` 個の、rows 行ずつ。

    `last` は、j をベクトルの幅で割った余り。
    """

    def body(f: Writer, w: Pointer, wc: Any, n: Any, x: Pointer, out: Pointer, *more: Any) -> None:
        oc, tiles = more

        def one(t: Number) -> list[Number]:
            weights, places = w + wc * rows * t, out + oc * rows * t
            held = [f.variable(f.zero()) for _ in range(rows)]

            def term(j: Any, mask: Any = None) -> None:
                xs = (x + j).load(mask)
                for c, h in enumerate(held):
                    h.value = h.value + (weights + wc * c + j).load(mask) * xs

            for h in held:
                h.value = f.zero()
            f.loop(n - last, term, step=f.width)
            if last:
                term(n - last, f.first(f.whole(last)))
            for c, h in enumerate(held):
                at, total = places + oc * c, f.m.total(h.value)
                at.store(total + at.item() if adds else total)
            return []

        f.fold((0, tiles, 1), [], one)

    name = f"rows_dot{rows}{f'_{last}' if last else ''}{'_added' if adds else ''}"
    return Function(name, "piippii", body, inline=False)


def _transpose(
    f: Writer, x: Pointer, xr: Any, rows: Any, columns: Any, out: Pointer, step: Any
) -> None:
    """L rows of x, of which only the first `columns` numbers may be read, become columns of out.

    Behind the first `rows` rows, the last of them is read again.
    """
    mask, last = f.first(columns), rows - 1
    lines = [(x + xr * f.least(i, last)).load(mask) for i in range(f.width)]
    bit = 1
    while bit < f.width:
        swapped = []
        for i in range(f.width):
            low, high = lines[i & ~bit], lines[i | bit]
            picked = [
                (e | bit if i & bit else e & ~bit) + (f.width if e & bit else 0)
                for e in range(f.width)
            ]
            order = ", ".join(f"i32 {p}" for p in picked)
            both = f"{low.type} {low.text}, {high.type} {high.text}"
            swapped.append(low.made(f"shufflevector {both}, <{f.width} x i32> <{order}>"))
        lines, bit = swapped, 2 * bit
    for i, line in enumerate(lines):
        (out + step * i).store(line)


transpose = Function("transpose", "piiipi", _transpose, inline=False)


INPUT = 5
"""入力 1 つを表す整数の個数: 番地、行と標本の間隔、行の数、はじめの行。"""


def _arrive(
    f: Writer, inputs: Pointer, groups: Any, tables: Pointer, v: Pointer, n: Any, *span: Any
) -> None:
    """入力を `v` の行に入れる。行か標本が隣り合っている配列から。"""
    lanes, (begin, count) = f.width, span

    def block(b: Number) -> None:
        start = (begin + b) * lanes
        here = f.least(n - start, lanes)
        mask, rows_of = f.first(here), v + tables.of("i64").item() * b

        def group(k: Number) -> None:
            at = inputs.of("i64") + k * INPUT
            x = Pointer(f, f.kind, f.result(f"load ptr, ptr {at.text}", pure=False))
            across, along, count, row = [(at + i).item() for i in range(1, INPUT)]
            x, out = x + along * start, rows_of + row * lanes

            def rows() -> None:
                f.loop(count, lambda i: (out + i * lanes).store((x + across * i).load(mask)))

            def tile(i: Number) -> None:
                wide = f.least(count - i, lanes)
                f.call(transpose, x + i, along, here, wide, out + i * lanes, lanes)

            f.when(along == 1, rows)
            f.when(along != 1, lambda: f.loop(count, tile, step=lanes))

        f.loop(groups, group)

    f.loop(count, block)


arrive = Function("arrive_of", "pippiii", _arrive, inline=False)


def _arrive_one(
    f: Writer, inputs: Pointer, groups: Any, tables: Pointer, v: Pointer, n: Any, *span: Any
) -> None:
    """`arrive` と同じ。標本ごとに、1 つの数の並びになる (`layouts.Numbers`)。"""
    begin, count = span

    def block(b: Number) -> None:
        rows_of = v + tables.of("i64").item() * b

        def group(k: Number) -> None:
            at = inputs.of("i64") + k * INPUT
            x = Pointer(f, f.kind, f.result(f"load ptr, ptr {at.text}", pure=False))
            across, along, rows, row = [(at + i).item() for i in range(1, INPUT)]
            x, out = x + along * (begin + b), rows_of + row
            f.loop(rows, lambda i: (out + i).store((x + across * i).item()))

        f.loop(groups, group)

    f.loop(count, block)


arrive_one = Function("arrive_one_of", "pippiii", _arrive_one, inline=False)
