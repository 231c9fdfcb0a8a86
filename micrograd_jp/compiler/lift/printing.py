"""配列のプログラムを、教科書の式のように書く (printing)。

h₁ = relu(W₁ x + b₁)                 # 784→100
h₂ = W₂ h₁ + b₂                      # 100→10
y = logsumexp(h₂)·Σ(t) − t·h₂
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    CONSTANTS,
    INPUTS,
    PARAMETERS,
    Step,
    row_of,
    space_of,
)
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.ops.primitive import Elementwise

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUM, _PRODUCT, _ATOM = 1, 2, 4
_STRENGTH = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT}
_SIGNS = {"-": "−", "*": "·"}
_LONGEST = 60  # characters of a line
_MOST = 4  # parts of a list


def printed(program: Any) -> str:
    """プログラムの式。1 行に 1 つ、`#` のあとに大きさ。"""
    lines = lines_of(program)
    width = min(max(len(text) for text, _ in lines), _LONGEST)
    return "\n".join(
        f"{text:<{width}}  # {comment}" if comment else text for text, comment in lines
    )


def lines_of(program: Any) -> list[tuple[str, str]]:
    """式と、その大きさの注釈の並び。"""
    return _Printer(program).written()


class _Printer:
    def __init__(self, program: Any) -> None:
        self.program = program
        self.names: dict[bytes, str] = {}
        self.counts = {"W": 0, "b": 0, "h": 0}
        self.pending: dict[int, tuple[str, int, str]] = {}
        self.lines: list[tuple[str, str]] = []
        self.owner: dict[int, Step] = {}
        self.uses: dict[int, int] = {}
        for step in program.steps:
            for block in step.blocks:
                for start in self._producers(block):
                    self.uses[start] = self.uses.get(start, 0) + 1
            self.owner[step.start] = step
        self.starts = sorted(self.owner)

    def _producers(self, block: Array) -> list[int]:
        """The first locations of the steps that computed what the block holds."""
        starts = np.array(sorted(self.owner), dtype=np.int64)
        computed = block[space_of(block) > INPUTS]
        if not len(starts) or not computed.size:
            return []
        places = np.searchsorted(starts, np.unique(computed), side="right") - 1
        return [int(starts[i]) for i in np.unique(places)]

    def written(self) -> list[tuple[str, str]]:
        program = self.program
        for step in program.steps:
            text, strength, comment = self._step(step)
            short = len(text) <= _LONGEST and step.start not in program.outputs.tolist()
            if self.uses.get(step.start, 0) == 1 and short and self._is_inlined(step):
                self.pending[step.start] = (text, strength, comment)
                continue
            name = program.labels.get(step.start) or self._new("h")
            self.names[step.out.tobytes()] = name
            self.lines.append((f"{name} = {text}", comment))
        result = "out" if "y" in dict(program.groups) else "y"
        last = self._operand(program.outputs)
        if len(self.lines) and self.lines[-1][0].startswith(f"{last} = "):
            self.lines[-1] = (result + self.lines[-1][0][len(last) :], self.lines[-1][1])
        else:
            self.lines.append((f"{result} = {last}", ""))
        return self.lines

    def _is_inlined(self, step: Step) -> bool:
        """Written inside the only formula that uses it: never inside a matrix product."""
        users: list[Step] = [
            other
            for other in self.program.steps
            for block in other.blocks
            if block.size == step.size and np.array_equal(block.ravel(), step.out)
        ]
        return bool(users) and users[0].kind == "map"

    def _new(self, letter: str) -> str:
        self.counts[letter] += 1
        return letter + str(self.counts[letter]).translate(_SUBSCRIPTS)

    # ---- 手順 ----

    def _step(self, step: Step) -> tuple[str, int, str]:
        text, strength = getattr(self, f"_{step.kind}")(step)
        comment = ""
        if step.kind == "matmul":
            rows, columns = step.shape
            comment = f"{len(step.blocks[1])}→{rows}"
            if columns > 1:
                comment += f" を {columns} か所で{'（畳み込み）' if _is_convolution(step) else ''}"
        elif step.kind == "map":
            inner = [self.pending.get(int(block.flat[0])) for block in step.blocks]
            comment = next((found[2] for found in inner if found and found[2]), "")
        return text, strength, comment

    def _matmul(self, step: Step) -> tuple[str, int]:
        weights, inputs, *bias = step.blocks
        sign = " ∗ " if _is_convolution(step) else " "
        text = f"{self._parameter(weights, 'W')}{sign}{self._operand(inputs, _PRODUCT)}"
        if bias:
            return f"{text} + {self._parameter(bias[0], 'b')}", _SUM
        return text, _PRODUCT

    def _dot(self, step: Step) -> tuple[str, int]:
        a, b = step.blocks
        if np.array_equal(a, b):
            return f"‖{self._operand(a)}‖²", _ATOM
        return f"{self._operand(a, _PRODUCT)}·{self._operand(b, _PRODUCT)}", _PRODUCT

    def _fold(self, step: Step) -> tuple[str, int]:
        name = {"sum": "Σ", "prod": "Π", "amax": "max"}.get(step.op.name, step.op.name)
        return f"{name}({self._operand(step.blocks[0])})", _ATOM

    def _take(self, step: Step) -> tuple[str, int]:
        index, table = step.blocks
        rows = table.ndim == 2  # of a matrix
        text = self._parameter(table, "W") if rows else self._operand(table[:, 0], _ATOM)
        return f"{text}[{self._operand(index)}]", _ATOM

    def _map(self, step: Step) -> tuple[str, int]:
        op = step.op
        assert isinstance(op, Elementwise)
        sign = op.operator or (op.symbol if op.symbol in "<≤>≥=" else "")
        if op.name == "neg":
            return f"−{self._operand(step.blocks[0], _PRODUCT)}", _SUM
        if len(step.blocks) == 2 and sign in _STRENGTH:
            strength = _STRENGTH[sign]
            left = self._operand(step.blocks[0], strength)
            right = self._operand(step.blocks[1], strength + (sign in "-/"))
            joined = "·" if sign == "*" else f" {_SIGNS.get(sign, sign)} "
            return f"{left}{joined}{right}", strength
        if len(step.blocks) == 2 and sign:
            a, b = (self._operand(block, _ATOM) for block in step.blocks)
            return f"{a} {sign} {b}", _ATOM - 1 if sign == "**" else 0
        return f"{op.name}({', '.join(map(self._operand, step.blocks))})", _ATOM

    # ---- 引数 ----

    def _parameter(self, block: Array, letter: str) -> str:
        if (space_of(block) != PARAMETERS).any():
            return self._operand(block, _PRODUCT)
        key = block.tobytes()
        if key not in self.names:
            self.names[key] = self._new(letter)
        return self.names[key]

    def _operand(self, block: Array, strength: int = 0) -> str:
        flat = block.ravel()
        first = int(flat[0]) if len(flat) else -1
        whole = self.owner.get(first)
        if whole is not None and np.array_equal(flat, whole.out):
            if first in self.pending:
                text, own, _ = self.pending[first]
                return text if own >= strength else f"({text})"
            return self.names[flat.tobytes()]
        if block.tobytes() in self.names:
            return self.names[block.tobytes()]
        if first >= 0 and space_of(first) == CONSTANTS and (flat == first).all():
            return f"{self.program.constants[row_of(first)]:g}"
        if block.ndim > 1 < block.shape[-1] or (flat < 0).any():
            return self._made_of(flat)
        runs = [(source, list(run)) for source, run in groupby(flat.tolist(), self._source)]
        if len(runs) > _MOST:
            return self._made_of(flat)
        parts = []
        for (start, size, name), run in runs:
            each = [name] * len(run) if size == 1 else [name + _index(np.array(run) - start, size)]
            parts += each
        return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"

    def _made_of(self, flat: Array) -> str:
        """The arrays that hold these places, which have no simple order."""
        there = np.unique(flat[flat >= 0]).tolist()
        parts = [
            name + _index(np.array([*run]) - start, size)
            for (start, size, name), run in groupby(there, self._source)
        ]
        if len(parts) > _MOST:
            parts[_MOST:] = "…"
        return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"

    def _source(self, place: int) -> tuple[int, int, str]:
        """The array that holds this place: its first place, its size, its name."""
        space, row = space_of(place), row_of(place)
        if space == CONSTANTS:
            return place, 1, f"{self.program.constants[row]:g}"
        if space == PARAMETERS:
            return place - row, self.program.sizes[PARAMETERS], "θ"
        if space == INPUTS:
            ends = np.cumsum([size for _, size in self.program.groups])
            name, size = self.program.groups[np.searchsorted(ends, row, side="right")]
            return place - row + int(ends[row < ends][0]) - size, size, name
        start = self.starts[bisect_right(self.starts, place) - 1]
        step = self.owner[start]
        return start, step.size, self.names[step.out.tobytes()]


def _index(rows: Array, size: int) -> str:
    """Which of `size` numbers these are: nothing where it is all of them, in order."""
    if np.array_equal(rows, np.arange(size)):
        return ""
    step = int(rows[1] - rows[0]) if len(rows) > 1 else 0
    if step > 0 and (np.diff(rows) == step).all():
        return f"[{rows[0]}:{rows[-1] + 1}{f':{step}' if step > 1 else ''}]"
    return f"[{', '.join(map(str, rows)) if len(rows) <= _MOST else '…'}]"


def _is_convolution(step: Step) -> bool:
    """Whether the same weights slide over inputs: windows overlap or reach over the border."""
    inputs = step.blocks[1]
    there = inputs[inputs >= 0]
    return step.shape[1] > 1 and len(np.unique(there)) < inputs.size
