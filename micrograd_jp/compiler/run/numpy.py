"""4. NumPy で実行する (lift): プログラムのソースコードを、標本数に合わせたメモリの上で動かす。"""

from __future__ import annotations

import linecache
import textwrap
from collections.abc import Callable, Sequence
from math import inf, nan
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import INPUTS, PARAMETERS
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.run.backward import Backward
from micrograd_jp.compiler.run.forward import Forward
from micrograd_jp.compiler.run.memory import Memory
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.numpy_kernels.closed import closed
from micrograd_jp.namespace.numpy_kernels.erf import erf
from micrograd_jp.namespace.numpy_kernels.sums import reduce_into

_KEPT = 4
"""メモリを取っておく標本数の種類（ふつうのミニバッチと、端数と、検証用）。"""

_GLOBALS = {
    **{name: f for name, f in vars(np).items() if isinstance(f, np.ufunc)},
    "copyto": np.copyto, "take": np.take, "dot": np.dot, "broadcast_to": np.broadcast_to,
    "add_reduce": reduce_into, "max_reduce": np.maximum.reduce,
    "erf": erf, "closed": closed, "inf": inf, "nan": nan,
}  # fmt: skip


class _Plan:
    """The functions for one batch size, bound to its arrays."""

    def __init__(self, owner: Lift, batch: int, parameters: Array, is_private: bool) -> None:
        self._owner, self.is_private = owner, is_private
        self.parameters = parameters.copy() if is_private else parameters
        self.memory = Memory(owner.program, batch, self.parameters, owner.dtype)
        self._functions: dict[str, Callable[..., Any]] = {}

    def run(self, name: str, *arrays: Array) -> Any:
        """Call one of the functions: `"forward"`, `"backward"`, `"backward_to_inputs"`."""
        function = self._functions.get(name) or self._defined(name)
        warnings = quiet.silenced()
        try:
            return function(*arrays)
        finally:
            quiet.restore(warnings)

    def _defined(self, name: str) -> Callable[..., Any]:
        source = self._owner.source(name)
        for key, maker in self._owner.writer.makers.items():
            if key not in self.memory.named:
                self.memory.named[key] = maker(self.memory)
        filename = f"<micrograd_jp compiled {name} {id(self._owner)}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        scope = {**_GLOBALS, **self.memory.named}
        exec(compile(source, filename, "exec"), scope)
        function: Callable[..., Any] = scope[name]
        self._functions[name] = function
        return function

    def load(self, parameters: Array) -> bool:
        """Take over the parameters. False where the plan must be bound to an array of its own."""
        if parameters is self.parameters:
            return True
        if self.is_private:
            self.parameters[:] = parameters
        return self.is_private


class Lift:
    """配列のプログラムを NumPy で動かす `Executor`。"""

    def __init__(self, program: Program, dtype: Any) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self.writer = Forward(program)
        self._sources: dict[str, str] = {}
        self._plans: dict[int, _Plan] = {}
        self._last: tuple[_Plan, Sequence[Array]] | None = None

    def source(self, name: str) -> str:
        """生成されたソースコード: `"forward"`, `"backward"`, `"backward_to_inputs"`。"""
        if name not in self._sources:
            forward = self.writer
            names = [f"x{i}" for i in range(len(forward.groups))]
            lines = forward.lines
            if name != "forward":
                lines = Backward(forward, name == "backward_to_inputs").lines
                names.append("seeds")
            body = textwrap.indent("\n".join([*forward.prologue, *lines]) or "pass", "    ")
            self._sources[name] = f"def {name}({', '.join(names)}):\n{body}\n"
        return self._sources[name]

    def _plan(self, batch: int, parameters: Array) -> _Plan:
        plan = self._plans.get(batch)
        if plan is not None and plan.load(parameters):
            return plan
        # Where the vector has moved, it is copied from now on.
        found = _Plan(self, batch, parameters, is_private=plan is not None)
        while len(self._plans) >= _KEPT:
            del self._plans[next(iter(self._plans))]
        self._plans[batch] = found
        return found

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        plan = self._plan(inputs[0].shape[1], parameters)
        self._last = plan, inputs
        out: Array = plan.run("forward", *inputs)
        return out

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        assert self._last is not None
        plan, inputs = self._last
        plan.run("backward_to_inputs" if of_inputs else "backward", *inputs, seeds)
        memory = plan.memory
        gradient = memory.array(PARAMETERS, True).copy()
        return gradient, memory.array(INPUTS, True).copy() if of_inputs else None
