"""データのための乱数: 種 (seed) があればその種から、なければこのパッケージの生成器から。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.tensor.generator import numbers_of


def checked_seed(seed: Any) -> int | None:
    """種を確かめる。

    Raises:
        TypeError: 整数でも `None` でもない。
        ValueError: 負の数。
    """
    if seed is None:
        return None
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"seed は 0 以上の整数か None です (expected an int): {seed!r}。")
    if seed < 0:
        raise ValueError(f"seed は 0 以上の整数です (seed must not be negative): {seed!r}。")
    return int(seed)


def generator_of(seed: Any, generator: Any = None) -> np.random.Generator:
    """`seed` か、渡された `generator`。なければ `mg.manual_seed` で種を決める、パッケージの生成器。

    Raises:
        TypeError, ValueError: 種でも生成器でもないもの、または両方。
    """
    seed = checked_seed(seed)
    if seed is None:
        return numbers_of(generator)
    if generator is not None:
        raise TypeError(
            "seed と generator は、どちらか 1 つだけを渡してください (given twice): 乱数の元は"
            "1 つです。"
        )
    return np.random.default_rng(seed)
