"""数の並びを調べる関数 (PyTorch の名前): median、quantile、nanmean、cdist、cov、…。

並べ替えと選択、和と積から組み立てる。勾配は、選ばれた要素や、和の要素に流れる。
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integer, one_axis
from micrograd_jp.tensor.dtypes import category, int64
from micrograd_jp.tensor.functions.index import gather, sort
from micrograd_jp.tensor.functions.pointwise import isnan
from micrograd_jp.tensor.functions.reduce import (
    Extremum,
    amax,
    amin,
    mean,
    norm,
    std,
    sum,
    var,
)
from micrograd_jp.tensor.functions.shape import concatenate, movedim
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import floating


class MinMax(NamedTuple):
    """最小値と最大値。"""

    min: Tensor
    max: Tensor


# ---- 順位 --------------------------------------------------------------------------------------


def _along(x: Tensor, axis: int | None, name: str) -> tuple[Tensor, int]:
    """The last axis is the one to look at."""
    if axis is None:
        return x.reshape(-1), 0
    return x, one_axis(axis, x.ndim or 1, name)


def _picked(x: Any, axis: int, rank: Any, keepdims: bool) -> Extremum:
    """The number of the given rank, and where it stood."""
    ordered = sort(x, axis)
    values, places = (gather(t, axis, rank) for t in ordered)
    return Extremum(values, places) if keepdims else Extremum(
        values.squeeze(axis), places.squeeze(axis)
    )  # fmt: skip


@function(real=True)
def kthvalue(x: Any, k: int, axis: int = -1, keepdims: bool = False) -> Extremum:
    """小さい方から k 番目の `(values, indices)`。k は 1 から。

    Raises:
        ValueError: k が 1 から軸の長さまででない。
    """
    t = as_tensor(x)
    if not t.ndim:
        return Extremum(*(y.reshape(()) for y in kthvalue(t.reshape(1), k, axis)))
    a = one_axis(axis, t.ndim, "kthvalue")
    if not 1 <= integer(k, "kthvalue") <= t.shape[a]:
        raise ValueError(f"kthvalue の k は 1 から {t.shape[a]} までです (k out of range): {k}。")
    return _picked(t, a, _full_rank(t, a, k - 1), keepdims)


def _full_rank(x: Tensor, axis: int, rank: Any) -> Any:
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    return np.broadcast_to(np.asarray(rank), shape)


def _middle(name: str, summary: str, ignores_nan: bool) -> None:
    @function(real=True, name=name, summary=summary)
    def middle(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        t = as_tensor(x)
        if axis is None:
            if not t.numel():
                return sum(t) * float("nan")
            value = middle(t.reshape(-1), 0, False).values
            if category(t.dtype) < 2:
                return value
            # Those that are equal to it share its gradient.
            same = _alike(t, value.detach())
            return amax(on_graph.where(same, t, -inf))
        if not t.ndim:
            return Extremum(*(y.reshape(()) for y in middle(t.reshape(1), axis)))
        a = one_axis(axis, t.ndim, name)
        n = t.shape[a]
        if not n:
            raise IndexError(
                f"空の軸の {name} は決まりません (empty axis): 形は {t.shape}、軸は {a} です。"
            )
        odd = isnan(t).long().sum(a, keepdims=True)  # nan stands last
        rank = (n - odd - 1).clip(min=0) // 2
        if not ignores_nan:
            rank = on_graph.where(odd > 0, n - odd, rank).astype(int64)
        return _picked(t, a, rank._data, keepdims)

    middles[name] = middle


middles: dict[str, Callable[..., Any]] = {}
_middle(
    "median", "中央値。偶数個なら、真ん中の 2 つの小さい方。`axis` があれば `(values, indices)`。",
    False,
)  # fmt: skip
_middle("nanmedian", "nan を除いた中央値。約束は `median` と同じ。", True)

_INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


def _quantile(name: str, summary: str, ignores_nan: bool) -> None:
    @function(name=name, summary=summary)
    def quantile(
        x: Any, q: Any, axis: int | None = None, keepdims: bool = False, *,
        interpolation: str = "linear",
    ) -> Tensor:  # fmt: skip
        t = floating(x)
        share = np.asarray(namespace.concrete(data_of(q), name) if hasattr(q, "shape") else q)
        if interpolation not in _INTERPOLATIONS or not ((share >= 0) & (share <= 1)).all():
            raise ValueError(
                f"{name} の q は 0 から 1 まで、interpolation は {_INTERPOLATIONS} の 1 つです "
                f"(invalid quantile): q={q!r}、interpolation={interpolation!r}。"
            )
        ndim = t.ndim
        t, a = _along(t, axis, name)
        t = t if t.ndim else t.reshape(1)
        n, odd = t.shape[a], isnan(t).long().sum(a, keepdims=True)._data
        last = n - 1 - odd if ignores_nan else np.full_like(odd, n - 1)
        found = []
        ordered = sort(t, a).values
        for one in share.reshape(-1):
            rank = np.maximum(one * last, 0.0)
            below = _RANKS[interpolation](rank)
            if not ignores_nan:
                below, rank = np.where(odd > 0, n - 1, below), np.where(odd > 0, n - 1, rank)
            value = gather(ordered, a, below.astype(int64))
            if interpolation in ("linear", "midpoint"):
                above = gather(ordered, a, np.ceil(rank).astype(int64))
                weight = as_tensor((rank - below).astype(t.dtype))
                if interpolation == "midpoint":
                    weight = on_graph.where(weight > 0, weight * 0 + 0.5, weight)
                value = on_graph.lerp(value, above, weight)
            found.append(value)
        out = concatenate([v.unsqueeze(0) for v in found], 0)
        if axis is None:
            out = out.reshape((-1,) + (1,) * ndim * keepdims)
        elif not (keepdims and ndim):
            out = out.squeeze(a + 1)
        return out if share.ndim else out[0]


_RANKS: dict[str, Any] = {
    "linear": np.floor, "midpoint": np.floor, "lower": np.floor, "higher": np.ceil,
    "nearest": np.round,
}  # fmt: skip
_quantile(
    "quantile", "分位数。q は 0 から 1 までの数か、その 1 次元の Tensor（先頭の軸になる）。", False
)
_quantile("nanquantile", "nan を除いた分位数。約束は `quantile` と同じ。", True)


def _alike(x: Tensor, y: Tensor) -> Tensor:
    """Equal, or both nan."""
    out: Tensor = (x == y) | ((x != x) & (y != y))
    return out


@function(real=True)
def mode(x: Any, axis: int = -1, keepdims: bool = False) -> Extremum:
    """最も多く現れる値（同数なら小さい方）と、その最後の場所 `(values, indices)`。"""
    t = as_tensor(x)
    if not t.ndim:
        return Extremum(*(y.reshape(()) for y in mode(t.reshape(1), axis)))
    a = one_axis(axis, t.ndim, "mode")
    rows = movedim(t.detach(), a, -1)
    ordered = sort(rows, -1).values
    often = _alike(ordered.unsqueeze(-1), ordered.unsqueeze(-2)).long().sum(-1)
    least = gather(ordered, -1, often.argmax(-1, keepdims=True))
    places = on_graph.where(_alike(rows, least), np.arange(t.shape[a]), -1).amax(-1, keepdims=True)
    places = movedim(places.astype(int64), -1, a)
    values = gather(t, a, places._data)
    return Extremum(values, places) if keepdims else Extremum(values.squeeze(a), places.squeeze(a))


@function(real=True)
def msort(x: Any) -> Tensor:
    """最初の軸に沿って並べ替えたもの。"""
    return sort(x, 0).values


@function()
def aminmax(x: Any, *, axis: int | None = None, keepdims: bool = False) -> MinMax:
    """最小値と最大値 `(min, max)`。同点は勾配を等しく分ける。"""
    return MinMax(amin(x, axis, keepdims), amax(x, axis, keepdims))


# ---- 数える、まとめる --------------------------------------------------------------------------


@function()
def count_nonzero(x: Any, axis: Any = None) -> Tensor:
    """0 でない要素の数。勾配はない。"""
    return sum((as_tensor(x).detach() != 0).long(), axis)


@function()
def nansum(x: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """nan を 0 とみなす和。"""
    return sum(_zeroed_nan(as_tensor(x)), axis, keepdims, dtype=dtype)


@function()
def nanmean(x: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """nan を除いた平均。すべて nan なら nan。"""
    t = floating(x)
    total = sum(_zeroed_nan(t), axis, keepdims, dtype=dtype)
    return total / sum((~isnan(t)).astype(total.dtype), axis, keepdims)


def _zeroed_nan(x: Tensor) -> Tensor:
    out: Tensor = on_graph.where(isnan(x), 0, x)
    return out


def _with_mean(name: str, spread: Callable[..., Tensor], summary: str) -> None:
    @function(name=name, torch={"unbiased": "correction", "ddof": "correction"}, summary=summary)
    def both(
        x: Any, axis: Any = None, correction: int = 1, keepdims: bool = False
    ) -> tuple[Tensor, Tensor]:
        return spread(x, axis, correction, keepdims), mean(x, axis, keepdims)


_with_mean("var_mean", var, "分散と平均の組。")
_with_mean("std_mean", std, "標準偏差と平均の組。")


@function()
def cov(x: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """共分散行列。行が変数、列が観測。

    Args:
        x: 形 (変数, 観測) か (観測,)。
        correction: 割る数から引く数。
        fweights: 観測ごとの回数（整数）。
        aweights: 観測ごとの重み（小数）。

    Raises:
        ValueError: 3 次元以上。
    """
    t = floating(x)
    if t.ndim > 2:
        raise ValueError(f"cov は 2 次元までです (expected at most 2-d): 形は {t.shape} です。")
    rows, n = t.reshape(1, -1) if t.ndim < 2 else t, t.shape[-1] if t.ndim else 1
    w = as_tensor(np.ones(n, t.dtype))
    for given in (fweights, aweights):
        w = w if given is None else w * as_tensor(given)
    total = w.sum()
    center = (rows * w).sum(-1, keepdims=True) / total
    freedom = total - correction
    if aweights is not None:
        freedom = total - correction * (w * as_tensor(aweights)).sum() / total
    apart = rows - center
    out = (apart * w) @ apart.T / on_graph.clip(freedom, min=0.0)
    found: Tensor = out.squeeze()  # one variable: its variance
    return found


@function()
def corrcoef(x: Any) -> Tensor:
    """相関係数の行列。行が変数、列が観測。"""
    c = cov(x)
    if not c.ndim:
        return c / c
    spread = c.diagonal().sqrt()
    out: Tensor = on_graph.clip(c / spread.unsqueeze(1) / spread, -1.0, 1.0)
    return out


@function(method=False, torch={"x1": "x", "x2": "other"}, real=True)
def cdist(x: Any, other: Any, p: float = 2.0) -> Tensor:
    """行どうしの距離 ‖xᵢ − yⱼ‖ₚ。形 (…, P, M) と (…, R, M) から (…, P, R)。"""
    a, b = floating(x), floating(other)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ValueError(
            "cdist は、最後の軸の長さが同じ 2 次元以上の Tensor を受け取ります (shape mismatch): "
            f"{a.shape} と {b.shape}。"
        )
    return norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


@function()
def dist(x: Any, other: Any, p: float = 2) -> Tensor:
    """2 つの Tensor の距離 ‖x − y‖ₚ。"""
    return norm(as_tensor(x) - as_tensor(other), p)
