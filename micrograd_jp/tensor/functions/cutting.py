"""切り出し、切り分ける関数 (PyTorch の名前): narrow、select、unfold、slice_scatter、…。

`shape.py` と `index.py` の関数から組み立てる。
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import broadcastable, integer, one_axis
from micrograd_jp.tensor.functions.index import gather, places_of, take
from micrograd_jp.tensor.functions.select import nonzero
from micrograd_jp.tensor.functions.shape import movedim, reshape, split
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import vectorized

# ---- 切り出す ----------------------------------------------------------------------------------


@function()
@vectorized
def narrow(x: Any, axis: int, start: int, length: int) -> Tensor:
    """ある軸の、`start` から `length` 個。もとのビュー。

    Raises:
        IndexError: 軸の外に出る。
    """
    a = one_axis(axis, x.ndim, "narrow")
    first, n = integer(start, "narrow"), x.shape[a]
    first = first + n if first < 0 else first
    if not 0 <= first <= first + length <= n:
        raise IndexError(
            f"narrow の範囲が軸の外に出ます (out of range): 長さ {n} の軸の {start} から "
            f"{length} 個。"
        )
    return _at(x, a, slice(first, first + length))


def _at(x: Tensor, axis: int, key: Any) -> Tensor:
    return x[(slice(None),) * axis + (key,)]


@function()
def select(x: Any, axis: int, index: int) -> Tensor:
    """ある軸の、1 つの番号。その軸はなくなる。もとのビュー。"""
    t = as_tensor(x)
    return _at(t, one_axis(axis, t.ndim, "select"), integer(index, "select"))


@function()
def tensor_split(x: Any, indices_or_sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """ある軸に沿って、できるだけ等しい個数か、番号の並びの前で切り分ける。"""
    t = as_tensor(x)
    a = one_axis(axis, t.ndim, "tensor_split")
    given, n = data_of(indices_or_sections), t.shape[a]
    if np.ndim(given):
        ends = [min(max(int(i) + n if i < 0 else int(i), 0), n) for i in given]
        starts = [0, *ends]
        return tuple(
            _at(t, a, slice(i, max(j, i))) for i, j in zip(starts, [*ends, n], strict=True)
        )
    k = integer(given, "tensor_split")
    if k < 1:
        raise ValueError(f"tensor_split の個数は正の整数です (expected a positive int): {k}。")
    return split(t, [n // k + (i < n % k) for i in range(k)], a)


def _splitting(name: str, axis: Callable[[Tensor], int], least: int) -> None:
    @function(name=name, summary=f"{name[0]} の向きに `tensor_split` する。")
    def cut(x: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
        t = as_tensor(x)
        if t.ndim < least:
            raise ValueError(
                f"{name} は {least} 次元以上の Tensor に使います (too few dimensions): "
                f"形は {t.shape} です。"
            )
        return tensor_split(t, indices_or_sections, axis(t))


_splitting("hsplit", lambda t: int(t.ndim > 1), 1)
_splitting("vsplit", lambda t: 0, 2)
_splitting("dsplit", lambda t: 2, 3)


@function(torch={"sizes": "shape"})
def unflatten(x: Any, axis: int, shape: Any) -> Tensor:
    """1 つの軸を、いくつかの軸に分ける。`flatten` の逆。1 つだけ −1 にできる。"""
    t = as_tensor(x)
    a = one_axis(axis, t.ndim, "unflatten")
    known, n = prod(s for s in shape if s != -1), t.shape[a]
    filled = tuple(n // known if s == -1 and known else s for s in shape)
    if prod(filled) != n:
        raise ValueError(
            f"unflatten できません (sizes do not multiply up): 長さ {n} の軸は {tuple(shape)} に"
            "なりません。かけて軸の長さになる形を渡してください。"
        )
    return reshape(t, (*t.shape[:a], *filled, *t.shape[a + 1 :]))


@function(package=False, torch={"dimension": "axis"})
def unfold(x: Any, axis: int, size: int, step: int) -> Tensor:
    """ある軸の上を、長さ `size` の窓を `step` ずつ動かす。窓の中は最後の軸に並ぶ。写しである。

    Raises:
        ValueError: 窓が軸より長い、または `step` が正でない。
    """
    x = as_tensor(x)
    if not x.ndim:
        return unfold(x.reshape(1), axis, size, step)[0]
    a = one_axis(axis, x.ndim, "unfold")
    if not 0 <= size <= x.shape[a] or step < 1:
        raise ValueError(
            f"unfold の窓が軸に入りません (size out of range): 長さ {x.shape[a]} の軸に、"
            f"長さ {size} の窓を {step} ずつ。"
        )
    starts = np.arange(0, x.shape[a] - size + 1, step)
    return movedim(take(x, starts[:, None] + np.arange(size), a), a + 1, -1)


@function()
def argwhere(x: Any) -> Tensor:
    """0 でない要素の場所、形 (個数, 次元)。勾配はない。"""
    out: Tensor = nonzero(x)
    return out


@function()
def take_along_dim(x: Any, indices: Any, dim: int | None = None) -> Tensor:
    """`gather` の、ほかの軸をブロードキャストするもの。`dim` がなければ、平らに並べて選ぶ。"""
    t, places = as_tensor(x), as_tensor(places_of(indices, "take_along_dim"))
    if dim is None:
        return gather(t.reshape(-1), 0, places.reshape(-1))
    a = one_axis(dim, t.ndim, "take_along_dim")
    rest = (
        [n for i, n in enumerate(t.shape) if i != a],
        [n for i, n in enumerate(places.shape) if i != a],
    )
    if t.ndim != places.ndim or not broadcastable(*map(tuple, rest)):
        raise ValueError(
            f"take_along_dim の形が合いません (shape mismatch): {t.shape} と {places.shape}。"
            "同じ次元で、番号が指す軸のほかはブロードキャストできる形にしてください。"
        )
    common = list(np.broadcast_shapes(*map(tuple, rest)))
    wide, tall = ([*common[:a], x.shape[a], *common[a:]] for x in (t, places))
    return gather(t.broadcast_to(wide), a, places.broadcast_to(tall))


# ---- 一部を入れ替えた写し ----------------------------------------------------------------------


def _with(x: Any, key: Any, source: Any) -> Tensor:
    t: Tensor = as_tensor(x).clone()
    t[key] = source
    return t


@function(torch={"src": "source"})
def select_scatter(x: Any, source: Any, axis: int, index: int) -> Tensor:
    """`select(x, axis, index)` のところを `source` にした、x の写し。"""
    a = one_axis(axis, as_tensor(x).ndim, "select_scatter")
    return _with(x, (slice(None),) * a + (integer(index, "select_scatter"),), source)


@function(torch={"src": "source"})
def slice_scatter(
    x: Any, source: Any, axis: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """ある軸の `start:end:step` のところを `source` にした、x の写し。"""
    a = one_axis(axis, as_tensor(x).ndim, "slice_scatter")
    return _with(x, (slice(None),) * a + (slice(start, end, step),), source)
