"""入力の配列を、計算する人の読む並びに: 入力 1 つが行、標本が列 (rows)。番号になる入力は調べる。"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.record.inputs import Group
from micrograd_jp.compiler.table.codes import TAKE, code_of
from micrograd_jp.compiler.table.table import Array, Trace, pieces

_FEW = 64
"""NumPy で調べるより、Python のリストにするほうが速い数。"""

_MANY = 1 << 13
"""これより多い数は、写さずに使えることがある。"""

_LAID = 1 << 18
"""続けて使うために、前もって並べておく数。"""


@dataclass(frozen=True)
class Indices:
    """`mg.take` の番号になる、入力 1 つの中の数。

    Attributes:
        group: 入力の番号。
        name: 入力の名前。
        places: 1 つの標本を平らに並べたときの、番号の場所。
        counts: 場所ごとの、選ばれるものの数。
    """

    group: int
    name: str
    places: Array
    counts: Array

    @cached_property
    def least(self) -> int:
        """どの場所でも範囲の中である番号の数。"""
        return int(self.counts.min())

    @cached_property
    def usual(self) -> frozenset[int]:
        """そのような番号。整数でも小数でも、等しい数は入っている。"""
        return frozenset(range(min(self.least, _MANY)))

    @staticmethod
    def of(trace: Trace, groups: Sequence[Group]) -> list[Indices]:
        """表の中の、番号になる入力。"""
        nodes = np.flatnonzero(trace.codes == code_of(TAKE))
        counts: dict[int, int] = {}
        for node, count in zip(
            trace.args[trace.offsets[nodes]].tolist(),
            (trace.offsets[nodes + 1] - trace.offsets[nodes] - 1).tolist(),
            strict=True,
        ):
            counts[node] = min(count, counts.get(node, count))
        found = []
        rows = np.searchsorted(trace.inputs, sorted(counts))
        for i, own in enumerate(pieces(group.size for group in groups)):
            inside = rows[(own.start <= rows) & (rows < own.stop)]
            if len(inside):
                limits = np.array([counts[int(trace.inputs[row])] for row in inside])
                found.append(Indices(i, groups[i].name, inside - own.start, limits))
        return found

    def require(self, arrays: Sequence[Any], rows: Array | None = None) -> None:
        """どの標本の番号も、範囲の中の整数であることを確かめる。

        Args:
            arrays: 入力。
            rows: 標本の、もとの番号。

        Raises:
            IndexError: 範囲の外か、整数でない。
        """
        x = arrays[self.group]
        if x.__class__ is np.ndarray:
            usual = x.dtype.kind in "iu" and x.size  # in two looks
            if usual and x.min() >= 0 and x.max() < self.least:
                return
        elif x.__class__ is float:
            if 0 <= x < self.least and x.is_integer():
                return
        elif namespace.is_traced(x):
            return
        own = math.prod(np.shape(x)[1:])
        every = np.asarray(x).reshape(-1, max(1, own))[:, self.places]
        wrong = (every < 0) | (every >= self.counts)
        if every.dtype.kind not in "biu":
            wrong |= every != np.floor(every)
        if wrong.any():
            sample, place = (int(i[0]) for i in np.nonzero(wrong))
            number = sample if rows is None else rows[sample]
            raise IndexError(
                f"{self.name} の標本 {number} 番の番号 {every[sample, place]:g} は、0 以上 "
                f"{self.counts[place]} 未満の整数ではありません (index out of range)。"
            )


def rows(arrays: Sequence[Any], groups: Sequence[Group], batch: int, dtype: Any) -> list[Array]:
    """入力ごとに、行が `trace.inputs` の順、列が標本の配列 (k, N)。"""
    out = []
    for x, group in zip(arrays, groups, strict=True):
        if x.__class__ is float:
            out.append(np.full((1, batch), x, dtype=dtype))
        else:
            x = np.asarray(x)
            if x.dtype != dtype:
                x = x.astype(dtype)
            out.append(x.reshape(batch, group.size).T)
    return out or [np.empty((0, batch), dtype=dtype)]


class Rows:
    """`rows` と同じもの。少ない数は、標本の数が変わるまで、同じ配列に入る。

    そのときは同じ組 (tuple) を返すので、受け取る人は、配列の番地などを覚えておける。
    """

    def __init__(
        self, groups: Sequence[Group], dtype: Any, indices: Sequence[Indices] = ()
    ) -> None:
        self._groups, self._dtype, self._indices = groups, dtype, indices
        self._size = sum(group.size for group in groups)
        self._batch = -1
        # What writes a few numbers into `_memory`.
        self._put: Callable[..., None] | None = None
        self._numbers = np.empty((0, 1), dtype)  # a row each, where all are numbers

    def __reduce__(self) -> Any:  # the windows of a copy would show the memory of nobody
        return Rows, (self._groups, self._dtype, self._indices)

    def __call__(self, arrays: Sequence[Any], batch: int) -> Sequence[Array]:
        """入力の配列。次に呼ぶまで変わらない。

        Raises:
            IndexError: 番号が、範囲の外か、整数でない。
        """
        if batch == self._batch and self._put is not None:
            found = self._written_at_once(arrays)
            if found is not None:
                return found
        for indices in self._indices:
            indices.require(arrays)
        if batch * self._size > _MANY:
            return rows(arrays, self._groups, batch, self._dtype)
        if batch == 1 and arrays and {float}.issuperset(map(type, arrays)):
            return self._of_numbers(arrays)
        self._make_room(batch)
        for held, x in zip(self._held, arrays, strict=True):
            held[...] = x
        return self._rows

    def _make_room(self, batch: int) -> None:
        if batch == self._batch:
            return
        memory = np.empty(batch * self._size, self._dtype)
        own = pieces(batch * group.size for group in self._groups)
        self._held = [
            memory[part].reshape(batch, *group.shape)
            for part, group in zip(own, self._groups, strict=True)
        ]
        self._rows = tuple(rows(self._held, self._groups, batch, self._dtype))
        self._batch, self._memory, self._put = batch, memory, None
        if memory.size <= _FEW:
            self._put = struct.Struct(f"{memory.size}{self._dtype.char}").pack_into

    def batches(self, arrays: Sequence[Any], count: int, batch: int) -> Batches:
        """標本を `batch` 個ずつ、`count` 回: それぞれを `self(…)` に渡したのと同じもの。

        標本の数が `batch` の倍数なら、終わりまで来ると、はじめに戻る。番号は調べない。
        """
        return Batches(self, arrays, count, batch)

    def lays(self, arrays: Sequence[Any], batch: int) -> bool:
        """前もって並べておけるか。"""
        alike = all(x.__class__ is np.ndarray for x in arrays)
        return alike and 0 < batch * self._size <= _MANY

    def laid(self, arrays: Sequence[Array], first: int, count: int, batch: int) -> Array:
        """`first` 個目からの標本を `batch` 個ずつ並べた数 (回数, 数): `count` 回まで。

        終わりまで来たら、はじめに戻る。
        """
        here = min(count, max(1, _LAID // (batch * self._size)))
        end, samples = first + here * batch, len(arrays[0])
        part = slice(first, end) if end <= samples else np.arange(first, end) % samples
        laid = np.empty((here, batch * self._size), self._dtype)
        np.concatenate([x[part].reshape(here, -1) for x in arrays], 1, laid, casting="unsafe")
        return laid

    def put(self, numbers: Array, batch: int) -> Sequence[Array]:
        """並べた数 1 行の、入力の配列。"""
        self._make_room(batch)  # another thread may have asked for other ones
        self._memory[:] = numbers
        return self._rows

    def memory_of(self, inputs: Sequence[Array]) -> Array | None:
        """`put` の返した配列の、いまも使われているメモリ。なければ `None`。"""
        return self._memory if self._batch >= 0 and inputs is self._rows else None

    def _written_at_once(self, arrays: Sequence[Any]) -> Sequence[Array] | None:
        """A few numbers, as lists: what NumPy would do to each array takes longer."""
        try:
            numbers = [x.ravel().tolist() for x in arrays]
        except AttributeError:  # a number
            return None
        for indices in self._indices:
            if not indices.usual.issuperset(numbers[indices.group]):
                indices.require(arrays)
        try:
            self._put(self._memory, 0, *itertools.chain.from_iterable(numbers))  # type: ignore[misc]
        except OverflowError:  # what is inf in this type
            return None
        return self._rows

    def _of_numbers(self, arrays: Sequence[Any]) -> Sequence[Array]:
        if len(arrays) != len(self._numbers):
            self._numbers = np.empty((len(arrays), 1), self._dtype)
            self._each = tuple([self._numbers[i : i + 1] for i in range(len(arrays))])
        self._numbers[:, 0] = arrays
        return self._each


class Batches:
    """標本を少しずつ (`Rows.batches`)。"""

    def __init__(self, rows: Rows, arrays: Sequence[Any], count: int, batch: int) -> None:
        self._rows, self._arrays, self._count, self._batch = rows, arrays, count, batch
        self._lays = rows.lays(arrays, batch)
        lengths = (len(x) for x in arrays if x.__class__ is not float)
        self._whole = next(lengths, batch) // batch  # after so many it begins again
        self._next = self._at = 0
        self._laid = np.empty((0, 0))  # many of them, put in order at once

    def __iter__(self) -> Iterator[Sequence[Array]]:
        return self

    def __next__(self) -> Sequence[Array]:
        if self._next == self._count:
            raise StopIteration
        if self._lays:  # then each is one copy
            numbers = self.coming(1)[0]
            self.skip(1)
            return self._rows.put(numbers, self._batch)
        start = self._next % self._whole * self._batch
        part = slice(start, start + self._batch)
        self._next += 1
        given = [x if x.__class__ is float else x[part] for x in self._arrays]
        return self._rows(given, self._batch)

    def coming(self, most: int) -> Array:
        """前もって並べた、続きの数 (回数, 数): `most` 回まで。並べておけないなら、0 回。"""
        if self._lays and self._at == len(self._laid) and self._next < self._count:
            rest, first = self._count - self._next, self._next % self._whole * self._batch
            self._laid, self._at = self._rows.laid(self._arrays, first, rest, self._batch), 0
        return self._laid[self._at : self._at + most]

    def skip(self, count: int) -> None:
        """`coming` の数の `count` 回分は、もう計算した。"""
        self._at += count
        self._next += count
