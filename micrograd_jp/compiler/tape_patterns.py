"""ばらばらに書かれた softmax を見つける。

`mg.softmax(xs)` は logsumexp・引き算・exp に、手で書いた softmax は max・引き算・exp・和・割り算に
記録される。どちらも 1 つの命令にすれば、exp は 1 つの標本でも並べて計算でき、逆伝播は
zᵢ·(gᵢ − Σ zⱼgⱼ) だけになる。途中の値がほかで使われているものは、そのままにする。
"""

from __future__ import annotations

from dataclasses import dataclass

from micrograd_jp.compiler.codes import (
    ADD,
    DIV,
    LOGSUMEXP,
    PRIMITIVES,
    SUB,
    SUM,
    code_of,
)
from micrograd_jp.compiler.trace import Trace
from micrograd_jp.ops.primitive import Elementwise, lookup

EXP, MAXIMUM = code_of(lookup("exp")), code_of(lookup("maximum"))


class Graph:
    """表を、Python のリストとして見る。

    Attributes:
        codes: 各ノードの演算の番号。
        uses: 各ノードが引数か出力として使われる回数。
        users: 各ノードを引数とするノード。
    """

    def __init__(self, trace: Trace) -> None:
        self.codes: list[int] = trace.codes.tolist()
        self._args: list[int] = trace.args.tolist()
        self._offsets: list[int] = trace.offsets.tolist()
        self.uses = [0] * len(trace)
        self.users: list[list[int]] = [[] for _ in range(len(trace))]
        for i, a in zip(trace.owners.tolist(), self._args):
            self.uses[a] += 1
            self.users[a].append(i)
        for i in trace.outputs.tolist():
            self.uses[i] += 1

    def operands(self, i: int) -> list[int]:
        """ノード i の引数。"""
        return self._args[self._offsets[i] : self._offsets[i + 1]]

    @staticmethod
    def is_elementwise(code: int) -> bool:
        """要素ごとの演算の番号か。"""
        return isinstance(PRIMITIVES[code], Elementwise)


UNUSED = -1


@dataclass(frozen=True)
class Match:
    """見つかった softmax。

    Attributes:
        name: `"softmax"` か `"ratio"`。
        outs: 結果のノード。使われない結果は `UNUSED`。
        args: 引数のノード。
        inner: 命令に含まれ、もう計算しなくてよいノード（結果も含む）。
    """

    name: str
    outs: list[int]
    args: list[int]
    inner: list[int]


def softmaxes(graph: Graph) -> dict[int, Match]:
    """命令を置く場所（ノードの番号）から、そこで計算できる softmax へ。"""
    found: dict[int, Match] = {}
    for i, code in enumerate(graph.codes):
        match = None
        if code == LOGSUMEXP:
            match = _of_logsumexp(graph, i)
        elif code in (ADD, SUM):
            match = _of_sum(graph, i)
        if match is not None:
            found[i] = match
    return found


def _of_logsumexp(graph: Graph, total: int) -> Match | None:
    """Exp(xᵢ − logsumexp(x)), for each i or for some."""
    xs, differences = graph.operands(total), graph.users[total]
    if graph.uses[total] != len(differences) or len(set(xs)) < len(xs):
        return None
    by_argument: dict[int, int] = {}
    for d in differences:
        if graph.codes[d] != SUB or graph.operands(d)[1] != total or graph.uses[d] != 1:
            return None
        x, users = graph.operands(d)[0], graph.users[d]
        if not users or graph.codes[users[0]] != EXP or x in by_argument:
            return None
        by_argument[x] = users[0]
    if not by_argument or not by_argument.keys() <= set(xs):
        return None
    outs = [by_argument.get(x, UNUSED) for x in xs]
    return Match("softmax", outs, xs, [total, *differences, *by_argument.values()])


def _of_sum(graph: Graph, total: int) -> Match | None:
    """Eᵢ / Σ e with eᵢ = exp(xᵢ − max x), for each i or for some."""
    es = graph.operands(total)
    quotients: dict[int, int] = {}
    for q in graph.users[total]:
        if graph.codes[q] != DIV or graph.operands(q)[1] != total:
            return None
        quotients[graph.operands(q)[0]] = q
    if graph.uses[total] != len(quotients) or len(set(es)) < len(es) or not quotients:
        return None
    if not quotients.keys() <= set(es):
        return None
    xs, differences, tops = [], [], set()
    for e in es:
        if graph.codes[e] != EXP or graph.uses[e] != 1 + (e in quotients):
            return None
        d = graph.operands(e)[0]
        if graph.codes[d] != SUB or graph.uses[d] != 1:
            return None
        x, top = graph.operands(d)
        xs.append(x)
        tops.add(top)
        differences.append(d)
    if len(tops) != 1 or len(set(xs)) < len(xs):
        return None
    largest = _maximum(graph, tops.pop(), set(xs), len(xs))
    if largest is None:
        return None
    outs = [quotients.get(e, UNUSED) for e in es]
    return Match("ratio", outs, xs, [total, *largest, *differences, *es, *quotients.values()])


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
