"""機械語の、行ごとの計算 (softmax, 標準化; extra `fast`)。

行は、メモリに続けて並んだ数である。1 行を 2 度か 3 度読むが、その間、行はキャッシュにある。
式は `ops/arrays.py` と `ops/norm.py` にあるものと同じ。
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Writer

JOB = 1 << 17
"""1 つのスレッドに 1 度に渡す数の個数。"""

MANY = 1 << 10
"""行を足すときに、1 度に続けて足す行の数の上限。"""

RUN = 16
"""ベクトルをこの個数ずつ足し、その和を足す: 丸め誤差が小さい。"""

Mask = Number | None


def softmax(n: int, x: Any) -> Any:
    """eˣ / Σ eˣ."""
    return _run(_softmax, n, x)


def softmax_back(n: int, g: Any, z: Any) -> Any:
    """z·(g − Σ g·z)."""
    return _run(_softmax_back, n, g, z)


def log_softmax(n: int, x: Any) -> Any:
    """x − log Σ eˣ."""
    return _run(_log_softmax, n, x)


def log_softmax_back(n: int, g: Any, z: Any) -> Any:
    """g − eᶻ·Σ g."""
    return _run(_log_softmax_back, n, g, z)


def standardized(n: int, x: Any, eps: float) -> Any:
    """(x − mean)/√(variance + eps)."""
    return _run(_standardized, n, x, numbers=[eps])


def standardized_back(n: int, g: Any, z: Any, x: Any, eps: float) -> Any:
    """The gradient of x, less what goes through the mean and through the variance."""
    return _run(_standardized_back, n, g, z, x, numbers=[eps])


def layer_normalized(n: int, x: Any, w: Any, b: Any, eps: float) -> Any:
    """標準化·w + b。"""
    return _run(_layer_normalized, n, x, same=(w, b), numbers=[eps])


def layer_normalized_back(n: int, g: Any, x: Any, w: Any, eps: float) -> Any:
    """x, w, b の勾配。w と b のものは、行のかたまりごとの和を float64 で足す。"""
    each = min(MANY, max(1, JOB // n))
    sums = np.zeros((-(-x.size // n // each), 2, n), x.dtype)
    out = _run(_layer_normalized_back, n, g, x, same=(w,), sums=sums, numbers=[eps], each=each)
    if out is None:
        return None
    for_w, for_b = sums.sum(0, np.float64).astype(x.dtype)
    return out, for_w.reshape(w.shape), for_b.reshape(w.shape)


def _run(
    function: Function, n: int, *arrays: Any, same: Any = (), sums: Any = None, numbers: Any = (),
    each: int | None = None,
) -> Any:  # fmt: skip
    """`function` for all rows of n numbers; arrays without gaps, of one shape and dtype.

    Args:
        function: of the places in the arrays, of the one row of each of `same`, of a part of
            `sums`, of the numbers, the count of rows, and n.
        n: numbers in a row.
        arrays: what it reads.
        same: of one row each.
        sums: what it adds to, one part for each job.
        numbers: of the same dtype.
        each: rows in a job.
    """
    x = arrays[0]
    if not suits(x):
        return None
    out, work = np.empty_like(x), kernel(function, x.dtype)
    options = np.array(numbers, x.dtype)
    row, each = n * x.itemsize, each or max(1, JOB // n)
    at = [address(a) for a in (*arrays, out)]
    fixed = [address(a) for a in same]
    total = () if sums is None else (address(sums),)

    def part(start: int, count: int) -> None:
        own = (first + start // each * sums[0].nbytes for first in total)
        work(*(first + start * row for first in at), *fixed, *own, address(options), count, n)

    in_parts(part, x.size // n, each)
    return out


class _Row:
    """The numbers of one row: loops over all of them, sums of them."""

    def __init__(self, f: Writer, n: Number) -> None:
        self.f, self.n = f, n

    def each(self, body: Callable[[Number, Mask], Any]) -> None:
        self.f.full_vectors(self.n, body)

    def total(self, term: Callable[[Number, Mask], Number]) -> Number:
        """Σ term, as one number."""
        f, n = self.f, self.n
        whole, some = f.variable(f.zero()), f.variable(f.zero())
        full = n & -f.width

        def one(i: Number) -> None:
            some.value += term(i, None)

        def run(start: Number) -> None:
            some.value = f.zero()
            f.loop(f.least(full, start + RUN * f.width), one, start=start, step=f.width)
            whole.value += some.value

        def rest() -> None:
            mask = f.first(n - full)
            whole.value += f.m.where(mask, term(full, mask), f.zero())

        f.loop(full, run, step=RUN * f.width)
        f.when(full < n, rest)
        return f.m.total(whole.value)

    def mean(self, term: Callable[[Number, Mask], Number]) -> Number:
        """The mean of term, in all elements of a vector."""
        return self.f.all(self.total(term) / self.n.converted(self.f.kind))

    def largest(self, x: Pointer) -> Number:
        """The largest number, or nan if there is one, in all elements of a vector."""
        f = self.f
        lowest = f.zero().same(-math.inf)
        top = f.variable(lowest)

        def one(i: Number, mask: Mask) -> None:
            now = (x + i).load(mask)
            now = now if mask is None else f.m.where(mask, now, lowest)
            top.value = f.m.maximum(now, top.value)

        self.each(one)
        return f.all(functools.reduce(f.m.maximum, top.value.split()))


def _rows(name: str, arrays: int, same: int = 0) -> Callable[[Callable[..., None]], Function]:
    """`body(row, *places, *same, options)` for each row.

    The last of the places is that of the answer; `same` places are the same for all rows.
    """

    def made(body: Callable[..., None]) -> Function:
        def write(f: Writer, *given: Any) -> None:
            *places, count, n = given

            def one(i: Number) -> None:
                moved = (p + i * n for p in places[: arrays + 1])
                body(_Row(f, n), *moved, *places[arrays + 1 :])

            f.loop(count, one)

        return Function(name, "p" * (arrays + same + 2) + "ii", write)

    return made


@_rows("softmax", 1)
def _softmax(row: _Row, x: Pointer, out: Pointer, _: Pointer) -> None:
    m, top = row.f.m, row.largest(x)

    def power(i: Number, mask: Mask) -> Number:
        e: Number = m.exp((x + i).load(mask) - top)
        (out + i).store(e, mask)
        return e

    total = row.f.all(row.total(power))
    row.each(lambda i, mask: (out + i).store((out + i).load(mask) / total, mask))


@_rows("softmax_back", 2)
def _softmax_back(row: _Row, g: Pointer, z: Pointer, out: Pointer, _: Pointer) -> None:
    along = row.f.all(row.total(lambda i, mask: (g + i).load(mask) * (z + i).load(mask)))

    def one(i: Number, mask: Mask) -> None:
        (out + i).store((z + i).load(mask) * ((g + i).load(mask) - along), mask)

    row.each(one)


@_rows("log_softmax", 1)
def _log_softmax(row: _Row, x: Pointer, out: Pointer, _: Pointer) -> None:
    m, top = row.f.m, row.largest(x)
    log = m.log(row.f.all(row.total(lambda i, mask: m.exp((x + i).load(mask) - top))))
    row.each(lambda i, mask: (out + i).store((x + i).load(mask) - top - log, mask))


@_rows("log_softmax_back", 2)
def _log_softmax_back(row: _Row, g: Pointer, z: Pointer, out: Pointer, _: Pointer) -> None:
    total = row.f.all(row.total(lambda i, mask: (g + i).load(mask)))

    def one(i: Number, mask: Mask) -> None:
        (out + i).store((g + i).load(mask) - row.f.m.exp((z + i).load(mask)) * total, mask)

    row.each(one)


def _spread(row: _Row, x: Pointer, options: Pointer) -> tuple[Number, Number]:
    """The mean, and 1/√(variance + eps)."""
    mean = row.mean(lambda i, mask: (x + i).load(mask))

    def square(i: Number, mask: Mask) -> Number:
        d = (x + i).load(mask) - mean
        return d * d

    variance = row.mean(square)
    return mean, 1 / row.f.m.sqrt(variance + row.f.all(options.item()))


@_rows("standardized", 1)
def _standardized(row: _Row, x: Pointer, out: Pointer, options: Pointer) -> None:
    mean, inverse = _spread(row, x, options)
    row.each(lambda i, mask: (out + i).store(((x + i).load(mask) - mean) * inverse, mask))


@_rows("standardized_back", 3)
def _standardized_back(
    row: _Row, g: Pointer, z: Pointer, x: Pointer, out: Pointer, options: Pointer
) -> None:
    _, inverse = _spread(row, x, options)
    of_g = row.mean(lambda i, mask: (g + i).load(mask))
    along = row.mean(lambda i, mask: (g + i).load(mask) * (z + i).load(mask))

    def one(i: Number, mask: Mask) -> None:
        d = (g + i).load(mask) - of_g
        (out + i).store((d - (z + i).load(mask) * along) * inverse, mask)

    row.each(one)


@_rows("layer_normalized", 1, same=2)
def _layer_normalized(
    row: _Row, x: Pointer, out: Pointer, w: Pointer, b: Pointer, options: Pointer
) -> None:
    mean, inverse = _spread(row, x, options)

    def one(i: Number, mask: Mask) -> None:
        unit = ((x + i).load(mask) - mean) * inverse
        (out + i).store(unit * (w + i).load(mask) + (b + i).load(mask), mask)

    row.each(one)


@_rows("layer_normalized_back", 2, same=2)
def _layer_normalized_back(
    row: _Row, g: Pointer, x: Pointer, out: Pointer, w: Pointer, for_w: Pointer, options: Pointer
) -> None:
    mean, inverse = _spread(row, x, options)
    for_b = for_w + row.n

    def unit(i: Number, mask: Mask) -> Number:
        return ((x + i).load(mask) - mean) * inverse

    def share(i: Number, mask: Mask) -> Number:
        return (g + i).load(mask) * (w + i).load(mask)

    of_share = row.mean(share)
    along = row.mean(lambda i, mask: share(i, mask) * unit(i, mask))

    def one(i: Number, mask: Mask) -> None:
        now, u = (g + i).load(mask), unit(i, mask)
        (out + i).store((now * (w + i).load(mask) - of_share - u * along) * inverse, mask)
        (for_w + i).store((for_w + i).load(mask) + now * u, mask)
        (for_b + i).store((for_b + i).load(mask) + now, mask)

    row.each(one)
