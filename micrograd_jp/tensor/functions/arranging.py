"""並べ、つなぎ、回す関数 (PyTorch の名前): hstack、meshgrid、diag、rot90、kron、…。

`shape.py` と `index.py` の関数から組み立てる。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations as chosen_from
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, broadcastable, integer, one_axis, shape_of
from micrograd_jp.tensor.dtypes import get_default_dtype, int64
from micrograd_jp.tensor.functions.complexes import conj
from micrograd_jp.tensor.functions.index import diagonal, scattered
from micrograd_jp.tensor.functions.shape import (
    broadcast_tensors,
    concatenate,
    flip,
    movedim,
    pad,
    reshape,
    stack,
    swapaxes,
    unsqueeze,
)
from micrograd_jp.tensor.registry import function

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
    @function(method=False, name=name, summary=f"{to}につなぐ。")
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


@function()
def kron(x: Any, other: Any) -> Tensor:
    """クロネッカー積 (Kronecker product)。"""
    a, b = as_tensor(x), as_tensor(other)
    n = max(a.ndim, b.ndim)
    left, right = ((1,) * (n - t.ndim) + t.shape for t in (a, b))
    first = a.reshape([k for m in left for k in (m, 1)])
    second = b.reshape([k for m in right for k in (1, m)])
    return (first * second).reshape([i * j for i, j in zip(left, right, strict=True)])


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


@function()
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
    """最後の 2 つの軸を入れ替え、複素数なら共役を取ったもの (conjugate transpose)。"""
    return conj(swapaxes(x, -1, -2))


def _itself(name: str) -> None:
    @function(name=name, summary="自分を返す（遅れて計算されるものは、ここにはない）。")
    def itself(x: Any) -> Tensor:
        return as_tensor(x)


for _name in ("positive", "resolve_conj", "resolve_neg"):
    _itself(_name)
