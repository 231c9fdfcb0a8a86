"""形を変える層と、何もしない層。"""

from __future__ import annotations

from math import prod
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor

__all__ = ["Flatten", "Identity", "Unflatten"]


class Flatten(Module):
    """いくつかの軸を 1 つにまとめる (flatten)。既定では、最初の軸（バッチ）だけを残す。"""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, d₁, d₂, …) から (N, d₁·d₂·…)。"""
        return as_tensor(x).flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """まとめる軸。"""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """1 つの軸をいくつかに分ける (unflatten)。

    Raises:
        ValueError: 呼んだとき、要素の数が合わない。
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> Tensor:
        """軸 `dim` を `unflattened_size` に分ける（1 つだけ −1 にできる）。"""
        t = as_tensor(x)
        axis = self.dim % t.ndim if -t.ndim <= self.dim < t.ndim else t.ndim
        n, sizes = (t.shape[axis] if axis < t.ndim else -1), self.unflattened_size
        known = prod(s for s in sizes if s != -1)
        if -1 in sizes and known and n % known == 0:
            sizes = tuple(n // known if s == -1 else s for s in sizes)
        if prod(sizes) != n or min(sizes, default=1) < 0:
            raise ValueError(
                f"Unflatten できません (invalid size): 形 {t.shape} の軸 {self.dim} は "
                f"{self.unflattened_size} に分けられません。要素の数を合わせてください。"
            )
        return t.reshape((*t.shape[:axis], *sizes, *t.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        """分ける軸と長さ。"""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """何もしない (identity)。引数は何でもよく、使われない。"""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        """`x` をそのまま返す。"""
        return x


explain_all(globals())
