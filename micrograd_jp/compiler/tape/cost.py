"""機械語のテープにかかる時間の見積もり: 命令の数から。"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from micrograd_jp.compiler.table.codes import (
    FIRST_OPERATION,
    LOGSUMEXP,
    PRIMITIVES,
    TAKE,
    code_of,
)
from micrograd_jp.compiler.table.table import Trace
from micrograd_jp.compiler.tape.kernel import available, calls
from micrograd_jp.compiler.tape.layout import chunks

# Measured with one lane of float32, forward and backward together, on a core with AVX-512
# (python tests/benchmarks/bench_compile_tape.py --instructions). Only the proportions matter.
INSTRUCTION = 3.0
"""命令 1 つの、引数と関数を除いた時間（ナノ秒）。"""

ARGUMENT = 0.8
"""引数 1 つあたりの時間（ナノ秒）。"""

CALL = 5.0
"""その場に展開される関数 (exp, log) 1 回の時間（ナノ秒）。"""

LIBRARY_CALL = 7.0
"""数学ライブラリの関数 (sin, pow) 1 回の時間（ナノ秒）。レーンの数だけかかる。"""

LEAF = 10.0
"""葉 1 つの値を書き、勾配を集める時間（ナノ秒）。"""

LANES = {1: 1.0, 16: 1.9, 32: 3.4, 64: 6.5}
"""レーンの数から、1 本のときの何倍の時間がかかるかへ。"""

OVERHEAD = 25.0
"""1 回の順伝播と逆伝播のために Python と NumPy がかける時間（マイクロ秒）。"""


def cost(trace: Trace, batch: int) -> float:
    """機械語のテープで、順伝播と逆伝播を 1 度ずつする時間の見積もり（マイクロ秒）。

    テープを作らずに、演算の個数だけから見積もる。機械語にできないときは無限大（同じことは、
    実行のしかた `"levels"` が NumPy でする）。

    Args:
        trace: 簡約された表。
        batch: 標本の数。
    """
    if not available():
        return math.inf
    counts = np.bincount(trace.codes, minlength=len(PRIMITIVES))
    if counts[code_of(TAKE)]:  # the tape has no instruction that looks at an input
        return math.inf
    leaves, counts[:FIRST_OPERATION] = counts[:FIRST_OPERATION].sum(), 0
    inlined, in_library = _calls(len(PRIMITIVES))
    used = counts > 0
    nanoseconds = LEAF * leaves + INSTRUCTION * counts.sum() + ARGUMENT * len(trace.args)
    logsumexp = np.diff(trace.offsets)[trace.codes == LOGSUMEXP].sum()
    nanoseconds += CALL * (counts[used] @ inlined[used] + logsumexp)
    lanes = sum(LANES[n] for _, _, n in chunks(batch))
    one_by_one = sum(n for _, _, n in chunks(batch)) * LIBRARY_CALL
    nanoseconds = lanes * nanoseconds + one_by_one * (counts[used] @ in_library[used])
    return float(OVERHEAD + nanoseconds / 1000)


@functools.cache
def _calls(count: int) -> Any:
    """Both kinds of calls of every operation."""
    return np.array([calls(op) for op in PRIMITIVES[:count]]).T
