"""番号の指す場所に書いた、写しを作る関数 (PyTorch の名前): scatter、index_fill、index_put、…。

どれも添字への代入と足し込みでできている。勾配は、書いた値と、書かれなかった場所に流れる。
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import one_axis
from micrograd_jp.tensor.dtypes import category
from micrograd_jp.tensor.functions.index import (
    along_axis,
    getitem,
    of_length_1,
    places_of,
    require_within,
    scattered,
)
from micrograd_jp.tensor.functions.select import masked
from micrograd_jp.tensor.registry import function


def _assigned(x: Any, key: Any, value: Any) -> Tensor:
    """A copy of x after `x[key] = value`."""
    t: Tensor = as_tensor(x).clone()
    t[key] = value
    return t


def _source(source: Any, shape: Any, name: str) -> Tensor:
    part = as_tensor(source)
    require_within(f"{name} (source)", shape, part.shape, -1)
    return part[tuple(slice(0, n) for n in shape)]


@function(in_place=True, torch={"src": "source", "value": "source"})
def scatter(x: Any, axis: int, index: Any, source: Any, *, reduce: str | None = None) -> Tensor:
    """x の写しの、番号の指す場所を `source` にする: axis=1 なら `[i, index[i, j]] = source[i, j]`。

    Args:
        x: 書かれるもの。
        axis: 番号が指す軸。
        index: x と同じ次元の整数の配列。
        source: 書く値（`index` より小さくない形）か、1 つの数。
        reduce: "add" なら足し、"multiply" ならかける。

    Raises:
        ValueError: 形が合わない、または知らない `reduce`。
        IndexError: 番号が範囲の外。
    """
    t, places = as_tensor(x), places_of(index, "scatter")
    if is_number(source):
        source = as_tensor(np.full(places.shape, source, t.dtype))
    if reduce is not None:
        known = {"add": "sum", "multiply": "prod"}
        if reduce not in known:
            raise _unknown_reduction("scatter", reduce, tuple(known))
        return scatter_reduce(t, axis, places, source, known[reduce])
    source = as_tensor(source)
    if of_length_1(t, places, source):
        flat = scatter(t.reshape(-1), axis, places.reshape(-1), source.reshape(-1))
        return flat.reshape(t.shape)
    a = one_axis(axis, t.ndim, "scatter")
    require_within("scatter", places.shape, t.shape, a)
    return _assigned(t, along_axis(places, a), _source(source, places.shape, "scatter"))


def _unknown_reduction(name: str, given: Any, known: Any) -> ValueError:
    return ValueError(
        f"{name} の reduce は {'、'.join(map(repr, known))} の 1 つです "
        f"(unknown reduction): {given!r}。"
    )


_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


@function(in_place=True, torch={"src": "source"})
def scatter_reduce(
    x: Any, axis: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """番号の指す場所ごとに、`source` をまとめる。

    Args:
        x: もとの値。
        axis: 番号が指す軸。
        index: x と同じ次元の整数の配列。
        source: まとめる値。
        reduce: "sum"、"prod"、"mean"、"amax"、"amin" の 1 つ。
        include_self: 真なら、x の値も 1 つに数える。偽なら、指されない場所だけが x のまま残る。

    Raises:
        ValueError: 形が合わない、または知らない `reduce`。
        IndexError: 番号が範囲の外。
    """
    if reduce not in _REDUCTIONS:
        raise _unknown_reduction("scatter_reduce", reduce, _REDUCTIONS)
    t, places = as_tensor(x), places_of(index, "scatter_reduce")
    source = as_tensor(source)
    if of_length_1(t, places, source):
        flat = scatter_reduce(
            t.reshape(-1), axis, places.reshape(-1), source.reshape(-1), reduce,
            include_self=include_self,
        )  # fmt: skip
        return flat.reshape(t.shape)
    a = one_axis(axis, t.ndim, "scatter_reduce")
    require_within("scatter_reduce", places.shape, t.shape, a)
    part = _source(source, places.shape, "scatter_reduce")
    key = along_axis(places, a)
    ones = as_tensor(np.ones(places.shape, t.dtype))
    times = scattered(ones, key, t.shape)
    nothing = _neutral(reduce, t.dtype)
    beginning = t if include_self else on_graph.where(times > 0, nothing, t)
    if reduce in ("sum", "mean"):
        total = beginning + scattered(part, key, t.shape)
        if reduce == "sum":
            return total
        n = times + 1 if include_self else times.clip(min=1)
        return total / n if total.dtype.kind == "f" else total // n
    # What lands in one place stands in a row of its own, beside nothing.
    rows = _in_rows(part, places, a, t.shape, beginning, nothing)
    out: Tensor = getattr(rows, reduce)(-1)
    return out.to(rows.dtype)  # the product of bytes is a byte


def _neutral(reduce: str, dtype: Any) -> Any:
    """What changes nothing in a reduction."""
    if reduce in ("sum", "mean", "prod"):
        return int(reduce == "prod")
    if category(dtype) == 2:
        return -inf if reduce == "amax" else inf
    info = np.iinfo(dtype)
    return info.min if reduce == "amax" else info.max


def _in_rows(
    part: Tensor, places: Any, axis: int, shape: Any, beginning: Tensor, neutral: Any
) -> Tensor:
    """For every place a row: what was there, and every source along the axis that goes to it."""
    n, k = shape[axis], places.shape[axis]
    index = as_tensor(places).movedim(axis, -1).unsqueeze(-2)
    hits = (index % max(n, 1)) == np.arange(n)[:, None]  # (…, n, k)
    moved = part.movedim(axis, -1).unsqueeze(-2).broadcast_to(*hits.shape[:-1], k)
    rows = on_graph.where(hits, moved, neutral)
    first = beginning.movedim(axis, -1)
    if rows.shape[:-1] != first.shape:  # where no index reaches
        short = [(0, m - have) for m, have in zip(first.shape, rows.shape)]
        rows = on_graph.pad(rows, [*short, (0, 0)], neutral)
    out: Tensor = on_graph.concatenate((first.unsqueeze(-1), rows), -1).movedim(-2, axis)
    return out


@function(in_place=True)
def index_fill(x: Any, axis: int, index: Any, value: Any) -> Tensor:
    """x の写しの、軸 `axis` の番号 `index` のところを、1 つの数 `value` にする。"""
    t, places = as_tensor(x), places_of(index, "index_fill")
    if np.shape(data_of(value)) != ():
        raise ValueError(
            "index_fill の value は 1 つの数です (expected a 0-d value): 配列を入れるのは "
            "index_copy(dim, index, source) です。"
        )
    if not t.ndim:
        return index_fill(t.reshape(1), axis, places.reshape(-1), value).reshape(())
    return _assigned(t, _rows_of("index_fill", t, axis, places), value)


def _rows_of(name: str, t: Tensor, axis: int, places: Any) -> tuple[Any, ...]:
    if places.ndim > 1:
        raise ValueError(
            f"{name} の番号は 1 次元です (expected 1-d index): 形は {places.shape} です。"
        )
    return (slice(None),) * one_axis(axis, t.ndim, name) + (places.reshape(-1),)


@function(in_place=True)
def index_copy(x: Any, axis: int, index: Any, source: Any) -> Tensor:
    """x の写しの、軸 `axis` の番号 `index[i]` のところを、`source` の i 番目にする。"""
    t, places, part = as_tensor(x), places_of(index, "index_copy"), as_tensor(source)
    if not t.ndim:
        return index_copy(t.reshape(1), axis, places.reshape(-1), part.reshape(-1)).reshape(())
    key = _rows_of("index_copy", t, axis, places)
    a = len(key) - 1
    wanted = (*t.shape[:a], places.size, *t.shape[a + 1 :])
    if part.shape != wanted:
        raise ValueError(
            f"index_copy の source の形は {wanted} です (shape mismatch): {part.shape} が"
            "渡されました。"
        )
    return _assigned(t, key, part)


@function(in_place=True)
def index_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """x の写しに `x[indices] = values` と書く。`accumulate` なら足す（同じ場所には何度でも）。

    Raises:
        TypeError: `indices` が組でない。
    """
    t = as_tensor(x)
    if not isinstance(indices, tuple | list):
        raise TypeError(
            "index_put の indices は、軸ごとの番号の組です (expected a tuple of indices): "
            f"{type(indices).__name__} が渡されました。(index,) と書いてください。"
        )
    key = tuple(slice(None) if i is None else data_of(i) for i in indices)
    if not accumulate:
        return _assigned(t, key, values)
    there = getitem(t.detach(), key).shape
    return t + scattered(as_tensor(values).astype(t.dtype).broadcast_to(there), key, t.shape)


@function(in_place=True)
def masked_scatter(x: Any, mask: Any, source: Any) -> Tensor:
    """x の写しの、`mask` が真の場所に、`source` の要素を順に入れる。

    Raises:
        TypeError: `mask` が真偽値でない。
        ValueError: `source` の要素が足りない。
    """
    t, where = masked(x, mask, "masked_scatter")
    there = namespace.concrete(where.broadcast_to(t.shape)._data, "masked_scatter()")
    flat, n = as_tensor(source).reshape(-1), int(there.sum())
    if flat.numel() < n:
        raise ValueError(
            f"masked_scatter の source が足りません (too few elements): {n} 個の場所に "
            f"{flat.numel()} 個。"
        )
    return _assigned(t, (there,), flat[:n])


@function(package=False, method=False, in_place=True, torch={"fill_value": "value"})
def fill_diagonal(x: Any, value: float, wrap: bool = False) -> Tensor:
    """対角を 1 つの数にする。"""
    t = as_tensor(x)
    n = min(t.shape)
    i = np.arange(n)
    if wrap and t.ndim == 2:
        flat = np.arange(0, t.numel(), t.shape[1] + 1)
        return _assigned(t.reshape(-1), (flat,), value).reshape(t.shape)
    return _assigned(t, (i,) * t.ndim, value)
