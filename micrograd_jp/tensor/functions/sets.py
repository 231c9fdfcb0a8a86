"""重なりと順番を調べる関数 (PyTorch の名前): unique、searchsorted、histc、…。勾配はない。

数えるのは NumPy である。結果の長さが値で決まるものは、`mg.jit` の中では使えない。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import one_axis
from micrograd_jp.tensor.dtypes import int32, int64
from micrograd_jp.tensor.functions.select import histogram
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import floating


def _one_or_several(found: list[Any]) -> Any:
    tensors = [Tensor(np.asarray(x)) for x in found]
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


@function(real=True)
def unique(
    x: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None,
) -> Any:  # fmt: skip
    """重なりを除いた値（小さい順）。

    Args:
        x: 何次元でもよい。
        sorted: いつも小さい順にする（偽でも）。
        return_inverse: 真なら、もとの要素がその何番目かも返す。
        return_counts: 真なら、それぞれの個数も返す。
        axis: あれば、その軸に沿った切り口を 1 つとみなす。

    Returns:
        値、または (値, 番号, 個数) のうち求めたものの組。
    """
    numbers = namespace.concrete(as_tensor(x)._data, "unique()")
    a = None if axis is None else one_axis(axis, numbers.ndim, "unique")
    values, inverse, counts = np.unique(
        numbers, return_inverse=True, return_counts=True, axis=a, equal_nan=False
    )
    inverse = inverse.reshape(numbers.shape if a is None else -1)
    wanted = [(values, True), (inverse, return_inverse), (counts, return_counts)]
    return _one_or_several([part for part, is_wanted in wanted if is_wanted])


@function(real=True)
def unique_consecutive(
    x: Any, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None
) -> Any:
    """続いている同じ値を、1 つにまとめる。約束は `unique` と同じ。"""
    t = namespace.concrete(as_tensor(x)._data, "unique_consecutive()")
    a = None if axis is None else one_axis(axis, t.ndim, "unique_consecutive")
    rows = t.reshape(-1) if a is None else np.moveaxis(t, a, 0)
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[1:] != rows[:-1]).any(tuple(range(1, rows.ndim)))
    starts = np.flatnonzero(new)
    values = rows[new] if a is None else np.moveaxis(rows[new], 0, a)
    inverse = (np.cumsum(new) - 1).reshape(t.shape if a is None else -1)
    counts = np.diff(np.append(starts, len(rows)))
    wanted = [(values, True), (inverse, return_inverse), (counts, return_counts)]
    return _one_or_several([part for part, is_wanted in wanted if is_wanted])


@function(method=False, torch={"input": "values"}, real=True)
def searchsorted(
    sorted_sequence: Any, values: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Any = None,
) -> Tensor:  # fmt: skip
    """小さい順の並びの、どこに入れれば順が保たれるか。

    Args:
        sorted_sequence: 最後の軸が小さい順のもの。1 次元か、`values` と最後の軸のほかが同じ形。
        values: 入れる値。
        out_int32: 真なら int32 の番号。
        right: 真なら、等しい値の後。
        side: "left" か "right"。`right` と同じことを言う。
        sorter: 並べ替える番号（`sorted_sequence` が並んでいないとき）。

    Raises:
        ValueError: 形が合わない、または知らない `side`。
    """
    rows, x = as_tensor(sorted_sequence).detach(), as_tensor(values).detach()
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ValueError(
            "searchsorted の side は 'left' か 'right' です (invalid side): "
            f"{side!r}、right={right}。"
        )
    if rows.ndim != 1 and rows.shape[:-1] != x.shape[:-1]:
        raise ValueError(
            "searchsorted の形が合いません (shape mismatch): 並びは 1 次元か、最後の軸のほかが値と"
            f"同じ形です。{rows.shape} と {x.shape} が渡されました。"
        )
    if sorter is not None:
        rows = rows.gather(-1, as_tensor(sorter))
    if rows.ndim == 1:
        m = namespace.of(rows._data, x._data)
        how = "right" if right or side == "right" else "left"
        found = as_tensor(m.searchsorted(rows._data, x._data, side=how))
    else:
        row, one = rows.unsqueeze(-2), x.unsqueeze(-1)
        before = row <= one if right or side == "right" else row < one
        found = (before | (one != one)).long().sum(-1)  # nan goes last
    return found.astype(int32 if out_int32 else int64)


@function(method=False, real=True)
def bucketize(x: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """小さい順の境目で区切った、何番目の区間に入るか。"""
    return searchsorted(boundaries, x, out_int32=out_int32, right=right)


@function()
def histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """度数。両端が等しければ、x の最小値と最大値を使う。その外は数えない。"""
    t = floating(x).detach()
    low, high = (min, max) if min != max or not t.numel() else (t.amin().item(), t.amax().item())
    low, high = (low - 1, high + 1) if low == high else (low, high)
    return histogram(t, bins, range=(low, high)).hist


@function(method=False)
def unravel_index(x: Any, shape: Any) -> tuple[Tensor, ...]:
    """平らに並べた番号を、軸ごとの番号の組にする。"""
    places = namespace.concrete(data_of(as_tensor(x)), "unravel_index()")
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        return tuple(map(Tensor, np.unravel_index(places, size)))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"unravel_index できません (invalid index): 形 {size} に {x!r} ({error})。"
        ) from None
