"""1. 記録 (recorder): 記号 `Traced` の演算を表に書き足し、外の `Value` を取り込む。"""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from micrograd_jp.compiler.table.codes import CONSTANT, DETACH, INPUT, PARAMETER, code_of
from micrograd_jp.compiler.table.table import Trace, built
from micrograd_jp.engine.numbers import as_number
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.anomaly import users_line
from micrograd_jp.locks import in_child
from micrograd_jp.ops.primitive import ArrayOp, Primitive, Reduction


class TraceError(TypeError):
    """記録できない計算。利用者のコードの場所を含む。"""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}\n  場所 (where): {users_line()}")


class Recorder:
    """書きかけの表。演算が 1 つ呼ばれるたびに、並びに整数を足す。

    関数の外で計算された `Value`（葉でないもの）が現れると、その計算ごと取り込む。だから
    パラメータが変われば計算し直され、勾配は大もとの葉へ流れる。
    """

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.args: list[int] = []
        self.lengths: list[int] = []
        self.numbers: list[float] = []
        self.inputs: list[int] = []
        self.inputs_at: set[int] = set()
        self.detached: dict[int, int] = {}
        self.labels: dict[int, str] = {}
        self.leaves: list[Value] = []
        self._leaf_ids: list[int] = []
        self._constants: dict[Any, int] = {}
        self.known: dict[int, int] = {}
        self._kept: list[Value] = []  # what an id() stands for must not be freed meanwhile

    # ---- 葉 ----

    def new_input(self) -> int:
        """入力を 1 つ足す。"""
        self.inputs.append(self._append(INPUT))
        self.inputs_at.add(self.inputs[-1])
        return self.inputs[-1]

    def _append(self, code: int) -> int:
        self.codes.append(code)
        return len(self.codes) - 1

    def constant(self, x: float) -> int:
        """定数の番号。同じ数は 1 つのノード。"""
        key = x if x and x == x else (str(x), math.copysign(1.0, x))  # tell −0 and nan apart
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self._append(CONSTANT)
            self.numbers.append(x)
        return found

    def operand(self, x: Any) -> int:
        """演算の引数 1 つの番号: `Traced`、数、外の `Value`。

        Raises:
            TraceError: 別の記録の `Traced` か、`Tensor` から作られた `Value`。
        """
        if isinstance(x, Value):
            recorder = getattr(x, "recorder", None)  # of a Traced
            if recorder is self:
                return x.number  # type: ignore[attr-defined, no-any-return]
            if recorder is not None:
                raise TraceError(
                    "前の記録の値が残っていて、使われました (leaked traced value): 関数の中で作った"
                    "値を、外のリストや属性にしまわず、return で返してください。"
                )
            found = self.known.get(id(x))
            if found is not None:
                return found
            return self._leaf(x) if x.op is None else self._imported(x)
        return self.constant(x if x.__class__ is float else as_number(x))

    def _leaf(self, x: Value) -> int:
        codes = self.codes
        self.known[id(x)] = number = len(codes)
        codes.append(PARAMETER)
        self.leaves.append(x)
        self._leaf_ids.append(number)
        return number

    def _imported(self, root: Value) -> int:
        """The number of a plain Value, and of everything that it was computed from."""
        stack = [root]
        while stack:
            node = stack[-1]
            if id(node) in self.known:
                stack.pop()
                continue
            if node.op is None:
                self._leaf(node)
                continue
            if isinstance(node.op, ArrayOp):
                raise TraceError(
                    "Tensor から作られた Value は取り込めません (a Value made of a Tensor): "
                    "t.detach().item() で数にするか、関数全体を Tensor で書いてください。"
                )
            operands = node.operands
            missing = [x for x in operands if isinstance(x, Value) and id(x) not in self.known]
            if missing:
                stack += missing
                continue
            stack.pop()
            numbers = [self.operand(x) for x in operands]
            self.known[id(node)] = self.write(node.op, numbers)
            self._kept.append(node)
        return self.known[id(root)]

    # ---- 演算 ----

    def write(self, op: Primitive, operands: Sequence[int]) -> int:
        """演算を 1 行書き足し、その番号を返す。"""
        self.args += operands
        if isinstance(op, Reduction):
            self.lengths.append(len(operands))
        elif op is DETACH:
            self.detached[len(self.codes)] = operands[0]
        return self._append(code_of(op))

    # ---- 終わり ----

    def finish(self, outputs: Sequence[int]) -> tuple[Trace, list[Value]]:
        """表と、その `parameters` の順に並んだ `Value` の葉。

        関数の中で作られ、もう誰も持っていない葉は定数になる。誰にも見えず、更新もされないから。
        """
        codes, numbers = self.codes, dict(zip(self._constants.values(), self.numbers))
        self._kept.clear()  # graphs made inside the function no longer hold their leaves
        parameters: list[Value] = []
        self.leaves.append(Value(0.0))  # a leaf that only this list holds
        holders = [sys.getrefcount(x) for x in self.leaves]
        nobody = holders.pop()
        self.leaves.pop()
        for place, leaf, count in zip(self._leaf_ids, self.leaves, holders, strict=True):
            if count <= nobody:
                codes[place] = CONSTANT
                numbers[place] = leaf.data
            else:
                parameters.append(leaf)
        values = [numbers[i] for i in sorted(numbers)]
        trace = built(
            codes, self.args, self.lengths, values, self.inputs, outputs, dict(self.labels)
        )
        return trace, parameters


@contextmanager
def collector_paused() -> Iterator[None]:
    """記録の間、循環参照の回収を止める: 生きているノードを何度も見て回るのを防ぐ。"""
    global _paused_by
    was_enabled = gc.isenabled()
    gc.disable()
    if was_enabled:
        _paused_by = get_ident()
    try:
        yield
    finally:
        if was_enabled:
            _paused_by = 0
            gc.enable()


_paused_by = 0


@in_child
def _go_on() -> None:
    if _paused_by not in (0, get_ident()):
        gc.enable()
