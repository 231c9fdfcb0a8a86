"""ドロップアウト: 要素ごとと、チャネルごと。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor

__all__ = ["Dropout", "Dropout2d"]


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


class Dropout2d(Dropout):
    """チャネルごとのドロップアウト: 訓練中、チャネルを丸ごと確率 p で 0 にし、残りを大きくする。

    残りは 1/(1 − p) 倍される。隣り合う画素は似ているので、1 つずつ消しても情報が残る。
    Tompson et al. (2015) "Efficient Object Localization Using Convolutional Networks"。

    Raises:
        ValueError: p が 0 以上 1 以下でない。呼んだとき、入力が 3 次元でも 4 次元でもない。
        TypeError: 訓練中に `jax.jit` の中で呼ばれた。
    """

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。同じ形を返す。"""
        return F.dropout2d(x, self.p, self.training)


explain_all(globals())
