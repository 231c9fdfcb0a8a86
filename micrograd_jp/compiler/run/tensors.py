"""どの名前空間でも動かす (anywhere): 配列のプログラムを、`Tensor` の演算だけで計算する。

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
    FIXED,
    INPUTS,
    NOTHING,
    PARAMETERS,
    VARYING,
    Step,
    is_varying,
    row_of,
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
        # What each space is made of, in the order of its rows.
        self.parts: dict[int, list[Tensor]] = {
            PARAMETERS: [p.astype(dtype) for p in parameters],
            CONSTANTS: [Tensor(program.constants.astype(dtype))],
            INPUTS: [x.astype(dtype) for x in inputs],
            FIXED: [],
            VARYING: [],
        }
        for step in program.steps:
            self.parts[int(space_of(step.start))].append(getattr(self, f"_{step.kind}")(step))

    def outputs(self) -> Tensor:
        return self._data(self.program.outputs, True)

    def _data(self, block: Array, varying: bool) -> Tensor:
        """The block as a Tensor, with the samples along its last axis if it varies at all."""
        spaces = np.unique(space_of(block)).tolist()
        wide = varying or any(map(is_varying, spaces))
        sources, index = [], np.zeros(block.shape, dtype=np.int64)
        start = 0
        for space in spaces:
            mine = space_of(block) == space
            if space == NOTHING:
                zero = Tensor(np.zeros((1, self.batch), dtype=self.dtype))
                sources.append(zero)
                index[mine] = start
                start += 1
                continue
            rows = row_of(block[mine])
            first = 0
            for part in self.parts[space]:
                n = part.shape[0]
                inside = (rows >= first) & (rows < first + n)
                if inside.any():
                    places = index[mine]
                    places[inside] = rows[inside] - first + start
                    index[mine] = places
                    if wide and not is_varying(space):
                        part = part.reshape(n, 1).broadcast_to((n, self.batch))
                    sources.append(part)
                    start += n
                first += n
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
        out: Tensor = getattr(mg, step.op.name)(self._data(step.blocks[0], step.varying), 0)
        return out

    def _dot(self, step: Step) -> Tensor:
        a, b = (self._data(block, step.varying) for block in step.blocks)
        return (a * b).sum(0)

    def _matmul(self, step: Step) -> Tensor:
        weights, inputs, *bias = step.blocks
        rows, columns = step.shape
        x = self._data(inputs, True).reshape(len(inputs), columns * self.batch)
        out = (self._data(weights, False) @ x).reshape(rows, columns, self.batch)
        if bias:
            b = self._data(bias[0], False)
            out = out + b.reshape(*b.shape, 1)
        return out.reshape(rows * columns, self.batch)
