"""実行のしかた `"native"`: 配列のプログラムを、1 つの機械語で動かす（extra `fast`）。

標本は L 個ずつの組 (lane block) にする。組の中の計算は、順伝播も逆伝播も、1 度の呼び出しのうちに
手順の終わりまで進むので、途中の値はキャッシュから出ない。組が多ければ、スレッドに分ける。分け方は
標本の数だけで決まるので、答えはスレッドの数によらない。
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.lift.blocks import FIXED, INPUTS, PARAMETERS, row_of, space_of
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.cost import block_time
from micrograd_jp.compiler.machine.forward import UnsupportedStep
from micrograd_jp.compiler.machine.kernels import arrive
from micrograd_jp.compiler.machine.machine import Machine
from micrograd_jp.compiler.machine.pace import Pace
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

JOB, JOBS = 1000.0, 16
"""1 つのスレッドに渡す仕事の大きさ（順伝播と逆伝播のマイクロ秒）と、仕事の数。"""

_PLANS = 64


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
        self._microseconds = block_time(program)
        self._outputs = len(program.outputs)
        self._paces = Pace(), Pace(), Pace()
        self._plans: dict[int, _Plan] = {}
        self._reserve()

    def _reserve(self) -> None:
        """The memory that the code written so far needs, and where it is."""
        places = self.machine.places
        self._tables = places.tables()
        self._common = address(self._s), address(self._tables), self._library
        self._block = places.rows * self.lanes
        self._spaces = [self._space()]

    def _space(self) -> _Space:
        places = self.machine.places
        t, g, d = (
            aligned_zeros((size,), self.dtype)
            for size in (places.scratch, places.gradient_rows * self.lanes, places.gradients)
        )
        return _Space(t, g, d, address(t), address(g), address(d))

    def _planned(self, n: int) -> _Plan:
        """How n samples are computed, which only their number decides."""
        blocks = -(-n // self.lanes)
        keeps = blocks * self._block * self._item <= KEPT_BYTES
        jobs = min(int(blocks * self._microseconds / JOB), JOBS) if keeps else 1
        size = max(1, -(-blocks // max(jobs, 1)))
        spans = [(b, min(size, blocks - b)) for b in range(0, max(blocks, 1), size)]
        plan = _Plan(n, blocks, keeps, spans, len(spans) == 1 and blocks <= SPAN)
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        self._plans[n] = plan
        return plan

    def _shared_out(self, run: Callable[[_Space, int, int], None], pace: Pace) -> None:
        """Calls `run` for each span of blocks, with memory of its own."""
        spans = self._last.plan.spans
        while len(self._spaces) < len(spans):
            self._spaces.append(self._space())
        pace.run(lambda i: run(self._spaces[i], *spans[i]), len(spans))

    # ---- 順伝播 ----

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        n = inputs[0].shape[1]
        plan = self._plans.get(n) or self._planned(n)
        if not plan.keeps:  # computed again for the gradients: what is updated must not count
            parameters, inputs = parameters.copy(), [x.copy() for x in inputs]
        common = address(parameters), *self._common
        self._last = last = _Last(parameters, self._table(inputs), common, plan)
        if self.machine.has_fixed:
            if self._copies.size:
                self._s[self._copies[1]] = parameters[self._copies[0]]
            self._forward[0](*common, self._spaces[0].of_t)
        for at, of_p, at_s, of_s in self._packs:
            self._s[at], self._s[at_s] = parameters[of_p], self._s[of_s]
        needed = self._block * (plan.blocks if plan.keeps else min(SPAN, plan.blocks))
        if self._v.size < needed:
            self._v = aligned_zeros((needed,), self.dtype)
            self._of_v = address(self._v)
        out = np.empty((self._outputs, n), self.dtype)
        to = address(out)
        if plan.is_short:
            self._evaluate(last, self._spaces[0], 0, plan.blocks, to)
            return out

        def run(space: _Space, first: int, count: int) -> None:
            for start in range(first, first + count, SPAN):
                self._evaluate(last, space, start, min(SPAN, first + count - start), to)

        self._shared_out(run, self._paces[0])
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

    def _evaluate(self, last: _Last, space: _Space, first: int, count: int, out: int) -> None:
        table, groups, _ = last.inputs
        v, samples = self._values(first), last.plan.samples
        self._arrive(table.buffer_info()[0], groups, last.common[2], v, samples, first, count)
        self._forward[1](*last.common, space.of_t, v, out, samples, first, count)

    def _values(self, block: int) -> int:
        return self._of_v + (block * self._block * self._item if self._last.plan.keeps else 0)

    # ---- 逆伝播 ----

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        if of_inputs not in self._backward:
            self._backward[of_inputs] = _functions(self.machine.backward(of_inputs), _BACKWARD)
            self._reserve()
            self._plans.clear()
            self._last = self._last._replace(common=(self._last.common[0], *self._common))
        last, plan, sizes = self._last, self._last.plan, self.program.sizes
        reverse, finish = self._backward[of_inputs]
        seeds = np.ascontiguousarray(seeds, self.dtype)
        gradients = np.zeros((sizes[INPUTS], plan.samples), self.dtype) if of_inputs else None
        to = address(seeds), address(seeds if gradients is None else gradients), plan.samples
        if plan.is_short:
            one = self._spaces[0]
            v, g, d = self._of_v, one.of_g, one.of_d
            reverse(*last.common, one.of_t, v, g, d, *to, 0, plan.blocks)
            found = one.d.copy()
        else:
            found = self._in_spans(reverse, to, self._paces[1 + of_inputs])
        if self.machine.has_fixed:
            finish(*last.common, self._spaces[0].of_t, address(found))
        size = sizes[PARAMETERS]
        return found if found.size == size else found[:size].copy(), gradients

    def _in_spans(
        self, reverse: Callable[..., None], to: tuple[int, int, int], pace: Pace
    ) -> Array:
        last, plan = self._last, self._last.plan
        again = np.empty((self._outputs, 0 if plan.keeps else plan.samples), self.dtype)

        def run(space: _Space, first: int, count: int) -> None:
            total = np.zeros(space.d.size)  # in double precision
            for start in range(first, first + count, SPAN):
                some = min(SPAN, first + count - start)
                if not plan.keeps:
                    self._evaluate(last, space, start, some, address(again))
                v, g, d = self._values(start), space.of_g, space.of_d
                reverse(*last.common, space.of_t, v, g, d, *to, start, some)
                if count > SPAN:
                    total += space.d
            if count > SPAN:
                space.d[:] = total

        self._shared_out(run, pace)
        found = self._spaces[0].d.copy()
        for space in self._spaces[1 : len(plan.spans)]:
            found += space.d
        return found


class _Space(NamedTuple):
    """Memory that one thread writes: scratch, rows of gradients, gradients; where they are."""

    t: Array
    g: Array
    d: Array
    of_t: int
    of_g: int
    of_d: int


class _Plan(NamedTuple):
    """How so many samples are computed.

    keeps: whether all values stay there. spans: the blocks of each job, (first, count). is_short:
    whether one call computes all of them.
    """

    samples: int
    blocks: int
    keeps: bool
    spans: list[tuple[int, int]]
    is_short: bool


class _Last(NamedTuple):
    """The forward pass whose gradients may be asked for. common: what all functions are given."""

    parameters: Array
    inputs: tuple[Any, int, list[Array]]
    common: tuple[int, ...]
    plan: _Plan


_COMMON = 5
_FORWARD = {"fixed": (_COMMON, 0), "forward": (_COMMON + 2, 3)}
_BACKWARD = {"backward": (_COMMON + 5, 3), "finish": (_COMMON + 1, 0)}


def _functions(text: str, arguments: dict[str, tuple[int, int]]) -> list[Callable[..., None]]:
    found = machine_code.addresses(text, tuple(arguments))
    kinds = [[ctypes.c_void_p] * p + [ctypes.c_int64] * i for p, i in arguments.values()]
    return [ctypes.CFUNCTYPE(None, *own)(at) for at, own in zip(found, kinds, strict=True)]


def _pack(places: Places, start: int, block: Array) -> tuple[Array, Array, Array, Array]:
    """Weights that are put side by side: where to, and where from, in p and in s."""
    flat, at = block.ravel(), start + np.arange(block.size)
    of_p = space_of(flat) == PARAMETERS
    return at[of_p], row_of(flat[of_p]), at[~of_p], places.fixed(flat[~of_p])
