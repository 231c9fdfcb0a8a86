"""実行に使うメモリ (memory): 標本数が決まると、領域ごとの配列と、それを見る窓を用意する。

ソースコード (`forward.py`) は標本数によらない。そこに現れる名前が何であるかを、ここで作る。
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from micrograd_jp.compiler.lift.blocks import CONSTANTS, PARAMETERS, is_varying, row_of, space_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.table.table import Array

_LINE = 64


def aligned_zeros(shape: Sequence[int], dtype: Any) -> Array:
    """0 の配列。キャッシュの行 (64 バイト) の境目から始まるので、SIMD の読み書きがまたがない。"""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _LINE, dtype=np.uint8)
    start = -raw.ctypes.data % _LINE
    found: Array = raw[start : start + size].view(dtype).reshape(shape)
    return found


class Memory:
    """ある標本数のための配列。

    Args:
        program: プログラム。
        batch: 標本の数。
        parameters: 平らなパラメータのベクトル。写さず、そのまま使う。
        dtype: 計算の型。

    Attributes:
        named: ソースコードの名前から、それが指すものへ。
    """

    def __init__(self, program: Program, batch: int, parameters: Array, dtype: Any) -> None:
        self.batch, self.dtype, self._sizes = batch, dtype, program.sizes
        self._arrays: dict[tuple[int, bool], Array] = {
            (PARAMETERS, False): parameters,
            (CONSTANTS, False): program.constants.astype(dtype),
        }
        self._scratch: dict[tuple[int, bool], Array] = {}
        self.named: dict[str, Any] = {}

    def array(self, space: int, grad: bool) -> Array:
        """領域の値か勾配の配列。はじめて要るときに作る。"""
        if (space, grad) not in self._arrays:
            # Values have one row more, which stays 0: what is missing in a block is read there.
            rows = self._sizes[space] + (not grad)
            self._arrays[space, grad] = self.buffer((rows,), is_varying(space))
        return self._arrays[space, grad]

    def view(
        self, first: int, strides: Sequence[int], shape: Sequence[int], grad: bool, widen: bool
    ) -> Array:
        """場所が 1 次式のブロックの窓。標本の軸が最後につく（`widen` なら長さ 1 でも）。"""
        base = self.array(int(space_of(first)), grad)
        row = int(row_of(first))
        steps = [s * base.strides[0] for s in strides]
        if base.ndim == 2:
            if not self.batch:
                return np.zeros((*shape, 0), dtype=self.dtype)
            return as_strided(base[row:], (*shape, self.batch), (*steps, base.strides[1]))
        window = as_strided(base[row:], tuple(shape), tuple(steps))
        return window[..., None] if widen else window

    def buffer(self, shape: Sequence[int], varying: bool) -> Array:
        """専用の配列。はじめは 0。"""
        return aligned_zeros((*shape, self.batch) if varying else shape, self.dtype)

    def scratch(self, index: int, shape: Sequence[int], varying: bool, boolean: bool) -> Array:
        """作業用の配列。手順ごとに使い回す。"""
        full = (*shape, self.batch) if varying else tuple(shape)
        size = math.prod(full)
        held = self._scratch.get((index, boolean))
        if held is None or held.size < size:
            held = aligned_zeros((size,), np.bool_ if boolean else self.dtype)
            self._scratch[index, boolean] = held
        return held[:size].reshape(full)
