"""埋め込みと、番号のベクトル (one-hot)。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.losses.targets import class_numbers, whole_numbers
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import int64

__all__ = ["embedding", "one_hot", "padding_row"]


def one_hot(x: Any, num_classes: int = -1) -> Tensor:
    """番号を、その場所だけ 1 のベクトル（int64）にする (one-hot)。

    Args:
        x: 整数の配列。
        num_classes: ベクトルの長さ（−1 なら、最大の番号 + 1）。

    Raises:
        TypeError: 整数でない。
        ValueError: 番号が範囲の外。
    """
    t = whole_numbers(x, "one_hot")
    n = num_classes
    if n == -1:
        n = int(namespace.concrete(t, "one_hot(num_classes=-1)").max(initial=-1)) + 1
    class_numbers(t, n, "one_hot")
    m = namespace.of(t)
    return Tensor(m.astype(t[..., None] == np.arange(n), m.available(int64)))


def embedding(x: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """埋め込み: 番号の場所の、重みの行を選ぶ。

    Args:
        x: 整数の配列（形は自由）。
        weight: (番号の数, 次元)。
        padding_idx: 勾配を流さない番号。

    Raises:
        TypeError: 番号が整数でない。
        ValueError: 番号が範囲の外。
    """
    w = as_tensor(weight)
    places = whole_numbers(x, "embedding")
    class_numbers(places, w.shape[0], "embedding")
    rows = w[places]
    if padding_idx is None:
        return rows
    padding = places == padding_row(padding_idx, w.shape[0])
    out: Tensor = mg.where(Tensor(padding[..., None]), rows.detach(), rows)
    return out


def padding_row(padding_idx: int | None, n: int) -> int | None:
    """埋める番号を 0 以上の番号にする。

    Raises:
        ValueError: 範囲の外。
    """
    if padding_idx is not None and not -n <= padding_idx < n:
        raise ValueError(
            f"padding_idx は {-n} から {n - 1} までです (out of range): {padding_idx}。"
        )
    return None if padding_idx is None else padding_idx % n


explain_all(globals())
