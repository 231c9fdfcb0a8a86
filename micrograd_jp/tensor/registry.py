"""引数の名前: NumPy の `axis`, `keepdims` と、PyTorch の `dim`, `keepdim` のどちらも受け取る。

関数は NumPy の名前で 1 度だけ書かれ、下の表にある PyTorch の名前はここで読み替えられる。
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

TORCH_NAMES = {
    "input": "x", "dim": "axis", "keepdim": "keepdims", "start_dim": "start_axis",
    "end_dim": "end_axis",
}  # fmt: skip
"""どの関数でも: PyTorch の引数の名前から、ここでの名前へ。"""

TORCH_NAMES_OF = {
    "arange": {"end": "stop"},
    "cat": {"tensors": "xs"},
    "concatenate": {"tensors": "xs"},
    "diagonal": {"dim1": "axis1", "dim2": "axis2"},
    "flip": {"dims": "axis"},
    "full": {"size": "shape", "fill_value": "value"},
    "full_like": {"fill_value": "value"},
    "linspace": {"end": "stop", "steps": "num"},
    "roll": {"shifts": "shift", "dims": "axis"},
    "split": {"split_size_or_sections": "sizes"},
    "stack": {"tensors": "xs"},
    "swapaxes": {"dim0": "first", "dim1": "second"},
    "tensordot": {"dims": "axes"},
    "tril": {"diagonal": "k"},
    "triu": {"diagonal": "k"},
}
"""その関数だけの別名。"""


def torch_names_of(function: Callable[..., object]) -> dict[str, str]:
    """その関数の引数の、PyTorch での別名。"""
    own = inspect.signature(function).parameters
    every = TORCH_NAMES | TORCH_NAMES_OF.get(function.__name__, {})
    return {theirs: ours for theirs, ours in every.items() if ours in own and theirs not in own}


def with_torch_names(function: Callable[P, R]) -> Callable[P, R]:
    """PyTorch の引数の名前でも呼べるようにする。別名のない関数はそのまま返す。

    できた関数は、同じ引数を 2 つの名前で渡されると `TypeError` を出す。
    """
    aliases = torch_names_of(function)
    if not aliases:
        return function
    order = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs and not aliases.keys().isdisjoint(kwargs):
            for theirs in [name for name in kwargs if name in aliases]:
                ours = aliases[theirs]
                if ours in kwargs or order.index(ours) < len(args):
                    raise TypeError(
                        f"{function.__name__} の {ours} と {theirs} は同じ引数です "
                        f"(given twice): どちらか 1 つだけを渡してください。"
                    )
                kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    return call
