"""実行のしかた `"native"`: 配列のプログラムを、1 つの機械語で動かす（extra `fast`）。

標本は L 個ずつの組 (lane block) にする。組の中の計算は、順伝播も逆伝播も、1 度の呼び出しのうちに
手順の終わりまで進むので、途中の値はキャッシュから出ない。
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.lift.blocks import FIXED, INPUTS, PARAMETERS, row_of, space_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.forward import UnsupportedStep
from micrograd_jp.compiler.machine.kernels import arrive
from micrograd_jp.compiler.machine.machine import Machine
from micrograd_jp.compiler.machine.places import Places
from micrograd_jp.compiler.run.memory import aligned_zeros
from micrograd_jp.compiler.run.numpy import Lift
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.compiler.tape.kernel import available, library
from micrograd_jp.native import machine_code
from micrograd_jp.native.call import address, kernel
from micrograd_jp.native.ir import Vector

KEPT_BYTES = 1 << 28
"""順伝播の値を覚えておくメモリの上限。超えるときは、逆伝播のときにもう一度計算する。"""

SPAN = 64
"""勾配を続けて足す組の数。これより先は、倍精度で足す: 標本が多くても、丸め誤差は増えない。"""


def executor(program: Program, dtype: Any) -> NativeProgram | Lift:
    """配列のプログラムの実行器。機械語にできない手順があれば `Lift` になる。"""
    if available():
        try:
            return NativeProgram(program, dtype)
        except (UnsupportedStep, AttributeError):
            pass
    return Lift(program, dtype)


class NativeProgram:
    """機械語で実行する配列のプログラム。`Executor` の約束を守る。

    Args:
        program: プログラム。
        dtype: float32 か float64。

    Raises:
        UnsupportedStep: 機械語にできない手順がある。
    """

    def __init__(self, program: Program, dtype: Any) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self._item = self.dtype.itemsize
        vector = Vector.of(self.dtype.name, machine_code.vector_bytes())
        self.machine, self.lanes = Machine(program, vector), vector.width
        self._library = ctypes.addressof(library())
        self._forward = _functions(self.machine.forward(), _FORWARD)
        self._backward: dict[bool, list[Callable[..., None]]] = {}
        self._arrive = kernel(arrive, self.dtype)
        places, fixed = self.machine.places, program.sizes[FIXED]
        self._s = aligned_zeros((places.scalars,), self.dtype)
        self._s[fixed : fixed + len(program.constants)] = program.constants
        self._s[list(places.neutral.values())] = list(places.neutral)
        self._copies = np.array([*places.copied.items()], np.int64).reshape(-1, 2).T
        self._packs = [_pack(places, start, block) for start, block in places.packed.values()]
        self._v, self._of_v = np.empty(0, self.dtype), 0
        self._reserve()

    def _reserve(self) -> None:
        """The memory that the code written so far needs, and where it is."""
        places = self.machine.places
        self._memory = [
            self._s, places.tables(), aligned_zeros((places.scratch,), self.dtype),
            aligned_zeros((places.gradient_rows * self.lanes,), self.dtype),
        ]  # fmt: skip
        s, self._tables, t, self._g = map(address, self._memory)
        self._common = s, self._tables, self._library, t
        self._block = places.rows * self.lanes
        self._d = aligned_zeros((places.gradients,), self.dtype)
        self._of_d = address(self._d)

    # ---- 順伝播 ----

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        n = inputs[0].shape[1]
        blocks, size = -(-n // self.lanes), self._block
        keeps = blocks * size * self._item <= KEPT_BYTES
        if not keeps:  # computed again for the gradients: what is updated meanwhile must not count
            parameters, inputs = parameters.copy(), [x.copy() for x in inputs]
        common = address(parameters), *self._common
        self._last = last = _Last(parameters, self._table(inputs), common, n, keeps)
        if self.machine.has_fixed:
            if self._copies.size:
                self._s[self._copies[1]] = parameters[self._copies[0]]
            self._forward[0](*common)
        for at, of_p, at_s, of_s in self._packs:
            self._s[at], self._s[at_s] = parameters[of_p], self._s[of_s]
        needed = size * (blocks if keeps else min(SPAN, blocks))
        if self._v.size < needed:
            self._v = aligned_zeros((needed,), self.dtype)
            self._of_v = address(self._v)
        out = np.empty((len(self.program.outputs), n), self.dtype)
        for first in range(0, blocks, SPAN):
            self._evaluate(last, first, min(SPAN, blocks - first), address(out))
        return out

    def _table(self, inputs: Sequence[Array]) -> tuple[Any, int, list[Array]]:
        """Where the inputs are, how many, and what keeps them alive."""
        table, row, item, held = array("q"), 0, self._item, []
        for x in inputs:
            across, along = x.strides
            if item not in (across, along) and x.size:
                x = np.ascontiguousarray(x)
                across, along = x.strides
            at = address(x if along == item else x.T)  # without gaps: its address is known sooner
            table.extend((at, across // item, along // item, len(x), row))
            row += len(x)
            held.append(x)
        return table, len(held), held

    def _evaluate(self, last: _Last, first: int, count: int, out: int) -> None:
        table, groups, _ = last.inputs
        v, samples = self._values(first), last.samples
        self._arrive(table.buffer_info()[0], groups, self._tables, v, samples, first, count)
        self._forward[1](*last.common, v, out, samples, first, count)

    def _values(self, block: int) -> int:
        return self._of_v + (block * self._block * self._item if self._last.keeps else 0)

    # ---- 逆伝播 ----

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        if of_inputs not in self._backward:
            self._backward[of_inputs] = _functions(self.machine.backward(of_inputs), _BACKWARD)
            self._reserve()
            self._last = self._last._replace(common=(self._last.common[0], *self._common))
        last, sizes = self._last, self.program.sizes
        reverse, finish = self._backward[of_inputs]
        seeds = np.ascontiguousarray(seeds, self.dtype)
        gradients = np.zeros((sizes[INPUTS], last.samples), self.dtype) if of_inputs else None
        to = address(seeds), address(seeds if gradients is None else gradients), last.samples
        d, of_d, blocks = self._d, self._of_d, -(-last.samples // self.lanes)
        total = np.zeros(d.size) if blocks > SPAN else None  # in double precision
        for first in range(0, max(blocks, 1), SPAN):
            count = min(SPAN, blocks - first)
            if not last.keeps:
                out = np.empty((len(self.program.outputs), last.samples), self.dtype)
                self._evaluate(last, first, count, address(out))
            reverse(*last.common, self._values(first), self._g, of_d, *to, first, count)
            if total is not None:
                total += d
        if total is not None:
            d[:] = total
        if self.machine.has_fixed:
            finish(*last.common, of_d)
        return d[: sizes[PARAMETERS]].copy(), gradients


class _Last(NamedTuple):
    """The forward pass whose gradients may be asked for.

    common: what all functions are given. keeps: whether all values are there.
    """

    parameters: Array
    inputs: tuple[Any, int, list[Array]]
    common: tuple[int, ...]
    samples: int
    keeps: bool


_COMMON = 5
_FORWARD = {"fixed": (_COMMON, 0), "forward": (_COMMON + 2, 3)}
_BACKWARD = {"backward": (_COMMON + 5, 3), "finish": (_COMMON + 1, 0)}


def _functions(text: str, arguments: dict[str, tuple[int, int]]) -> list[Callable[..., None]]:
    found = machine_code.addresses(text, tuple(arguments))
    kinds = [[ctypes.c_void_p] * p + [ctypes.c_int64] * i for p, i in arguments.values()]
    return [ctypes.CFUNCTYPE(None, *own)(at) for at, own in zip(found, kinds, strict=True)]


def _readable(x: Array) -> Array:
    """With rows or samples that are contiguous, as the machine code reads them."""
    return x if x.itemsize in x.strides or not x.size else np.ascontiguousarray(x)


def _pack(places: Places, start: int, block: Array) -> tuple[Array, Array, Array, Array]:
    """Weights that are put side by side: where to, and where from, in p and in s."""
    flat, at = block.ravel(), start + np.arange(block.size)
    of_p = space_of(flat) == PARAMETERS
    return at[of_p], row_of(flat[of_p]), at[~of_p], places.fixed(flat[~of_p])
