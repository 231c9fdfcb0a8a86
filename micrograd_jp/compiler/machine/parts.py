"""手順を、機械語のくり返し 1 つずつにする (parts)。

指数のように定数で決まる式は、定数がわかっているほうがずっと速い (x**2 は x·x)。だから、定数の
混ざった要素ごとの手順は、定数ごとに分ける。くり返しは 2 重にしてよい: そのほうが番地が 1 次式になる
引数が多ければ、そうする。
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.lift.blocks import CONSTANTS, Step, affine, space_of
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.native.ir import Writer
from micrograd_jp.ops.primitive import Primitive

RUN = 512
"""続けて足す数の個数。"""

_MOST_CONSTANTS = 6


class Part(NamedTuple):
    """くり返し 1 つ。

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


def parts(steps: tuple[Step, ...]) -> list[Part]:
    """手順を順に。"""
    return [part for step in steps for part in _parts(step)]


def _parts(step: Step) -> Iterator[Part]:
    if step.kind == "matmul":
        out = step.out.reshape(step.shape)
        yield Part(step.kind, step.op, step.varying, step.blocks, out, step.shape)
        return
    for columns in _by_constant(step):
        blocks = [block[..., columns] for block in step.blocks]
        out = step.out[columns]
        shape = _factored([*blocks, out])
        blocks = [block.reshape(*block.shape[:-1], *shape) for block in blocks]
        yield Part(step.kind, step.op, step.varying, tuple(blocks), out.reshape(shape), shape)


def _by_constant(step: Step) -> list[Any]:
    """The columns of an elementwise step, those with equal constants together."""
    if step.kind != "map":
        return [slice(None)]
    constant = [block for block in step.blocks if (space_of(block) == CONSTANTS).any()]
    same = np.array([np.where(space_of(b) == CONSTANTS, b, -1) for b in constant])
    if not constant or (same == same[:, :1]).all():
        return [slice(None)]
    _, group = np.unique(same, axis=1, return_inverse=True)
    group = group.ravel()
    if group.max() >= _MOST_CONSTANTS:
        return [slice(None)]
    return [np.flatnonzero(group == k) for k in range(group.max() + 1)]


def _factored(blocks: list[Array]) -> tuple[int, ...]:
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


def loops(
    f: Writer, shape: tuple[int, ...], body: Callable[[tuple[Any, ...]], Any], at: Any = ()
) -> None:
    """`body(添字)` を、重なったくり返しの中に書く。"""
    if not shape:
        body(at)
    elif shape[0] == 1:
        loops(f, shape[1:], body, (*at, 0))
    else:

        def once(i: Any) -> list[Any]:
            loops(f, shape[1:], body, (*at, i))
            return []

        f.fold((0, shape[0], 1), [], once)


def split(n: int, size: int) -> Iterator[tuple[int, int, int]]:
    """`(始まり, 個数, 大きさ)`: ちょうど割り切れるところと、余り。"""
    if n >= size:
        yield 0, n // size, size
    if n % size:
        yield n - n % size, 1, n % size


def stripes(f: Writer, n: int, size: int, body: Callable[[Any, int], Any]) -> None:
    """n 個を `size` 個ずつに分け、`body(始まり, 個数)` を書く。"""
    for first, count, width in split(n, size):

        def one(i: tuple[Any, ...], first: int = first, width: int = width) -> None:
            body(i[0] * width + first, width)

        loops(f, (count,), one)


def total(f: Writer, n: int, term: Callable[[Any], Any]) -> Any:
    """Σ term(i)。`RUN` 個ずつ足すので、丸め誤差が小さい。"""
    if n <= RUN:
        return _run(f, 0, n, term)

    def more(first: Any, so_far: Any) -> list[Any]:
        return [so_far + _run(f, first, RUN, term)]

    whole = n - n % RUN
    [x] = (
        f.fold((RUN, whole, RUN), [_run(f, 0, RUN, term)], more)
        if whole > RUN
        else [_run(f, 0, RUN, term)]
    )
    return x + _run(f, whole, n - whole, term) if n > whole else x


def _run(f: Writer, first: Any, n: int, term: Callable[[Any], Any]) -> Any:
    """The sum of n terms. A long one in four parts: no addition waits for the one before."""
    wide = 4 if n >= 12 else 1
    sums = [term(first + k) for k in range(wide)]
    if n >= 2 * wide:

        def more(i: Any, *sums: Any) -> list[Any]:
            return [x + term(first + (i + k)) for k, x in enumerate(sums)]

        sums = f.fold((wide, n - n % wide, wide), sums, more)
    while len(sums) > 1:
        sums = [x + y for x, y in zip(sums[::2], sums[1::2], strict=True)]
    for i in range(n - n % wide, n):
        sums[0] = sums[0] + term(first + i)
    return sums[0]
