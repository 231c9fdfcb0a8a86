"""クラスの軸: 1 次元のロジット (C,) では軸 0、それ以上 (N, C, …) では軸 1 (PyTorch と同じ)。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.nn.losses import targets
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import single


def with_classes(logits: Any, name: str) -> tuple[Tensor, int]:
    """ロジットの `Tensor` と、そのクラスの軸。

    Raises:
        ValueError: クラスの軸がないか、長さ 0。
    """
    x = single(logits)
    axis = 1 if x.ndim > 1 else 0
    if not x.ndim or not x.shape[axis]:
        raise ValueError(
            f"{name} の入力は (N, クラスの数) か (クラスの数,) です (expected a class axis): "
            f"形は {x.shape} です。"
        )
    return x, axis


def class_places(x: Tensor, axis: int, t: Tensor, name: str) -> Any:
    """クラスの番号の配列。

    Raises:
        ValueError: 形が合わない、番号が範囲の外。
        TypeError: 番号が整数でない。
    """
    places = _places(x, axis, t, name)
    targets.class_numbers(places, x.shape[axis], name)
    return places


def counted_places(
    x: Tensor, axis: int, t: Tensor, name: str, ignore_index: int
) -> tuple[Any, Tensor | None]:
    """クラスの番号の配列（`ignore_index` では 0）と、数えるところの 1（どこも数えるなら None）。

    Raises:
        ValueError, TypeError: `class_places` と同じ。
    """
    places, kept = _places(x, axis, t, name), None
    ignored = places == ignore_index
    if namespace.is_traced(ignored) or ignored.any():
        m = namespace.of(places)
        kept = Tensor(m.astype(places != ignore_index, x.dtype))
        places = m.where(ignored, 0, places)
    targets.class_numbers(places, x.shape[axis], name)
    return places, kept


def _places(x: Tensor, axis: int, t: Tensor, name: str) -> Any:
    wanted = x.shape[:axis] + x.shape[axis + 1 :]
    if t.shape != wanted:
        raise ValueError(
            f"{name} の正解の形が合いません (target shape mismatch): 入力 {x.shape} に正解 "
            f"{t.shape}。番号なら {wanted}、確率なら {x.shape} にしてください。"
        )
    return targets.whole_numbers(t, name)


def chosen(x: Tensor, places: Any, axis: int) -> Tensor:
    """クラスの番号の場所の x。"""
    grid = np.ogrid[tuple(slice(0, n) for n in places.shape)]
    return x[(*grid[:axis], places, *grid[axis:])]


def indicator(x: Tensor, places: Any, axis: int) -> Any:
    """クラスの番号の場所で 1、ほかで 0。"""
    m = namespace.of(x._data, places)
    shape = (-1,) + (1,) * (x.ndim - axis - 1)
    classes = np.arange(x.shape[axis]).reshape(shape)
    return m.astype(m.expand_dims(m.asarray(places), axis) == classes, x.dtype)


def class_weights(weight: Any, x: Tensor, axis: int, name: str) -> Tensor | None:
    """クラスの軸に沿って並べた重み。

    Raises:
        ValueError: クラスごとに 1 つでない。
    """
    if weight is None:
        return None
    w, n = as_tensor(weight), x.shape[axis]
    if w.shape != (n,):
        raise ValueError(
            f"{name} の weight はクラスごとに 1 つです (weight shape mismatch): {w.shape}。"
            f"({n},) にしてください。"
        )
    return w.astype(x.dtype).reshape((n,) + (1,) * (x.ndim - axis - 1))
