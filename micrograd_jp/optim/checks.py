"""最適化手法の引数の検査。"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import Node


def require_at_least(low: float, options: Mapping[str, Any], *names: str) -> None:
    """それぞれが `low` 以上の数であることを確かめる。nan も断る。

    Raises:
        ValueError: 範囲の外。
        TypeError: 数でない。
    """
    for name in names:
        x = number(name, options[name])
        if not namespace.is_traced(x) and not x >= low:
            raise ValueError(f"{name} は {low} 以上の数です (invalid {name}): {x} が渡されました。")


def require_betas(betas: Any) -> None:
    """2 つの数が [0, 1) にあることを確かめる。

    Raises:
        ValueError: 2 つでない、または範囲の外。
    """
    if not isinstance(betas, list | tuple) or len(betas) != 2:
        raise ValueError(
            f"betas は 2 つの数の組です (expected a pair): {betas!r}。"
            "betas=(0.9, 0.999) のように渡してください。"
        )
    for i, beta in enumerate(betas):
        if not 0 <= number(f"betas[{i}]", beta) < 1:
            raise ValueError(
                f"betas[{i}] は 0 以上 1 未満の数です (invalid beta): {beta} が渡されました。"
            )


def require_alike(name: str, saved: Any, now: Any) -> None:
    """保存された値が、いまの値と同じ種類のものであることを確かめる。

    Raises:
        ValueError: 数のところに数でないもの、長さの違う並び、など。
    """
    if now is None or (_is_number(now) and _is_number(saved)):
        return
    lists = isinstance(now, list | tuple) and isinstance(saved, list | tuple)
    if len(saved) != len(now) if lists else type(saved) is not type(now):
        raise ValueError(
            f"{name} が、保存された状態では {saved!r} です (state mismatch): いまの {now!r} と"
            "同じ種類の値のはずです。"
        )
    for x, y in zip(saved, now) if lists else ():
        require_alike(name, x, y)


def _is_number(x: Any) -> bool:
    try:
        number("", x)
    except TypeError:
        return False
    return True


def number(name: str, x: Any) -> Any:
    """引数の数。要素 1 つの配列や `Tensor` も受け取り、Python の弱い (weak) 数にする。

    Raises:
        TypeError: 数でない。
    """
    x = x._data if isinstance(x, Node) else x
    if isinstance(x, float | int):
        return float(x) if isinstance(x, np.float64) else x  # NumPy's would widen float32
    if namespace.is_traced(x):
        return x
    try:
        # float() also takes strings of digits: those are not numbers here.
        return float(x.item())
    except (AttributeError, TypeError, ValueError):
        raise TypeError(
            f"{name} は数です (expected a number): {type(x).__name__} が渡されました。"
        ) from None
