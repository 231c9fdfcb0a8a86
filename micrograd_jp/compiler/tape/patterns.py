"""ばらばらに書かれた softmax を見つける。

`mg.softmax(xs)` は logsumexp・引き算・exp に、手で書いた softmax は max・引き算・exp・和・割り算に
記録される。どちらも 1 つの命令にすれば、exp は 1 つの標本でも並べて計算でき、逆伝播は
zᵢ·(gᵢ − Σ zⱼgⱼ) だけになる。途中の値がほかで使われているものは、そのままにする。
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from micrograd_jp.compiler.table.codes import (
    ADD,
    DETACH,
    DIV,
    LOGSUMEXP,
    MAXIMUM,
    SUB,
    SUM,
    code_of,
)
from micrograd_jp.compiler.table.table import Trace
from micrograd_jp.ops.primitive import lookup

EXP, _DETACH = code_of(lookup("exp")), code_of(DETACH)


class Uses:
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
        self.uses: list[int] = trace.uses.tolist()

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


def softmaxes(nodes: Uses) -> dict[int, Match]:
    """命令を置く場所（ノードの番号）から、そこで計算できる softmax へ。"""
    exps = nodes.by_operand(EXP, 0)
    if not exps:
        return {}
    minus, over = nodes.by_operand(SUB, 1), nodes.by_operand(DIV, 1)
    found = {i: _of_logsumexp(nodes, i, minus.get(i, []), exps) for i in nodes.having(LOGSUMEXP)}
    for i in nodes.having(ADD, SUM):
        if i in over:
            found[i] = _of_sum(nodes, i, over[i])
    return {i: match for i, match in found.items() if match is not None}


def _of_logsumexp(
    nodes: Uses, total: int, differences: list[int], exps: dict[int, list[int]]
) -> Match | None:
    """Exp(xᵢ − logsumexp(x)), for each i or for some."""
    xs = nodes.operands(total)
    if nodes.uses[total] != len(differences) or len(set(xs)) < len(xs):
        return None
    by_argument: dict[int, int] = {}
    for d in differences:
        x = nodes.operands(d)[0]
        if nodes.uses[d] != 1 or d not in exps or x in by_argument:
            return None
        by_argument[x] = exps[d][0]
    if not by_argument or not by_argument.keys() <= set(xs):
        return None
    args = [*by_argument, *[x for x in xs if x not in by_argument]]
    outs = list(by_argument.values())
    return Match("softmax", outs, args, [total, *differences, *outs])


def _of_sum(nodes: Uses, total: int, divisions: list[int]) -> Match | None:
    """Eᵢ / Σ e with eᵢ = exp(xᵢ − max x), for each i or for some."""
    es = nodes.operands(total)
    quotients = {nodes.operands(q)[0]: q for q in divisions}
    if nodes.uses[total] != len(quotients) or not quotients.keys() <= set(es):
        return None
    exp_of: dict[int, int] = {}
    differences, tops = [], set()
    for e in es:
        if nodes.codes[e] != EXP or nodes.uses[e] != 1 + (e in quotients):
            return None
        d = nodes.operands(e)[0]
        if nodes.codes[d] != SUB or nodes.uses[d] != 1:
            return None
        x, top = nodes.operands(d)
        exp_of[x] = e
        tops.add(top)
        differences.append(d)
    xs = list(exp_of)
    if len(tops) != 1 or len(xs) < len(es):
        return None
    top, uses, detached = tops.pop(), len(xs), []
    if nodes.codes[top] == _DETACH and nodes.uses[top] == uses:
        detached, uses = [top], 1
        [top] = nodes.operands(top)
    largest = _maximum(nodes, top, set(xs), uses)
    if largest is None:
        return None
    args = sorted(xs, key=lambda x: exp_of[x] not in quotients)
    outs = [quotients[exp_of[x]] for x in args[: len(quotients)]]
    return Match("ratio", outs, args, [total, *detached, *largest, *differences, *es, *outs])


def _maximum(nodes: Uses, top: int, xs: set[int], uses: int) -> list[int] | None:
    """The nodes that compute the maximum of exactly xs for these `uses` alone."""
    inner, seen, stack = [], set(), [(top, uses)]
    while stack:
        i, expected = stack.pop()
        if i in xs:
            seen.add(i)
        elif nodes.codes[i] == MAXIMUM and nodes.uses[i] == expected:
            inner.append(i)
            stack += [(a, 1) for a in nodes.operands(i)]
        else:
            return None
    return inner if seen == xs else None
