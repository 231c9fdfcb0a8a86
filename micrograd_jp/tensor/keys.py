"""`t[…]` の中身 (keys)。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.graph.node import data_of

BASIC = frozenset({slice, int, type(None), type(...), np.int64})
"""これだけの `[ ]` は、もとの配列のビューになる。"""


def keys_of(key: Any) -> tuple[Any, ...]:
    """`[ ]` の中身を、配列・スライス・整数の組にする。"""
    return tuple(map(_index, key)) if isinstance(key, tuple) else (_index(key),)


def _index(key: Any) -> Any:
    if isinstance(key, list | range):
        try:
            return np.array(key) if key else np.zeros(0, dtype=int)
        except ValueError:
            raise IndexError(
                f"添字の並びの長さが揃っていません (ragged index): {key!r}。"
                "どの行も同じ長さにしてください。"
            ) from None
    key = data_of(key)
    # A copy: the gradient must find the places that the value came from.
    return key.copy() if isinstance(key, np.ndarray) else key


def numbers_first(keys: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """1 度には読めない添字 `x[0, :, [2, 1]]` を、整数だけの添字と残りの添字に分ける。

    PyTorch は整数を先に選ぶので、配列の選ぶ軸はもとの場所に残る。NumPy は整数も配列とみなし、離れて
    いると、選んだ軸を先頭に動かす。分けなくてよい添字なら `None`。
    """
    kinds = [
        "i" if isinstance(k, int | np.integer) and not isinstance(k, bool)
        else "a" if getattr(k, "ndim", 0) else "-"
        for k in keys
    ]  # fmt: skip
    chosen = "".join(kinds).strip("-")
    if "-" not in chosen or "i" not in chosen or "a" not in chosen:
        return None
    first = []
    for key, kind in zip(keys, kinds):
        if kind == "i" or key is Ellipsis:
            first.append(key)
        elif key is not None:
            axes = key.ndim if kind == "a" and key.dtype == bool else 1
            first += [slice(None)] * axes
    return tuple(first), tuple(k for k, kind in zip(keys, kinds) if kind != "i")


def bad_index(shape: tuple[int, ...], error: IndexError) -> IndexError:
    """使えない添字のエラー。"""
    return IndexError(
        f"この添字は使えません (invalid index), 形 {shape}: {error}。"
        "範囲の中の整数、スライス、整数か真偽値の配列を使ってください。"
    )
