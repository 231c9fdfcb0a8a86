"""実行のしかた `"native"`: 配列のプログラムを、1 つの機械語で動かす（extra `fast`）。

標本は L 個ずつの組 (lane block) にする。組の中の計算は、順伝播も逆伝播も、1 度の呼び出しのうちに
手順の終わりまで進むので、途中の値はキャッシュから出ない。
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

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
from micrograd_jp.namespace import quiet
from micrograd_jp.native import machine_code
from micrograd_jp.native.call import address, kernel
from micrograd_jp.native.ir import Vector

KEPT_BYTES = 1 << 28
"""順伝播の値を覚えておくメモリの上限。超えるときは、逆伝播のときにもう一度計算する。"""

SPAN = 64
"""勾配を続けて足す組の数。これより先は、倍精度で足す: 標本が多くても、丸め誤差は増えない。"""


def executor(program: Program, dtype: Any) -> NativeProgram | Lift:
    """配列のプログラムの実行器。機械語にできない手順があれば `Lift` になる。"""
    known = all(step.kind in ("map", "fold", "dot", "matmul") for step in program.steps)
    if available() and known:
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
        self._v = np.empty(0, self.dtype)
        self._last: tuple[Array, list[Array], int, bool] | None = None
        self._reserve()

    def _reserve(self) -> None:
        """The memory that the code written so far needs."""
        places = self.machine.places
        self._tables = places.tables()
        self._t = aligned_zeros((places.scratch,), self.dtype)
        self._g = aligned_zeros((places.gradient_rows, self.lanes), self.dtype)
        self._d = aligned_zeros((places.gradients,), self.dtype)
        self._summed = places.slot(np.array(list(places.summed), np.int64))

    def _common(self, parameters: Array) -> tuple[int, ...]:
        p, s, tables, t = map(address, (parameters, self._s, self._tables, self._t))
        return p, s, tables, self._library, t

    # ---- 順伝播 ----

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        n = inputs[0].shape[1]
        out = np.empty((len(self.program.outputs), n), self.dtype)
        size = self.machine.places.rows * self.lanes
        keeps = -(-n // self.lanes) * size * self.dtype.itemsize <= KEPT_BYTES
        held = [_readable(x) for x in inputs]
        if not keeps:  # computed again for the gradients: what is updated meanwhile must not count
            parameters, held = parameters.copy(), [x.copy() for x in held]
        self._last = parameters, held, n, keeps
        common = self._common(parameters)
        self._s[self._copies[1]] = parameters[self._copies[0]]
        self._forward[0](*common)
        for at, of_p, at_s, of_s in self._packs:
            self._s[at], self._s[at_s] = parameters[of_p], self._s[of_s]
        blocks = -(-n // self.lanes)
        needed = size * (blocks if keeps else min(SPAN, blocks))
        if self._v.size < needed:
            self._v = aligned_zeros((needed,), self.dtype)
        for first, count in self._spans(n):
            self._evaluate(first, count, out)
        return out

    def _spans(self, n: int) -> list[tuple[int, int]]:
        """Blocks of lanes whose gradients are added up without a pause: first and count."""
        blocks = -(-n // self.lanes)
        return [(b, min(SPAN, blocks - b)) for b in range(0, blocks, SPAN)]

    def _evaluate(self, first: int, count: int, out: Array) -> None:
        assert self._last is not None
        parameters, inputs, n, keeps = self._last
        table, row, item = [], 0, self.dtype.itemsize
        for x in inputs:
            across, along = (stride // item for stride in x.strides)
            table.append((address(x), across, along, len(x), row))
            row += len(x)
        given = np.array(table, np.int64)
        v, span = self._values(first if keeps else 0), (n, first, count)
        self._arrive(address(given), len(table), address(self._tables), v, *span)
        self._forward[1](*self._common(parameters), v, address(out), *span)

    def _values(self, block: int) -> int:
        return address(self._v) + block * self.machine.places.rows * int(self._g[0].nbytes)

    # ---- 逆伝播 ----

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        assert self._last is not None
        if of_inputs not in self._backward:
            self._backward[of_inputs] = _functions(self.machine.backward(of_inputs), _BACKWARD)
            self._reserve()
        parameters, _, n, keeps = self._last
        seeds = np.ascontiguousarray(seeds, self.dtype)
        gradients = np.zeros((self.program.sizes[INPUTS] if of_inputs else 0, n), self.dtype)
        common, d, spans = self._common(parameters), self._d, self._spans(n)
        total = np.zeros(d.size if len(spans) > 1 else 0)  # in double precision
        again = np.empty((len(self.program.outputs), n), self.dtype)
        d.fill(0)
        for first, count in spans:
            if not keeps:
                self._evaluate(first, count, again)
            self._reverse(
                self._backward[of_inputs][0], common, self._values(first if keeps else 0),
                (address(seeds), address(gradients), n, first, count),
            )  # fmt: skip
            if total.size:
                total += d
        if total.size:
            d[:] = total
        self._backward[of_inputs][1](*common, address(d))
        return d[: self.program.sizes[PARAMETERS]].copy(), gradients if of_inputs else None

    def _reverse(
        self, reverse: Callable[..., None], common: tuple[int, ...], v: int, span: tuple[int, ...]
    ) -> None:
        """What some blocks add up to, in `d`."""
        places, d = self.machine.places, self._d
        d.fill(0)
        summed = self._g[places.own + 1 :][: len(self._summed)]
        summed.fill(0)
        reverse(*common, v, address(self._g), address(d), *span)
        with quiet.silence():
            d[self._summed] += summed.sum(axis=1)
            for start, block in places.dense.values():
                np.add.at(d, places.slot(block.ravel()), d[start : start + block.size])


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
