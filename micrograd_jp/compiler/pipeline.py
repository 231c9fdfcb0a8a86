"""コンパイルの全段 (pipeline): 記録 → 簡約 → 行列を見つける → 実行のしかたを選ぶ → 実行。"""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from micrograd_jp.compiler.cost import chosen, explained
from micrograd_jp.compiler.lift.lift import lifted
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.executor import NativeProgram
from micrograd_jp.compiler.machine.executor import executor as native
from micrograd_jp.compiler.machine.updates import Steady
from micrograd_jp.compiler.record.extremes import extremes
from micrograd_jp.compiler.record.inputs import (
    Arguments,
    Group,
    described,
    symbols,
)
from micrograd_jp.compiler.record.outputs import Outputs, numbered
from micrograd_jp.compiler.record.parameters import Binding
from micrograd_jp.compiler.record.recorder import Recorder, collector_paused
from micrograd_jp.compiler.record.rows import Batches, Indices, Rows
from micrograd_jp.compiler.remembered import named, remembered
from micrograd_jp.compiler.run.executor import Executor
from micrograd_jp.compiler.run.literally import Literally
from micrograd_jp.compiler.run.numpy import Lift
from micrograd_jp.compiler.run.python import Scalars
from micrograd_jp.compiler.simplify import hides_data, simplified
from micrograd_jp.compiler.table.codes import KNOWN
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.table.table import Array, Trace, pieces
from micrograd_jp.compiler.tape.executor import executor as tape
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.writes import writes
from micrograd_jp.locks import Lock
from micrograd_jp.native import machine_code
from micrograd_jp.optim.fused import Work

_CHANGES = operator.attrgetter("changes")
MANY = 2000
"""これだけのノードがあれば、見つけた行列を覚える: 見つける時間が、ファイルを書く時間に見合う。"""

PAUSE, MOST = 20_000.0, 1024
"""機械語だけで続ける、長さ（マイクロ秒）と回数の上限: そのあいだは Ctrl-C に応えられない。"""

Make = Callable[[Trace, Program, Any], Executor]


def _literally(make: Callable[[Program, Any], Executor]) -> Make:
    def made(trace: Trace, program: Program, dtype: Any) -> Executor:
        executor = make(program, dtype)
        # NumPy pulls back a choice by a product with 0 and 1.
        zeros = program.is_padded or (program.chooses and isinstance(executor, Lift))
        return Literally(executor, trace, dtype) if zeros else executor

    return made


EXECUTORS: dict[str, Make] = {
    "lift": _literally(Lift),
    "native": _literally(native),
    "tape": lambda trace, _, dtype: tape(trace, dtype),
    "levels": lambda trace, _, dtype: Levels(trace, dtype),
    "python": lambda trace, _, dtype: Scalars(trace, dtype),
}
"""実行のしかた: 簡約された表、配列のプログラム、計算の型 (float32 か float64) から。"""


@dataclass(frozen=True, eq=False)
class Recorded:
    """記録したもの。

    Attributes:
        trace: 表。
        values: `trace.parameters` の順の、パラメータの `Value`。
        groups: 入力。
        outputs: 出力の構造。
    """

    trace: Trace
    values: list[Value]
    groups: list[Group]
    outputs: Outputs


_OF_VALUES = (
    "mg.compile は Value の計算を速くします (compiles programs of Values)。Tensor の計算なら、"
    "mg.jit(関数, model) としてください。"
)


def record(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], batch: int | None
) -> Recorded:
    """関数を記号で 1 度動かす。関数が出した例外には、引数の読み方を書き添える。"""
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:  # a builtin
        names = []
    recorder = Recorder()
    with collector_paused():
        new, named, groups = symbols(args, kwargs, names, recorder)
        try:
            with extremes():
                returned = function(*new, **named)
        except Exception as error:
            error.add_note(described(groups, batch))
            given = (*args, *kwargs.values())
            if any(isinstance(x, Node) and not isinstance(x, Value) for x in given):
                error.add_note(_OF_VALUES)
            raise
        numbers, outputs = numbered(returned, recorder)
        del new, named, returned
        trace, values = recorder.finish(numbers)
    if hides_data(trace):
        warnings.warn(
            "コンパイルする関数に引数の配列がなく、データが定数になっています (data as constants): "
            "標本ごとに記録され、行列が見つかりません。データは loss(X, T) のように引数として"
            "渡してください。",
            stacklevel=outside(),
        )
    return Recorded(trace, values, groups, outputs)


def outside() -> int:
    """利用者の行が、何段外側の呼び出しか。警告の `stacklevel`。"""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("micrograd_jp"):
        frame, level = frame.f_back, level + 1
    return level


def _lifted(trace: Trace) -> tuple[Trace, Program]:
    simple = simplified(trace)
    return simple, lifted(simple)


class Receiver(Protocol):
    """勾配を受け取るもの (`Compilation.each`)。"""

    def __call__(self, gradient: Array) -> None:
        """平らな勾配で、パラメータを更新する。"""

    def several(self, gradient: Array, count: int, run: Callable[[Work], None]) -> None:
        """機械語の更新があれば、`count` 回まで `run` に任せる。

        `gradient` に、回ごとの勾配が入る。
        """


class Compilation:
    """記録された計算と、それを動かすもの。"""

    def __init__(
        self, recorded: Recorded, dtype: Any, executor: str | None, arguments: Arguments
    ) -> None:
        self.recorded, self.dtype = recorded, np.dtype(dtype)
        self.kept = arguments.kept
        self.indices = Indices.of(recorded.trace, recorded.groups)
        with collector_paused():
            trace = recorded.trace
            worth = len(trace) >= MANY and trace.codes.max() < KNOWN
            name = named("lifted", trace) if worth else ""
            simple, program = remembered(name, lambda: _lifted(trace))
            self.binding = Binding(recorded.values, self.dtype, program.layout())
            program = program.placed(self.binding.places, self.binding.size)
            groups = tuple((group.name, group.size) for group in recorded.groups)
            self.program = replace(program, groups=groups)
            self.trace = simple.placed(self.binding.places, self.binding.size)
        self.parents = tuple(self.binding.tensors)
        self._rows = Rows(recorded.groups, self.dtype, self.indices)
        self._seeds = np.empty((1, 0), self.dtype)
        self.runs = self.calls = 0
        given = arguments.samples, self.dtype, executor
        self.choice = remembered(
            name and named("choice", name, given, machine_code.enabled()),
            lambda: chosen(simple, self.program, *given),
        )
        self.turn = Lock(self)
        self.interrupted()

    def interrupted(self) -> None:
        """実行器を作る。fork した子では、ほかのスレッドが途中だったものの代わりに。"""
        self.runs += 1  # what the calls before left in the memory is gone
        self.name = self.choice.at(max(self.calls, 1))
        self.executor = EXECUTORS[self.name](self.trace, self.program, self.dtype)

    def run(self, arrays: list[Any], batch: int) -> tuple[Array, int]:
        """出力 (O, N) と、何度目の実行か。"""
        with self.turn:
            return self._outputs(self._rows(arrays, batch)), self.runs

    def _outputs(self, inputs: Sequence[Array]) -> Array:
        self.runs, self.calls = self.runs + 1, self.calls + 1
        if self.name != self.choice.name and self.name != self.choice.at(self.calls):
            self.interrupted()
        return self.executor.forward(self.binding.vector(), inputs)

    def each(
        self, arrays: list[Any], samples: int, batch: int, epochs: int, update: Receiver
    ) -> Iterator[Array]:
        """`batch` 個ずつの標本の値を計算し、値の平均の勾配で `update` させる、そのくり返し。

        番号は、はじめに全部調べる。

        Returns:
            値 (標本の数,)。つなげると、全部の標本の値の `epochs` 回になる。
        """
        for indices in self.indices:
            indices.require(arrays)
        whole, rest = divmod(samples, batch)
        end = whole * batch
        cut = [x if x.__class__ is float else x[end:] for x in arrays]
        turns = [(arrays, whole, batch), (cut, 1, rest)] * epochs
        if not rest:  # without an end between
            turns = [(arrays, whole * epochs, batch)]
        with self.turn:  # so many are known to come: what they are worth is made at once
            self.calls = max(self.calls, sum(count for _, count, n in turns if n))
        for given, count, n in turns:
            if not (count and n):
                continue
            seeds, batches = self.mean_seeds(n), self._rows.batches(given, count, n)
            for inputs in batches:
                with self.turn:
                    out = self._outputs(inputs)
                    gradient, _ = self.executor.backward(seeds, False)
                update(gradient)
                yield out[0]
                while (more := self._several(batches, update)) is not None:
                    yield more

    def _several(self, batches: Batches, update: Receiver) -> Array | None:
        """Those that machine code alone can go on with: their values."""
        steady = self._steady()
        if steady is None:
            return None
        inputs = batches.coming(int(min(PAUSE / max(steady.microseconds, 1.0), MOST)))
        outs = None

        def run(work: Work) -> None:
            nonlocal outs
            with self.turn:  # until then, another thread may have computed something else
                memory = self._rows.memory_of(steady.ready.inputs)
                now = self.binding.vector() is steady.ready.parameters
                if now and memory is not None and steady is self._steady():
                    self.runs, self.calls = self.runs + 1, self.calls + work.times
                    outs = steady.updated(inputs, memory, work)

        if len(inputs):
            update.several(steady.gradient, len(inputs), run)
        batches.skip(0 if outs is None else len(outs))
        return None if outs is None else outs.ravel()

    def _steady(self) -> Steady | None:
        executor, is_last = self.executor, self.name == self.choice.name
        return executor.steady() if is_last and isinstance(executor, NativeProgram) else None

    def require_scalar(self, name: str) -> None:
        """`name` が要る 1 つの値を返す関数であることを確かめる。

        Raises:
            TypeError: 返すものが 1 つの値でない。
        """
        if not self.recorded.outputs.is_scalar:
            raise TypeError(
                f"{name} は 1 つの Value を返す関数に使います (expected a scalar output)。"
            )

    def moment(self) -> tuple[int, ...]:
        """これまでの書き換えの回数: 変わっていなければ、どの数も変わっていない。"""
        return (writes.count, *map(_CHANGES, self.binding.stores))

    def mean_seeds(self, batch: int, samples: int | None = None) -> Array:
        """`samples` 個（省略すると `batch` 個）の値の平均の、値ごとの勾配 (1, N)。書き換えない。"""
        if samples is not None and samples != batch:
            return np.full((1, batch), 1 / samples, self.dtype)
        seeds = self._seeds  # of whatever other thread: looked at once
        if seeds.shape[1] != batch:
            seeds = self._seeds = np.full((1, batch), 1 / max(batch, 1), self.dtype)
        return seeds

    def input_parts(
        self, gradient: Any, arrays: list[Any], per_sample: bool = False
    ) -> list[Array]:
        """入力の勾配 (I, N) を、入力ごとの配列に分ける。数の入力では標本について足す。"""
        parts = []
        for x, own in zip(arrays, pieces(g.size for g in self.recorded.groups), strict=True):
            part = gradient[own]
            if x.__class__ is not float:
                part = np.ascontiguousarray(part.T).reshape(x.shape)
            else:
                part = part[0] if per_sample else part.sum()
            parts.append(part)
        return parts

    def explain(self) -> str:
        """なぜこの実行のしかたなのかの説明。"""
        return explained(self.choice, self.recorded.trace, self.trace, self.program)
