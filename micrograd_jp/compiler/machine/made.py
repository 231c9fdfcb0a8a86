"""プログラムの機械語と、その要るメモリ (made): 書くか、前のプロセスが書いたものを読む。

機械語は IR から決まる名前のファイルに残る (`native/machine_code.py`)。IR を書くのにも時間がかかる
ので、プログラムから決まる名前のファイルに、機械語の名前と要るメモリを覚えておく (`remembered.py`)。
置き場は、書いた順に広がっていく。だから、名前には、それまでに書いたものも入る。
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from micrograd_jp.compiler import remembered
from micrograd_jp.compiler.lift.blocks import PARAMETERS, row_of, space_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.machine import Machine
from micrograd_jp.compiler.machine.places import Places
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native import machine_code
from micrograd_jp.native.ir import Vector

Run = Callable[[int], None]


class Needs(NamedTuple):
    """機械語の要るメモリと、そのはじめの中身。

    Attributes:
        rows, gradient_rows, scalars, gradients, scratch: 大きさ (`Places`)。読み過ぎる分も含む。
        tables: 番地の表。
        neutral: 何もないところの値と、その番地。
        copied: 写すパラメータと、写す先の番地 (2, 個数)。
        packed: 並べ直す重みごとの、どこへ、どこから（`p` と `s` の、それぞれ）。
        has_fixed: 標本によらない手順があるか。
    """

    rows: int
    gradient_rows: int
    scalars: int
    gradients: int
    scratch: int
    tables: Array
    neutral: tuple[list[float], list[int]]
    copied: Array
    packed: list[tuple[Array, Array, Array, Array]]
    has_fixed: bool

    @staticmethod
    def of(machine: Machine) -> Needs:
        """これまでに書いた機械語のもの。"""
        places = machine.places
        tables = places.tables()
        return Needs(
            places.rows, places.gradient_rows,
            places.scalars + places.width, places.gradients + places.width, places.scratch,
            tables, (list(places.neutral), list(places.neutral.values())),
            np.array([*places.copied.items()], np.int64).reshape(-1, 2).T,
            [_pack(places, start, block) for start, block in places.packed.values()],
            machine.has_fixed,
        )  # fmt: skip


class Made:
    """1 つのプログラムの機械語。

    Args:
        program, vector, lanes: `Machine` のもの。
    """

    def __init__(self, program: Program, vector: Vector, lanes: int) -> None:
        self._given = program, vector, lanes
        self._order: list[str] = []  # of what has been written, or read
        self._machine: Machine | None = None
        self._written = 0

    def forward(self) -> tuple[list[Run], Needs]:
        """関数 `fixed` と `forward`。"""
        return self._made("forward", "fixed", "forward")

    def backward(self, of_inputs: bool) -> tuple[list[Run], Needs]:
        """関数 `backward` と `finish`。"""
        return self._made("to_inputs" if of_inputs else "backward", "backward", "finish")

    def _made(self, last: str, *names: str) -> tuple[list[Run], Needs]:
        self._order.append(last)
        program, *how = self._given
        cpu = machine_code.processor()
        name = program.name and remembered.named("made", program.name, *how, cpu, self._order)
        entry = remembered.recall(name)
        found = None if entry is None else machine_code.known(entry[0], names)
        if entry is not None and found is not None:
            return _functions(found), entry[1]
        text = self._text()
        assert self._machine is not None
        needs = Needs.of(self._machine)
        found = machine_code.addresses(text, names)
        remembered.remember(name, (machine_code.name_of(text), needs))
        return _functions(found), needs

    def _text(self) -> str:
        """The IR of the last one. Those before are written again, where they were only read."""
        machine = self._machine = self._machine or Machine(*self._given)
        text = ""
        for what in self._order[self._written :]:
            text = machine.forward() if what == "forward" else machine.backward(what == "to_inputs")
        self._written = len(self._order)
        return text


def _functions(found: tuple[int, ...]) -> list[Run]:
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    return [signature(at) for at in found]


def _pack(places: Places, start: int, block: Array) -> tuple[Array, Array, Array, Array]:
    """Weights that are put side by side: where to, and where from, in p and in s."""
    flat, at = block.ravel(), start + np.arange(block.size)
    of_p = space_of(flat) == PARAMETERS
    return at[of_p], row_of(flat[of_p]), at[~of_p], places.fixed(flat[~of_p])
