"""ドロップアウト: 要素ごと、チャネルごと、平均と分散を保つもの。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor

__all__ = [
    "AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout",
]  # fmt: skip


class Dropout(Module):
    """ドロップアウト (dropout): 訓練中、要素を確率 p で 0 にし、残りを 1/(1 − p) 倍する。

    推論中 (`eval()`) は何もしない。
    Srivastava et al. (2014) "Dropout: A Simple Way to Prevent Neural Networks from Overfitting"。

    Args:
        p: 0 にする確率。
        inplace: 真なら、入力を書き換える。

    Raises:
        ValueError: p が 0 以上 1 以下でない。
        TypeError: 訓練中に `jax.jit` の中で呼ばれた。
    """

    _function: ClassVar[Callable[..., Tensor]] = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.p, self.inplace = F.probability(p), inplace

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        return self._function(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """0 にする確率と、入力を書き換えるか。"""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """チャネルごとのドロップアウト: (N, C, L) か (C, L)。引数は `Dropout` と同じ。"""

    _function = staticmethod(F.dropout1d)


class Dropout2d(Dropout):
    """チャネルごとのドロップアウト: 訓練中、チャネルを丸ごと確率 p で 0 にし、残りを大きくする。

    残りは 1/(1 − p) 倍される。隣り合う画素は似ているので、1 つずつ消しても情報が残る。
    Tompson et al. (2015) "Efficient Object Localization Using Convolutional Networks"。
    入力は (N, C, H, W) か (C, H, W)。引数は `Dropout` と同じ。

    Raises:
        ValueError: p が 0 以上 1 以下でない。呼んだとき、入力が 3 次元でも 4 次元でもない。
        TypeError: 訓練中に `jax.jit` の中で呼ばれた。
    """

    _function = staticmethod(F.dropout2d)


class Dropout3d(Dropout):
    """チャネルごとのドロップアウト: (N, C, D, H, W) か (C, D, H, W)。引数は `Dropout` と同じ。"""

    _function = staticmethod(F.dropout3d)


class AlphaDropout(Dropout):
    """`SELU` のためのドロップアウト (`alpha_dropout`): 平均 0、分散 1 を保つ。"""

    _function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(Dropout):
    """チャネルごとの `AlphaDropout`。"""

    _function = staticmethod(F.feature_alpha_dropout)


explain_all(globals())
