"""記録された計算の表 (`Trace`): どの段（記録、簡約、行列を見つける、実行）も、これを読むか書く。

ノードは整数の番号、演算も整数の番号 (`codes.py`) で、利用者の 1 つの演算が表の 1 行になる。
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from micrograd_jp.compiler.table.codes import (
    CONSTANT,
    FIRST_OPERATION,
    INPUT,
    PARAMETER,
    PRIMITIVES,
    arities,
)
from micrograd_jp.ops.primitive import Primitive

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Trace:
    """記録された計算。`n` 個のノードの番号は 0, …, n−1 で、引数の番号は必ず自分より小さい。

    Attributes:
        codes: 形 (n,)、int64。葉は `INPUT`, `PARAMETER`, `CONSTANT` (0, 1, 2)、演算は
            `PRIMITIVES[code]`（`Elementwise` か `Reduction`。比較と detach も `Elementwise`）。
        args: すべてのノードの引数の番号をつないだもの、int64。ノード i の引数は、順に
            `args[offsets[i]:offsets[i + 1]]`。葉には引数がない。`Reduction` は引数が何個でも
            1 つのノードで、`dot` の引数は `(*ws, *xs)`。
        offsets: 形 (n + 1,)、int64。
        inputs: 入力のノードの番号。実行のとき渡される入力の行と同じ順。使われない入力も含む。
        parameters: パラメータのノードの番号。実行のとき渡されるパラメータのベクトルと同じ順。
        constants: 定数のノードの番号。
        values: `constants` と同じ順の定数の値、float64（nan・inf・−0 も区別されている）。
        outputs: 出力のノードの番号。葉のことも、同じ番号が 2 度現れることもある。
        labels: 利用者がつけた名前。番号から名前へ。
    """

    codes: Array
    args: Array
    offsets: Array
    inputs: Array
    parameters: Array
    constants: Array
    values: Array
    outputs: Array
    labels: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.codes)

    def operands(self, i: int) -> Array:
        """ノード i の引数の番号。"""
        return self.args[self.offsets[i] : self.offsets[i + 1]]

    def primitive(self, i: int) -> Primitive | None:
        """ノード i の演算。葉なら `None`。"""
        code = int(self.codes[i])
        return PRIMITIVES[code] if code >= FIRST_OPERATION else None

    @property
    def owners(self) -> Array:
        """`args` の各要素が、どのノードの引数か。"""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def varying(self) -> Array:
        """各ノードが入力に依存する（標本ごとに値が違う）か、形 (n,) の真偽値。"""
        return reached(self, self.codes == INPUT)

    @property
    def uses(self) -> Array:
        """各ノードが引数または出力として使われる回数、形 (n,)。"""
        n = len(self)
        return np.bincount(self.args, minlength=n) + np.bincount(self.outputs, minlength=n)

    @property
    def operations(self) -> list[int]:
        """葉でないノードの番号。小さい順に計算できる。"""
        found: list[int] = np.flatnonzero(self.codes >= FIRST_OPERATION).tolist()
        return found

    def placed(self, places: Array, size: int) -> Trace:
        """パラメータ k を、長さ `size` のベクトルの `places[k]` 番目にした表。

        ベクトルの余りの場所には、使われない葉を足す。
        """
        n, extra = len(self), size - len(self.parameters)
        parameters = np.full(size, -1)
        parameters[places] = self.parameters
        parameters[parameters < 0] = np.arange(n, n + extra)
        return replace(
            self,
            codes=np.concatenate([self.codes, np.full(extra, PARAMETER)]),
            offsets=np.concatenate([self.offsets, np.full(extra, self.offsets[-1])]),
            parameters=parameters,
        )

    def __repr__(self) -> str:
        return (
            f"<Trace {len(self):,} nodes: {len(self.inputs):,} inputs, "
            f"{len(self.parameters):,} parameters, {len(self.outputs):,} outputs>"
        )


def reached(trace: Trace, start: Array) -> Array:
    """`start` のどれかに依存するノード。形 (n,) の真偽値。"""
    has_args = np.flatnonzero(np.diff(trace.offsets))
    if not len(has_args):
        return start
    firsts, known = trace.offsets[has_args], start.copy()
    for _ in range(_ROUNDS):
        marks = known.copy()
        marks[has_args] |= np.logical_or.reduceat(known[trace.args], firsts)
        if np.array_equal(marks, known):
            return known
        known = marks
    return _reached_one_by_one(trace, start)


_ROUNDS = 30
"""この深さまでは、全体を配列の演算で何度か見るほうが、1 つずつ見るより速い。"""


def _reached_one_by_one(trace: Trace, start: Array) -> Array:
    marks: list[bool] = start.tolist()
    args, offsets = trace.args.tolist(), trace.offsets.tolist()
    mark = marks.__getitem__
    for i in np.flatnonzero(np.diff(trace.offsets)).tolist():
        marks[i] = True in map(mark, args[offsets[i] : offsets[i + 1]])
    return np.array(marks, dtype=bool)


def spread(starts: Array, counts: Array) -> Array:
    """`starts[i]` から `counts[i]` 個の番号を、i の順につないだもの。"""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(counts.sum())


def pieces(sizes: Iterable[int]) -> Iterator[slice]:
    """続いた区間: はじめの `sizes[0]` 個、次の `sizes[1]` 個、…。"""
    start = 0
    for n in sizes:
        yield slice(start, start + n)
        start += n


def built(
    codes: Sequence[int],
    args: Sequence[int],
    lengths: Sequence[int],
    constants: Sequence[float],
    inputs: Sequence[int],
    outputs: Sequence[int],
    labels: dict[int, str],
) -> Trace:
    """並びから表を作る。`lengths` は `Reduction` の引数の個数を、現れる順に並べたもの。"""
    numbers = np.fromiter(codes, np.int64, len(codes))
    counts = arities()[numbers]
    counts[counts < 0] = lengths
    return Trace(
        codes=numbers,
        args=np.fromiter(args, np.int64, len(args)),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        inputs=np.array(inputs, dtype=np.int64),
        parameters=np.flatnonzero(numbers == PARAMETER),
        constants=np.flatnonzero(numbers == CONSTANT),
        values=np.array(constants, dtype=np.float64),
        outputs=np.array(outputs, dtype=np.int64),
        labels=labels,
    )
