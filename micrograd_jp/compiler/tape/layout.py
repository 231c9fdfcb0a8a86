"""テープを、核 (kernel) の読む整数の並びにする。

命令は [番号, 結果のスロット, 引数のスロット…] という整数になる。引数の個数が決まっていない命令は、
引数の前に個数をもつ。スロットは値の置き場の番号で、葉（パラメータ、入力、定数）が先頭に並び、
命令の結果が実行の順に続く。結果の隣には、逆伝播のために保存する局所微分が入る。
だから順伝播も逆伝播も、メモリをほぼ端から順に読み書きする。
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from micrograd_jp.compiler.table.table import Array
from micrograd_jp.compiler.tape.kernel import (
    STOP,
    backward_branches,
    forward_branches,
    saved_partials,
)
from micrograd_jp.compiler.tape.tape import Tape

LANES = (1, 16, 32, 64)
"""用意してあるレーンの数。"""


def chunks(batch: int) -> Iterator[tuple[int, int, int]]:
    """標本を分ける: (始まり, 終わり, レーンの数)。

    16 レーンは 1 レーン 2 本分の時間もかからないので、2 つ以上の標本は必ずレーンに並べる。
    """
    start = 0
    while start < batch:
        left = batch - start
        lanes = next((n for n in LANES if n >= left), LANES[-1])
        yield start, min(start + lanes, batch), lanes
        start += lanes


@dataclass(frozen=True, eq=False)
class Layout:
    """核の読む整数の並び。

    Attributes:
        forward: 順伝播の命令、uint32。
        backward: 逆伝播の命令、uint32。
        slots: スロットの数。
        leaves: 先頭に並ぶ葉の数。
        constants: 定数の値。パラメータ、入力に続くスロットに入る。
        outputs: 出力のスロット。
    """

    forward: Array
    backward: Array
    slots: int
    leaves: int
    constants: Array
    outputs: Array


class _Form(NamedTuple):
    """How an instruction is written: its numbers, what precedes the arguments, what it saves."""

    forward: int
    backward: int
    uncounted: int | None  # arguments that the count leaves out; None: there is no count
    saved: Sequence[int] | None  # arguments whose partials are saved; None: of all


_COUNTED = {"sum": 0, "dot": 1, "prod": 0, "logsumexp": 0, "softmax": 0, "ratio": 0}
_REVERSE = {"prod": "saved", "logsumexp": "saved"}
_SOFTMAXES = {"softmax", "ratio", "softmax4", "ratio4"}


def has_machine_code(tape: Tape) -> bool:
    """すべての命令に機械語があるか。"""
    return {i.name for i in tape.instructions} <= forward_branches().keys()


def _forms(names: set[str]) -> dict[str, _Form]:
    forward, backward = _numbers(forward_branches()), _numbers(backward_branches())
    partials = saved_partials()
    forms = {}
    for name in names:
        saved: Sequence[int] | None = partials.get(name, ())
        reverse = "softmax" if name in _SOFTMAXES else _REVERSE.get(name, name)
        if saved:
            reverse = "saved1" if len(saved) == 1 else "saved"
        elif reverse == "saved":
            saved = None
        forms[name] = _Form(forward[name], backward[reverse], _COUNTED.get(name), saved)
    return forms


def _numbers(branches: Iterable[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(branches, STOP + 1)}


def laid_out(tape: Tape) -> Layout:
    """テープのノードにスロットを割り当て、命令を整数にする。"""
    forms = _forms({i.name for i in tape.instructions})
    softmax4 = {used: _numbers(backward_branches())[f"softmax4.{used}"] for used in range(1, 5)}
    leaves = [*tape.parameters, *tape.inputs, *tape.constants]
    slot = [0] * tape.size
    for s, i in enumerate(leaves):
        slot[i] = s
    free = len(leaves)
    forward: list[int] = []
    backward: list[list[int]] = []
    for name, outs, args in tape.instructions:
        number, reverse, uncounted, saved = forms[name]
        places = [slot[a] for a in args]
        for k, i in enumerate(outs):
            slot[i] = free + k
        words = places if uncounted is None else [len(places) - uncounted, *places]
        forward += [number, free, *words]
        kept = places if saved is None else [places[i] for i in saved]
        results = len(outs)
        if kept:
            words = kept if saved is not None and len(saved) == 1 else [len(kept), *kept]
        elif name in _SOFTMAXES:
            results, used = len(places), len(outs)
            if uncounted is None:
                reverse = softmax4[used]
            else:
                words = [results, used, *places]
        backward.append([reverse, free, *words])
        free += results + len(kept)
    reversed_words = [word for part in reversed(backward) for word in part]
    return Layout(
        forward=np.array([*forward, STOP], dtype=np.uint32),
        backward=np.array([*reversed_words, STOP], dtype=np.uint32),
        slots=free,
        leaves=len(leaves),
        constants=np.array(list(tape.constants.values()), dtype=np.float64),
        outputs=np.array([slot[i] for i in tape.outputs], dtype=np.intp),
    )
