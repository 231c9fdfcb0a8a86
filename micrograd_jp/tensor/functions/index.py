"""添字で選ぶ関数、足し込む関数、並べ替える関数。

どれも 2 つの基本演算 `getitem`（選ぶ）と `scattered`（足し込む）からできていて、
2 つは互いの勾配である。
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import data_of
from micrograd_jp.ops import arrays as ops
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, integer, one_axis
from micrograd_jp.tensor.keys import keys_of, numbers_first
from micrograd_jp.tensor.registry import RULES, function
from micrograd_jp.tensor.run import indexed, run, vectorized


class Sorted(NamedTuple):
    """並べ替えた値と、もとの場所。"""

    values: Tensor
    indices: Tensor


@function(method=False)
def getitem(x: Any, key: Any) -> Tensor:
    """添字で選ぶ: `x[key]`。"""
    t, keys = as_tensor(x), keys_of(key)
    if len(keys) > 2 and (parts := numbers_first(keys)):
        t, keys = indexed(ops.getitem, t, parts[0]), parts[1]
    return indexed(ops.getitem, t, keys)


@function(method=False)
def scattered(g: Any, key: Any, shape: Any) -> Tensor:
    """形 `shape` の 0 の配列の、添字 `key` の場所に g を足し込む。同じ場所には何度でも足す。"""
    return indexed(ops.scattered, as_tensor(g), key, shape=tuple(shape))


def zeroed(x: Any, key: Any) -> Tensor:
    """添字 `key` の場所を 0 にした、x の写し。"""
    return indexed(ops.zeroed, as_tensor(x), key)


RULES["zeroed"] = zeroed


@function()
def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """ある軸に沿って、番号で選ぶ。`axis` がなければ、平らに並べて選ぶ。"""
    t, places = as_tensor(x), places_of(indices, "take")
    if axis is None:
        return t.reshape(-1)[places]
    return t[(slice(None),) * one_axis(axis, t.ndim, "take") + (places,)]


@function()
def repeat_interleave(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """要素を 1 つずつ繰り返す (PyTorch の名前。NumPy の `repeat`)。"""
    return _repeated("repeat_interleave", x, repeats, axis)


@function(method=False)
def repeat(x: Any, repeats: Any, *, axis: int | None = None) -> Tensor:
    """要素を 1 つずつ繰り返す (NumPy の名前)。メソッド `t.repeat` は PyTorch のもので、`tile`。"""
    return _repeated("repeat", x, repeats, axis)


def _repeated(name: str, x: Any, repeats: Any, axis: int | None) -> Tensor:
    x = as_tensor(x)
    x, a = (x.reshape(-1), 0) if axis is None else (x, one_axis(axis, x.ndim, name))
    times = repeats
    if namespace.is_array(data_of(repeats)):
        times = namespace.concrete(data_of(repeats), f"回数が配列の {name}()")
    try:
        places = np.repeat(np.arange(x.shape[a]), times)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} の回数は 0 以上の整数か、軸の長さ {x.shape[a]} と同じ数の並びです "
            f"(invalid repeats): {repeats!r} が渡されました。"
        ) from None
    return take(x, places, a)


@function()
def gather(x: Any, axis: int, index: Any) -> Tensor:
    """ある軸の番号を、場所ごとに選ぶ: 2 次元で axis=1 なら `out[i, j] = x[i, index[i, j]]`。

    Args:
        x: 選ばれるもの。
        axis: 番号が指す軸。
        index: x と同じ次元の整数の配列。ほかの軸では x より長くない。

    Raises:
        ValueError: `index` の形が合わない。
        IndexError: 番号が範囲の外。
    """
    t, places = as_tensor(x), places_of(index, "gather")
    if of_length_1(t, places):
        return gather(t.reshape(-1), axis, places.reshape(-1)).reshape(places.shape)
    a = one_axis(axis, t.ndim, "gather")
    require_within("gather", places.shape, t.shape, a)
    return t[along_axis(places, a)]


@function(in_place=True, torch={"src": "source"})
def scatter_add(x: Any, axis: int, index: Any, source: Any) -> Tensor:
    """`gather` の逆: 2 次元で axis=1 なら、x の写しの `[i, index[i, j]]` に `source[i, j]` を足す。

    Raises:
        ValueError: `index` か `source` の形が合わない。
        IndexError: 番号が範囲の外。
    """
    t, added, places = as_tensor(x), as_tensor(source), places_of(index, "scatter_add")
    if of_length_1(t, places, added):
        added, places = added.reshape(-1), places.reshape(-1)
        return scatter_add(t.reshape(-1), axis, places, added).reshape(t.shape)
    a = one_axis(axis, t.ndim, "scatter_add")
    require_within("scatter_add", places.shape, t.shape, a)
    require_within("scatter_add (source)", places.shape, added.shape, -1)
    part = added[tuple(slice(0, n) for n in places.shape)]
    return t + scattered(part, along_axis(places, a), t.shape)


@function(in_place=True)
def index_add(x: Any, axis: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor:
    """x の写しの、軸 `axis` の番号 `index[i]` のところに、`source` の i 番目を足す。

    Raises:
        ValueError: `source` の形が合わない。
        IndexError: 番号が範囲の外。
    """
    t, added, places = as_tensor(x), as_tensor(source), places_of(index, "index_add")
    if of_length_1(t, places, added):
        added, places = added.reshape(-1), places.reshape(-1)
        return index_add(t.reshape(1), axis, places, added, alpha=alpha).reshape(())
    a = one_axis(axis, t.ndim, "index_add")
    wanted = (*t.shape[:a], *places.shape, *t.shape[a + 1 :])
    if places.ndim != 1 or added.shape != wanted:
        raise ValueError(
            "index_add の形が合いません (shape mismatch): "
            f"index は 1 次元、source は {wanted} です。"
            f"{tuple(places.shape)} と {added.shape} が渡されました。"
        )
    added = added if alpha == 1 else added * alpha
    return t + scattered(added, (slice(None),) * a + (places,), t.shape)


def places_of(index: Any, name: str) -> Any:
    """An array of whole numbers."""
    places = index._data if isinstance(index, Tensor) else index
    if not namespace.is_array(places):
        places = np.array(places) if np.size(places) else np.zeros(np.shape(places), dtype=int)
    if places.dtype.kind not in "iu":
        raise TypeError(
            f"{name} の番号は整数です (expected integer indices): {places.dtype} が渡されました。"
        )
    return places


def along_axis(index: Any, axis: int) -> tuple[Any, ...]:
    """The key that takes `index` along the axis and every other axis as it is."""
    grid = np.ogrid[tuple(slice(0, n) for n in index.shape)]
    return (*grid[:axis], index, *grid[axis + 1 :])


def of_length_1(x: Any, *others: Any) -> bool:
    """0 次元のものがあり、それを長さ 1 のベクトルとみなすか (PyTorch と同じ)。"""
    dims = (x.ndim, *(y.ndim for y in others))
    return 0 in dims and max(dims) < 2


def require_within(name: str, part: Shape, whole: Shape, axis: int) -> None:
    """番号の形が、指す軸のほかでは、もとの形より長くないことを確かめる。"""
    fits = len(part) == len(whole) and all(
        p <= w for i, (p, w) in enumerate(zip(part, whole)) if i != axis
    )
    if not fits:
        raise ValueError(
            f"{name} の index の形 {tuple(part)} は {whole} に合いません (shape mismatch): "
            "同じ次元で、番号が指す軸のほかは長くない形にしてください。"
        )


# ---- 三角と対角 -------------------------------------------------------------------------------


@function(in_place=True, torch={"diagonal": "k"})
def tril(x: Any, k: int = 0) -> Tensor:
    """下三角（最後の 2 つの軸）。"""
    return run(ops.tril, _matrix(x, "tril"), k=integer(k, "tril"))


@function(in_place=True, torch={"diagonal": "k"})
def triu(x: Any, k: int = 0) -> Tensor:
    """上三角（最後の 2 つの軸）。"""
    return run(ops.triu, _matrix(x, "triu"), k=integer(k, "triu"))


@function()
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """対角成分。最後の軸に並ぶ。"""
    t = _matrix(x, "diagonal").movedim((axis1, axis2), (-2, -1))
    offset = integer(offset, "diagonal")
    rows, columns = t.shape[-2:]
    i = np.arange(max(0, min(rows + min(offset, 0), columns - max(offset, 0))))
    out = indexed(ops.diagonal, t, (..., i - min(offset, 0), i + max(offset, 0)))
    if t._data.__class__ is np.ndarray:  # the same numbers, where they lie
        square = t._data[..., -min(offset, 0) :, max(offset, 0) :][..., : len(i), : len(i)]
        out._data = np.einsum("...ii->...i", square)
    return out


@function()
def trace(x: Any) -> Tensor:
    """対角成分の和 (trace)。"""
    return diagonal(x).sum(-1)


def _matrix(x: Any, name: str) -> Tensor:
    t = as_tensor(x)
    if t.ndim < 2:
        raise ValueError(
            f"{name} は 2 次元以上の Tensor に使います (expected a matrix): 形は {t.shape} です。"
        )
    return t


# ---- 並べ替え ---------------------------------------------------------------------------------


@function(real=True)
@vectorized
def argsort(
    x: Any, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:  # fmt: skip
    """小さい順（`descending` なら大きい順）に並べる番号。同点はいつももとの順。勾配はない。"""
    a = one_axis(axis, x.ndim, "argsort")
    m = namespace.of(x._data)
    if not descending:
        return Tensor(m.argsort(x._data, axis=a, stable=True))
    # Ascending and turned over, and the ties turned over twice.
    backwards = m.argsort(m.flip(x._data, axis=a), axis=a, stable=True)
    return Tensor(x.shape[a] - 1 - m.flip(backwards, axis=a))


@function(real=True)
@vectorized
def sort(x: Any, axis: int = -1, descending: bool = False, *, stable: bool = True) -> Sorted:
    """並べ替えた `(values, indices)`。同点はいつももとの順。勾配はもとの場所に戻る。"""
    a = one_axis(axis, x.ndim, "sort")
    order = argsort(x, a, descending)
    return Sorted(gather(x, a, order), order)


@function(real=True)
@vectorized
def topk(x: Any, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """大きい方（`largest=False` なら小さい方）から k 個の `(values, indices)`。いつも順に並ぶ。

    Raises:
        ValueError: k が軸の長さより大きい。
    """
    a = one_axis(axis, x.ndim, "topk")
    if not 0 <= k <= x.shape[a]:
        raise ValueError(f"topk の k は 0 から {x.shape[a]} までです (k out of range): {k}。")
    order = argsort(x, a, largest)[(slice(None),) * a + (slice(0, k),)]
    return Sorted(gather(x, a, order), order)
