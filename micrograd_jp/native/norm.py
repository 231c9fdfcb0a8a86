"""機械語のバッチ正規化（extra `fast`）。

チャネルが隣り合う並び (N, …, C) の配列を、いくつかの続いた行に分けて、スレッドが計算する。
式は `ops/norm.py` にあるものと同じ。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Writer, function

SMALL = 1 << 16
"""数がこれより少なければ、スレッドに分けるのに見合わない。"""

JOB = 1 << 17
"""1 つのスレッドに 1 度に渡す数の個数。"""


def batch_statistics(x: Any) -> tuple[Any, Any] | None:
    """Mean and variance (divided by n) of each channel: first the one, then the other."""
    rows = _rows(x)
    if rows is None or not suits(x):
        return None
    nothing = np.zeros(x.shape[1], x.dtype)
    mean = (_moments(rows, nothing, rows, nothing)[0] / len(rows)).astype(x.dtype)
    # Around a mean that was rounded: the rest of it is taken out of the squares.
    rest, squares = _moments(rows, mean, rows, mean) / len(rows)
    mean = mean + np.where(np.isfinite(rest), rest, 0)
    return mean.astype(x.dtype), (squares - rest * rest).astype(x.dtype)


def batch_normalized(x: Any, w: Any, b: Any, mean: Any, var: Any, eps: float) -> Any:
    """(x − mean)/√(var + eps)·w + b for each channel."""
    rows = _rows(x)
    if rows is None or not suits(x, w, b, mean, var):
        return None
    scale = (w / np.sqrt(var + eps)).astype(x.dtype)
    return _over_rows(x, rows, mean, scale, b)


def batch_normalized_back(
    g: Any, x: Any, w: Any, *, mean: Any, var: Any, eps: float, batch: bool
) -> tuple[Any, Any, Any] | None:
    """The gradients of x, w and b."""
    rows, upstream = _rows(x), _rows(g, copied=True)
    if rows is None or upstream is None or not suits(g, x, w, mean, var):
        return None
    for_b, for_w = _moments(upstream, np.zeros_like(mean), rows, mean)
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    for_w *= inverse
    scale = w * inverse
    if batch:  # scale·g − slope·(x − mean) − constant
        slope, constant = inverse * for_w * scale / len(rows), for_b * scale / len(rows)
        slope, scale, constant = (v.astype(x.dtype) for v in (-slope, scale, -constant))
        share = _over_rows(x, rows, mean, slope, constant, upstream, scale)
    else:
        nothing = np.zeros_like(mean)
        share = _over_rows(x, upstream, nothing, scale.astype(x.dtype), nothing)
    return share, for_w.astype(x.dtype), for_b.astype(x.dtype)


def _rows(x: Any, copied: bool = False) -> Any:
    """The numbers as a matrix (pixels, C), or None where it is not worth it."""
    rows = np.moveaxis(x, 1, -1)
    if x.size < max(SMALL, 1) or not (copied or (rows.flags.c_contiguous and rows.flags.aligned)):
        return None
    return np.require(rows, requirements=["C", "A"]).reshape(-1, x.shape[1])


def _moments(u: Any, cu: Any, x: Any, cx: Any) -> Any:
    """Σ (u − cu) and Σ (u − cu)(x − cx) of each channel, in float64: an array (2, C)."""
    n, c = u.shape
    each = max(1, JOB // c)
    sums = np.empty((-(-n // each), 2, c), u.dtype)
    work, (u_at, cu_at, x_at, cx_at) = kernel(_sums, u.dtype), map(address, (u, cu, x, cx))
    sums_at, row = address(sums), c * u.itemsize

    def part(start: int, count: int) -> None:
        before = start * row
        here = sums_at + start // each * 2 * row
        work(u_at + before, cu_at, x_at + before, cx_at, here, count, c)

    in_parts(part, n, each)
    return np.add.reduce(sums, axis=0, dtype=np.float64)


def _over_rows(x: Any, rows: Any, center: Any, a: Any, b: Any, *more: Any) -> Any:
    """a·(rows − center) + b, and + d·g if `more` is (g, d), shaped like x.

    rows, g: matrices (pixels, C); the others: vectors (C,).
    """
    n, c = rows.shape
    out = np.empty((n, c), x.dtype)
    work, size = kernel(_combined if more else _scaled, x.dtype), c * x.itemsize
    vectors = [np.ascontiguousarray(v) for v in (center, a, b, *more[1:])]
    center_at, a_at, b_at, *d_at = map(address, vectors)
    x_at, out_at, *g_at = map(address, (rows, out, *more[:1]))

    def part(start: int, count: int) -> None:
        before = start * size
        also = (at + before for at in g_at)
        work(x_at + before, out_at + before, center_at, a_at, b_at, count, c, *also, *d_at)

    in_parts(part, n, max(1, JOB // c))
    return np.moveaxis(out.reshape(len(x), *x.shape[2:], c), -1, 1)


RUN = 64
"""この個数ずつ、前から順に足す。"""


@function("pppppii")
def _sums(f: Writer, u: Any, cu: Any, x: Any, cx: Any, sums: Any, n: Any, c: Any) -> None:
    """Σ (u − cu) and Σ (u − cu)(x − cx)."""

    def channels(v: Number, mask: Number) -> None:
        of_u, of_x = (cu + v).load(mask), (cx + v).load(mask)
        first, second, some_first, some_second = (f.variable(f.zero()) for _ in range(4))

        def row(i: Number) -> None:
            at = i * c + v
            du, dx = (u + at).load(mask) - of_u, (x + at).load(mask) - of_x
            some_first.value += du
            some_second.value += du * dx

        def some_rows(start: Number) -> None:  # fewer numbers in a row: smaller rounding errors
            some_first.value = some_second.value = f.zero()
            f.loop(f.least(n, start + RUN), row, start=start)
            first.value += some_first.value
            second.value += some_second.value

        f.loop(n, some_rows, step=RUN)
        (sums + v).store(first.value, mask)
        (sums + v + c).store(second.value, mask)

    f.vectors(c, channels)


def _affine(f: Writer, x: Any, out: Any, center: Any, a: Any, b: Any, *more: Any) -> None:
    n, c, *g_and_d = more

    def channels(v: Number, mask: Number) -> None:
        of_x, times, plus, *d = ((p + v).load(mask) for p in (center, a, b, *g_and_d[1:]))

        def row(i: Number) -> None:
            at = i * c + v
            z = ((x + at).load(mask) - of_x) * times
            if d:
                z += (g_and_d[0] + at).load(mask) * d[0]
            (out + at).store(z + plus, mask)

        f.loop(n, row)

    f.vectors(c, channels)


_scaled = Function("scaled", "pppppii", _affine)
"""a·(x − center) + b"""

_combined = Function("combined", "pppppiipp", _affine)
"""a·(x − center) + d·g + b; the arguments g and d stand at the end."""
