"""演算に渡されたものを数に直す。受け取れないものは、何を書けばよいかを添えて断る。"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from micrograd_jp.graph.node import Node

NUMBER_TYPES = frozenset((float, int))
_NUMBERS = (numbers.Real, np.bool_)
_HINTS: dict[type, str] = {
    str: "文字列は float(…) で数に直してください",
    type(None): "値を返し忘れた関数がないか確かめてください",
    complex: "実数だけを扱います。実部と虚部を別々の Value にしてください",
    list: "[Value(x) for x in …] で 1 つずつ Value にしてください",
    tuple: "[Value(x) for x in …] で 1 つずつ Value にしてください",
    np.ndarray: "[Value(x) for x in 配列.tolist()] で 1 つずつ Value にしてください",
}


def as_number(x: Any) -> float:
    """実数を Python の float にする。

    Raises:
        TypeError: 実数でない。
        OverflowError: float に収まらない整数。
    """
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x[()]
    if is_number(x):
        try:
            return float(x)
        except OverflowError:
            raise OverflowError(
                "整数が大きすぎて float に収まりません (int too large)。"
                "無限大が欲しいときは float('inf') と書いてください。"
            ) from None
    raise not_a_number(x)


def number_of_a_leaf(x: Any) -> float:
    """`Value(x)` の数。

    Raises:
        TypeError: 実数でない、または既にノードである。
    """
    if isinstance(x, Node):
        raise TypeError(
            "Value は既に Value です (already a Value)。同じ数の新しい葉は v.detach()、"
            "グラフでつながった写しは v.clone() で作れます。"
        )
    return as_number(x)


def not_a_label(label: Any) -> TypeError:
    """名前でないものを受け取ったときのエラー。"""
    return TypeError(
        f"label は文字列です (expected str): {type(label).__name__} が渡されました。"
        "演算の結果は Value(…, 親) ではなく、v.exp() や a * b のような演算で作ります。"
    )


def is_number(x: Any) -> bool:
    """実数か（NumPy の数と真偽値を含む）。"""
    return x.__class__ in NUMBER_TYPES or isinstance(x, _NUMBERS)


def require_numbers(xs: Iterable[Any], operation: str) -> None:
    """どれもが実数であることを確かめる。

    Raises:
        TypeError: 実数でないものがある。
    """
    for x in xs:
        if not is_number(x):
            raise not_a_number(x, operation)


def require_count(name: str, n: Any) -> None:
    """1 以上の整数であることを確かめる。

    Raises:
        ValueError: そうでない。
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{name} は 1 以上の整数です (expected a positive int): {n!r}。")


def not_a_number(x: Any, operation: str = "Value") -> TypeError:
    """実数でないものを受け取ったときのエラー。"""
    kind = type(x)
    shown = f"{kind.__name__}"
    if isinstance(x, np.ndarray):
        shown += f" (shape {x.shape}, dtype {x.dtype})"
    elif isinstance(x, str | complex):
        shown += f" ({x!r})"
    hint = next((text for base, text in _HINTS.items() if isinstance(x, base)), "")
    return TypeError(
        f"{operation} は実数 1 つ (int, float) を受け取ります (expected a real number): "
        f"{shown} が渡されました。{hint + '。' if hint else ''}"
    )


def refuses(x: Any) -> bool:
    """演算の相手として、他の型の出番を待たずに断ってよい型か。"""
    return isinstance(x, str | bytes | complex | list | tuple | dict | set | type(None)) and (
        not isinstance(x, np.generic)
    )
