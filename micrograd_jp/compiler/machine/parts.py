"""手順を、機械語のくり返しにする (parts)。

- 要素ごとの手順が続き、前の結果を同じ並びで使うなら、1 つのくり返しになる。その中でしか使わない
  軽い値は、メモリに書かない。逆伝播では、計算し直す。
- 定数の混ざった要素ごとの手順は、定数ごとに分ける。指数がわかっていれば、x**2 は x·x になる。
- 長さの違う並びをまとめる手順は、長さごとに分ける。
- くり返しは 2 重にしてよい: そのほうが番地が 1 次式になる引数が多ければ、そうする。
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    CONSTANTS,
    NOTHING,
    VARYING,
    Step,
    affine,
    row_of,
    space_of,
)
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native.expressions import Code
from micrograd_jp.native.math import Native
from micrograd_jp.ops.primitive import Elementwise, Primitive

_MOST_CONSTANTS, _MOST_LENGTHS, _MOST_TOGETHER = 6, 32, 12
_LIGHT = 6


class Part(NamedTuple):
    """手順か、その一部。

    Attributes:
        kind, op, varying: `Step` のもの。
        blocks: 引数の場所。結果の軸は `shape` に分けてある。
        out: 結果の場所。
        shape: くり返しの回数。
    """

    kind: str
    op: Primitive
    varying: bool
    blocks: tuple[Array, ...]
    out: Array
    shape: tuple[int, ...]

    @property
    def pieces(self) -> tuple[Part, ...]:
        """自分だけ。"""
        return (self,)


class Maps(NamedTuple):
    """1 つのくり返しになる、要素ごとの手順の並び。

    Attributes:
        pieces: 順に。
        stored: それぞれ、値をメモリに書くか。
    """

    pieces: tuple[Part, ...]
    stored: tuple[bool, ...]

    @property
    def kind(self) -> str:
        """要素ごと。"""
        return "map"

    @property
    def varying(self) -> bool:
        """標本ごとに計算するか。"""
        return self.pieces[0].varying

    @property
    def shape(self) -> tuple[int, ...]:
        """くり返しの回数。"""
        return self.pieces[0].shape


def parts(program: Program) -> list[Part | Maps]:
    """プログラムの手順を順に。"""
    blocks = [block.ravel() for step in program.steps for block in step.blocks]
    used = np.concatenate([*blocks, program.outputs])
    rows = row_of(used[space_of(used) == VARYING])
    uses = np.bincount(rows, minlength=program.sizes[VARYING])
    found: list[Part | Maps] = []
    together: list[Part] = []
    for part in (part for step in program.steps for part in _parts(step)):
        if together and not (part.kind == "map" and _joins(together, part)):
            found.append(_maps(together, uses))
            together = []
        (together if part.kind == "map" else found).append(part)
    if together:
        found.append(_maps(together, uses))
    return found


def _parts(step: Step) -> Iterator[Part]:
    if step.kind in ("matmul", "take"):
        out = step.out.reshape(step.shape)
        yield Part(step.kind, step.op, step.varying, step.blocks, out, step.shape)
        return
    for columns in _by_constant(step) if step.kind == "map" else _by_length(step):
        blocks = [_shortened(block[..., columns]) for block in step.blocks]
        out = step.out[columns]
        part = Part(step.kind, step.op, step.varying, tuple(blocks), out, out.shape)
        yield part if step.kind == "map" else _shaped(part, _factored([*blocks, out]))


def _shaped(part: Part, shape: tuple[int, ...]) -> Part:
    blocks = [block.reshape(*block.shape[:-1], *shape) for block in part.blocks]
    return part._replace(blocks=tuple(blocks), out=part.out.reshape(shape), shape=shape)


# ---- 分ける ------------------------------------------------------------------------------------


def _by_constant(step: Step) -> list[Any]:
    """The columns of an elementwise step, those with equal constants together."""
    constant = [block for block in step.blocks if (space_of(block) == CONSTANTS).any()]
    same = np.array([np.where(space_of(b) == CONSTANTS, b, -1) for b in constant])
    if not constant or (same == same[:, :1]).all():
        return [slice(None)]
    _, group = np.unique(same, axis=1, return_inverse=True)
    group = group.ravel()
    if group.max() >= _MOST_CONSTANTS:
        return [slice(None)]
    return [np.flatnonzero(group == k) for k in range(group.max() + 1)]


def _by_length(step: Step) -> list[Any]:
    """The columns of lists, those of equal length together: what fills them up is not computed."""
    there = np.any([block != NOTHING for block in step.blocks], axis=0)
    lengths = np.maximum(there.sum(axis=0), 1)
    if len(np.unique(lengths)) > _MOST_LENGTHS or not (there[:-1] >= there[1:]).all():
        return [slice(None)]
    return [np.flatnonzero(lengths == n) for n in np.unique(lengths)]


def _shortened(block: Array) -> Array:
    if block.ndim == 1:
        return block
    there = np.flatnonzero((block != NOTHING).any(axis=1))
    return block[: there[-1] + 1] if len(there) else block[:1]


def _factored(blocks: Sequence[Array]) -> tuple[int, ...]:
    """One loop, or two where more operands are affine in two."""
    n = blocks[0].shape[-1]
    sizes = {n}
    for block in blocks:
        row = block.reshape(-1, n)[0]
        breaks = np.flatnonzero(np.diff(row, 2)) if n > 2 else row[:0]
        if len(breaks) and n % (breaks[0] + 2) == 0:
            sizes.add(int(breaks[0]) + 2)
    shapes = [(n,) if size == n else (n // size, size) for size in sorted(sizes, reverse=True)]

    def tables(shape: tuple[int, ...]) -> int:
        return sum(affine(block.reshape(*block.shape[:-1], *shape)) is None for block in blocks)

    return min(shapes, key=tables)


# ---- 合わせる ----------------------------------------------------------------------------------


def _joins(together: Sequence[Part], part: Part) -> bool:
    """Whether a step may be computed element by element right behind some others."""
    first = together[0]
    if not (part.varying and first.varying) or part.shape != first.shape:
        return False
    if len(together) >= _MOST_TOGETHER:
        return False
    return all(
        np.array_equal(block, other.out) or not np.isin(block, other.out).any()
        for block in part.blocks
        for other in together
    )


def _maps(together: Sequence[Part], uses: Array) -> Maps:
    stored = []
    for part in together:
        inside = sum(np.array_equal(block, part.out) for p in together for block in p.blocks)
        outside = not part.varying or (uses[row_of(part.out)] > inside).any()
        stored.append(bool(outside or not _is_light(part)))
    shape = _factored([block for part in together for block in (*part.blocks, part.out)])
    return Maps(tuple(_shaped(part, shape) for part in together), tuple(stored))


def _is_light(part: Part) -> bool:
    """Whether to compute a value again takes less time than to read it."""
    assert isinstance(part.op, Elementwise)
    code = Code()
    m = Native(code, "float", 1)
    try:
        part.op.value(m, *[m.code.number("float", 1, f"%{i}") for i in range(part.op.arity)])
    except AttributeError:
        return False
    slow = ("fdiv", "call", "load", "frem")
    return len(code.lines) <= _LIGHT and not any(
        word in line for word in slow for line in code.lines
    )
