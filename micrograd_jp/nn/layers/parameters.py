"""層のパラメータ: 数の検査、初期値を入れる前の入れ物、PyTorch と同じ初期値。"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from micrograd_jp.nn import init
from micrograd_jp.nn.module.parameter import Parameter
from micrograd_jp.tensor.dtypes import get_default_dtype


def empty_parameter(*shape: int, dtype: Any = None) -> Parameter:
    """これから初期値を入れる `Parameter`。"""
    return Parameter(np.zeros(shape, dtype=get_default_dtype() if dtype is None else dtype))


def require_positive(owner: str, **sizes: Any) -> None:
    """どれも 1 以上の整数であることを確かめる。

    Raises:
        ValueError: そうでない。
    """
    for name, n in sizes.items():
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise ValueError(
                f"{owner} の {name} は 1 以上の整数です (expected a positive int): {n!r}。"
            )


def reset_uniform(weight: Parameter, bias: Parameter | None) -> None:
    """重みもバイアスも [−b, b] の一様乱数、b = 1/√(2 番目からの軸の長さの積)。PyTorch と同じ。"""
    init.kaiming_uniform_(weight, a=sqrt(5))
    if bias is not None:
        bound = 1 / sqrt(prod(weight.shape[1:]))
        init.uniform_(bias, -bound, bound)
