"""数の置き場 (places): 標本 L 個の組 (lane block) の中で、どの数がどこにあるか。

組の中では、1 つの数が L 個の標本の値の並び（1 行）になる。標本によらない数は、1 つだけある。

| 名前 | 中身 | 要素 |
|---|---|---|
| `v` | 入力、計算された値、広げた数（混ざったブロックの、標本によらない数）、逆伝播に残す値 | 行 |
| `g` | 入力と値の勾配、要らない勾配の捨て場、標本によらない数の勾配（標本について足す前） | 行 |
| `p` | パラメータ | 数 |
| `s` | 標本によらない値、定数、並べ直した重み | 数 |
| `d` | `p` の勾配、`s` の値の勾配、捨て場、並べ直した重みの勾配 | 数 |

1 次式で書けないブロックは、番地の表 (`tables`) を引く。表の中身は機械語に書かない。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    CONSTANTS,
    FIXED,
    INPUTS,
    NOTHING,
    PARAMETERS,
    VARYING,
    affine,
    row_of,
    space_of,
)
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.machine.layouts import Numbers, Place, Samples
from micrograd_jp.compiler.table.table import Array

(STRIDE, FROM_P, FROM_P_AT, FROM_S, FROM_S_AT, SUMMED, SUMMED_AT, DENSE, DENSE_AT, CLEARED,
 CLEARED_AT, HEADER) = range(12)  # fmt: skip
"""表のはじめに: 組 1 つの `v` の大きさ、`p` と `s` から広げる数、標本について足す数、並べ直した重み
の勾配、はじめに 0 にする `d` の区間。どれも、個数と、番地の組 (どこから、どこへ) の表。区間は、
(はじめ、個数) の表。"""


def in_rows(block: Array) -> Array:
    """ブロックのどの数が、標本ごとに違うか。"""
    spaces = space_of(block)
    found: Array = (spaces == INPUTS) | (spaces == VARYING)
    return found


class Places:
    """プログラムの数の置き場。

    Args:
        program: プログラム。
        lanes: 組の標本の数 L。1 なら、1 つの数が 1 行になる (`layouts.py`)。
        width: ベクトルの幅。
        gradients: 標本ごとに計算される数の、勾配の行と、行の数。

    Attributes:
        trash: 誰も読まない、`g` の行。
        own: 入力と、計算された値の行の数。
        summed: 標本によらない数から、その勾配の行へ。
        packed, dense: 並べ直した重みと、その勾配: はじめの番地と、場所。
        scalars, gradients, scratch: `s`, `d`, 作業用のメモリの、数の個数。
        neutral: 何もないところの値から、`s` の番地へ。
        copied: ほかの数と並ぶパラメータから、写す先の `s` の番地へ。
        stored: 0 にしておかなくてよい `d` の区間 (はじめ、終わり): はじめに書く人が、値を入れる。
    """

    def __init__(
        self, program: Program, lanes: int, width: int, gradients: tuple[Array, int]
    ) -> None:
        self.lanes, self.sizes, self.constants = lanes, program.sizes, program.constants
        self.width, self.layout = width, Numbers() if lanes == 1 else Samples()
        self.own = self.sizes[INPUTS] + self.sizes[VARYING]
        self._of_computed, count = gradients
        self.trash = self.sizes[INPUTS] + count
        self._tables: list[Array] = [np.zeros(HEADER, np.int64)]
        self._starts: dict[bytes, int] = {}
        self._length = HEADER
        # A number outside of the rows, as (location, or the number that padding is) → its row.
        self._spread: dict[tuple[int, float], int] = {}
        self._kept: dict[int, int] = {}
        self._beyond = 0  # rows behind the own ones
        self.summed: dict[int, int] = {}
        self.packed: dict[bytes, tuple[int, Array]] = {}
        self.dense: dict[bytes, tuple[int, Array]] = {}
        fixed = self.sizes[PARAMETERS] + self.sizes[FIXED]
        self.scalars, self.gradients = self.sizes[FIXED] + len(self.constants), fixed
        self._trash_slot = -1
        self.neutral: dict[float, int] = {}  # in s
        self.copied: dict[int, int] = {}
        self.stored: list[tuple[int, int]] = []
        self.scratch = width

    @property
    def rows(self) -> int:
        """`v` の組 1 つの行の数。最後の L 行は、読み過ぎてもよいように。"""
        return self.own + self._beyond + self.width

    @property
    def gradient_rows(self) -> int:
        """`g` の行の数。"""
        return self.trash + 1 + len(self.summed) + self.width

    # ---- 番地の表 ----

    def reserve(self, numbers: int) -> None:
        """作業用のメモリが、少なくともこれだけ要る。"""
        self.scratch = max(self.scratch, numbers)

    def table(self, numbers: Array) -> int:
        """表の始まり。同じ表は 1 つにする。"""
        numbers = np.ascontiguousarray(numbers, np.int64).ravel()
        key = numbers.tobytes()
        if key not in self._starts:
            self._starts[key] = self._length
            self._tables.append(numbers)
            self._length += numbers.size
        return self._starts[key]

    def tables(self) -> Array:
        """すべての表をつないだもの。"""
        pairs: dict[str, list[tuple[int, int]]] = {"p": [], "s": []}
        for (at, number), row in self._spread.items():
            base, place = self._scalar(at, number)
            pairs[base].append((place, row * self.lanes))
        summed = self.slot(np.array(list(self.summed), np.int64)).tolist()
        rows = [row * self.lanes for row in self.summed.values()]
        dense = [
            (start + k, to)
            for start, block in self.dense.values()
            for k, to in enumerate(self.slot(block.ravel()).tolist())
        ]
        lists = pairs["p"], pairs["s"], list(zip(rows, summed, strict=True)), dense, self._cleared()
        counted = [n for pair in lists for n in (len(pair), self.table(np.array(pair)))]
        self._tables[0] = np.array([self.rows * self.lanes, *counted])
        return np.concatenate(self._tables)

    def _cleared(self) -> list[tuple[int, int]]:
        """What is between the ranges that are stored."""
        ends = [0, *[stop for _, stop in sorted(self.stored)]]
        begins = [*[start for start, _ in sorted(self.stored)], self.gradients]
        return [(a, b - a) for a, b in zip(ends, begins, strict=True) if b > a]

    def place(self, base: str, numbers: Array) -> Place:
        """番地の並びを、1 次式か表にする。"""
        scale = self.lanes if base in "vg" else 1
        found = affine(numbers)
        if found is None:
            return Place(base, numbers.shape, 0, (), self.table(numbers * scale))
        first, strides = found
        return Place(base, numbers.shape, first * scale, tuple(s * scale for s in strides))

    # ---- 値 ----

    def source(self, block: Array, neutral: float = 0.0) -> Place | float:
        """ブロックの値の番地。どれも同じ定数なら、その値。

        Args:
            block: 場所の配列。
            neutral: 何もないところの値。
        """
        spaces = space_of(block)
        if in_rows(block).all():
            return self.place("v", self._row(block))
        if (spaces == CONSTANTS).all():
            numbers = self.constants[row_of(block)]
            if (numbers.view(np.int64) == numbers.flat[0].view(np.int64)).all():
                return float(numbers.flat[0])
        if (spaces == PARAMETERS).all():
            return self.place("p", row_of(block))
        if not in_rows(block).any():
            return self.place("s", self._beside(block, neutral))
        return self.place("v", self._spread_rows(block, neutral))

    def _row(self, block: Array) -> Array:
        row = row_of(block)
        found: Array = np.where(space_of(block) == VARYING, row + self.sizes[INPUTS], row)
        return found

    def fixed(self, block: Array) -> Array:
        """`s` の番地。"""
        row = row_of(block)
        found: Array = np.where(space_of(block) == CONSTANTS, row + self.sizes[FIXED], row)
        return found

    def _beside(self, block: Array, neutral: float) -> Array:
        """Places in s. Parameters beside other numbers are copied to it."""
        rows = self.fixed(block)
        for at in np.unique(block[space_of(block) <= PARAMETERS]).tolist():
            known: dict[Any, int] = self.neutral if at == NOTHING else self.copied
            key = neutral if at == NOTHING else int(row_of(at))
            if key not in known:
                known[key] = self.scalars
                self.scalars += 1
            rows[block == at] = known[key]
        return rows

    def _scalar(self, at: int, number: float) -> tuple[str, int]:
        if at == NOTHING:
            return "s", self.neutral[number]
        if space_of(at) == PARAMETERS:
            return "p", int(row_of(at))
        return "s", int(self.fixed(np.array(at)))

    def _spread_rows(self, block: Array, neutral: float) -> Array:
        rows = self._row(block)
        for at in np.unique(block[~in_rows(block)]).tolist():
            if at == NOTHING:
                self._beside(np.array([NOTHING]), neutral)
            key = at, neutral if at == NOTHING else 0.0
            if key not in self._spread:
                self._spread[key] = self._more(1)
            rows[block == at] = self._spread[key]
        return rows

    def _more(self, count: int) -> int:
        self._beyond += count
        return self.own + self._beyond - count

    def kept(self, start: int, shape: tuple[int, ...]) -> Place:
        """結果が `start` から始まる手順が、逆伝播のために `v` に残す行。"""
        count = int(np.prod(shape))
        if start not in self._kept:
            self._kept[start] = self._more(count)
        return self.place("v", self._kept[start] + np.arange(count).reshape(shape))

    def weights(self, block: Array) -> Place:
        """重みの行列 (C, J) の番地。必ず 1 次式で、そうでなければ `s` に並べ直す。"""
        found = self.source(block)
        if isinstance(found, Place) and found.base in "ps" and found.table < 0:
            return found
        start, _ = self._new(self.packed, block, self.scalars)
        self.scalars = max(self.scalars, start + block.size)
        return self.place("s", start + np.arange(block.size).reshape(block.shape))

    # ---- 勾配 ----

    def target(self, block: Array) -> Array:
        """ブロックの勾配の、`g` の行。"""
        rows: Array = row_of(block)
        computed = space_of(block) == VARYING
        rows[computed] = self._of_computed[rows[computed]] + self.sizes[INPUTS]
        for at in np.unique(block[~in_rows(block)]).tolist():
            rows[block == at] = self._gradient_row(at)
        return rows

    def _gradient_row(self, at: int) -> int:
        if at == NOTHING or space_of(at) == CONSTANTS:
            return self.trash
        return self.summed.setdefault(at, self.trash + 1 + len(self.summed))

    def slot(self, block: Array) -> Array:
        """標本によらない数の勾配の、`d` の番地。"""
        spaces, row = space_of(block), row_of(block)
        found: Array = np.where(spaces == FIXED, row + self.sizes[PARAMETERS], row)
        others = (spaces != PARAMETERS) & (spaces != FIXED)
        if others.any():
            if self._trash_slot < 0:
                self._trash_slot, self.gradients = self.gradients, self.gradients + 1
            found[others] = self._trash_slot
        return found

    def of_weights(self, block: Array) -> Place:
        """重みの行列の勾配の、`d` の番地。行の中は隣り合う。"""
        found = self.place("d", self.slot(block))
        distinct = len(np.unique(block)) == block.size
        if found.table < 0 and distinct and (block.shape[1] == 1 or found.strides[1] == 1):
            return found
        start, _ = self._new(self.dense, block, self.gradients)
        self.gradients = max(self.gradients, start + block.size)
        return self.place("d", start + np.arange(block.size).reshape(block.shape))

    def _new(
        self, known: dict[bytes, tuple[int, Array]], block: Array, start: int
    ) -> tuple[int, Array]:
        key = repr(block.shape).encode() + block.tobytes()
        return known.setdefault(key, (start, block))
