"""`t[…]` の中身 (keys)。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.graph.node import data_of


def keys_of(key: Any) -> tuple[Any, ...]:
    """`[ ]` の中身を、配列・スライス・整数の組にする。"""
    return tuple(map(_index, key)) if isinstance(key, tuple) else (_index(key),)


def _index(key: Any) -> Any:
    if isinstance(key, list | range):
        return np.array(key) if key else np.zeros(0, dtype=int)
    key = data_of(key)
    # A copy: the gradient must find the places that the value came from.
    return key.copy() if isinstance(key, np.ndarray) else key


def bad_index(shape: tuple[int, ...], error: IndexError) -> IndexError:
    """使えない添字のエラー。"""
    return IndexError(
        f"この添字は使えません (invalid index), 形 {shape}: {error}。"
        "範囲の中の整数、スライス、整数か真偽値の配列を使ってください。"
    )
