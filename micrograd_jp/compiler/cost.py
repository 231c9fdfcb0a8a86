"""どれで動かすかを選ぶ (cost model): それぞれの時間を見積もり、いちばん短いものにする。

| 名前 | 動かし方 | 向いているもの |
|---|---|---|
| `lift` | 行列を見つけた配列のプログラム | 規則正しい計算、多くの標本 |
| `native` | 配列のプログラムの機械語（extra `fast`） | 同じ。何度も呼ぶ計算 |
| `tape` | 機械語のテープ（extra `fast`） | 不規則な計算 |
| `python` | ふつうの Python | 演算の少ない計算、少ない標本 |

配列のプログラムを機械語にするには 0.1 秒から 1 秒かかる。だから、はじめは次に速いもので動かし、
それにかかった時間が、機械語にする時間に届いたところで、機械語にする。無駄になる時間は、使った時間を
超えない。どちらの時間も見積もりなので、何回目に変わるかは、いつも同じである。
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from micrograd_jp.compiler.lift.blocks import affine
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.cost import compile_time
from micrograd_jp.compiler.machine.cost import cost as native_cost
from micrograd_jp.compiler.table.codes import FIRST_OPERATION
from micrograd_jp.compiler.table.table import Trace
from micrograd_jp.compiler.tape.cost import cost as tape_cost

# Microseconds on one core of a 2020s server; only the proportions decide.
_CALL = 1.5  # one call of NumPy on a small array
_CALLS = {"map": 4, "fold": 7, "dot": 5, "matmul": 6, "take": 8}  # forward and backward
_START = 30.0  # reading the arguments, returning tensors
_ELEMENT = 0.0015  # one number through one elementwise step, there and back
_GATHERED = 0.002
_FLOP = 1 / 40_000
_TAPE = 2.5  # whole steps beside the instructions alone: memory, sums over the samples
_MANY = 30
_PYTHON, _OPERAND = 0.1, 0.15  # one operation of one sample, there and back, and each operand


@dataclass(frozen=True)
class Choice:
    """選んだ結果。

    Attributes:
        name: 実行のしかた。
        batch: 見積もりに使った標本の数。
        microseconds: 名前から、1 回の順伝播と逆伝播の見積もり (µs) へ。
        asked: 利用者が `executor=` で指定したか。
        first: はじめの実行のしかた。
        after: `first` で動かす回数。
    """

    name: str
    batch: int
    microseconds: dict[str, float]
    asked: bool
    first: str = ""
    after: int = 0

    def at(self, call: int) -> str:
        """`call` 回目 (1 から) の実行のしかた。"""
        return self.first if call <= self.after else self.name


def chosen(
    trace: Trace, program: Program, batch: int, dtype: np.dtype[np.generic], asked: str | None
) -> Choice:
    """実行のしかたを選ぶ。

    Args:
        trace: 簡約された表。
        program: 配列のプログラム。
        batch: 標本の数。
        dtype: 計算の型。
        asked: 利用者が指定した名前、または `None`。
    """
    operations = int((trace.codes >= FIRST_OPERATION).sum())
    one_by_one = _PYTHON * operations + _OPERAND * len(trace.args)
    estimates = {
        "lift": lift_cost(program, batch),
        "python": _START + one_by_one * max(batch, 1),
    }
    if len(program.steps) > _MANY:  # regular programs need no tape
        tape = _TAPE * tape_cost(trace, batch)
        if np.isfinite(tape):
            estimates["tape"] = tape
    first = min(estimates, key=estimates.__getitem__)
    if asked:
        return Choice(asked, batch, estimates, True)
    native = native_cost(program, batch, dtype)
    if native >= estimates[first]:
        return Choice(first, batch, estimates, False)
    after = int(compile_time(program) / estimates[first])
    return Choice("native", batch, estimates | {"native": native}, False, first, after)


def lift_cost(program: Program, batch: int) -> float:
    """配列のプログラムの、順伝播と逆伝播の時間の見積もり (µs)。"""
    total = _START
    for step in program.steps:
        n = batch if step.varying else 1
        total += _CALL * _CALLS[step.kind]
        if step.kind == "matmul":
            weights, inputs = step.blocks[:2]
            total += 6 * weights.size * inputs.shape[1] * n * _FLOP
        for block in step.blocks:
            total += block.size * n * _ELEMENT if step.kind != "matmul" else 0
            if affine(block) is None:
                total += block.size * n * _GATHERED
    return total


_NAMES = {
    "lift": "行列（配列のプログラム）",
    "native": "機械語にした配列のプログラム",
    "tape": "機械語のテープ",
    "python": "ふつうの Python ",
}


def explained(choice: Choice, recorded: Trace, simple: Trace, program: Program) -> str:
    """なぜそれで動かすのかの、日本語の 1 段落。"""
    matrices = [step for step in program.steps if step.kind == "matmul"]
    found = "、".join(_matrix(step.blocks[0].shape, step.shape[1]) for step in matrices[:4])
    found += f" など {len(matrices)} 個" if len(matrices) > 4 else ""
    times = "、".join(
        f"{_NAMES[name]}なら {_time(us)}"
        for name, us in sorted(choice.microseconds.items(), key=lambda item: item[1])
    )
    why = (
        f"executor={choice.name!r} と指定されたので、それで動かします。"
        if choice.asked
        else f"だから{_at_first(choice, program)} {choice.name} で動かします。"
    )
    return (
        f"記録した {len(recorded):,} 個のノードは、簡約すると {len(simple):,} 個になり、"
        f"{len(program.steps):,} 手順の配列のプログラムになります。"
        f"見つかった行列の積は{f' {found} です' if matrices else 'ありません'}。"
        f"標本 {choice.batch:,} 個の順伝播と逆伝播にかかる時間は、{times} と見積もられます。{why}"
    )


def _at_first(choice: Choice, program: Program) -> str:
    if not choice.after:
        return ""
    return (
        f"、はじめの {choice.after:,} 回は {choice.first} で、機械語にする時間"
        f"（およそ {_time(compile_time(program))}）に見合ってからは"
    )


def _matrix(shape: tuple[int, ...], places: int) -> str:
    text = f"{shape[0]}×{shape[1]}"
    return text if places == 1 else f"{text}（{places} か所で共有）"


def _time(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms"
