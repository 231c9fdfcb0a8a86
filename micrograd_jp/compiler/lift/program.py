"""配列のプログラム (array program): 行列を見つけたあとの、短い手順の並び。"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from micrograd_jp.compiler.lift.blocks import NOTHING, PARAMETERS, Step, space_of
from micrograd_jp.compiler.lift.printing import printed
from micrograd_jp.compiler.remembered import named
from micrograd_jp.compiler.table.table import Array


@dataclass(frozen=True, eq=False)
class Program:
    """配列のプログラム。

    Attributes:
        steps: 手順。標本によらないものが先。
        outputs: 出力の場所。
        constants: 定数の値、float64。
        sizes: 領域ごとの行の数。
        labels: 場所から、利用者のつけた名前へ。
        groups: 入力ごとの、名前と行の数。
    """

    steps: tuple[Step, ...]
    outputs: Array
    constants: Array
    sizes: tuple[int, int, int, int, int]
    labels: dict[int, str]
    groups: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return printed(self)

    __repr__ = __str__

    @cached_property
    def name(self) -> str:
        """この計算の名前。ないこともある (`remembered.py`)。"""
        return named("program", self.steps, self.outputs, self.constants, self.sizes, self.groups)

    @property
    def is_padded(self) -> bool:
        """書かれていない 0 倍があるか: 畳み込みのふちを埋めた行。"""
        return any(
            step.kind == "matmul" and any((block == NOTHING).any() for block in step.blocks)
            for step in self.steps
        )

    @property
    def chooses(self) -> bool:
        """番号で選ぶ手順があるか。"""
        return any(step.kind == "take" for step in self.steps)

    def layout(self) -> list[int]:
        """パラメータを、行列とバイアスが続いたメモリになる順に並べたもの。"""
        blocks = [step.blocks for step in self.steps if step.kind == "matmul"]
        others = [step.blocks for step in self.steps if step.kind != "matmul"]
        flat = [block.ravel() for group in (*blocks, *others) for block in group]
        flat.append(np.arange(self.sizes[PARAMETERS]))
        every = np.concatenate(flat)
        every = every[(every >= 0) & (space_of(every) == PARAMETERS)]
        _, first = np.unique(every, return_index=True)
        return [int(p) for p in every[np.sort(first)]]

    def placed(self, places: Array, size: int) -> Program:
        """パラメータ k の場所を、平らなベクトルの `places[k]` にしたもの。"""

        def moved(block: Array) -> Array:
            own = (block >= 0) & (space_of(block) == PARAMETERS)
            return np.where(own, places[np.where(own, block, 0)] if len(places) else block, block)

        def step_moved(step: Step) -> Step:
            blocks = [moved(block) for block in step.blocks]
            if step.shape == (1,) and step.kind in ("dot", "fold"):
                # The order of the terms is free: the order of the memory is the fastest.
                order = np.lexsort([block[:, 0] for block in blocks])
                blocks = [block[order] for block in blocks]
            return replace(step, blocks=tuple(blocks))

        return replace(
            self,
            steps=tuple(map(step_moved, self.steps)),
            outputs=moved(self.outputs),
            sizes=(size, *self.sizes[1:]),
        )
