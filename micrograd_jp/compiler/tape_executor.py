"""実行のしかた `"tape"`: 機械語にできれば機械語で、できなければ NumPy で、同じテープを実行する。

    pip install "micrograd_jp[fast]"

で入る llvmlite があれば機械語になる。なくても答えは同じで、遅くなるだけである。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.compiler.executors import register
from micrograd_jp.compiler.native_cache import available
from micrograd_jp.compiler.tape import Tape, assembled
from micrograd_jp.compiler.tape_layout import has_machine_code
from micrograd_jp.compiler.tape_native import NativeTape, chunks
from micrograd_jp.compiler.tape_numpy import NumPyTape
from micrograd_jp.compiler.trace import Trace

# Nanoseconds of forward and backward together, measured by tests/benchmarks/bench_compile_tape.py
# on one core of a 2.8 GHz Xeon (AVX-512). Only their proportions matter.
_NANOSECONDS = {"elementwise": 6.0, "call": 18.0, "argument": 1.5, "exp": 5.0}
_LANES = {1: 1.0, 16: 1.9, 32: 3.4, 64: 6.5}
"""レーンの数から、1 本のときの何倍の時間がかかるかへ。"""

_OVERHEAD = 30.0
"""1 回の順伝播と逆伝播のために Python と NumPy がかける時間（マイクロ秒）。"""

_STEP = 12.0
"""NumPy で実行するとき、1 段にかかる時間（マイクロ秒）。"""


def executor(trace: Trace, dtype: Any) -> NativeTape | NumPyTape:
    """表をテープにして、実行器を作る。

    Args:
        trace: 簡約された表。
        dtype: float32 か float64。

    Raises:
        NotImplementedError: 命令のない、並びをまとめる演算。
    """
    tape = assembled(trace)
    if available() and has_machine_code(tape):
        return NativeTape(tape, dtype)
    return NumPyTape(tape, dtype)


register("tape", executor)
