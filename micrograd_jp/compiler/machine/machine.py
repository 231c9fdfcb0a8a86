"""配列のプログラムの、機械語の全体 (machine): 標本の組のくり返しと、関数の引数。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.backward import Backward
from micrograd_jp.compiler.machine.forward import Emitter, Forward
from micrograd_jp.compiler.machine.kernels import arrive, arrive_one
from micrograd_jp.compiler.machine.lifetimes import gradient_rows
from micrograd_jp.compiler.machine.marks import Marks
from micrograd_jp.compiler.machine.matmul import matmul, matmul_pulled
from micrograd_jp.compiler.machine.parts import Maps, Part, parts
from micrograd_jp.compiler.machine.places import STRIDE, Places
from micrograd_jp.compiler.machine.take import take, take_pulled
from micrograd_jp.compiler.machine.weights import give_left
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Vector, Writer, from_list, module

_COMMON = ("p", "s", "tables", "library", "t")
_SPAN = ("n", "first", "count")
_NAMES: dict[str, tuple[str, ...]] = {
    "fixed": _COMMON,
    "arrive": ("inputs", "groups", "tables", "v", *_SPAN),
    "forward": (*_COMMON, "v", "out", *_SPAN),
    "backward": (*_COMMON, "v", "g", "d", "seeds", "of_inputs", *_SPAN),
    "finish": (*_COMMON, "d"),
}
FIELDS = tuple(dict.fromkeys(name for names in _NAMES.values() for name in names))
"""関数に渡す並びの中身: 番地と、標本の数、はじめの組、組の数、入力の数。"""

_NUMBERS = {*_SPAN, "groups"}


def _from_list(name: str, called: Function) -> Function:
    return from_list(called, name, [FIELDS.index(field) for field in _NAMES[name]])


ARRIVE, ARRIVE_ONE = _from_list("arrive", arrive), _from_list("arrive", arrive_one)
"""入力を `v` に入れる関数: 標本の組（どのプログラムにも同じ）と、標本 1 つずつ。"""


class Machine:
    """プログラムの機械語の IR。

    Args:
        program: プログラム。
        vector: ベクトル。
        lanes: 1 つの組の標本の数: ベクトルの幅か、1 (`layouts.py`)。

    Attributes:
        places: 数の置き場。
        has_fixed: 標本によらない手順があるか。
    """

    def __init__(self, program: Program, vector: Vector, lanes: int) -> None:
        self.program, self.vector = program, vector
        self.parts = parts(program)
        rows = gradient_rows(program, self.parts)
        self.places = Places(program, lanes, vector.width, rows)
        self._stored: list[tuple[int, int]] | None = None
        self.has_fixed = not all(part.varying for part in self.parts)

    def forward(self) -> str:
        """関数 `fixed` と `forward`。標本 1 つずつなら、`forward` は入力を入れるところから。"""
        fixed, forward = self._function("fixed"), self._function("forward")
        if self.places.lanes == 1:
            inner = forward._replace(name="computed")

            def body(f: Writer, at: Pointer) -> None:
                f.call(ARRIVE_ONE, at)
                f.call(inner, at)

            forward = Function("forward", "p", body, inline=False)
        return module([fixed, forward], self.vector)

    def backward(self, of_inputs: bool) -> str:
        """関数 `backward` と `finish`。"""
        self._marks = Marks(self.places, self.parts, of_inputs)
        self._of_inputs = of_inputs
        before, self.places.stored = self._stored, []
        text = module([self._function("backward"), self._function("finish")], self.vector)
        if before is not None:  # one table for both: only what both of them store is not cleared
            self.places.stored = [own for own in self.places.stored if own in before]
        self._stored = self.places.stored
        return text

    def _function(self, name: str) -> Function:
        fields, body = _NAMES[name], getattr(self, f"_{name}")
        letters = "".join("i" if field in _NUMBERS else "p" for field in fields)
        pointers = letters.count("p")

        def write(f: Writer, *arguments: Any) -> None:
            bases = dict(zip(fields[:pointers], arguments[:pointers], strict=True))
            # What the C functions are called through, under the name that the namespace knows.
            f.write(f"%library = getelementptr i8, ptr {bases['library'].text}, i64 0")
            body(f, bases, *arguments[pointers:])

        return _from_list(name, Function(f"{name}_of", letters, write, inline=False, apart=True))

    def _fixed(self, f: Writer, bases: dict[str, Pointer]) -> None:
        emitter = Forward(f, self.places, bases)
        for part in self.parts:
            if not part.varying:
                emitter.write(part)

    def _forward(
        self, f: Writer, bases: dict[str, Pointer], n: Number, first: Number, count: Number
    ) -> None:
        lanes = self.places.lanes

        def block(b: Number) -> None:
            emitter = Forward(f, self.places, self._at_block(f, bases, b))
            start = (first + b) * lanes
            here = f.least(n - start, lanes)
            emitter.spread()
            for part in self.parts:
                if part.varying:
                    _write(emitter, part, _FORWARD)
            emitter.results(self.program.outputs, n, start, f.first(here))

        f.loop(count, block)

    def _backward(
        self, f: Writer, bases: dict[str, Pointer], n: Number, first: Number, count: Number
    ) -> None:
        lanes = self.places.lanes
        left: list[Part] = []

        def block(b: Number) -> None:
            start = (first + b) * lanes
            here = f.least(n - start, lanes)
            own = self._at_block(f, bases, b)
            emitter = Backward(f, self.places, own, self._marks, here, b)
            emitter.seeds(self.program.outputs, n, start)
            for part in reversed(self.parts):
                if part.varying and (isinstance(part, Maps) or emitter.begins(part)):
                    _write(emitter, part, _BACKWARD)
            if self._of_inputs:
                emitter.inputs(n, start)
            left.extend(emitter.left)

        emitter = Backward(f, self.places, bases, self._marks, None)
        emitter.cleared()
        f.loop(count, block)
        for part in left:
            give_left(emitter, part, count, f.least(n - first * lanes, count * lanes))
        emitter.added_up()

    def _finish(self, f: Writer, bases: dict[str, Pointer]) -> None:
        emitter = Backward(f, self.places, bases, self._marks, None)
        for part in reversed(self.parts):
            if not part.varying and (isinstance(part, Maps) or emitter.begins(part)):
                emitter.write(part)

    def _at_block(self, f: Writer, bases: dict[str, Pointer], b: Number) -> dict[str, Pointer]:
        stride = Emitter(f, self.places, bases).entry(STRIDE)
        return {**bases, "v": bases["v"] + stride * b}


_FORWARD: dict[str, Any] = {"matmul": matmul, "take": take}
_BACKWARD: dict[str, Any] = {"matmul": matmul_pulled, "take": take_pulled}


def _write(emitter: Forward | Backward, part: Part | Maps, writers: dict[str, Any]) -> None:
    """A kind of steps that has a file of its own, or another."""
    own = writers.get(part.kind)
    emitter.write(part) if own is None else own(emitter, part)
