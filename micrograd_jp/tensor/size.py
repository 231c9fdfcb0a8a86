"""`t.size`: NumPy では要素の数、PyTorch では形を返すメソッド。どちらの書き方も正しく働く。"""

from __future__ import annotations

from math import prod
from typing import Any

from micrograd_jp.tensor.checks import one_axis


class Size(int):
    """要素の数。呼べば形になる: `t.size` は 6、`t.size()` は (2, 3)、`t.size(0)` は 2。"""

    shape: tuple[int, ...]

    def __new__(cls, shape: tuple[int, ...]) -> Size:
        """形から作る。"""
        self = super().__new__(cls, prod(shape))
        self.shape = shape
        return self

    def __call__(self, dim: int | None = None) -> Any:
        """形、または軸 `dim` の長さ。

        Raises:
            IndexError: その軸がない。
        """
        if dim is None:
            return self.shape
        return self.shape[one_axis(dim, len(self.shape), "size")]

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (self.shape,)
