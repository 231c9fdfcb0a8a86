"""ふつうの Python で実行する (python): 演算を 1 つずつ、float で計算する関数を書く。

演算が少なく標本が 1 つなら、配列を用意するより速い。Python の算術が例外を出すとき
（0 での割り算など）だけは、IEEE 754 のとおりに計算する `Levels` に任せる。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.table.codes import CONSTANT, PRIMITIVES, TAKE
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.table.table import Array, Trace
from micrograd_jp.engine.source import statements
from micrograd_jp.ops.primitive import Elementwise, Reduction

_TROUBLE = (ArithmeticError, ValueError, TypeError)


class Scalars:
    """1 標本ずつ、Python の float で計算する `Executor`。計算はいつも倍精度である。"""

    def __init__(self, trace: Trace, dtype: Any) -> None:
        self.trace, self.dtype = trace, np.dtype(dtype)
        self._scope: dict[str, Any] = {
            **vars(namespace.scalar), "inf": np.inf, "nan": np.nan, "scalar": namespace.scalar
        }  # fmt: skip
        self._value = self._function(gradient=False)
        self._both = self._function(gradient=True)
        self._arguments: tuple[list[float], list[list[float]]] = ([], [])
        self._arrays: tuple[Array, Sequence[Array]] = (np.empty(0), ())

    @cached_property
    def _careful(self) -> Levels:
        return Levels(self.trace, self.dtype)

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        samples = np.concatenate(list(inputs)).T.tolist()
        self._arguments = (parameters.tolist(), samples)
        self._arrays = parameters.copy(), inputs
        p, value = self._arguments[0], self._value
        try:
            rows = [value(p, x) for x in samples]
        except _TROUBLE:
            return self._careful.forward(parameters, inputs)
        return np.array(rows, dtype=self.dtype).reshape(len(rows), len(self.trace.outputs)).T.copy()

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        p, samples = self._arguments
        try:
            pairs = [self._both(p, x, s) for x, s in zip(samples, seeds.T.tolist(), strict=True)]
        except _TROUBLE:
            self._careful.forward(*self._arrays)
            return self._careful.backward(seeds, of_inputs)
        shape = (len(samples), len(p))
        gradient = np.array([dp for dp, _ in pairs], dtype=np.float64).reshape(shape).sum(axis=0)
        wide = np.array([dx for _, dx in pairs], dtype=self.dtype)
        wide = wide.reshape(len(samples), len(self.trace.inputs)).T.copy()
        return gradient.astype(self.dtype), wide if of_inputs else None

    def _function(self, gradient: bool) -> Callable[..., Any]:
        trace = self.trace
        lines: list[str] = []
        place = {int(n): f"x[{i}]" for i, n in enumerate(trace.inputs)}
        place |= {int(n): f"p[{i}]" for i, n in enumerate(trace.parameters)}
        place |= {
            int(n): repr(float(v)) for n, v in zip(trace.constants, trace.values, strict=True)
        }
        wanted = np.flatnonzero(trace.codes != CONSTANT)
        if gradient:
            lines += [f"g{i} = 0.0" for i in wanted.tolist()]
        for i in trace.operations:
            lines += self._operation(i, place, gradient)
            place[i] = f"v{i}"
        if not gradient:
            results = ", ".join(place[i] for i in trace.outputs.tolist())
            return self._defined("value", "p, x", [*lines, f"return [{results}]"])
        for k, i in enumerate(trace.outputs.tolist()):
            if trace.codes[i] != CONSTANT:
                lines.append(f"g{i} += s[{k}]")
        for i in reversed(trace.operations):
            lines += self._reversed(i)
        dp, dx = (
            ", ".join(f"g{i}" for i in nodes.tolist()) for nodes in (trace.parameters, trace.inputs)
        )
        return self._defined("both", "p, x, s", [*lines, f"return [{dp}], [{dx}]"])

    def _defined(self, name: str, arguments: str, lines: list[str]) -> Callable[..., Any]:
        source = f"def {name}({arguments}):\n" + "\n".join(f"    {line}" for line in lines)
        defined: dict[str, Any] = {}
        exec(compile(source, f"<micrograd_jp compiled {name}>", "exec"), self._scope, defined)
        function: Callable[..., Any] = defined[name]
        return function

    def _operation(self, i: int, place: dict[int, str], gradient: bool) -> list[str]:
        code, args = int(self.trace.codes[i]), self.trace.operands(i).tolist()
        op, xs = PRIMITIVES[code], [place[a] for a in args]
        if isinstance(op, Reduction):
            value, partials = f"value_{op.name}_{code}", f"partials_{op.name}_{code}"
            self._scope[value], self._scope[partials] = op.value, op.partials
            lines = [f"xs = [{', '.join(xs)}]", f"v{i} = {value}(scalar, xs)"]
            if gradient:
                lines.append(f"d{i} = {partials}(scalar, v{i}, xs)")
            return lines
        assert isinstance(op, Elementwise)
        kept = {
            k: f"d{i}_{k}"
            for k, (a, rule) in enumerate(zip(args, op.partials, strict=True))
            if gradient and rule is not None and self.trace.codes[a] != CONSTANT
        }
        # Names of their own: a rule must not be given a literal, on which Python might fold.
        names = [f"a{k}" for k in range(len(xs))]
        assigned = [f"{name} = {x}" for name, x in zip(names, xs, strict=True)]
        return [*assigned, *statements(op, names, kept), f"v{i} = z"]

    def _reversed(self, i: int) -> list[str]:
        op, args = PRIMITIVES[int(self.trace.codes[i])], self.trace.operands(i).tolist()
        out = []
        for k, a in enumerate(args):
            if self.trace.codes[a] == CONSTANT:
                continue
            if op is TAKE:  # a gate: what was not chosen gets nothing, not 0 times something
                out.append(f"if d{i}[{k}]: g{a} += g{i}")
            elif isinstance(op, Reduction):
                out.append(f"g{a} += g{i} * d{i}[{k}]")
            elif isinstance(op, Elementwise) and op.partials[k] is not None:
                out.append(f"g{a} += g{i} * d{i}_{k}")
        return out
