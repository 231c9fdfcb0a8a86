"""層: 全結合層、埋め込み、形を変える層、ドロップアウト。"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.module.module import Module
from micrograd_jp.nn.module.parameter import Parameter
from micrograd_jp.tensor.array import Tensor, as_tensor
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
        init.kaiming_uniform_(self.weight, a=sqrt(5))
        if self.bias is not None:
            bound = 1 / sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

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


class Dropout(Module):
    """ドロップアウト (dropout): 訓練中、要素を確率 p で 0 にし、残りを 1/(1 − p) 倍する。

    推論中 (`eval()`) は何もしない。
    Srivastava et al. (2014) "Dropout: A Simple Way to Prevent Neural Networks from Overfitting"。

    Raises:
        ValueError: p が 0 以上 1 以下でない。
        TypeError: 訓練中に `jax.jit` の中で呼ばれた。
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = F.probability(p)

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """0 にする確率。"""
        return f"p={self.p}"
