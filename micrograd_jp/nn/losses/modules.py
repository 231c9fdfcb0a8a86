"""損失関数の部品 (PyTorch の名前)。計算は `elements.py` の関数が行う。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.nn.losses import elements
from micrograd_jp.nn.losses.reduction import require_reduction
from micrograd_jp.nn.module.module import Module


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        require_reduction(reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        """まとめ方（平均でなければ）。"""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """平均二乗誤差 (`mse_loss`)。"""

    def forward(self, y: Any, t: Any) -> Any:
        """出力 y と、同じ形の正解 t の損失。"""
        return elements.mse_loss(y, t, self.reduction)


class L1Loss(_Loss):
    """平均絶対誤差 (`l1_loss`)。"""

    def forward(self, y: Any, t: Any) -> Any:
        """出力 y と、同じ形の正解 t の損失。"""
        return elements.l1_loss(y, t, self.reduction)


class SumSquaredError(_Loss):
    """二乗和誤差 ½Σ(t − y)² (`sum_squared_error`)。"""

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__(reduction)

    def forward(self, y: Any, t: Any) -> Any:
        """出力 y と、同じ形の正解 t の損失。"""
        return elements.sum_squared_error(y, t, self.reduction)


class CrossEntropyLoss(_Loss):
    """ロジットの交差エントロピー誤差 (`cross_entropy`)。"""

    def __init__(
        self, weight: Any = None, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(reduction)
        self.weight, self.label_smoothing = weight, label_smoothing

    def forward(self, logits: Any, target: Any) -> Any:
        """ロジット (N, C) と、番号 (N,) か確率 (N, C) の損失。"""
        return elements.cross_entropy(
            logits, target, self.weight, self.reduction, self.label_smoothing
        )


class NLLLoss(_Loss):
    """負の対数尤度 (`nll_loss`)。"""

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight

    def forward(self, log_probs: Any, target: Any) -> Any:
        """対数確率 (N, C) と番号 (N,) の損失。"""
        return elements.nll_loss(log_probs, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """2 値の交差エントロピー誤差 (`binary_cross_entropy_with_logits`)。"""

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = weight, pos_weight

    def forward(self, y: Any, t: Any) -> Any:
        """ロジット y と、同じ形の 0 以上 1 以下の正解 t の損失。"""
        return elements.binary_cross_entropy_with_logits(
            y, t, self.weight, self.reduction, self.pos_weight
        )


class HingeLoss(_Loss):
    """ヒンジ損失 (`hinge_loss`)。"""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, y: Any, t: Any) -> Any:
        """スコア (N, C) と番号 (N,)、または y と、同じ形の −1 か 1 の損失。"""
        return elements.hinge_loss(y, t, self.margin, self.reduction)
