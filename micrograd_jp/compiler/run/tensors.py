"""どの名前空間でも動かす: 配列のプログラムを、`Tensor` の演算だけで計算する。

JAX の配列が渡されたときに使う。`jax.jit` の中でも、GPU や TPU の上でも同じプログラムが動き、
勾配は `Tensor` の計算グラフから求まる。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.compiler.lift.blocks import (
    CONSTANTS,
    INPUTS,
    NEUTRAL,
    NOTHING,
    PARAMETERS,
    Step,
    is_varying,
    location,
    space_of,
)
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.ops.primitive import Elementwise
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import elementwise


def evaluated(
    program: Program, parameters: Sequence[Tensor], inputs: Sequence[Tensor], batch: int, dtype: Any
) -> Tensor:
    """プログラムの出力 (O, N)。計算グラフにつながっている。

    Args:
        program: プログラム。
        parameters: つなぐと平らなベクトルになる `Tensor`。
        inputs: 入力ごとの (kᵢ, N) の `Tensor`。
        batch: 標本の数 N。
        dtype: 計算の型。
    """
    return _Evaluation(program, parameters, inputs, batch, dtype).outputs()


class _Evaluation:
    def __init__(
        self, program: Program, parameters: Sequence[Tensor], inputs: Sequence[Tensor],
        batch: int, dtype: Any,
    ) -> None:  # fmt: skip
        self.program, self.batch, self.dtype = program, batch, dtype
        # Everything that is known: the first location, and a Tensor of as many rows as follow it.
        self.parts = [(NOTHING, Tensor(np.zeros((1, batch), dtype=dtype)))]
        constants = Tensor(program.constants.astype(dtype))
        for space, tensors in (PARAMETERS, parameters), (CONSTANTS, [constants]), (INPUTS, inputs):
            row = 0
            for x in tensors:
                self.parts.append((location(space, row), x.astype(dtype)))
                row += x.shape[0]
        for step in program.steps:
            self.parts.append((step.start, getattr(self, f"_{step.kind}")(step)))

    def outputs(self) -> Tensor:
        return self._data(self.program.outputs, True)

    def _data(self, block: Array, varying: bool) -> Tensor:
        """The block as a Tensor, with the samples along its last axis if it varies at all."""
        wide = varying or any(map(is_varying, np.unique(space_of(block)).tolist()))
        highest = block.max(initial=NOTHING)
        lowest = block.min(initial=highest)
        sources, index, count = [], np.zeros(block.shape, dtype=np.int64), 0
        for first, part in self.parts:
            n = part.shape[0]
            if first > highest or first + n <= lowest:
                continue
            inside = (block >= first) & (block < first + n)
            if inside.any():
                index[inside] = block[inside] - first + count
                if wide and part.ndim == 1:
                    part = part.reshape(n, 1).broadcast_to((n, self.batch))
                sources.append(part)
                count += n
        source = sources[0] if len(sources) == 1 else mg.concatenate(sources, 0)
        tail = source.shape[1:]
        if index.size == source.shape[0] and np.array_equal(index.ravel(), np.arange(index.size)):
            return source.reshape(*block.shape, *tail)
        return source[index]

    def _map(self, step: Step) -> Tensor:
        assert isinstance(step.op, Elementwise)
        xs = [self._data(block, step.varying) for block in step.blocks]
        out: Tensor = elementwise(step.op, *xs)
        return out.astype(self.dtype)

    def _fold(self, step: Step) -> Tensor:
        [block] = step.blocks
        x, missing = self._data(block, step.varying), block == NOTHING
        if missing.any() and NEUTRAL[step.op.name]:
            missing = missing.reshape(*missing.shape, *[1] * (x.ndim - 2))
            x = mg.where(missing, NEUTRAL[step.op.name], x)
        out: Tensor = getattr(mg, step.op.name)(x, 0)
        return out

    def _dot(self, step: Step) -> Tensor:
        a, b = (self._data(block, step.varying) for block in step.blocks)
        return (a * b).sum(0)

    def _take(self, step: Step) -> Tensor:
        index, table = step.blocks
        places = self._data(index, True)._data.astype(np.int32)
        if table.ndim == 2:
            chosen = self._data(table.T, False)[:, places]
        else:
            x = self._data(table[:, 0], True)
            chosen = x.reshape(len(table), -1)[places.reshape(-1), np.arange(places.size)]
        return chosen.reshape(step.size, self.batch)

    def _matmul(self, step: Step) -> Tensor:
        weights, inputs, *bias = step.blocks
        rows, columns = step.shape
        x = self._data(inputs, True).reshape(len(inputs), columns * self.batch)
        out = (self._data(weights, False) @ x).reshape(rows, columns, self.batch)
        if bias:
            b = self._data(bias[0], False)
            out = out + b.reshape(*b.shape, 1)
        return out.reshape(rows * columns, self.batch)
