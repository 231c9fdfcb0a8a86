"""どの数の勾配が要るか、どの数の勾配を書いたか (marks)。どちらも、書くときに分かっている。"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import FIXED, INPUTS, PARAMETERS, row_of, space_of
from micrograd_jp.compiler.machine.parts import Maps, Part
from micrograd_jp.compiler.machine.places import Places
from micrograd_jp.compiler.table.table import Array


class Marks:
    """どの数の勾配が要るか、どの数の勾配を書いたか。

    Args:
        places: 数の置き場。
        parts: 手順。
        of_inputs: 入力の勾配も求めるか。
    """

    def __init__(self, places: Places, parts: Sequence[Part | Maps], of_inputs: bool) -> None:
        self._needed = [np.zeros(size, bool) for size in places.sizes]
        self._needed[PARAMETERS][:] = True
        self._needed[INPUTS][:] = of_inputs
        self.written = [np.zeros(size, bool) for size in places.sizes]
        for one in (piece for part in parts for piece in part.pieces):
            if any(self.needs(block) for block in one.blocks):
                self._needed[FIXED + one.varying][row_of(one.out)] = True

    def _marked(self, block: Array, marks: Sequence[Array]) -> Array:
        found = np.zeros(block.shape, bool)
        for space, mine in _by_space(block):
            found[mine] = marks[space][row_of(block[mine])]
        return found

    def needs(self, block: Array) -> bool:
        """ブロックのどれかの勾配が要るか。"""
        return bool(self._marked(block, self._needed).any())

    def has(self, block: Array) -> Array:
        """ブロックのどの勾配を書いたか。"""
        return self._marked(block, self.written)

    def mark(self, block: Array) -> None:
        """ブロックの勾配を書いた。"""
        for space, mine in _by_space(block):
            self.written[space][row_of(block[mine])] = True


def _by_space(block: Array) -> Iterator[tuple[int, Any]]:
    """The spaces that a block is in, and where: nearly always it is one, and everywhere."""
    spaces = space_of(block)
    if block.size and (spaces == (first := int(spaces.flat[0]))).all():
        if first >= 0:
            yield first, ...
        return
    for space in np.unique(spaces).tolist():
        if space >= 0:
            yield space, spaces == space
