"""更新の続きを 1 つの機械語で: 入力を入れ、順伝播、逆伝播、パラメータの更新、のくり返し。

1 回が数マイクロ秒の計算では、Python に戻るあいだの手間のほうが長い。間に何も挟まらないなら、
戻らなくてよい。動くのは、1 回ずつ呼ぶときと同じ機械語である。
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native.call import address, kernel
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Writer
from micrograd_jp.optim.fused import Work

_POINTERS = (
    "inputs", "memory", "fixed", "arrive", "forward", "backward", "finish", "fields", "out", "outs",
    "update", "arguments", "numbers", "done",
)  # fmt: skip
_COUNTS = "count", "words", "values", "step"


def _updates(f: Writer, *given: Any) -> None:
    pointers: dict[str, Pointer] = dict(zip(_POINTERS, given))
    count, words, values, step = given[len(_POINTERS) :]

    def once(i: Number) -> None:
        at = pointers.__getitem__
        _copy(f, at("inputs") + words * i, at("memory"), words)
        for name in ("fixed", "arrive", "forward", "backward", "finish"):
            f.when(at(name).exists(), functools.partial(f.call_at, at(name), at("fields")))
        _copy(f, at("out"), at("outs") + values * i, values)
        f.call_at(at("update"), at("arguments"))
        numbers = at("numbers").of("i64")
        numbers.store(numbers.item() + step)
        at("done").of("i64").store(i + 1)

    f.loop(count, once)


def _copy(f: Writer, source: Pointer, target: Pointer, n: Number) -> None:
    f.full_vectors(n, lambda i, mask: (target + i).store((source + i).load(mask), mask))


UPDATES = Function("updates", "p" * len(_POINTERS) + "i" * len(_COUNTS), _updates)
"""`count` 回の更新。

引数は `_POINTERS` と `_COUNTS`。`inputs` の 1 行は `memory` に入る `words` 個の数、`outs` の 1 行は
`out` にできる `values` 個の数である。プログラムの 5 つの関数は、なくてもよい。`update` に渡す並び
`arguments` のうち、`numbers` の番地は、1 回ごとに `step` バイト進む。`done` に、終えた回数を書く。
"""


class Ready(NamedTuple):
    """パラメータ、入力、出力: 番地の分かっている配列。"""

    parameters: Array
    inputs: Sequence[Array]
    out: Array


class Steady(NamedTuple):
    """どの番地もそのままで続けられる、順伝播と逆伝播 (`NativeProgram.steady`)。

    Attributes:
        ready: 配列。
        gradient: パラメータの勾配 (P,) が、そのつど入る配列。
        microseconds: 1 回にかかる時間の見積もり。
        functions: `fixed`、`arrive`、`forward`、`backward`、`finish`。要らないものは `None`。
        at: どの関数にも渡す番地。
    """

    ready: Ready
    gradient: Array
    microseconds: float
    functions: tuple[Any, ...]
    at: int

    def updated(self, inputs: Array, memory: Array, work: Work) -> Array:
        """`inputs` の 1 行ずつを `memory` に入れ、出力と勾配を計算し、更新する。

        Returns:
            回ごとの出力 (回数, O·N)。
        """
        out = self.ready.out
        outs = np.empty((work.times, out.size), out.dtype)
        kernel(UPDATES, out.dtype)(
            address(inputs), address(memory), *self.functions, self.at, address(out),
            address(outs), work.update, *map(address, (work.arguments, work.numbers, work.done)),
            work.times, memory.size, out.size, work.step,
        )  # fmt: skip
        return outs
