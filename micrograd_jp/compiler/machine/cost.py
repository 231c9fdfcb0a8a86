"""機械語にした配列のプログラムにかかる時間の見積もり: 標本の組の数と、手順の大きさから。"""

from __future__ import annotations

import math

import numpy as np

from micrograd_jp.compiler.lift.blocks import CONSTANTS, Step, affine, row_of, space_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.forward import REDUCTIONS
from micrograd_jp.compiler.remembered import named, remembered
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.compiler.tape.kernel import available, calls
from micrograd_jp.native import machine_code
from micrograd_jp.native.math import is_short_power

# Nanoseconds, there and back, of one row of 64 bytes on a core with AVX-512. Only the proportions
# decide.
_ROW = 3.0
_TERM = 3.2  # of a sum, a product or a table
_CALL, _LIBRARY_CALL = 9.0, 220.0
_MULTIPLY_ADD = 0.75
_STEP = 15.0
_TAKEN = 10.0
_WEIGHT = 0.2  # of one sample: nobody else's weights are read, and their gradients written
_SURE = 0.7  # how well the estimates of one sample and of a block compare
_GATHERED = 2.0  # a number of one sample that does not lie beside the one before

MOST_STEPS = 400
"""これより多い手順は、機械語にする時間に見合わない。"""

_CALLS = 12.0  # microseconds: Python, reading the arguments
_COMPILE = 100_000.0
_COMPILE_STEP = 12_000.0


def cost(program: Program, batch: int, dtype: np.dtype[np.generic]) -> float:
    """順伝播と逆伝播を 1 度ずつする時間の見積もり（マイクロ秒）。機械語にできないときは無限大。

    Args:
        program: 配列のプログラム。
        batch: 標本の数。
        dtype: 計算の型。
    """
    steps = program.steps
    if not (available() and machine_code.enabled()) or len(steps) > MOST_STEPS:
        return math.inf
    width = machine_code.vector_bytes() // dtype.itemsize
    once = sum(_nanoseconds(program, step, 0) for step in steps if not step.varying)
    blocks = -(-batch // width) * block_time(program)
    return float(_CALLS + once / 1000 + min(blocks, batch * sample_time(program, width)))


def block_time(program: Program) -> float:
    """標本の組 1 つの、順伝播と逆伝播の時間の見積もり（マイクロ秒）。機械語がなければ無限大。"""
    return _time(program, 0)


def sample_time(program: Program, width: int) -> float:
    """標本 1 つの、順伝播と逆伝播の時間の見積もり（マイクロ秒）。

    Args:
        program: 配列のプログラム。
        width: ベクトルの幅。
    """
    return _time(program, width)


def times(program: Program, width: int) -> tuple[float, float]:
    """`block_time` と `sample_time`。どちらも、機械語がなければ無限大。"""
    name = program.name and named("times", program.name, width)
    return remembered(name, lambda: (block_time(program), sample_time(program, width)))


def few(block: float, sample: float, width: int) -> int:
    """標本がいくつまでなら、1 つずつのほうが、組にするより確かに速いか。"""
    return max(1, min(width - 1, int(_SURE * block / sample)))


def _time(program: Program, width: int) -> float:
    steps = [step for step in program.steps if step.varying]
    nanoseconds = sum(_nanoseconds(program, step, width) for step in steps)
    return float(nanoseconds + sum(size for _, size in program.groups) * _ROW) / 1000


def _nanoseconds(program: Program, step: Step, width: int) -> float:
    """One block of lanes, or where `width` is given one sample, its numbers in vectors.

    Infinite where there is no machine code.
    """
    size, op = step.blocks[0].size, step.op
    if step.kind == "matmul":
        columns = step.shape[1]
        if width:  # one column of numbers: the vectors are in the matrix
            once = _WEIGHT * size
            size, columns = (-(-size // width), 1) if columns == 1 else (size, -(-columns // width))
            return _STEP + once + _MULTIPLY_ADD * size * columns
        return _STEP + _MULTIPLY_ADD * size * columns
    if step.kind == "take":
        return _STEP + _TAKEN * (-(-step.size // 4) if width else step.size)
    gathered = 0.0
    if width:
        gathered = _GATHERED * sum(b.size for b in step.blocks if affine(b) is None)
        size = -(-size // width)
    if step.kind == "fold":
        known = op.name in REDUCTIONS
        term = _TERM + _CALL * (op.name == "logsumexp")
        return _STEP + gathered + size * term if known else math.inf
    if step.kind == "dot":
        return _STEP + gathered + size * _TERM
    inlined, in_library = calls(op)
    if op.name == "pow" and _is_short(program, step.blocks[1]):
        in_library = 0
    return _STEP + gathered + size * (_ROW + _CALL * inlined + _LIBRARY_CALL * in_library)


def _is_short(program: Program, exponents: Array) -> bool:
    """Whether these powers are products and roots."""
    if not (space_of(exponents) == CONSTANTS).all():
        return False
    return all(is_short_power(y) for y in program.constants[row_of(exponents)].tolist())


def compile_time(program: Program) -> float:
    """機械語にする時間の見積もり（マイクロ秒）。"""
    return _COMPILE + _COMPILE_STEP * len(program.steps)
