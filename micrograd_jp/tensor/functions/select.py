"""選ぶ、分ける、数える: PyTorch の名前の関数を、添字と `where` から組み立てる。"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import broadcasts_to, one_axis
from micrograd_jp.tensor.dtypes import float32, held, require_connected, require_held
from micrograd_jp.tensor.functions.index import places_of, take
from micrograd_jp.tensor.functions.shape import split
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import floating


class Histogram(NamedTuple):
    """度数と、階級の境目。"""

    hist: Tensor
    bin_edges: Tensor


@function()
def index_select(x: Any, axis: int, index: Any) -> Tensor:
    """ある軸から、1 次元の番号の並びで選ぶ (PyTorch の `index_select`)。

    Raises:
        ValueError: `index` が 1 次元でない。
        IndexError: 番号が範囲の外。
    """
    places = places_of(index, "index_select")
    if places.ndim > 1:
        raise ValueError(
            f"index_select の番号は 1 次元です (expected 1-d index): 形は {places.shape} です。"
            "何次元の番号でも選べるのは mg.take(x, index, axis) です。"
        )
    t = as_tensor(x)
    row = t if t.ndim else t.reshape(1)
    chosen = take(row, places.reshape(-1), one_axis(axis, row.ndim, "index_select"))
    return chosen if t.ndim else chosen.reshape(())


@function(in_place=True)
def masked_fill(x: Any, mask: Any, value: Any) -> Tensor:
    """`mask` が真の場所を `value` に置き換えたもの。勾配は置き換えなかった場所にだけ流れる。

    Raises:
        TypeError: `mask` が真偽値でない。
        ValueError: `mask` の形が x に広げられない、または `value` が 1 つの数でない。
    """
    t, where = masked(x, mask, "masked_fill")
    if np.shape(data_of(value)) != ():
        raise ValueError(
            "masked_fill の value は 1 つの数です (expected a 0-d value): "
            "配列を入れるには mg.where(mask, 値の配列, x) と書いてください。"
        )
    if is_number(value):
        value = held(value, t.dtype)
    else:
        require_held(data_of(value), t.dtype)
        require_connected(value, t.dtype)
    filled: Tensor = on_graph.where(where, value, t)
    return filled if filled.dtype == t.dtype else filled.astype(t.dtype)


@function()
def masked_select(x: Any, mask: Any) -> Tensor:
    """`mask` が真の場所の要素を、1 次元に並べたもの。"""
    t, where = masked(x, mask, "masked_select")
    return t[where.broadcast_to(t.shape)]


def masked(x: Any, mask: Any, name: str) -> tuple[Tensor, Tensor]:
    """x と、その形に広げられる真偽値の配列。"""
    t, where = as_tensor(x), as_tensor(mask)
    if where.dtype != bool:
        raise TypeError(
            f"{name} の mask は真偽値の配列です (expected a boolean mask): {where.dtype} が"
            "渡されました。x > 0 のような比較か、mask.bool() と書いてください。"
        )
    broadcasts_to(name, where.shape, t.shape)
    return t, where


@function()
def nonzero(x: Any, as_tuple: bool = False) -> Any:
    """0 でない要素の場所。勾配はない。

    Args:
        x: 調べるもの。
        as_tuple: 真なら、軸ごとの番号の組。偽なら、形 (個数, 次元) の 1 つの `Tensor`。
    """
    t = as_tensor(x)
    places = np.nonzero(
        namespace.concrete(t.reshape(-1)._data if t.ndim == 0 else t._data, "nonzero()")
    )
    if as_tuple:
        return tuple(map(Tensor, places))
    return Tensor(np.stack(places, axis=-1)[:, : t.ndim])


@function()
def unbind(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """ある軸に沿って 1 つずつに分け、その軸を除く。"""
    t = as_tensor(x)
    a = one_axis(axis, t.ndim, "unbind")
    return tuple(t[(slice(None),) * a + (i,)] for i in range(t.shape[a]))


@function()
def chunk(x: Any, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """ある軸に沿って、ほぼ同じ長さの `chunks` 個以下に分ける（最後だけ短いことがある）。

    Raises:
        ValueError: `chunks` が正の整数でない。
    """
    t = as_tensor(x)
    if not isinstance(chunks, int) or chunks < 1:
        raise ValueError(f"chunk の個数は正の整数です (expected a positive int): {chunks!r}。")
    n = t.shape[one_axis(axis, t.ndim, "chunk")]
    if n == 0:
        return split(t, [0] * chunks, axis)
    return split(t, -(-n // chunks), axis)


@function(method=False)
def one_hot(x: Any, num_classes: int = -1) -> Tensor:
    """番号を、その場所だけ 1 のベクトルにする (one-hot)。最後に軸が 1 つ増え、型は int64。

    Args:
        x: 0 以上の整数の配列。
        num_classes: 長さ。−1 なら、最大の番号 + 1。

    Raises:
        TypeError: 整数でない。
        ValueError: 負の番号や、`num_classes` 以上の番号がある。
    """
    places = namespace.concrete(places_of(x, "one_hot"), "one_hot()")
    low, high = (int(places.min()), int(places.max())) if places.size else (0, -1)
    n = high + 1 if num_classes == -1 else num_classes
    if low < 0 or high >= n or (num_classes == -1 and not places.size):
        raise ValueError(
            f"one_hot の番号は 0 から {n - 1} までです (class out of range): "
            f"{low} から {high} までの番号が渡されました。num_classes を確かめてください。"
        )
    return Tensor((places[..., None] == np.arange(n)).astype(np.int64))


@function()
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """0, 1, 2, … がそれぞれ何個あるか（`weights` があればその和）。勾配はない。

    Raises:
        TypeError: 整数でない。
        ValueError: 1 次元でない、負の整数がある、`weights` の長さが違う。
    """
    places = namespace.concrete(places_of(x, "bincount"), "bincount()")
    weights = None if weights is None else as_tensor(weights).detach().numpy()
    if places.ndim != 1 or (places < 0).any() or np.shape(weights) not in ((), places.shape):
        raise ValueError(
            "bincount は 0 以上の整数の 1 次元の並びと、同じ長さの weights を受け取ります "
            f"(invalid input): 形は {places.shape} と {np.shape(weights)} です。"
        )
    counts = np.bincount(places, weights, minlength)
    return Tensor(counts.astype(float32) if getattr(weights, "dtype", 0) == float32 else counts)


@function(real=True)
def histogram(
    x: Any, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """ヒストグラム: 階級ごとの度数と、階級の境目 `(hist, bin_edges)`。勾配はない。

    Args:
        x: 何次元でもよい。
        bins: 階級の数か、境目を小さい順に並べたもの。
        range: 両端 (低, 高)。なければ x の最小値と最大値。その外は数えない。
        weight: 要素ごとの重み（x と同じ形）。
        density: 真なら、面積の合計が 1 になるように割る（確率密度）。

    Raises:
        ValueError: 階級が 1 つもない、境目が小さい順でない、両端や重みの形が合わない、nan や inf。
    """
    numbers = namespace.concrete(floating(x)._data, "histogram()")
    edges = bins if bins.__class__ is int else as_tensor(bins).detach().numpy()
    heights = None if weight is None else as_tensor(weight).detach().numpy()
    try:
        with quiet.silence():  # a density of nothing is 0/0
            hist, edges = np.histogram(numbers, edges, range, density, heights)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"histogram の引数が使えません (invalid argument): {error}。bins は 1 以上の整数か、"
            "小さい順の境目、range は (低, 高)、weight は x と同じ形です。"
        ) from None
    return Histogram(*(Tensor(a.astype(numbers.dtype)) for a in (hist, edges)))
