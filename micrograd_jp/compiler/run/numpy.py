"""5. 実行 (run): 配列のプログラムのソースコードを、標本数に合わせたメモリの上で動かす。"""

from __future__ import annotations

import linecache
import textwrap
from collections.abc import Callable, Sequence
from math import inf, nan
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import INPUTS, PARAMETERS
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.run.backward import Reverse
from micrograd_jp.compiler.run.forward import Generator
from micrograd_jp.compiler.run.memory import Memory
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.table.table import Array, Trace
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.numpy_kernels.erf import erf

_KEPT = 4
"""メモリを取っておく標本数の種類（ふつうのミニバッチと、端数と、検証用）。"""

_GLOBALS = {
    **{name: f for name, f in vars(np).items() if isinstance(f, np.ufunc)},
    "copyto": np.copyto, "take": np.take, "dot": np.dot, "broadcast_to": np.broadcast_to,
    "add_reduce": np.add.reduce, "max_reduce": np.maximum.reduce, "add_at": np.add.at,
    "erf": erf, "inf": inf, "nan": nan,
}  # fmt: skip


class _Plan:
    """The functions for one batch size, bound to its arrays."""

    def __init__(self, owner: Lift, batch: int, parameters: Array) -> None:
        self._owner = owner
        self.parameters, self.is_private = parameters, False
        self.memory = Memory(owner.program, batch, parameters, owner.dtype)
        self._functions: dict[str, Callable[..., Any]] = {}

    def function(self, name: str) -> Callable[..., Any]:
        found = self._functions.get(name)
        if found is None:
            source = self._owner.source(name)
            for key, maker in self._owner.makers().items():
                if key not in self.memory.named:
                    self.memory.named[key] = maker(self.memory)
            filename = f"<micrograd_jp compiled {name} {id(self._owner)}>"
            linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
            scope = {**_GLOBALS, **self.memory.named}
            exec(compile(source, filename, "exec"), scope)
            found = self._functions[name] = scope[name]
        return found

    def load(self, parameters: Array) -> bool:
        """Take over the parameters. False where the plan must be bound to an array of its own."""
        if parameters is self.parameters:
            return True
        if self.is_private:
            self.parameters[:] = parameters
        return self.is_private


class Lift:
    """配列のプログラムを NumPy で動かす `Executor`。

    端を 0 で埋めたプログラムは、書かれていない項 0·w を足している。w や上流の勾配が inf や nan
    だと 0·w は 0 でない。そのときだけ、書かれたとおりに 1 段ずつ計算しなおす (`Levels`)。
    """

    def __init__(self, trace: Trace, program: Program, dtype: Any) -> None:
        self.program = program
        self.dtype = np.dtype(dtype)
        self._literal = Levels(trace, self.dtype) if self.program.is_padded else None
        self._literally = False  # whether the last forward pass was run by it
        self._forward: Generator | None = None
        self._sources: dict[str, str] = {}
        self._plans: dict[int, _Plan] = {}
        self._last: tuple[_Plan, Sequence[Array]] | None = None

    def source(self, name: str) -> str:
        """生成されたソースコード: `"forward"`, `"backward"`, `"backward_to_inputs"`。

        Raises:
            RuntimeError: まだ実行されていない（入力の並びがまだ分からない）。
        """
        forward = self._forward
        if forward is None:
            raise RuntimeError("ソースコードは、はじめて実行するときに作られます (not run yet)。")
        if name not in self._sources:
            names = [f"x{i}" for i in range(len(forward.groups))]
            lines = forward.lines
            if name != "forward":
                lines = Reverse(forward, name == "backward_to_inputs").lines
                names.append("seeds")
            self._sources[name] = _source(name, names, [*forward.prologue, *lines])
        return self._sources[name]

    def makers(self) -> dict[str, Callable[[Memory], Any]]:
        """ソースコードに現れる名前が何であるか。"""
        assert self._forward is not None
        return self._forward.makers

    def _plan(self, batch: int, parameters: Array) -> _Plan:
        plan = self._plans.get(batch)
        if plan is not None and plan.load(parameters):
            return plan
        private = plan is not None  # the vector moves: from now on it is copied
        plan = _Plan(self, batch, parameters.copy() if private else parameters)
        plan.is_private = private
        while len(self._plans) >= _KEPT:
            del self._plans[next(iter(self._plans))]
        self._plans[batch] = plan
        return plan

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        if self._forward is None:
            self._forward = Generator(self.program, [len(x) for x in inputs])
        plan = self._plan(inputs[0].shape[1], parameters)
        self._last = plan, inputs
        function = plan.function("forward")
        warnings = quiet.silenced()
        try:
            out: Array = function(*inputs)
        finally:
            quiet.restore(warnings)
        self._literally = False
        if self._literal is not None and not _finite(parameters, out):
            self._literally = True
            out = self._literal.forward(parameters, inputs)
        return out

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        assert self._last is not None
        plan, inputs = self._last
        if self._literal is not None and self._literally:
            return self._literal.backward(seeds, of_inputs)
        function = plan.function("backward_to_inputs" if of_inputs else "backward")
        warnings = quiet.silenced()
        try:
            function(*inputs, seeds)
        finally:
            quiet.restore(warnings)
        memory = plan.memory
        gradient = memory.array(PARAMETERS, True).copy()
        if self._literal is not None and not _finite(gradient):
            self._literal.forward(memory.array(PARAMETERS, False), inputs)
            return self._literal.backward(seeds, of_inputs)
        return gradient, memory.array(INPUTS, True).copy() if of_inputs else None


def _finite(*arrays: Array) -> bool:
    return all(np.isfinite(x).all() for x in arrays)


def _source(name: str, arguments: Sequence[str], lines: Sequence[str]) -> str:
    body = textwrap.indent("\n".join(lines or ["pass"]), "    ")
    return f"def {name}({', '.join(arguments)}):\n{body}\n"
