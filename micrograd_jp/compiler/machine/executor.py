"""実行のしかた `"native"`: 配列のプログラムを、1 つの機械語で動かす（extra `fast`）。

標本が少なければ、1 つずつ、となりの数をベクトルにして計算する (`layouts.Numbers`)。多ければ、
L 個ずつの組 (lane block) にする。組の中の計算は、順伝播も逆伝播も、1 度の呼び出しのうちに
手順の終わりまで進むので、途中の値はキャッシュから出ない。組が多ければ、スレッドに分ける。分け方は
標本の数だけで決まるので、答えはスレッドの数によらない。
"""

from __future__ import annotations

import ctypes
import math
import operator
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.lift.blocks import FIXED, INPUTS, PARAMETERS
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.cost import MOST_STEPS, few, times
from micrograd_jp.compiler.machine.forward import UnsupportedStep
from micrograd_jp.compiler.machine.machine import ARRIVE, FIELDS
from micrograd_jp.compiler.machine.made import Made, Needs
from micrograd_jp.compiler.machine.pace import Pace
from micrograd_jp.compiler.machine.updates import Ready, Steady
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
P, N, FIRST, COUNT, V, OUT, SEEDS, OF_INPUTS, INPUTS_AT, GROUPS = map(
    FIELDS.index,
    ("p", "n", "first", "count", "v", "out", "seeds", "of_inputs", "inputs", "groups"),
)


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
        lanes: 組の標本の数: 1 か、省略すればベクトルの幅。

    Raises:
        UnsupportedStep: 機械語にできない手順がある。
    """

    def __init__(self, program: Program, dtype: Any, lanes: int = 0) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self._item = self.dtype.itemsize
        vector = Vector.of(self.dtype.name, machine_code.vector_bytes())
        self.lanes = lanes or vector.width
        self._made = Made(program, vector, self.lanes)
        block, sample = times(program, vector.width)
        if len(program.steps) > MOST_STEPS or not math.isfinite(block):
            raise UnsupportedStep(program)
        self._microseconds = sample if self.lanes == 1 else block
        self._few = few(block, sample, vector.width) if self.lanes > 1 else 0
        self._alone: NativeProgram | None = None  # the program for a few samples
        self._is_alone = self._begun = False
        # What the fields say: all that a pass needs is set where it is what is wanted again.
        self._ready: Ready | None = None
        self._pulled: Steady | None = None
        self._backward: dict[bool, list[Callable[[int], None]]] = {}

    def _begin(self) -> None:
        """Makes the machine code of the forward pass, and its memory."""
        program = self.program
        self._library = ctypes.addressof(library())
        self._forward, needs = self._made.forward()
        self._arrive = None if self.lanes == 1 else kernel(ARRIVE, self.dtype)
        fixed = program.sizes[FIXED]
        self._s = aligned_zeros((needs.scalars,), self.dtype)
        self._s[fixed : fixed + len(program.constants)] = program.constants
        self._s[needs.neutral[1]] = needs.neutral[0]
        self._copies, self._packs = needs.copied, needs.packed
        self._is_copied = bool(self._copies.size or self._packs)
        self._v, self._of_v = np.empty(0, self.dtype), 0
        self._outputs = len(program.outputs)
        self._paces = Pace(), Pace(), Pace()
        self._plans: dict[int, _Plan] = {}
        self._parameters, self._p = np.empty(0, self.dtype), 0
        self._seeds, self._at_seeds = self._parameters, 0
        self._reserve(needs)
        self._begun = True

    def _reserve(self, needs: Needs) -> None:
        """The memory that the code written so far needs, and where it is."""
        self._needs, self._tables = needs, needs.tables
        self._block = needs.rows * self.lanes
        self._spaces = [self._space()]
        self._gradient = self._spaces[0].d[: self.program.sizes[PARAMETERS]]
        self._ready = self._pulled = None

    def _space(self) -> _Space:
        needs = self._needs
        sizes = needs.scratch, needs.gradient_rows * self.lanes, needs.gradients
        t, g, d = (aligned_zeros((size,), self.dtype) for size in sizes)
        fields = array("q", [0] * len(FIELDS))
        for field, own in (("s", self._s), ("tables", self._tables), ("t", t), ("g", g), ("d", d)):
            fields[FIELDS.index(field)] = address(own)
        fields[FIELDS.index("library")] = self._library
        return _Space(t, g, d, fields, fields.buffer_info()[0])

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
        spans = self._plan.spans
        while len(self._spaces) < len(spans):
            self._spaces.append(self._space())
        pace.run(lambda i: run(self._spaces[i], *spans[i]), len(spans))

    # ---- 順伝播 ----

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        used: Any = self._alone if self._is_alone else self
        ready: Ready | None = used._ready
        if ready is not None and ready.parameters is parameters and ready.inputs is inputs:
            again: Array = used._run_again(ready)
            return again
        n = inputs[0].shape[1]
        self._is_alone = 0 < n <= self._few
        if self._is_alone:
            if self._alone is None:
                self._alone = NativeProgram(self.program, self.dtype, 1)
            return self._alone.forward(parameters, inputs)
        if not self._begun:
            self._begin()
        plan = self._plan = self._plans.get(n) or self._planned(n)
        if not plan.keeps:  # computed again for the gradients: what is updated must not count
            parameters, inputs = parameters.copy(), [x.copy() for x in inputs]
        one, self._ready = self._spaces[0], None
        if parameters is not self._parameters:
            self._parameters, self._p = parameters, address(parameters)
        self._prepare(parameters)
        self._inputs, self._held = self._table(inputs)
        needed = self._block * (plan.blocks if plan.keeps else min(SPAN, plan.blocks))
        if self._v.size < needed:
            self._v = aligned_zeros((needed,), self.dtype)
            self._of_v = address(self._v)
        out = np.empty((self._outputs, n), self.dtype)
        to = address(out)
        if plan.is_short:
            self._evaluate(one, 0, plan.blocks, to)
            # Who comes with the same arrays (a tuple is the same for ever) finds all fields ready.
            if inputs.__class__ is tuple and all(map(operator.is_, inputs, self._held)):
                self._ready = Ready(parameters, inputs, out)
                return out.copy()
            return out

        def run(space: _Space, first: int, count: int) -> None:
            for start in range(first, first + count, SPAN):
                self._evaluate(space, start, min(SPAN, first + count - start), to)

        self._shared_out(run, self._paces[0])
        return out

    def _prepare(self, parameters: Array) -> None:
        """What is the same for all samples."""
        if self._copies.size:
            self._s[self._copies[1]] = parameters[self._copies[0]]
        if self._needs.has_fixed:
            one = self._spaces[0]
            one.fields[P] = self._p
            self._forward[0](one.at)
        for at, of_p, at_s, of_s in self._packs:
            self._s[at], self._s[at_s] = parameters[of_p], self._s[of_s]

    def _run_again(self, ready: Ready) -> Array:
        """The forward pass, where all fields are what they were."""
        if self._is_copied or self._needs.has_fixed:
            self._prepare(ready.parameters)
        at = self._spaces[0].at
        if self._arrive is not None:
            self._arrive(at)
        self._forward[1](at)
        again: Array = ready.out.copy()
        return again

    def _table(self, inputs: Sequence[Array]) -> tuple[Any, list[Array]]:
        """Where the inputs are, and what keeps them alive."""
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
        return table, held

    def _evaluate(self, space: _Space, first: int, count: int, out: int) -> None:
        fields = space.fields
        self._set_span(fields, first, count)
        fields[INPUTS_AT], fields[GROUPS] = self._inputs.buffer_info()[0], len(self._held)
        fields[OUT] = out
        if self._arrive is not None:
            self._arrive(space.at)
        self._forward[1](space.at)

    def _set_span(self, fields: Any, first: int, count: int) -> None:
        plan = self._plan
        fields[P], fields[N], fields[FIRST], fields[COUNT] = self._p, plan.samples, first, count
        fields[V] = self._of_v + (first * self._block * self._item if plan.keeps else 0)

    def _reverse(self, space: _Space, first: int, count: int, to: _To) -> None:
        self._set_span(space.fields, first, count)
        _pull(space, to)

    # ---- 逆伝播 ----

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        if self._is_alone:
            assert self._alone is not None
            return self._alone.backward(seeds, of_inputs)
        one = self._spaces[0]
        if self.steady() is not None and seeds is self._seeds and not of_inputs:
            reverse, finish = self._backward[False]
            reverse(one.at)
            if self._needs.has_fixed:
                finish(one.at)
            return self._gradient.copy(), None
        if of_inputs not in self._backward:
            self._backward[of_inputs], needs = self._made.backward(of_inputs)
            self._reserve(needs)
            self._plans.clear()
        plan, one = self._plan, self._spaces[0]  # the memory of what was written by now
        if seeds is not self._seeds:
            seeds = self._seeds = np.ascontiguousarray(seeds, self.dtype)
            self._at_seeds = address(seeds)
        inputs = self.program.sizes[INPUTS]
        gradients = np.zeros((inputs, plan.samples), self.dtype) if of_inputs else None
        reverse, finish = self._backward[of_inputs]
        to = _To(reverse, self._at_seeds, 0 if gradients is None else address(gradients))
        self._pulled = None
        if self._ready is not None:  # and with it the fields that the forward pass has set
            _pull(one, to)
            if not (self._is_copied or of_inputs):  # and those that the reverse pass needs
                self._pulled = self._steady(self._ready)
        elif plan.is_short:
            self._reverse(one, 0, plan.blocks, to)
        else:
            self._in_spans(to, self._paces[1 + of_inputs])
        if self._needs.has_fixed:
            one.fields[P] = self._p
            finish(one.at)
        return self._gradient.copy(), gradients

    def steady(self) -> Steady | None:
        """いまと同じ配列で続けるときに、1 回ずつ何も確かめずに動かせるもの。なければ `None`。"""
        if self._is_alone:
            return None if self._alone is None else self._alone.steady()
        pulled = self._pulled
        return None if pulled is None or pulled.ready is not self._ready else pulled

    def _steady(self, ready: Ready) -> Steady:
        (fixed, forward), (reverse, finish) = self._forward, self._backward[False]
        functions: Any = fixed, self._arrive, forward, reverse, finish
        if not self._needs.has_fixed:
            functions = None, *functions[1:4], None
        microseconds = self._plan.blocks * self._microseconds
        return Steady(ready, self._gradient, microseconds, functions, self._spaces[0].at)

    def _in_spans(self, to: _To, pace: Pace) -> None:
        plan = self._plan
        again = np.empty((self._outputs, 0 if plan.keeps else plan.samples), self.dtype)

        def run(space: _Space, first: int, count: int) -> None:
            total = np.zeros(space.d.size)  # in double precision
            for start in range(first, first + count, SPAN):
                some = min(SPAN, first + count - start)
                if not plan.keeps:
                    self._evaluate(space, start, some, address(again))
                self._reverse(space, start, some, to)
                if count > SPAN:
                    total += space.d
            if count > SPAN:
                space.d[:] = total

        self._shared_out(run, pace)
        one, *others = self._spaces[: len(plan.spans)]
        for other in others:
            one.d[:] += other.d


class _Space(NamedTuple):
    """Memory that one thread writes: scratch, rows of gradients, gradients; what functions read."""

    t: Array
    g: Array
    d: Array
    fields: Any
    at: int


class _To(NamedTuple):
    """The reverse pass, and where the gradients of the outputs and of the inputs are."""

    reverse: Callable[[int], None]
    seeds: int
    of_inputs: int


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


def _pull(space: _Space, to: _To) -> None:
    space.fields[SEEDS], space.fields[OF_INPUTS] = to.seeds, to.of_inputs
    to.reverse(space.at)
