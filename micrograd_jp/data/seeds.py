"""データのための乱数: 種 (seed) があればその種から、なければこのパッケージの生成器から。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.tensor.random import generator


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


def generator_of(seed: Any) -> np.random.Generator:
    """`seed` の生成器。`None` なら `mg.manual_seed` で種を決める、パッケージの生成器。"""
    seed = checked_seed(seed)
    return generator() if seed is None else np.random.default_rng(seed)
