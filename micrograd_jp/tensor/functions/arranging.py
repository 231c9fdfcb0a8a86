"""並べ、つなぎ、切り分ける関数 (PyTorch の名前): hstack、meshgrid、diag、rot90、narrow、unfold、…。

`shape.py` と `index.py` の関数から組み立てる。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations as chosen_from
from itertools import combinations_with_replacement
from math import prod
from typing import Any

import numpy as np

from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, broadcastable, integer, one_axis, shape_of
from micrograd_jp.tensor.dtypes import get_default_dtype, int64
from micrograd_jp.tensor.functions.index import diagonal, gather, places_of, scattered, take
from micrograd_jp.tensor.functions.select import nonzero
from micrograd_jp.tensor.functions.shape import (
    broadcast_tensors,
    concatenate,
    flip,
    movedim,
    pad,
    reshape,
    split,
    stack,
    swapaxes,
    unsqueeze,
)
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import vectorized

# ---- つなぐ ------------------------------------------------------------------------------------


def _at_least(name: str, n: int) -> Callable[..., Any]:
    def deepened(x: Any) -> Tensor:
        t = as_tensor(x)
        if n == 3 and t.ndim == 2:
            return unsqueeze(t, 2)
        if n == 3 and t.ndim == 1:
            return reshape(t, 1, -1, 1)
        return t if t.ndim >= n else reshape(t, (1,) * (n - t.ndim) + t.shape)

    def several(*tensors: Any) -> Any:
        xs = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else tensors
        found = tuple(map(deepened, xs))
        return found if xs is not tensors or len(found) != 1 else found[0]

    summary = f"{n} 次元以上にする。足りない軸は長さ 1。いくつも渡せば組になる。"
    return function(method=False, name=name, summary=summary)(several)


atleast_1d = _at_least("atleast_1d", 1)
atleast_2d = _at_least("atleast_2d", 2)
atleast_3d = _at_least("atleast_3d", 3)


def _stacking(name: str, deepened: Callable[..., Any], axis: Callable[[Any], int], to: str) -> None:
    @function(method=False, torch={"tensors": "xs"}, name=name, summary=f"{to}につなぐ。")
    def stacked(xs: Sequence[Any]) -> Tensor:
        tensors = deepened(list(xs))
        return concatenate(tensors, axis(tensors))


_stacking("hstack", atleast_1d, lambda xs: int(all(x.ndim > 1 for x in xs)), "横 (2 つ目の軸) ")
_stacking("vstack", atleast_2d, lambda xs: 0, "縦 (最初の軸) ")
_stacking("dstack", atleast_3d, lambda xs: 2, "奥 (3 つ目の軸) ")


def _as_columns(xs: list[Any]) -> list[Tensor]:
    tensors = list(map(as_tensor, xs))
    return [x.reshape(-1, 1) if x.ndim < 2 else x for x in tensors]


_stacking("column_stack", _as_columns, lambda xs: 1, "1 次元のものを列にして、横 ")


@function(method=False)
def block_diag(*tensors: Any) -> Tensor:
    """行列を、対角に並べた 1 つの行列にする。"""
    blocks = atleast_2d(list(tensors) if tensors else [np.zeros((1, 0), get_default_dtype())])
    width, at, rows = sum(b.shape[1] for b in blocks), 0, []
    for b in blocks:
        rows.append(pad(b, ((0, 0), (at, width - at - b.shape[1]))))
        at += b.shape[1]
    return concatenate(rows, 0)


# ---- 格子と組み合わせ --------------------------------------------------------------------------


@function(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """1 次元の座標から、格子の座標の配列の組を作る。

    Args:
        *tensors: 1 次元の Tensor。リストにして 1 つで渡してもよい。
        indexing: "ij" なら i 番目の軸が i 番目の Tensor に沿い、"xy" なら最初の 2 つの軸が
            入れ替わる。

    Raises:
        ValueError: 1 次元でない、または知らない `indexing`。
    """
    xs = _listed(tensors)
    if indexing not in ("ij", "xy") or any(x.ndim > 1 for x in xs):
        raise ValueError(
            "meshgrid は 1 次元の Tensor と、indexing='ij' か 'xy' を受け取ります "
            f"(expected 1-d tensors): 形 {[x.shape for x in xs]}、indexing={indexing!r}。"
        )
    turned = indexing == "xy" and len(xs) > 1
    xs = [xs[1], xs[0], *xs[2:]] if turned else xs
    grids = broadcast_tensors(
        *[x.reshape((1,) * i + (-1,) + (1,) * (len(xs) - i - 1)) for i, x in enumerate(xs)]
    )
    return (grids[1], grids[0], *grids[2:]) if turned else grids


def _listed(tensors: tuple[Any, ...]) -> list[Tensor]:
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else tensors
    return [as_tensor(x) for x in given]


@function(method=False)
def cartesian_prod(*tensors: Any) -> Tensor:
    """すべての組 (直積)。1 行が 1 組。"""
    xs = _listed(tensors)
    if len(xs) == 1:
        return xs[0]
    return stack([g.reshape(-1) for g in meshgrid(*xs)], 1)


@function(method=False)
def combinations(x: Any, r: int = 2, with_replacement: bool = False) -> Tensor:
    """1 次元の要素から r 個を選ぶ組み合わせ。1 行が 1 組。"""
    t, ways = as_tensor(x), combinations_with_replacement if with_replacement else chosen_from
    places = np.array(list(ways(range(t.numel()), integer(r, "combinations"))), dtype=int)
    return t[places.reshape(-1, r)]


@function(method=False)
def broadcast_shapes(*shapes: Any) -> Shape:
    """いくつもの形を、ブロードキャストした形。

    Raises:
        ValueError: ブロードキャストできない。
    """
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    if not broadcastable(*given):
        raise ValueError(
            f"形 {'、'.join(map(str, given))} は揃いません (shapes do not broadcast)。"
            "右から揃えて、同じ長さか 1 になるようにしてください。"
        )
    return tuple(np.broadcast_shapes(*given))


# ---- 対角と三角 --------------------------------------------------------------------------------


@function(torch={"dim1": "axis1", "dim2": "axis2"})
def diag_embed(x: Any, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """最後の軸を対角に並べた行列（残りは 0）。`diagonal` の逆。"""
    t, shift = as_tensor(x), integer(offset, "diag_embed")
    t = t if t.ndim else t.reshape(1)
    a, b = (one_axis(axis, t.ndim + 1, "diag_embed") for axis in (axis1, axis2))
    i = np.arange(t.shape[-1])
    key = (..., i + max(-shift, 0), i + max(shift, 0))
    n = t.shape[-1] + abs(shift)
    return movedim(scattered(t, key, (*t.shape[:-1], n, n)), (-2, -1), (a, b))


@function()
def diag(x: Any, diagonal: int = 0) -> Tensor:
    """1 次元からは対角行列、行列からは対角成分。

    Raises:
        ValueError: 1 次元でも 2 次元でもない。
    """
    t = as_tensor(x)
    if t.ndim not in (1, 2):
        raise ValueError(
            f"diag は 1 次元か 2 次元の Tensor に使います (expected 1-d or 2-d): 形は {t.shape}。"
            "まとめた行列には diagonal(dim1=-2, dim2=-1) か diag_embed を使ってください。"
        )
    return diag_embed(t, diagonal) if t.ndim == 1 else _diagonal(t, diagonal).clone()


_diagonal = diagonal


@function()
def diagflat(x: Any, offset: int = 0) -> Tensor:
    """平らに並べてから対角行列にする。"""
    return diag_embed(as_tensor(x).reshape(-1), offset)


def _triangle(name: str, numbers: Callable[..., Any], side: str) -> None:
    @function(method=False, name=name, summary=f"{side}三角の場所の番号、形 (2, 個数)。")
    def indices(
        row: int, col: int, offset: int = 0, *, dtype: Any = int64, device: Any = None
    ) -> Tensor:
        places = np.stack(
            numbers(*shape_of((row,), name), integer(offset, name), integer(col, name))
        )
        return Tensor(places.astype(int64)).to(dtype=dtype, device=device)


_triangle("tril_indices", np.tril_indices, "下")
_triangle("triu_indices", np.triu_indices, "上")


@function(method=False)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """ヴァンデルモンド行列: 列が x のべき乗。"""
    t = as_tensor(x)
    powers = np.arange(t.shape[-1] if N is None else integer(N, "vander"))
    return t.unsqueeze(-1) ** as_tensor(powers if increasing else powers[::-1].copy())


# ---- 回す、裏返す ------------------------------------------------------------------------------


@function()
def fliplr(x: Any) -> Tensor:
    """左右 (2 つ目の軸) を逆順にする。"""
    return flip(x, 1)


@function()
def flipud(x: Any) -> Tensor:
    """上下 (最初の軸) を逆順にする。"""
    return flip(x, 0)


@function()
def rot90(x: Any, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """90 度を k 回、`dims` の最初の軸から次の軸へ回す。"""
    t = as_tensor(x)
    a, b = (one_axis(axis, t.ndim, "rot90") for axis in dims)
    turns = integer(k, "rot90") % 4
    if turns == 2:
        return flip(t, (a, b))
    if not turns:
        return t.clone()
    return swapaxes(flip(t, b), a, b) if turns == 1 else flip(swapaxes(t, a, b), b)


@function()
def adjoint(x: Any) -> Tensor:
    """最後の 2 つの軸を入れ替えたもの（実数では転置）。"""
    return swapaxes(x, -1, -2)


def _itself(name: str) -> None:
    summary = "自分を返す（複素数の Tensor はなく、どれも実数である）。"

    @function(method=name != "real", name=name, summary=summary)
    def itself(x: Any) -> Tensor:
        return as_tensor(x)


for _name in ("conj", "real", "positive", "conj_physical", "resolve_conj", "resolve_neg"):
    _itself(_name)


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


@function()
def select_scatter(x: Any, source: Any, axis: int, index: int) -> Tensor:
    """`select(x, axis, index)` のところを `source` にした、x の写し。"""
    a = one_axis(axis, as_tensor(x).ndim, "select_scatter")
    return _with(x, (slice(None),) * a + (integer(index, "select_scatter"),), source)


@function()
def slice_scatter(
    x: Any, source: Any, axis: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """ある軸の `start:end:step` のところを `source` にした、x の写し。"""
    a = one_axis(axis, as_tensor(x).ndim, "slice_scatter")
    return _with(x, (slice(None),) * a + (slice(start, end, step),), source)


@function()
def kron(x: Any, other: Any) -> Tensor:
    """クロネッカー積 (Kronecker product)。"""
    a, b = as_tensor(x), as_tensor(other)
    n = max(a.ndim, b.ndim)
    left, right = ((1,) * (n - t.ndim) + t.shape for t in (a, b))
    first = a.reshape([k for m in left for k in (m, 1)])
    second = b.reshape([k for m in right for k in (1, m)])
    return (first * second).reshape([i * j for i, j in zip(left, right, strict=True)])
