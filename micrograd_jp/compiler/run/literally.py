"""書かれたとおりに計算しなおす (literally): 端を 0 で埋めたプログラムに、inf や nan が現れたとき。

端を 0 で埋めたプログラムは、書かれていない項 0·w を足している。w や上流の勾配が inf や nan だと
0·w は 0 でない。そのときだけ、書かれたとおりに 1 段ずつ計算しなおす (`Levels`)。
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from micrograd_jp.compiler.run.executor import Executor
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.table.table import Array, Trace


class Literally:
    """`Executor` の答えが有限でないときに、`Levels` の答えにする `Executor`。

    Args:
        padded: 書かれていない 0 倍を足すプログラムを動かすもの。
        trace, dtype: 同じ表と、計算の型。
    """

    def __init__(self, padded: Executor, trace: Trace, dtype: Any) -> None:
        self.padded, self._made_of = padded, (trace, dtype)
        self._literally = False  # whether the last forward pass was run by `levels`

    @cached_property
    def levels(self) -> Levels:
        """書かれたとおりに動かすもの。はじめて要るときに作る: たいていは要らない。"""
        return Levels(*self._made_of)

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        out = self.padded.forward(parameters, inputs)
        self._last = parameters, inputs
        self._literally = not _finite(parameters, out)
        return self.levels.forward(parameters, inputs) if self._literally else out

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        if self._literally:
            return self.levels.backward(seeds, of_inputs)
        gradient, parts = self.padded.backward(seeds, of_inputs)
        if _finite(gradient):
            return gradient, parts
        self.levels.forward(*self._last)
        return self.levels.backward(seeds, of_inputs)


def _finite(*arrays: Array) -> bool:
    return all(np.isfinite(x).all() for x in arrays)
