"""形だけを知る配列 `Traced`: 演算すると、名前空間 `arrays.Arrays` が 1 行を書き留める。"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

Shape = tuple[int, ...]


class Traced:
    """ページの中の配列: 形と、JavaScript での名前。

    Attributes:
        text: 人が読む名前 (`{0}ᵀ`)。途中の結果では空。
        made: どうできたか。行列の積なら `("matmul", a, b)`、和なら `("sum", x)`。
    """

    __array_ufunc__ = None  # an array on the left leaves the operation to us

    def __init__(
        self, m: Any, name: str, shape: Shape, dtype: Any, text: str = "", made: Any = None
    ) -> None:
        self.m, self.name, self.shape, self.dtype = m, name, shape, np.dtype(dtype)
        self.text, self.made = text, made

    @property
    def size(self) -> int:
        """要素の数。"""
        return prod(self.shape)

    @property
    def T(self) -> Any:
        """転置。"""
        return self.m.transpose(self, tuple(reversed(range(len(self.shape)))))

    def __neg__(self) -> Any:
        return self.m.each("negative", self)

    def __or__(self, other: Any) -> Any:
        return self.m.each("where", self, True, other)


def _infix(kind: str, reflected: bool = False) -> Callable[[Any, Any], Any]:
    if reflected:
        return lambda y, x: y.m.each(kind, x, y)
    return lambda x, y: x.m.each(kind, x, y)


for _name, _kind in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "pow"}.items():
    setattr(Traced, f"__{_name}__", _infix(_kind))
    setattr(Traced, f"__r{_name}__", _infix(_kind, reflected=True))
for _name, _kind in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=="}.items():
    setattr(Traced, f"__{_name}__", _infix(_kind))
