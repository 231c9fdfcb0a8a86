"""ばらばらに書かれた softmax を見つける。

`mg.softmax(xs)` は logsumexp・引き算・exp に、手で書いた softmax は max・引き算・exp・和・割り算に
記録される。どちらも 1 つの命令にすれば、exp は 1 つの標本でも並べて計算でき、逆伝播は
zᵢ·(gᵢ − Σ zⱼgⱼ) だけになる。途中の値がほかで使われているものは、そのままにする。
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from micrograd_jp.compiler.simplify import uses_of
from micrograd_jp.compiler.table.codes import ADD, DIV, LOGSUMEXP, PRIMITIVES, SUB, SUM, code_of
from micrograd_jp.compiler.table.table import Trace
from micrograd_jp.ops.primitive import Elementwise, lookup

EXP, MAXIMUM = code_of(lookup("exp")), code_of(lookup("maximum"))


class Graph:
    """表を、Python のリストとして見る。

    Attributes:
        codes: 各ノードの演算の番号。
        uses: 各ノードが引数か出力として使われる回数。
    """

    def __init__(self, trace: Trace) -> None:
        self._codes = trace.codes
        self.codes: list[int] = trace.codes.tolist()
        self._args: list[int] = trace.args.tolist()
        self._offsets: list[int] = trace.offsets.tolist()
        self.uses: list[int] = uses_of(trace).tolist()

    def having(self, *codes: int) -> list[int]:
        """これらの演算のノード。"""
        found: list[int] = np.flatnonzero(np.isin(self._codes, codes)).tolist()
        return found

    def by_operand(self, code: int, which: int) -> dict[int, list[int]]:
        """`which` 番目の引数から、それを引数とする、この演算のノードへ。"""
        found: dict[int, list[int]] = {}
        for i in self.having(code):
            found.setdefault(self.operands(i)[which], []).append(i)
        return found

    def operands(self, i: int) -> list[int]:
        """ノード i の引数。"""
        return self._args[self._offsets[i] : self._offsets[i + 1]]

    @staticmethod
    def is_elementwise(code: int) -> bool:
        """要素ごとの演算の番号か。"""
        return isinstance(PRIMITIVES[code], Elementwise)


@dataclass(frozen=True)
class Match:
    """見つかった softmax。

    Attributes:
        name: `"softmax"` か `"ratio"`。
        outs: 使われている結果のノード。
        args: 引数のノード。`outs` に対応するものが先に来る。
        inner: 命令に含まれ、もう計算しなくてよいノード（結果も含む）。
    """

    name: str
    outs: list[int]
    args: list[int]
    inner: list[int]


def softmaxes(graph: Graph) -> dict[int, Match]:
    """命令を置く場所（ノードの番号）から、そこで計算できる softmax へ。"""
    exps = graph.by_operand(EXP, 0)
    if not exps:
        return {}
    minus, over = graph.by_operand(SUB, 1), graph.by_operand(DIV, 1)
    found = {i: _of_logsumexp(graph, i, minus.get(i, []), exps) for i in graph.having(LOGSUMEXP)}
    for i in graph.having(ADD, SUM):
        if i in over:
            found[i] = _of_sum(graph, i, over[i])
    return {i: match for i, match in found.items() if match is not None}


def _of_logsumexp(
    graph: Graph, total: int, differences: list[int], exps: dict[int, list[int]]
) -> Match | None:
    """Exp(xᵢ − logsumexp(x)), for each i or for some."""
    xs = graph.operands(total)
    if graph.uses[total] != len(differences) or len(set(xs)) < len(xs):
        return None
    by_argument: dict[int, int] = {}
    for d in differences:
        x = graph.operands(d)[0]
        if graph.uses[d] != 1 or d not in exps or x in by_argument:
            return None
        by_argument[x] = exps[d][0]
    if not by_argument or not by_argument.keys() <= set(xs):
        return None
    args = [*by_argument, *[x for x in xs if x not in by_argument]]
    outs = list(by_argument.values())
    return Match("softmax", outs, args, [total, *differences, *outs])


def _of_sum(graph: Graph, total: int, divisions: list[int]) -> Match | None:
    """Eᵢ / Σ e with eᵢ = exp(xᵢ − max x), for each i or for some."""
    es = graph.operands(total)
    quotients = {graph.operands(q)[0]: q for q in divisions}
    if graph.uses[total] != len(quotients) or not quotients.keys() <= set(es):
        return None
    exp_of: dict[int, int] = {}
    differences, tops = [], set()
    for e in es:
        if graph.codes[e] != EXP or graph.uses[e] != 1 + (e in quotients):
            return None
        d = graph.operands(e)[0]
        if graph.codes[d] != SUB or graph.uses[d] != 1:
            return None
        x, top = graph.operands(d)
        exp_of[x] = e
        tops.add(top)
        differences.append(d)
    xs = list(exp_of)
    if len(tops) != 1 or len(xs) < len(es):
        return None
    largest = _maximum(graph, tops.pop(), set(xs), len(xs))
    if largest is None:
        return None
    args = sorted(xs, key=lambda x: exp_of[x] not in quotients)
    outs = [quotients[exp_of[x]] for x in args[: len(quotients)]]
    return Match("ratio", outs, args, [total, *largest, *differences, *es, *outs])


def _maximum(graph: Graph, top: int, xs: set[int], uses: int) -> list[int] | None:
    """The nodes that compute the maximum of exactly xs for these `uses` alone."""
    inner, seen, stack = [], set(), [(top, uses)]
    while stack:
        i, expected = stack.pop()
        if i in xs:
            seen.add(i)
        elif graph.codes[i] == MAXIMUM and graph.uses[i] == expected:
            inner.append(i)
            stack += [(a, 1) for a in graph.operands(i)]
        else:
            return None
    return inner if seen == xs else None
