"""配列のプログラムの部品 (blocks): 数の場所、場所を並べたブロック、手順。

どの数にも場所 (location) がある。場所は整数で、上位のビットが領域、下位が領域の中の行を表す。

| 領域 | 中身 |
|---|---|
| `PARAMETERS` | 平らなパラメータのベクトル |
| `CONSTANTS` | 定数 |
| `INPUTS` | 入力の行。標本ごとに値が違う |
| `FIXED` | 計算された、標本によらない数 |
| `VARYING` | 計算された、標本ごとに違う数の行 |

手順 (`Step`) の引数は、場所を要素とする配列（ブロック）である。
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from micrograd_jp.compiler.table.table import Array
from micrograd_jp.ops.primitive import Primitive

PARAMETERS, CONSTANTS, INPUTS, FIXED, VARYING = range(5)
_SHIFT = 40
NOTHING = -1
"""足りない項の場所。行列の積と積和では 0、畳み込む演算では `NEUTRAL` とみる。"""

NEUTRAL = {"sum": 0.0, "prod": 1.0, "logsumexp": -inf, "amax": -inf}
"""並びをまとめる演算から、足しても結果の変わらない数へ。"""


def location(space: int, row: Any) -> Any:
    """領域と行から、場所を作る。"""
    return (space << _SHIFT) + row


def space_of(locations: Any) -> Any:
    """場所の領域。`NOTHING` は −1。"""
    return locations >> _SHIFT


def is_varying(space: int) -> bool:
    """標本ごとに違う数の領域か。"""
    return space in (INPUTS, VARYING)


def row_of(locations: Any) -> Any:
    """場所の、領域の中の行。"""
    return locations & ((1 << _SHIFT) - 1)


@dataclass(frozen=True, eq=False)
class Step:
    """手順 1 つ。

    | kind | blocks | 計算 |
    |---|---|---|
    | `map` | 引数ごとに (n,) | 要素ごとの演算 `op` |
    | `fold` | (k, n) | k 個の数をまとめる演算 `op` (sum, prod, logsumexp) |
    | `dot` | (k, n), (k, n) | k についての積和 |
    | `take` | i (R,), X (K, C) か (K, 1, R) | 番号 i の X、形 (C, R) |
    | `matmul` | W (C, J), X (J, R), b (C, R) か (C, 1)（なくてもよい） | W X + b、形 (C, R) |

    Attributes:
        kind: 種類。
        op: 演算の宣言。
        blocks: 引数の場所。
        start: 結果の最初の場所。結果は続いた行に、ブロックの順に入る。
        shape: 結果の形。`(n,)` か `(C, R)`。
    """

    kind: str
    op: Primitive
    blocks: tuple[Array, ...]
    start: int
    shape: tuple[int, ...]

    @property
    def varying(self) -> bool:
        """標本ごとに計算するか。"""
        return bool(space_of(self.start) == VARYING)

    @property
    def size(self) -> int:
        """結果の数。"""
        return int(np.prod(self.shape))

    @property
    def out(self) -> Array:
        """結果の場所。"""
        return self.start + np.arange(self.size)


def affine(block: Array) -> tuple[int, tuple[int, ...]] | None:
    """ブロックの場所が 1 次式なら、最初の場所と軸ごとの歩幅。そうでなければ `None`。"""
    if block.size == 0 or block.flat[0] < 0:
        return None
    first, last = int(block.flat[0]), int(block.flat[-1])
    strides, end = [], first
    for axis, n in enumerate(block.shape):
        index = [0] * block.ndim
        index[axis] = 1
        strides.append(int(block[tuple(index)]) - first if n > 1 else 0)
        end += strides[-1] * (n - 1)
    if end != last or space_of(first) != space_of(last):
        return None
    expected: Any = first
    for stride, n in zip(strides, block.shape):
        expected = np.add.outer(expected, stride * np.arange(n))
    return (first, tuple(strides)) if (expected == block).all() else None


def is_contiguous(block: Array) -> bool:
    """ブロックの場所が、隙間なく順に並んでいるか。"""
    if block.size == 0 or block.flat[0] < 0:
        return False
    return np.array_equal(block.ravel(), block.flat[0] + np.arange(block.size)) and bool(
        space_of(block.flat[0]) == space_of(block.flat[-1])
    )


def of_similar_length(lengths: Array) -> list[Array]:
    """長さの違う並びを、いちばん長いものに揃えて埋めても 2 倍までの組に分ける。

    Args:
        lengths: 並びの長さ。

    Returns:
        組ごとの、並びの番号（小さい順）。
    """
    order = np.argsort(lengths, kind="stable")[::-1]
    groups: list[list[int]] = []
    held = top = 0
    for i in order.tolist():
        held += int(lengths[i])
        if not groups or top * (len(groups[-1]) + 1) > 2 * held:
            groups.append([])
            held = top = int(lengths[i])
        groups[-1].append(i)
    return [np.sort(group) for group in groups]
