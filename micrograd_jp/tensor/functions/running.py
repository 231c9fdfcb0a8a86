"""軸に沿って累積する関数 (PyTorch の名前): cumprod、logcumsumexp、cummax、diff、台形公式。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integer, one_axis
from micrograd_jp.tensor.dtypes import category, int64
from micrograd_jp.tensor.functions.cutting import narrow, unfold
from micrograd_jp.tensor.functions.index import Sorted, gather
from micrograd_jp.tensor.functions.reduce import of_dtype
from micrograd_jp.tensor.functions.shape import concatenate
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import floating, vectorized


def _scanned(x: Tensor, axis: int, join: Callable[[Any, Any], Any]) -> Tensor:
    """The running combination, in log₂ n steps (Hillis & Steele 1986)."""
    n, step = x.shape[axis], 1
    while step < n:
        head, tail = narrow(x, axis, 0, step), narrow(x, axis, step, n - step)
        x = concatenate([head, join(narrow(x, axis, 0, n - step), tail)], axis)
        step *= 2
    return x


@function(in_place=True)
@vectorized
def cumprod(x: Any, axis: int, *, dtype: Any = None) -> Tensor:
    """累積の積。0 を含んでいても、何階の導関数も正しい。"""
    t = of_dtype(x, dtype)
    if dtype is None and category(t.dtype) < 2:
        t = t.astype(namespace.of(t._data).available(int64))
    return _scanned(t, one_axis(axis, t.ndim, "cumprod"), lambda a, b: a * b) + 0


@function()
@vectorized
def logcumsumexp(x: Any, axis: int) -> Tensor:
    """累積の log Σ eˣ。"""
    t = floating(x)
    return _scanned(t, one_axis(axis, t.ndim, "logcumsumexp"), on_graph.logaddexp) + 0


def _running(name: str, summary: str, wins: Callable[[Any, Any], Any]) -> None:
    @function(name=name, summary=summary)
    @vectorized
    def running(x: Any, axis: int) -> Sorted:
        a, t = one_axis(axis, x.ndim, name), x.detach()
        n, step = t.shape[a], 1
        shape = tuple(n if i == a else 1 for i in range(t.ndim))
        places = as_tensor(np.arange(n).reshape(shape)).broadcast_to(t.shape)
        while step < n:
            before, now = narrow(t, a, 0, n - step), narrow(t, a, step, n - step)
            stays = wins(before, now) | ((before != before) & (now == now))
            t, places = (
                concatenate([
                    narrow(y, a, 0, step),
                    on_graph.where(stays, narrow(y, a, 0, n - step), narrow(y, a, step, n - step)),
                ], a)
                for y in (t, places)
            )  # fmt: skip
            step *= 2
        return Sorted(gather(x, a, places._data), places)


_running("cummax", "それまでの最大値と、その最後の場所 `(values, indices)`。", lambda a, b: a > b)
_running("cummin", "それまでの最小値と、その最後の場所 `(values, indices)`。", lambda a, b: a < b)


@function()
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """隣との差。n 回くり返す。`prepend` と `append` は、前と後につなぐもの。"""
    t = as_tensor(x)
    a = one_axis(axis, t.ndim, "diff")
    parts = [as_tensor(p) for p in (prepend, t, append) if p is not None]
    t = concatenate(parts, a) if len(parts) > 1 else t
    for _ in range(min(integer(n, "diff"), t.shape[a])):
        after, before = (narrow(t, a, i, t.shape[a] - 1) for i in (1, 0))
        t = after ^ before if t.dtype == bool else after - before
    return t


def _trapezoids(y: Any, x: Any, dx: float, axis: int, name: str) -> tuple[Tensor, int]:
    t = as_tensor(y)
    a = one_axis(axis, t.ndim, name)
    pairs = unfold(t, a, 2, 1).sum(-1) if t.shape[a] > 1 else narrow(t, a, 0, 0)
    if x is None:
        return pairs * dx / 2, a
    steps = diff(x, axis=-1 if as_tensor(x).ndim == 1 else a)
    if steps.ndim == 1:
        steps = steps.reshape((-1,) + (1,) * (t.ndim - a - 1))
    return pairs * steps / 2, a


@function()
def trapezoid(y: Any, x: Any = None, *, dx: float = 1, axis: int = -1) -> Tensor:
    """台形公式による積分 (trapezoidal rule)。`x` は刻み、なければ幅は `dx`。"""
    parts, a = _trapezoids(y, x, dx, axis, "trapezoid")
    return parts.sum(a)


@function()
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1, axis: int = -1) -> Tensor:
    """台形公式による累積の積分。"""
    parts, a = _trapezoids(y, x, dx, axis, "cumulative_trapezoid")
    return parts.cumsum(a)
