"""`DataLoader` の引数と、利用者の関数の検査。"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all


def guarded(made: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """バッチを作る関数の中の `StopIteration` で、エポックが終わったことにしない。"""

    def make(number: Any) -> Any:
        try:
            return made(number)
        except StopIteration as error:  # would end the epoch, as if nothing was missing
            which = f"{number} 番目の" if isinstance(number, int) else ""
            raise RuntimeError(
                f"{which}バッチを作る間に StopIteration が出ました (StopIteration in "
                "the dataset or the transform): データが足りないのでなければ、next(it) を "
                "next(it, 既定値) と書いてください。"
            ) from error

    return make


def length_of(name: str, x: Any) -> int:
    """長さ。

    Raises:
        TypeError: ない。
    """
    if not hasattr(x, "__len__"):
        raise TypeError(
            f"この DataLoader に長さはありません (no len): {name} に __len__ がありません。"
        )
    return len(x)


def whether(name: str, x: Any) -> bool:
    """真か偽。

    Raises:
        TypeError: どちらでもない。
    """
    if not isinstance(x, bool | int | np.bool_) or x not in (0, 1):  # "no" would be true
        raise TypeError(f"{name} は True か False です (expected a bool): {x!r}。")
    return bool(x)


def takes_generator(transform: Callable[..., Any]) -> bool:
    """引数に `generator` のある関数か。"""
    try:
        return "generator" in inspect.signature(transform).parameters
    except ValueError:  # some functions written in C have no signature
        return False


explain_all(globals())
