"""全結合層、双線形、埋め込み: 行列の積と、行の選択。"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive, reset_uniform
from micrograd_jp.nn.module.module import Module
from micrograd_jp.nn.module.parameter import Parameter
from micrograd_jp.tensor.array import Tensor, as_tensor

__all__ = ["Bilinear", "Embedding", "Linear"]


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
        self.weight.data = self.weight._data.T
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


class Bilinear(Module):
    """双線形 (bilinear): y_k = x₁ᵀ W_k x₂ + b_k。計算は `nn.functional.bilinear`。

    初期値は、重みもバイアスも [−1/√in1, 1/√in1] の一様乱数。

    Args:
        in1_features: 1 つ目の入力の数。
        in2_features: 2 つ目の入力の数。
        out_features: 出力の数。
        bias: バイアスを持つか。
        dtype: 型。

    Attributes:
        weight: 重み (out, in1, in2)。
        bias: バイアス (out,) か `None`。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、形が合わない。
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        sizes = {
            "in1_features": in1_features, "in2_features": in2_features, "out_features": out_features
        }  # fmt: skip
        require_positive("Bilinear", **sizes)
        vars(self).update(sizes)
        self.weight = empty_parameter(out_features, in1_features, in2_features, dtype=dtype)
        self.bias = empty_parameter(out_features, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """初期値を入れ直す。"""
        bound = 1 / sqrt(self.weight.shape[1])
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """`x1`: (…, in1)、`x2`: (…, in2)。(…, out) を返す。"""
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """入力と出力の数。"""
        out, first, second = self.weight.shape
        return (
            f"in1_features={first}, in2_features={second}, out_features={out}, "
            f"bias={self.bias is not None}"
        )


class Embedding(Module):
    """埋め込み (embedding): 番号から、学習されるベクトルへ。初期値は標準正規乱数。

    Args:
        num_embeddings: 番号の数。
        embedding_dim: ベクトルの次元。
        padding_idx: 0 で埋め、学習しない番号。
        max_norm: 呼ぶたびに、選ばれたベクトルのノルムをこの数までに縮める（重みを書き換える）。
        norm_type: そのノルムの種類 p。
        scale_grad_by_freq: 勾配を、ミニバッチにその番号が現れた回数で割るか。
        sparse: PyTorch の引数。勾配はいつも密な配列である。
        _weight: 初期値の代わりの重み (num_embeddings, embedding_dim)。
        dtype: 型。

    Raises:
        ValueError: 数が 1 以上の整数でない、`_weight` の形が違う。呼んだとき、番号が範囲の外。
        TypeError: 呼んだとき、番号が整数でない。
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        dtype: Any = None,
    ) -> None:
        require_positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = F.padding_row(padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            self.weight = empty_parameter(num_embeddings, embedding_dim, dtype=dtype)
            self.reset_parameters()
        elif tuple(_weight.shape) != (num_embeddings, embedding_dim):
            raise ValueError(
                "Embedding の重みの形が合いません (weight shape mismatch): "
                f"{tuple(_weight.shape)}。{(num_embeddings, embedding_dim)} にしてください。"
            )
        else:
            self.weight = Parameter(_weight)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """学習済みの重みから作る。

        Args:
            embeddings: 重み (番号の数, 次元)。
            freeze: 真なら学習しない。
            padding_idx: 学習しない番号。
            max_norm: ほかの引数は `Embedding` と同じ。
            norm_type: 同上。
            scale_grad_by_freq: 同上。
            sparse: 同上。

        Raises:
            ValueError: 2 次元でない。
        """
        rows = pretrained(embeddings)
        n, d = rows.shape
        made = cls(n, d, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, rows)
        made.weight.requires_grad_(not freeze)
        return made

    def reset_parameters(self) -> None:
        """初期値を入れ直す。"""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            row = np.arange(self.num_embeddings) == self.padding_idx
            self.weight.data = np.where(row[:, None], 0, self.weight._data)

    def forward(self, x: Any) -> Tensor:
        """`x`: 整数の配列（形は自由）。その形に、次元 `embedding_dim` を加えた形を返す。"""
        return F.embedding(
            x, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        usual = {
            "padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False,
        }  # fmt: skip
        for name, value in usual.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text + (", sparse=True" if self.sparse else "")


def pretrained(embeddings: Any) -> Tensor:
    """学習済みの埋め込み (番号の数, 次元)。

    Raises:
        ValueError: 2 次元でない。
    """
    rows = as_tensor(embeddings)
    if rows.ndim != 2:
        raise ValueError(
            "学習済みの重みは (番号の数, 次元) です (expected 2 dimensions): "
            f"形は {rows.shape} です。"
        )
    return rows


explain_all(globals())
