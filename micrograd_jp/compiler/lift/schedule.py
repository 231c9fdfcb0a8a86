"""3b. いっしょに計算する数を決める (schedule): 同じ形の計算を 1 つの組にする。

数ごとに、それが何からどう計算されたかの指紋 (fingerprint) をつくる。重みの値と並びの長さは指紋に
入れない。だから GPT のどの場所でも、注意の重みを足す長さが違っても、同じ層の計算は 1 つの組になる。
依存しあう組は段で分け、段ごとに分けるより組が減らなければ、段ごとに分ける。
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.terms import LINEAR, PRODUCT, SINGLE, Sums
from micrograd_jp.compiler.table.codes import (
    ADD,
    CONSTANT,
    LARGEST,
    MUL,
    NEG,
    PARAMETER,
    PRIMITIVES,
    code_of,
)
from micrograd_jp.compiler.table.table import Array, Trace, spread
from micrograd_jp.namespace import quiet
from micrograd_jp.ops.primitive import Reduction

_SUM, _DOT, _LINEAR, _MIXED, _OTHER = range(1, 6)
"""組の種類: 1 つの数の和、積の和、重み付きの和、混ざった和、和でない演算。"""

_LARGEST = code_of(LARGEST)

_DEEP = 2000
"""これより段の多い計算は、たいてい不規則なので、指紋をつくらない。"""


@dataclass(frozen=True, eq=False)
class Schedule:
    """計算の順序。

    Attributes:
        fixed, varying: 入力に依存しない計算と依存する計算の、組を計算する順に並べたもの。
        by_form: 組が、段でなく形で分けられているか。
        promoted: 形 (n,)。同じ組の長い和に合わせて、1 つか 2 つの項の和とみる `+` と `×`。
    """

    fixed: list[Array]
    varying: list[Array]
    by_form: bool
    promoted: Array


def scheduled(trace: Trace, sums: Sums) -> Schedule:
    """組に分け、計算する順に並べる。"""
    with quiet.silence():  # fingerprints overflow
        return _Scheduling(trace, sums).schedule()


_START, _FACTOR, _BITS = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 29))


def _mixed(*parts: Any) -> Any:
    """One fingerprint made of several, in order."""
    h: Any = _START
    for part in parts:
        h = (h ^ np.asarray(part, np.uint64)) * _FACTOR
        h = h ^ (h >> _BITS)
    return h


class _Scheduling:
    def __init__(self, trace: Trace, sums: Sums) -> None:
        self.trace, self.sums = trace, sums
        n = len(trace)
        self.number = np.full(sums.total, np.nan)
        self.number[trace.constants] = trace.values
        self.print = np.zeros(sums.total, np.uint64)
        self.print[:n][trace.codes == PARAMETER] = _mixed(PARAMETER)
        self.print[trace.constants] = _mixed(CONSTANT, trace.values.view(np.uint64))
        self.key = np.zeros(sums.total, np.uint64)
        self.kind = np.zeros(sums.total, np.int64)
        self.level = np.zeros(sums.total, np.int64)
        self.root_of = np.full(sums.total, -1)
        self.root_of[sums.roots] = np.arange(len(sums.roots))
        self.is_plain = np.zeros(sums.total, bool)
        self.is_plain[sums.plain] = True
        self.promoted = np.zeros(n, bool)

    def schedule(self) -> Schedule:
        owners, operands = self._edges()
        levels, fixed = self._phase(False, owners, operands)
        levels_of_inputs, varying = self._phase(True, owners, operands)
        if fixed is None or varying is None:
            return Schedule(levels, levels_of_inputs, False, self.promoted)
        for group in (*fixed, *varying):
            self._promote(group)
        return Schedule(fixed, varying, True, self.promoted)

    def _edges(self) -> tuple[Array, Array]:
        """Who needs whom. Of a weighted input only the input counts: weights are there before."""
        trace, sums = self.trace, self.sums
        plain = self.is_plain[trace.owners]
        root = np.repeat(sums.roots, sums.starts[:, 3] - sums.starts[:, 0])
        both, pair = sums.kind != LINEAR, sums.second >= 0
        negated = np.array(list(sums.negated.items()), dtype=np.int64).reshape(-1, 2)
        return (
            np.concatenate([trace.owners[plain], root[both], root[pair], negated[:, 0]]),
            np.concatenate([trace.args[plain], sums.first[both], sums.second[pair], negated[:, 1]]),
        )

    def _phase(
        self, varying: bool, owners: Array, operands: Array
    ) -> tuple[list[Array], list[Array] | None]:
        """The levels, and groups by form where there are not more of these."""
        sums = self.sums
        negated = np.array(list(sums.negated), dtype=np.int64)
        nodes = np.concatenate([sums.plain, sums.roots, negated])
        nodes = np.sort(nodes[sums.varying[nodes] == varying])
        inside = np.zeros(sums.total, bool)
        inside[nodes] = True
        own = inside[owners] & inside[operands]
        owners, operands = owners[own], operands[own]
        levels = list(self._levels(nodes, owners, operands))
        if not levels:
            return [], []
        if len(levels) > _DEEP:
            return levels, None
        for i, level in enumerate(levels):
            self.level[level] = i
            self._look_at(level)
        by_level = _mixed(self.level[nodes], self.kind[nodes], self._codes(nodes))
        groups = self._groups(nodes, owners, operands)
        return levels, groups if len(groups) <= len(np.unique(by_level)) else None

    def _levels(self, nodes: Array, owners: Array, operands: Array) -> Iterator[Array]:
        """What needs nothing, what needs only that, …."""
        total = self.sums.total
        unmet = np.bincount(owners, minlength=total)
        counts = np.bincount(operands, minlength=total)
        users, starts = owners[np.argsort(operands, kind="stable")], np.cumsum(counts) - counts
        ready = nodes[unmet[nodes] == 0]
        while len(ready):
            yield ready
            met = users[spread(starts[ready], counts[ready])]
            np.subtract.at(unmet, met, 1)
            ready = np.unique(met[unmet[met] == 0])

    def _codes(self, nodes: Array) -> Array:
        """The operations of plain nodes, 0 of all others."""
        plain = self.is_plain[nodes]
        return np.where(plain, self.trace.codes[np.where(plain, nodes, 0)], 0)

    # ---- 指紋 ----

    def _look_at(self, nodes: Array) -> None:
        """The fingerprints of a level, and which group each belongs to."""
        roots = nodes[self.root_of[nodes] >= 0]
        if len(roots):
            self._look_at_sums(roots)
        plain = nodes[self.is_plain[nodes]]
        codes = self.trace.codes[plain]
        for code in np.unique(codes).tolist():
            self._look_at_operations(plain[codes == code], code)
        for node in nodes[(self.root_of[nodes] < 0) & ~self.is_plain[nodes]].tolist():
            self._put(node, _OTHER, _mixed(NEG, self.print[self.sums.negated[node]]))

    def _put(self, nodes: Any, kind: Any, fingerprint: Any, *more: Any) -> None:
        self.print[nodes], self.kind[nodes] = fingerprint, kind
        self.key[nodes] = _mixed(kind, fingerprint, *more)

    def _look_at_sums(self, nodes: Array) -> None:
        sums = self.sums
        starts = sums.starts[self.root_of[nodes]]
        counts = starts[:, 3] - starts[:, 0]
        terms, firsts = spread(starts[:, 0], counts), np.cumsum(counts) - counts
        kind, a = sums.kind[terms], self.print[sums.first[terms]]
        b = self.print[sums.second[terms]]  # of what is not there the last one: not looked at
        term = np.where(
            kind == LINEAR, _mixed(LINEAR, b), np.where(kind == SINGLE, a, _product(a, b))
        )
        term = np.where(sums.sign[terms] < 0, _mixed(NEG, term), term)
        low, high = (
            f.reduceat(term, firsts) if len(term) else term for f in (np.minimum, np.maximum)
        )
        bias = sums.bias[nodes]
        biased = (bias >= 0) & (self.number[bias] != 0)
        same = (low == high) & ~biased & (counts > 0)
        of_kind = np.array([_LINEAR, _DOT, _SUM])[kind[firsts]] if len(kind) else bias
        self._put(
            nodes,
            np.where(same, of_kind, _MIXED),
            np.where(same, low, _mixed(_MIXED, low, high, biased)),
        )

    def _look_at_operations(self, nodes: Array, code: int) -> None:
        trace = self.trace
        counts = np.diff(trace.offsets)[nodes]
        if isinstance(PRIMITIVES[code], Reduction):
            args = self.print[trace.args[spread(trace.offsets[nodes], counts)]]
            firsts = np.cumsum(counts) - counts
            low, high = np.minimum.reduceat(args, firsts), np.maximum.reduceat(args, firsts)
            one = (low == high) & (code == _LARGEST)  # the largest of one is that one
            key = _mixed(code, low, high)
            self._put(nodes, _OTHER, np.where(one, low, key), key)
            return
        args = trace.args[trace.offsets[nodes] + np.arange(counts[0])[:, None]]
        prints = self.print[args]
        if code == MUL:
            self._put(nodes, _DOT, _product(*prints))
        elif code == ADD:
            a, b = prints
            a = np.where(self.number[args[0]] == 0, b, a)  # 0 + b, as Python's sum begins
            b = np.where(self.number[args[1]] == 0, a, b)
            apart = _mixed(ADD, np.minimum(a, b), np.maximum(a, b))
            self._put(nodes, np.where(a == b, _SUM, _OTHER), np.where(a == b, a, apart))
        else:
            self._put(nodes, _OTHER, _mixed(code, *prints))

    # ---- 組 ----

    def _groups(self, nodes: Array, owners: Array, operands: Array) -> list[Array]:
        """Nodes with the same key, in an order in which they can be computed."""
        keys = self.key[nodes]
        place = np.full(self.sums.total, -1)
        for _ in range(2):
            _, group = np.unique(keys, return_inverse=True)
            place[nodes] = group
            count = int(group.max()) + 1
            arrows = np.unique(place[operands] * count + place[owners])
            before, after = arrows // count, arrows % count
            circular = _on_cycles(count, before, after)
            if not circular.any():
                break
            # Within a level nothing depends on anything.
            keys = np.where(circular[group], _mixed(keys, self.level[nodes]), keys)
        order = np.argsort(group, kind="stable")
        members = np.split(nodes[order], np.flatnonzero(np.diff(group[order])) + 1)
        deepest = [(int(self.level[m].max()), int(m[0])) for m in members]
        unmet = np.bincount(after, minlength=count)
        users: list[list[int]] = [[] for _ in members]
        for a, b in zip(before.tolist(), after.tolist(), strict=True):
            users[a].append(b)
        ready = [(deepest[i], i) for i in np.flatnonzero(unmet == 0).tolist()]
        heapq.heapify(ready)
        out = []
        while ready:
            _, i = heapq.heappop(ready)
            out.append(members[i])
            for j in users[i]:
                unmet[j] -= 1
                if not unmet[j]:
                    heapq.heappush(ready, (deepest[j], j))
        return out

    def _promote(self, group: Array) -> None:
        """`a`, `a + b` or `a × b` beside longer sums is a sum of one or two terms."""
        kind, plain = int(self.kind[group[0]]), self.is_plain[group]
        if kind not in (_SUM, _DOT) or not plain.any():
            return
        own = group[plain]
        if kind == _SUM and plain.all():
            args = self.trace.args[self.trace.offsets[own] + np.arange(2)[:, None]]
            lone = (self.number[args] == 0).any(axis=0)
            self.promoted[own] = lone.any() and not lone.all()
        elif not plain.all():
            self.promoted[own] = True


def _product(a: Array, b: Array) -> Any:
    return _mixed(MUL, PRODUCT, np.minimum(a, b), np.maximum(a, b))


def _on_cycles(count: int, before: Array, after: Array) -> Array:
    """Which groups lie on a cycle, or between two of them."""
    left = np.ones(count, bool)
    while True:
        arrows = left[before] & left[after]
        has_in, has_out = np.zeros(count, bool), np.zeros(count, bool)
        has_in[after[arrows]], has_out[before[arrows]] = True, True
        kept = left & has_in & has_out
        if np.array_equal(kept, left):
            return left
        left = kept
