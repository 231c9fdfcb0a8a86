"""機械語の、列の区切りごとの計算（extra `fast`）: 再帰層の門のように、いくつもの値を 1 度に。

行列の列を幅 n の区切り (block) に分け、同じ場所にある数どうしを、規則の公式 1 つで計算する。公式は
`ops/recurrent.py` にあるものがそのまま機械語になる。
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.expressions import Code, Number
from micrograd_jp.native.ir import Function, Pointer, Writer
from micrograd_jp.native.math import Native

SMALL = 1 << 10
"""1 つの区切りの数がこれより少なければ、NumPy に任せる。"""

JOB = 1 << 17
"""1 つのスレッドに 1 度に渡す数の個数。"""

Formula = Callable[..., tuple[Any, ...]]


def blockwise(formula: Formula, n: int, *xs: Any) -> Any:
    """`formula(m, *区切り)` の値を並べた行列。

    Args:
        formula: 公式。同じものには同じ機械語を使う。
        n: 区切りの幅。
        xs: 行列 (行, n の倍数)。行の間は空いていてよい。
    """
    rows, size = len(xs[0]), xs[0].itemsize
    if rows * n < max(SMALL, 1) or not suits(*xs):
        return None
    for x in xs:
        if len(x) != rows or x.strides[1] != size or x.strides[0] % size or not x.flags.aligned:
            return None
    blocks = tuple([x.shape[1] // n for x in xs])
    results = _results(formula, sum(blocks))
    out = np.empty((rows, results * n), xs[0].dtype)
    work = kernel(written(formula, blocks, (results,)), out.dtype)
    apart = [x.strides[0] for x in (*xs, out)]
    at, gaps = [address(x[0]) for x in (*xs, out)], [step // size for step in apart]

    def part(start: int, count: int) -> None:
        work(*[first + start * step for first, step in zip(at, apart)], *gaps, count, n)

    in_parts(part, rows, max(1, JOB // (n * results)))
    return out


@functools.cache
def _results(formula: Formula, blocks: int) -> int:
    """How many values the formula has."""
    code = Code()
    return len(formula(Native(code, "float", 1), *[code.number("float", 1, "%x")] * blocks))


@functools.cache
def written(formula: Formula, blocks: tuple[int, ...], results: tuple[int, ...]) -> Function:
    """機械語の関数。引数は、読む行列と書く行列の番地、それぞれの行の間隔、行の数、区切りの幅。

    Args:
        formula: 公式。
        blocks: 読む行列ごとの、区切りの数。
        results: 書く行列ごとの、区切りの数。読む行列に、そのまま書いてもよい。
    """
    widths = (*blocks, *results)

    def body(f: Writer, *given: Any) -> None:
        places, gaps, (rows, n) = given[: len(widths)], given[len(widths) : -2], given[-2:]

        def row(i: Number) -> None:
            parts: list[Pointer] = [
                p + i * gap + n * k
                for p, gap, count in zip(places, gaps, widths)
                for k in range(count)
            ]
            sources, targets = parts[: sum(blocks)], parts[sum(blocks) :]

            def some(j: Number, mask: Number | None) -> None:
                values = formula(f.m, *[(p + j).load(mask) for p in sources])
                for p, value in zip(targets, values, strict=True):
                    (p + j).store(f.m.number(value), mask)

            f.full_vectors(n, some)

        f.loop(rows, row)

    name = f"{formula.__name__.strip('_')}_{'_'.join(map(str, blocks))}"
    return Function(name, "p" * len(widths) + "i" * (len(widths) + 2), body)
