"""表の一部 (part): いくつかの入力だけを動かすとき、計算し直すところだけの表。"""

from __future__ import annotations

import numpy as np

from micrograd_jp.compiler.table.codes import CONSTANT
from micrograd_jp.compiler.table.table import Array, Trace, reached, spread


def part(trace: Trace, values: Array, inputs: Array) -> Trace:
    """`trace` のうち、`inputs` が動くと値の変わるノードの表。ほかの引数は定数になる。

    Args:
        trace: 表。
        values: 形 (n,)。動かさないときの、すべてのノードの値。
        inputs: 動かす入力のノードの番号、小さい順。新しい表の入力の順になる。
    """
    moved = np.zeros(len(trace), dtype=bool)
    moved[inputs] = True
    moved = reached(trace, moved)
    counts = np.where(moved, np.diff(trace.offsets), 0)
    args = trace.args[spread(trace.offsets[:-1], counts)]
    kept = moved.copy()
    kept[args] = kept[trace.outputs] = True
    places = np.cumsum(kept) - 1
    fixed = np.flatnonzero(kept & ~moved)
    return Trace(
        codes=np.where(moved, trace.codes, CONSTANT)[kept],
        args=places[args],
        offsets=np.concatenate([[0], np.cumsum(counts[kept])]),
        inputs=places[inputs],
        parameters=np.empty(0, np.int64),
        constants=places[fixed],
        values=values[fixed],
        outputs=places[trace.outputs],
    )
