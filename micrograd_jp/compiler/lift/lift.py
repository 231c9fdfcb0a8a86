"""3. 配列に持ち上げる (lift): 1 つずつの数の計算から、短い配列のプログラムを作る。

依存しない数の計算（重みの二乗和など）を先に、標本ごとの計算をあとに、それぞれ段の順に進む。
同じ段の和は行列の積に (`matrices.py`)、残りの同じ演算は 1 つの配列の演算になる。
"""

from __future__ import annotations

from collections.abc import Sequence
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
from micrograd_jp.compiler.lift.terms import PRODUCT, SINGLE, decomposed
from micrograd_jp.compiler.table.codes import PRIMITIVES
from micrograd_jp.compiler.table.table import Array, Trace, spread
from micrograd_jp.ops import linalg, lists
from micrograd_jp.ops.elementwise import add, mul, neg, sub
from micrograd_jp.ops.primitive import Elementwise, Primitive

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
        self.parts: dict[int, list[tuple[int, int]]] = {}  # of the sums of a level: sign and place

    def program(self) -> Program:
        for varying in (False, True):
            for nodes in self._levels(varying):
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

    def _levels(self, varying: bool) -> list[Array]:
        """The nodes of one phase in levels: what a level needs is in the levels before it."""
        sums = self.sums
        negated = np.array(list(sums.negated), dtype=np.int64)
        nodes = np.concatenate([sums.plain, sums.roots, negated])
        nodes = np.sort(nodes[sums.varying[nodes] == varying])
        starts, offsets = sums.starts.tolist(), self.trace.offsets.tolist()
        args, first, second = self.trace.args.tolist(), sums.first.tolist(), sums.second.tolist()
        levels = [0] * (sums.total + 1)  # one more: index −1 stands for "no second operand"
        level = levels.__getitem__
        for i, root in zip(nodes.tolist(), self.root_of[nodes].tolist(), strict=True):
            if root >= 0:
                a, b, _, d = starts[root]
                # Weights belong to the phase before: of a weighted input, only the input counts.
                deepest = max(map(level, second[a:d]), default=0)
                deepest = max(deepest, max(map(level, first[b:d]), default=0))
            elif i in sums.negated:
                deepest = level(sums.negated[i])
            else:
                deepest = max(map(level, args[offsets[i] : offsets[i + 1]]), default=0)
            levels[i] = deepest + 1
        depth = np.array(levels)[nodes]
        order = np.argsort(depth, kind="stable")
        bounds = np.flatnonzero(np.diff(depth[order])) + 1
        return np.split(nodes[order], bounds) if len(nodes) else []

    def _add(self, kind: str, op: Primitive, blocks: Sequence[Array], varying: bool) -> Array:
        shape = blocks[0].shape[-1:]
        if kind == "matmul":
            shape = (len(blocks[0]), blocks[1].shape[1])
        space = VARYING if varying else FIXED
        start = location(space, self.used[space])
        self.steps.append(Step(kind, op, tuple(blocks), start, shape))
        self.used[space] += self.steps[-1].size
        return self.steps[-1].out

    # ---- 和でない演算 ----

    def _operations(self, nodes: Array) -> None:
        """One step for all equal operations of a level."""
        trace, sums = self.trace, self.sums
        buckets: dict[tuple[Primitive, int], list[Any]] = {}
        for i in nodes.tolist():
            if i in sums.negated:
                buckets.setdefault((neg, 1), []).append((i, np.array([sums.negated[i]])))
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
                self.place[ids] = self._add("map", op, block, varying)
            else:
                self.place[ids] = self._add("fold", op, [block], varying)

    # ---- 和 ----

    def _totals(self, which: Array, varying: bool) -> None:
        """All sums of a level: their matrix products, dot products and single terms, then all
        of these put together.
        """
        self.parts = {i: [] for i in which.tolist()}
        bias = self.sums.bias[self.sums.roots[which]]
        biased = dict(zip(which[bias >= 0].tolist(), self.place[bias[bias >= 0]].tolist()))
        self._matrix_products(which, biased)
        for sign in (1, -1):
            self._dot_products(which, sign, varying)
            self._single_terms(which, sign, varying)
        for i, row in biased.items():
            self.parts[i].append((1, row))
        self._combined(varying)

    def _hand_out(self, sign: int, sums: Sequence[int], rows: Array) -> None:
        """Each row is a part of one sum."""
        for i, row in zip(sums, rows.tolist(), strict=True):
            self.parts[i].append((sign, row))

    def _terms(self, i: int, kind: int, sign: int) -> tuple[Array, Array]:
        """The places of both operands of the terms of a sum."""
        sums = self.sums
        terms = slice(*sums.starts[i, kind : kind + 2].tolist())
        own = sums.sign[terms] == sign
        return self.place[sums.first[terms][own]], self.place[sums.second[terms][own]]

    def _dots(self, a: Array, b: Array, varying: bool) -> Array:
        """Σ ab down the columns."""
        if len(a) == 1:
            return self._add("map", mul, [a[0], b[0]], varying)
        return self._add("dot", lists.dot, [a, b], varying)

    def _matrix_products(self, which: Array, biased: dict[int, int]) -> None:
        sums, place = self.sums, self.place
        lengths = sums.starts[which, 1] - sums.starts[which, 0]
        which, lengths = which[lengths > 0], lengths[lengths > 0]
        index = spread(sums.starts[which, 0], lengths)
        found = products(which, lengths, sums.first[index], place[sums.second[index]])
        alone: dict[int, list[Product]] = {}
        for product in found:
            if product.sums.size == 1:
                alone.setdefault(len(product.inputs), []).append(product)
        # A sum that shares nothing is better off beside others like it than as a matrix.
        beside = {n: same for n, same in alone.items() if n == 1 or len(same) > 1}
        for product in found:
            if product.sums.size == 1 and len(product.inputs) in beside:
                continue
            blocks = [place[product.weights], product.inputs]
            totals = product.sums.ravel().tolist()
            if not biased.keys().isdisjoint(totals):
                zero = self._zero()
                rows = np.array([biased.pop(i, zero) for i in totals]).reshape(product.sums.shape)
                blocks.append(rows[:, :1] if (rows == rows[:, :1]).all() else rows)
            self._hand_out(1, totals, self._add("matmul", linalg.matmul, blocks, True))
        for same in beside.values():
            weights = place[np.array([p.weights[0] for p in same])].T
            inputs = np.array([p.inputs[:, 0] for p in same]).T
            totals = [int(p.sums[0, 0]) for p in same]
            self._hand_out(1, totals, self._dots(weights, inputs, True))

    def _zero(self) -> int:
        if 0.0 not in self.constants:
            self.constants.append(0.0)
        return int(location(CONSTANTS, self.constants.index(0.0)))

    def _dot_products(self, which: Array, sign: int, varying: bool) -> None:
        buckets: dict[int, list[Any]] = {}
        for i in which.tolist():
            a, b = self._terms(i, PRODUCT, sign)
            if len(a):
                order = np.lexsort((b, a))
                buckets.setdefault(len(a), []).append((i, a[order], b[order]))
        for members in buckets.values():
            ids, left, right = zip(*members)
            self._hand_out(sign, ids, self._dots(np.array(left).T, np.array(right).T, varying))

    def _single_terms(self, which: Array, sign: int, varying: bool) -> None:
        buckets: dict[int, list[Any]] = {}
        for i in which.tolist():
            rows, _ = self._terms(i, SINGLE, sign)
            if len(rows) <= _FEW:
                self.parts[i] += [(sign, row) for row in rows.tolist()]
            else:
                buckets.setdefault(len(rows), []).append((i, np.sort(rows)))
        for members in buckets.values():
            block = np.array([rows for _, rows in members]).T
            out = self._add("fold", lists.sum, [block], varying)
            self._hand_out(sign, [i for i, _ in members], out)

    def _combined(self, varying: bool) -> None:
        """Add up the parts of every sum, all sums with the same pattern of signs at once."""
        buckets: dict[Any, list[tuple[int, list[int]]]] = {}
        for i, own in self.parts.items():
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
                total = self._add("map", add if sign == signs[0] else sub, [total, row], varying)
            if signs[0] < 0:
                total = self._add("map", neg, [total], varying)
            self.place[roots] = total
