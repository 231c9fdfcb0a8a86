"""4'. テープ (tape): 繰り返しのない計算を、命令の 1 本の並びにする。

命令は (名前, 結果のノード, 引数のノード) の 3 つ組で、先頭から順に実行すれば値が、末尾から順に
たどれば勾配が求まる。Python で書いた、いちばん短い実行のしかた:

    for name, outs, args in tape.instructions:            # 順伝播
        v[outs[0]] = operation[name](*[v[a] for a in args])
    for name, outs, args in reversed(tape.instructions):  # 逆伝播
        for a, partial in zip(args, partials[name](...)):
            g[a] += g[outs[0]] * partial

1 命令ごとに「次は何か」を調べる手間がかかるので、よくある並びは 1 つの大きな命令
(superinstruction) にまとめる。積の和は `dot` と `muladd`、`mg.softmax` の logsumexp・引き算・exp は
`softmax`、手で書いた max・引き算・exp・和・割り算は `ratio`。
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from micrograd_jp.compiler.table.codes import ADD, DOT, MUL, POW, PROD, SUM, name_of
from micrograd_jp.compiler.table.table import Trace
from micrograd_jp.compiler.tape.patterns import Match, Uses, softmaxes


class Instruction(NamedTuple):
    """命令。

    Attributes:
        name: 要素ごとの演算の名前か、`"sum"`, `"dot"`, `"softmax"` など。
        outs: 使われている結果のノード。`softmax` では、初めのいくつかの引数の結果だけのこともある。
        args: 引数のノード。`dot` では (足す数, w₀, x₀, w₁, x₁, …)、`muladd` では (a, b, c)。
    """

    name: str
    outs: tuple[int, ...]
    args: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tape:
    """命令の並びと、葉の場所。

    Attributes:
        size: ノードの個数。表 (`Trace`) のノードに、命令の都合で要るものを足した数。
        instructions: 順伝播の順の命令。
        inputs: 入力のノード。
        parameters: パラメータのノード。
        constants: 定数のノードから値へ。
        outputs: 出力のノード。
    """

    size: int
    instructions: list[Instruction]
    inputs: list[int]
    parameters: list[int]
    constants: dict[int, float]
    outputs: list[int]

    def __repr__(self) -> str:
        return f"<Tape {len(self.instructions):,} instructions, {self.size:,} nodes>"


def assembled(trace: Trace) -> Tape:
    """表をテープに直す。

    Args:
        trace: 簡約された表（されていなくてもよい）。
    """
    return _Assembler(trace).tape()


class _Assembler:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.instructions: list[Instruction] = []
        self.nodes = nodes = Uses(trace)
        self.constants = dict(zip(trace.constants.tolist(), trace.values.tolist()))
        self.numbers: dict[Any, int] = {
            (x, math.copysign(1, x)): i for i, x in self.constants.items()
        }
        self.size = len(trace)
        self.matched = softmaxes(nodes)
        self.skipped = {i for match in self.matched.values() for i in match.inner}
        self.factors = self._single_use_products()

    def tape(self) -> Tape:
        nodes, trace = self.nodes, self.trace
        for i in trace.operations:
            if i in self.matched:
                self._softmax(self.matched[i])
            elif i not in self.skipped and i not in self.factors:
                self._add(i, nodes.codes[i], nodes.operands(i))
        return Tape(
            size=self.size,
            instructions=_grouped(self.instructions, self.size),
            inputs=trace.inputs.tolist(),
            parameters=trace.parameters.tolist(),
            constants=self.constants,
            outputs=trace.outputs.tolist(),
        )

    def _single_use_products(self) -> dict[int, list[tuple[int, int]]]:
        """Products used once, by a sum: they become terms of a dot product."""
        nodes = self.nodes
        found: dict[int, list[tuple[int, int]]] = {}
        for i in nodes.having(ADD, SUM):
            for a in () if i in self.skipped else nodes.operands(i):
                if nodes.uses[a] == 1 and a not in self.skipped:
                    if nodes.codes[a] == MUL:
                        x, y = nodes.operands(a)
                        found[a] = [(x, y)]
                    elif nodes.codes[a] == DOT:
                        found[a] = _pairs(nodes.operands(a))
        return found

    def _constant(self, x: float) -> int:
        key = (x, math.copysign(1, x))
        if key not in self.numbers:
            self.numbers[key] = self._node()
            self.constants[self.numbers[key]] = x
        return self.numbers[key]

    def _emit(self, name: str, outs: Sequence[int], args: Sequence[int]) -> None:
        self.instructions.append(Instruction(name, tuple(outs), tuple(args)))

    def _add(self, i: int, code: int, xs: Sequence[int]) -> None:
        if code in (ADD, SUM) or (code == DOT and not xs):
            self._sum(i, xs)
        elif code == DOT:
            self._dot(i, _pairs(xs), [])
        elif code == POW and self.constants.get(xs[1]) == 2.0:
            self._emit("mul", [i], [xs[0], xs[0]])
        elif code == PROD and not xs:
            self._sum(i, [self._constant(1.0)])
        else:
            self._emit(name_of(code), [i], xs)

    def _sum(self, i: int, terms: Sequence[int]) -> None:
        products = [pair for a in terms for pair in self.factors.get(a, ())]
        others = [a for a in terms if a not in self.factors]
        if products:
            self._dot(i, products, others)
        elif len(others) == 2:
            self._emit("add", [i], others)
        else:  # arguments are read four at a time; −0.0 changes nothing
            args = others or [self._constant(0.0)]
            missing = [self._constant(-0.0)] * (-len(args) % 4)
            self._emit("sum4" if len(args) <= 4 else "sum", [i], [*args, *missing])

    def _dot(self, i: int, pairs: Sequence[tuple[int, int]], others: Sequence[int]) -> None:
        if len(others) == 1:
            addend = others[0]
        elif others:
            addend = self._node()
            self._sum(addend, others)
        else:
            addend = self._constant(-0.0)
        if len(pairs) == 1:
            args = [*pairs[0], addend] if others else pairs[0]
            self._emit("muladd" if others else "mul", [i], args)
            return
        padding = [self._constant(-0.0), self._constant(1.0)] * (-len(pairs) % 4)
        self._emit("dot", [i], [addend, *[x for pair in pairs for x in pair], *padding])

    def _softmax(self, match: Match) -> None:
        name, args = match.name, match.args
        if len(args) <= 4:
            name = f"{name}4"
            args = [*args, *[self._constant(-math.inf)] * (4 - len(args))]  # e^−∞ = 0
        self._emit(name, match.outs, args)

    def _node(self) -> int:
        """A node that is not in the trace."""
        self.size += 1
        return self.size - 1


def _grouped(instructions: list[Instruction], size: int) -> list[Instruction]:
    """The same instructions level by level, alike ones together: the CPU guesses what comes next.

    On a random graph that saves a fifth of the time.
    """
    level, keys = [0] * size, []
    for name, outs, args in instructions:
        here = 1 + max(map(level.__getitem__, args), default=0)
        for i in outs:
            level[i] = here
        keys.append((here, name))
    return [instructions[k] for k in sorted(range(len(keys)), key=keys.__getitem__)]


def _pairs(xs: Sequence[int]) -> list[tuple[int, int]]:
    """`dot` has its arguments as (*ws, *xs)."""
    half = len(xs) // 2
    return list(zip(xs[:half], xs[half:]))
