"""3. 配列に持ち上げる (lift): 1 つずつの数の計算から、短い配列のプログラムを作る。

依存しない数の計算（重みの二乗和など）を先に、標本ごとの計算をあとに、それぞれ段の順に進む。
同じ段の和は行列の積に (`matrices.py`)、残りの同じ演算は 1 つの配列の演算になる。
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    is_varying,
    location,
    of_similar_length,
    row_of,
    space_of,
)
from micrograd_jp.compiler.lift.matrices import Product, products
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.lift.schedule import scheduled
from micrograd_jp.compiler.lift.terms import PRODUCT, SINGLE, decomposed
from micrograd_jp.compiler.simplify import with_largest
from micrograd_jp.compiler.table.codes import PRIMITIVES, TAKE
from micrograd_jp.compiler.table.table import Array, Trace, spread
from micrograd_jp.ops import linalg, lists
from micrograd_jp.ops.elementwise import add, mul, neg, sub
from micrograd_jp.ops.primitive import Elementwise, Primitive

_FEW = 3
"""これより多い「1 つの数」の項は、足し算を重ねずに 1 つの総和にする。"""


def lifted(trace: Trace) -> Program:
    """簡約された表から、配列のプログラムを作る。"""
    return _Lifting(with_largest(trace)).program()


class _Lifting:
    def __init__(self, trace: Trace) -> None:
        varying = trace.varying
        self.trace, self.sums = trace, decomposed(trace, varying)
        self.schedule = scheduled(trace, self.sums)
        if self.schedule.promoted.any():
            self.sums = decomposed(trace, varying, self.schedule.promoted)
            self.schedule = scheduled(trace, self.sums)  # its new nodes have other numbers
        self.subtracts = bool((self.sums.sign < 0).any())
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
        for varying, groups in (False, self.schedule.fixed), (True, self.schedule.varying):
            for nodes in groups:
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

    def _add(self, kind: str, op: Primitive, blocks: Sequence[Array], varying: bool) -> Array:
        shape = blocks[0].shape[-1:]
        if kind == "matmul":
            shape = (len(blocks[0]), blocks[1].shape[1])
        elif kind == "take":
            shape = (blocks[1].shape[1], len(blocks[0]))
        space = VARYING if varying else FIXED
        start = location(space, self.used[space])
        self.steps.append(Step(kind, op, tuple(blocks), start, shape))
        self.used[space] += self.steps[-1].size
        return self.steps[-1].out

    # ---- 和でない演算 ----

    def _operations(self, nodes: Array) -> None:
        """One step for all equal operations of a level."""
        trace, sums = self.trace, self.sums
        buckets: dict[Primitive, list[Any]] = {}
        for i in nodes.tolist():
            if i in sums.negated:
                buckets.setdefault(neg, []).append((i, np.array([sums.negated[i]])))
            else:
                op, args = PRIMITIVES[int(trace.codes[i])], trace.operands(i)
                buckets.setdefault(op, []).append((i, args))
        self._takes(buckets.pop(TAKE, []))
        for op, members in buckets.items():
            every = np.array([i for i, _ in members])
            for which, (block,) in self._beside([[self.place[args]] for _, args in members]):
                ids = every[which]
                # In the order of the first operand that varies: then it is a slice more often.
                key = next((row for row in block if space_of(row.max()) >= INPUTS), block[0])
                order = np.argsort(key, kind="stable")
                block, ids = block[:, order], ids[order]
                kind = "map" if isinstance(op, Elementwise) else "fold"
                blocks = list(block) if kind == "map" else [block]
                self.place[ids] = self._add(kind, op, blocks, bool(sums.varying[ids[0]]))

    def _takes(self, members: list[tuple[int, Array]]) -> None:
        """Rows of a table that all indices share are one step; other lists stand side by side."""
        by_table: dict[bytes, list[tuple[int, int, Array]]] = {}
        for i, args in members:
            index, *xs = self.place[args].tolist()
            places = np.array(xs)
            by_table.setdefault(places.tobytes(), []).append((index, i, places))
        shared: dict[Any, list[list[tuple[int, int, Array]]]] = {}
        alone: dict[int, list[tuple[int, int, Array]]] = {}
        for same in by_table.values():
            same.sort(key=lambda member: member[:2])
            indices, places = tuple(index for index, _, _ in same), same[0][2]
            fixed = not any(map(is_varying, space_of(places).tolist()))
            if fixed and len(set(indices)) == len(indices):
                shared.setdefault((len(places), indices), []).append(same)
            else:
                alone.setdefault(len(places), []).extend(same)
        for (_, indices), tables in shared.items():
            tables.sort(key=lambda same: int(same[0][2][0]))
            table = np.array([same[0][2] for same in tables]).T
            ids = np.array([[i for _, i, _ in same] for same in tables])
            self.place[ids.ravel()] = self._add("take", TAKE, [np.array(indices), table], True)
        for same in alone.values():
            same.sort(key=lambda member: int(member[2][0]))
            blocks = [np.array([index for index, _, _ in same])]
            blocks.append(np.array([places for _, _, places in same]).T[:, None])
            self.place[[i for _, i, _ in same]] = self._add("take", TAKE, blocks, True)

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
            self._dot_products(which, sign, biased, varying)
            self._single_terms(which, sign, biased, varying)
        for i, row in biased.items():
            self.parts[i].append((1, row))
        self._combined(varying)

    def _hand_out(self, sign: int, sums: Sequence[int], rows: Array) -> None:
        """Each row is a part of one sum."""
        for i, row in zip(sums, rows.tolist(), strict=True):
            self.parts[i].append((sign, row))

    def _having(self, which: Array, kind: int, sign: int) -> list[int]:
        """Those of the sums that may have such terms."""
        if sign < 0 and not self.subtracts:
            return []
        starts = self.sums.starts[which]
        found: list[int] = which[starts[:, kind] < starts[:, kind + 1]].tolist()
        return found

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

    def _dot_products(self, which: Array, sign: int, biased: dict[int, int], varying: bool) -> None:
        ids, lists_of = [], []
        for i in self._having(which, PRODUCT, sign):
            a, b = self._terms(i, PRODUCT, sign)
            if len(a):
                order = np.lexsort((b, a))
                ids.append(i)
                lists_of.append([a[order], b[order]])
        for own, (left, right) in self._beside(lists_of):
            sums = [ids[k] for k in own]
            self._hand_out(sign, sums, self._dots(left, right, varying))
            self._drop_zeros(sums, left, biased)

    def _single_terms(self, which: Array, sign: int, biased: dict[int, int], varying: bool) -> None:
        ids, lists_of = [], []
        for i in self._having(which, SINGLE, sign):
            rows, _ = self._terms(i, SINGLE, sign)
            ids.append(i)
            lists_of.append([np.sort(rows)])
        lengths = {len(rows) for (rows,) in lists_of}
        for own, (block,) in self._beside(lists_of):
            sums = [ids[k] for k in own]
            if len(block) <= _FEW and len(lengths) == 1:
                for i, column in zip(sums, block.T.tolist(), strict=True):
                    self.parts[i] += [(sign, row) for row in column]
            else:
                out = self._add("fold", lists.sum, [block], varying)
                self._hand_out(sign, sums, out)
                self._drop_zeros(sums, block, biased)

    def _drop_zeros(self, sums: list[int], block: Array, biased: dict[int, int]) -> None:
        """A list that is padded with 0 has had the 0 that Python's sum begins with."""
        for i, last in zip(sums, block[-1].tolist(), strict=True):
            bias = biased.get(i, NOTHING)
            constant = last == NOTHING and space_of(bias) == CONSTANTS
            if constant and self.constants[row_of(bias)] == 0:
                del biased[i]

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

    def _beside(self, columns: list[list[Array]]) -> Iterator[tuple[list[int], list[Array]]]:
        """Lists of places side by side: which ones, and their blocks.

        Only what has the same form is padded; other lists have nothing in common but the level.
        """
        if len(columns) == 1:  # the usual case of a chain
            if len(columns[0][0]):
                yield [0], [part[:, None] for part in columns[0]]
            return
        lengths = np.array([len(parts[0]) for parts in columns], dtype=np.int64)
        if self.schedule.by_form:
            groups = of_similar_length(lengths)
        else:
            groups = [np.flatnonzero(lengths == n) for n in np.unique(lengths)]
        for which in groups:
            if not (longest := int(lengths[which].max())):
                continue
            blocks = [np.full((longest, len(which)), NOTHING) for _ in columns[0]]
            for j, i in enumerate(which.tolist()):
                for block, part in zip(blocks, columns[i], strict=True):
                    block[: len(part), j] = part
            yield which.tolist(), blocks
