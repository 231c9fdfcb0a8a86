"""勾配の行を使い回す (lifetimes): 逆伝播では、勾配の行は、その手順を過ぎたら要らない。

手順の結果の勾配は、結果を最後に使う手順から、自分自身までのあいだだけ生きている。生きている間が
重ならない手順どうしは、同じ行を使う。表が小さいほど、速いキャッシュに収まる。
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from micrograd_jp.compiler.lift.blocks import VARYING, row_of, space_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.parts import Maps, Part
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
        start = 0
        for first, stop, _ in living:
            if start + len(rows) <= first:
                break
            start = max(start, stop)
        living.append((start, start + len(rows), end))
        places[rows] = start + np.arange(len(rows))
        used = max(used, start + len(rows))
    return places, used
