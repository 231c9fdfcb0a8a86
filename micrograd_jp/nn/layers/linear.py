"""全結合層と埋め込み: 行列の積と、行の選択。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive, reset_uniform
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor

__all__ = ["Embedding", "Linear"]


class Linear(Module):
    """全結合層 (fully connected layer): y = xWᵀ + b。

    初期値は PyTorch と同じく、重みもバイアスも [−1/√in, 1/√in] の一様乱数
    （重みは `kaiming_uniform_(a=√5)` に等しい）。

    Args:
        in_features: 入力の数。
        out_features: 出力の数。
        bias: バイアスを持つか。
        dtype: 型（既定は `mg.get_default_dtype()`）。

    Attributes:
        weight: 重み (out, in)。
        bias: バイアス (out,) か `None`。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、入力の最後の次元が `in_features` でない。
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None
    ) -> None:
        require_positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        # (out, in) for everyone who looks; (in, out) in memory, where x Wᵀ and xᵀg are faster.
        self.weight = empty_parameter(in_features, out_features, dtype=dtype)
        self.weight.data = self.weight.data.T
        self.bias = empty_parameter(out_features, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """初期値を入れ直す。"""
        reset_uniform(self.weight, self.bias)

    def forward(self, x: Any) -> Tensor:
        """`x`: (…, in) から (…, out)。"""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """入力と出力の数。"""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """出力の要素 1 つにつき `in_features` 回。"""
        return int(output.numel()) * self.in_features


class Embedding(Module):
    """埋め込み (embedding): 番号から、学習されるベクトルへ。初期値は標準正規乱数。

    Args:
        num_embeddings: 番号の数。
        embedding_dim: ベクトルの次元。
        padding_idx: 0 で埋め、学習しない番号。
        dtype: 型。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、番号が範囲の外。
        TypeError: 呼んだとき、番号が整数でない。
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: Any = None,
    ) -> None:
        require_positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = F.padding_row(padding_idx, num_embeddings)
        self.weight = empty_parameter(num_embeddings, embedding_dim, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """初期値を入れ直す。"""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            row = np.arange(self.num_embeddings) == self.padding_idx
            self.weight.data = np.where(row[:, None], 0, self.weight.data)

    def forward(self, x: Any) -> Tensor:
        """`x`: 整数の配列（形は自由）。その形に、次元 `embedding_dim` を加えた形を返す。"""
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """番号の数と次元。"""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


explain_all(globals())
