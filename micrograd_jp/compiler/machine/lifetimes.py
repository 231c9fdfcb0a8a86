"""勾配の行を使い回す (lifetimes): 逆伝播では、勾配の行は、その手順を過ぎたら要らない。

手順の結果の勾配は、結果を最後に使う手順から、自分自身までのあいだだけ生きている。生きている間が
重ならない手順どうしは、同じ行を使う。要素ごとの手順では、結果の勾配のあった行を、引数の勾配がそのまま
使う。表が小さいほど、速いキャッシュに収まる。
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from micrograd_jp.compiler.lift.blocks import VARYING, location, row_of, space_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.parts import Maps, Part
from micrograd_jp.compiler.machine.places import in_rows
from micrograd_jp.compiler.table.table import Array


def gradient_rows(program: Program, parts: Sequence[Part | Maps]) -> tuple[Array, int]:
    """標本ごとに計算される数の、勾配の行と、行の数。

    Args:
        program: プログラム。
        parts: くり返しにした手順。
    """
    size = program.sizes[VARYING]
    last = np.zeros(size, np.int64)  # who uses a number last, and so gives to it first
    own = np.zeros(size, np.int64)
    for time, part in enumerate(parts):
        for piece in part.pieces:
            for block in piece.blocks:
                last[row_of(block[space_of(block) == VARYING])] = time
            if piece.varying:
                own[row_of(piece.out)] = time
    last[row_of(program.outputs[space_of(program.outputs) == VARYING])] = len(parts)
    steps = [step for step in program.steps if step.varying]
    spans = [
        (int(last[rows].max()), int(own[rows].min()), rows)
        for rows in (row_of(step.out) for step in steps)
    ]
    places, used = np.zeros(size, np.int64), 0
    living: list[tuple[int, int, int]] = []  # first row, end, when it is over
    for begin, end, rows in sorted(spans, key=lambda span: -span[0]):
        living = sorted(one for one in living if one[2] <= begin)
        start = -1
        if begin < len(parts):
            start = _in_place(parts[begin], rows, places)
        if start < 0:
            start = 0
            for first, stop, _ in living:
                if start + len(rows) <= first:
                    break
                start = max(start, stop)
        living.append((start, start + len(rows), end))
        places[rows] = start + np.arange(len(rows))
        used = max(used, start + len(rows))
    return places, used


def _in_place(part: Part | Maps, rows: Array, places: Array) -> int:
    """Where the gradient of a result is that turns into the one of these rows, row by row."""
    if not isinstance(part, Maps) or not part.varying:
        return -1
    outs = [piece.out.ravel() for piece in part.pieces]
    given = {block.tobytes(): block.ravel() for piece in part.pieces for block in piece.blocks}
    outside = [b for b in given.values() if not any(np.array_equal(b, out) for out in outs)]
    every = np.concatenate([b[in_rows(b)] for b in outside])
    mine = location(VARYING, rows)
    if len(np.unique(every)) < every.size or not any(np.array_equal(b, mine) for b in outside):
        return -1  # it is not stored, or not by this step
    if np.isin(mine, np.concatenate(outs)).any():
        return -1
    last = row_of(outs[-1])
    whole = np.array_equal(last, last[0] + np.arange(len(last)))
    first_operand = next(b for b in outside if in_rows(b).all())
    if not whole or len(last) != len(rows) or not np.array_equal(first_operand, mine):
        return -1  # one of the operands only
    return int(places[last[0]])
