"""どれで動かすかを選ぶ (cost model): それぞれの時間を見積もり、いちばん短いものにする。

| 名前 | 動かし方 | 向いているもの |
|---|---|---|
| `lift` | 行列を見つけた配列のプログラム | 規則正しい計算、多くの標本 |
| `tape` | 機械語のテープ（extra `fast`） | 不規則な計算 |
| `python` | ふつうの Python | 演算の少ない計算、少ない標本 |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from micrograd_jp.compiler.lift.blocks import affine
from micrograd_jp.compiler.lift.program import Program
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
_PYTHON = 0.35  # one operation of one sample, there and back


@dataclass(frozen=True)
class Choice:
    """選んだ結果。

    Attributes:
        name: 実行のしかた。
        batch: 見積もりに使った標本の数。
        microseconds: 名前から、1 回の順伝播と逆伝播の見積もり (µs) へ。
        asked: 利用者が `executor=` で指定したか。
    """

    name: str
    batch: int
    microseconds: dict[str, float]
    asked: bool


def chosen(trace: Trace, program: Program, batch: int, asked: str | None) -> Choice:
    """実行のしかたを選ぶ。

    Args:
        trace: 簡約された表。
        program: 配列のプログラム。
        batch: 標本の数。
        asked: 利用者が指定した名前、または `None`。
    """
    operations = int((trace.codes >= FIRST_OPERATION).sum())
    estimates = {
        "lift": lift_cost(program, batch),
        "python": _START + _PYTHON * operations * max(batch, 1),
    }
    if len(program.steps) > _MANY:  # regular programs need no tape
        tape = _TAPE * tape_cost(trace, batch)
        if np.isfinite(tape):
            estimates["tape"] = tape
    best = min(estimates, key=estimates.__getitem__)
    return Choice(asked or best, batch, estimates, asked is not None)


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
        else f"だから {choice.name} で動かします。"
    )
    return (
        f"記録した {len(recorded):,} 個のノードは、簡約すると {len(simple):,} 個になり、"
        f"{len(program.steps):,} 手順の配列のプログラムになります。"
        f"見つかった行列の積は{f' {found} です' if matrices else 'ありません'}。"
        f"標本 {choice.batch:,} 個の順伝播と逆伝播にかかる時間は、{times}と見積もられます。{why}"
    )


def _matrix(shape: tuple[int, ...], places: int) -> str:
    text = f"{shape[0]}×{shape[1]}"
    return text if places == 1 else f"{text}（{places} か所で共有）"


def _time(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms"
