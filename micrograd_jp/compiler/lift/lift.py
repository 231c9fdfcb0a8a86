"""3. 配列に持ち上げる (lift): 1 つずつの数の計算から、短い配列のプログラムを作る。

依存しない数の計算（重みの二乗和など）を先に、標本ごとの計算をあとに、それぞれ段の順に進む。
同じ段の和は行列の積に (`matrices.py`)、残りの同じ演算は 1 つの配列の演算になる。
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    CONSTANTS,
    FIXED,
    INPUTS,
    NOTHING,
    PARAMETERS,
    VARYING,
    Step,
    location,
    space_of,
)
from micrograd_jp.compiler.lift.matrices import Product, products
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.lift.terms import PRODUCT, SINGLE, Sums, decomposed
from micrograd_jp.compiler.table.codes import PRIMITIVES
from micrograd_jp.compiler.table.table import Array, Trace
from micrograd_jp.ops import linalg
from micrograd_jp.ops.primitive import Elementwise, Primitive, lookup

_FEW = 3
"""これより多い「1 つの数」の項は、足し算を重ねずに 1 つの総和にする。"""


def lifted(trace: Trace) -> Program:
    """簡約された表から、配列のプログラムを作る。"""
    return _Lifting(trace).program()


class _Lifting:
    def __init__(self, trace: Trace) -> None:
        self.trace, self.sums = trace, decomposed(trace)
        self.place = np.full(self.sums.total, NOTHING)
        self.place[trace.parameters] = location(PARAMETERS, np.arange(len(trace.parameters)))
        self.place[trace.constants] = location(CONSTANTS, np.arange(len(trace.constants)))
        self.place[trace.inputs] = location(INPUTS, np.arange(len(trace.inputs)))
        self.constants = trace.values.tolist()
        self.used = {FIXED: 0, VARYING: 0}
        self.steps: list[Step] = []
        self.root_of = np.full(self.sums.total, -1)
        self.root_of[self.sums.roots] = np.arange(len(self.sums.roots))

    def program(self) -> Program:
        for varying in (False, True):
            for nodes in _by_level(self.trace, self.sums, varying):
                is_sum = self.root_of[nodes] >= 0
                self._operations(nodes[~is_sum])
                if is_sum.any():
                    self._totals(self.root_of[nodes[is_sum]], varying)
        trace, place = self.trace, self.place
        sizes = (len(trace.parameters), len(self.constants), len(trace.inputs))
        return Program(
            steps=tuple(self.steps),
            outputs=place[trace.outputs],
            constants=np.array(self.constants),
            sizes=(*sizes, self.used[FIXED], self.used[VARYING]),
            labels={int(place[i]): label for i, label in trace.labels.items() if place[i] >= 0},
        )

    def _add(
        self, kind: str, op: Primitive, blocks: Iterable[Array], shape: tuple[int, ...],
        varying: bool,
    ) -> Array:  # fmt: skip
        space = VARYING if varying else FIXED
        start = location(space, self.used[space])
        self.steps.append(Step(kind, op, tuple(blocks), start, shape))
        self.used[space] += int(np.prod(shape))
        return self.steps[-1].out

    # ---- 和でない演算 ----

    def _operations(self, nodes: Array) -> None:
        """One step for all equal operations of a level."""
        trace, sums = self.trace, self.sums
        buckets: dict[tuple[Primitive, int], list[Any]] = {}
        for i in nodes.tolist():
            if i in sums.negated:
                op, args = lookup("neg"), np.array([sums.negated[i]])
            else:
                op, args = PRIMITIVES[int(trace.codes[i])], trace.operands(i)
            buckets.setdefault((op, len(args)), []).append((i, args))
        for (op, _), members in buckets.items():
            block = self.place[np.array([args for _, args in members])].T
            ids = np.array([i for i, _ in members])
            # In the order of the first operand that varies: then it is a slice more often.
            key = next((row for row in block if space_of(row[0]) >= INPUTS), block[0])
            order = np.argsort(key, kind="stable")
            block, ids = block[:, order], ids[order]
            varying = bool(sums.varying[ids[0]])
            if isinstance(op, Elementwise):
                self.place[ids] = self._add("map", op, block, ids.shape, varying)
            else:
                self.place[ids] = self._add("fold", op, [block], ids.shape, varying)

    # ---- 和 ----

    def _totals(self, which: Array, varying: bool) -> None:
        """All sums of a level: their matrix products, dot products and single terms, then all
        of these put together.
        """
        parts: dict[int, list[tuple[int, int]]] = {i: [] for i in which.tolist()}
        has_bias = self.sums.bias[self.sums.roots[which]] >= 0
        biased = set(which[has_bias].tolist())
        self._matrix_products(which, parts, biased)
        for sign in (1, -1):
            self._dot_products(which, sign, parts, varying)
            self._single_terms(which, sign, parts, varying)
        for i in biased:
            parts[i].append((1, int(self.place[self.sums.bias[self.sums.roots[i]]])))
        self._combined(parts, varying)

    def _terms(self, i: int, kind: int) -> slice:
        return slice(*self.sums.starts[i, kind : kind + 2].tolist())

    def _matrix_products(
        self, which: Array, parts: dict[int, list[tuple[int, int]]], biased: set[int]
    ) -> None:
        sums, place = self.sums, self.place
        lengths = sums.starts[which, 1] - sums.starts[which, 0]
        which, lengths = which[lengths > 0], lengths[lengths > 0]
        if not len(which):
            return
        ends = np.cumsum(lengths)
        index = np.repeat(sums.starts[which, 0] - (ends - lengths), lengths) + np.arange(ends[-1])
        found = products(which, lengths, sums.first[index], place[sums.second[index]])
        alone: dict[int, list[Any]] = {}
        for product in found:
            if product.sums.size == 1:
                alone.setdefault(len(product.inputs), []).append(product)
        for product in found:
            if product.sums.size == 1 and _is_plain(product, alone):
                continue
            blocks = [place[product.weights], product.inputs]
            totals = product.sums.ravel().tolist()
            if not biased.isdisjoint(totals):
                bias = sums.bias[sums.roots[product.sums]]
                rows = np.where(bias >= 0, place[bias], self._zero())
                blocks.append(rows[:, :1] if (rows == rows[:, :1]).all() else rows)
                biased.difference_update(totals)
            out = self._add("matmul", linalg.matmul, blocks, product.sums.shape, True)
            for i, row in zip(totals, out.tolist(), strict=True):
                parts[i].append((1, row))
        for same in alone.values():  # nothing shared: all those of one length side by side
            if not _is_plain(same[0], alone):
                continue
            weights = place[np.array([p.weights[0] for p in same])].T
            inputs = np.array([p.inputs[:, 0] for p in same]).T
            totals = [int(p.sums[0, 0]) for p in same]
            if len(weights) == 1:
                out = self._add("map", lookup("mul"), [weights[0], inputs[0]], (len(same),), True)
            else:
                out = self._add("dot", lookup("dot"), [weights, inputs], (len(same),), True)
            for i, row in zip(totals, out.tolist(), strict=True):
                parts[i].append((1, row))

    def _zero(self) -> int:
        if 0.0 not in self.constants:
            self.constants.append(0.0)
        return int(location(CONSTANTS, self.constants.index(0.0)))

    def _dot_products(
        self, which: Array, sign: int, parts: dict[int, list[tuple[int, int]]], varying: bool
    ) -> None:
        sums, place = self.sums, self.place
        buckets: dict[int, list[Any]] = {}
        for i in which.tolist():
            terms = self._terms(i, PRODUCT)
            own = sums.sign[terms] == sign
            a, b = place[sums.first[terms][own]], place[sums.second[terms][own]]
            if len(a):
                order = np.lexsort((b, a))
                buckets.setdefault(len(a), []).append((i, a[order], b[order]))
        for count, members in buckets.items():
            a = np.array([a for _, a, _ in members]).T
            b = np.array([b for _, _, b in members]).T
            if count == 1:
                out = self._add("map", lookup("mul"), [a[0], b[0]], a.shape[1:], varying)
            else:
                out = self._add("dot", lookup("dot"), [a, b], a.shape[1:], varying)
            for (i, _, _), row in zip(members, out.tolist(), strict=True):
                parts[i].append((sign, row))

    def _single_terms(
        self, which: Array, sign: int, parts: dict[int, list[tuple[int, int]]], varying: bool
    ) -> None:
        sums, place = self.sums, self.place
        buckets: dict[int, list[Any]] = {}
        for i in which.tolist():
            terms = self._terms(i, SINGLE)
            rows = place[sums.first[terms][sums.sign[terms] == sign]]
            if len(rows) <= _FEW:
                parts[i] += [(sign, row) for row in rows.tolist()]
            else:
                buckets.setdefault(len(rows), []).append((i, np.sort(rows)))
        for members in buckets.values():
            block = np.array([rows for _, rows in members]).T
            out = self._add("fold", lookup("sum"), [block], block.shape[1:], varying)
            for (i, _), row in zip(members, out.tolist(), strict=True):
                parts[i].append((sign, row))

    def _combined(self, parts: dict[int, list[tuple[int, int]]], varying: bool) -> None:
        """Add up the parts of every sum, all sums with the same pattern of signs at once."""
        buckets: dict[Any, list[tuple[int, list[int]]]] = {}
        for i, own in parts.items():
            own.sort(key=lambda part: (-part[0], space_of(part[1]) < INPUTS))
            signs = tuple(sign for sign, _ in own)
            buckets.setdefault(signs, []).append((i, [row for _, row in own]))
        for signs, members in buckets.items():
            roots = self.sums.roots[[i for i, _ in members]]
            rows = np.array([rows for _, rows in members]).reshape(len(members), len(signs)).T
            if not signs:  # a sum of nothing
                self.place[roots] = self._zero()
                continue
            order = np.argsort(rows[0], kind="stable")
            roots, rows = roots[order], rows[:, order]
            total = rows[0]
            for sign, row in zip(signs[1:], rows[1:], strict=True):
                op = lookup("add" if sign == signs[0] else "sub")
                total = self._add("map", op, [total, row], roots.shape, varying)
            if signs[0] < 0:
                total = self._add("map", lookup("neg"), [total], roots.shape, varying)
            self.place[roots] = total


def _is_plain(product: Product, alone: dict[int, list[Any]]) -> bool:
    """Whether a sum that shares nothing is better off beside others like it than as a matrix."""
    terms = len(product.inputs)
    return terms == 1 or len(alone[terms]) > 1


def _by_level(trace: Trace, sums: Sums, varying: bool) -> list[Array]:
    """The nodes of one phase in levels: what a level needs is in the levels before it."""
    negated = np.array(list(sums.negated), dtype=np.int64)
    nodes = np.concatenate([sums.plain, sums.roots, negated])
    nodes = np.sort(nodes[sums.varying[nodes] == varying])
    root_of = np.full(sums.total, -1)
    root_of[sums.roots] = np.arange(len(sums.roots))
    starts, offsets = sums.starts.tolist(), trace.offsets.tolist()
    args, first, second = trace.args.tolist(), sums.first.tolist(), sums.second.tolist()
    levels = [0] * (sums.total + 1)  # one more: index −1 stands for "no second operand"
    level = levels.__getitem__
    roots = root_of[nodes].tolist()
    for i, root in zip(nodes.tolist(), roots, strict=True):
        if root >= 0:
            a, b, _, d = starts[root]
            # Weights belong to the phase before: of a weighted input, only the input counts.
            deepest = max(map(level, second[a:d]), default=0)
            if b < d:
                deepest = max(deepest, max(map(level, first[b:d])))
        elif i in sums.negated:
            deepest = level(sums.negated[i])
        else:
            deepest = max(map(level, args[offsets[i] : offsets[i + 1]]), default=0)
        levels[i] = deepest + 1
    depth = np.array(levels)[nodes]
    order = np.argsort(depth, kind="stable")
    bounds = np.flatnonzero(np.diff(depth[order])) + 1
    return np.split(nodes[order], bounds) if len(nodes) else []
