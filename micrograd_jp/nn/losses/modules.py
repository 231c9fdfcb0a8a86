"""損失関数の部品 (PyTorch の名前)。引数も計算も、それぞれが名を挙げる関数のものである。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.losses import elements
from micrograd_jp.nn.losses.reduction import require_reduction
from micrograd_jp.nn.module.function import FunctionModule

__all__ = [
    "BCEWithLogitsLoss", "CrossEntropyLoss", "HingeLoss", "L1Loss", "MSELoss", "NLLLoss",
    "SumSquaredError",
]  # fmt: skip


class _Loss(FunctionModule):
    def __init__(self, reduction: str = "mean") -> None:
        require_reduction(reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        """まとめ方（平均でなければ）。"""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class MSELoss(_Loss, function=elements.mse_loss):
    """平均二乗誤差 (`mse_loss`): 出力 y と、同じ形の正解 t から。"""


class L1Loss(_Loss, function=elements.l1_loss):
    """平均絶対誤差 (`l1_loss`): 出力 y と、同じ形の正解 t から。"""


class SumSquaredError(_Loss, function=elements.sum_squared_error):
    """二乗和誤差 ½Σ(t − y)² (`sum_squared_error`): 出力 y と、同じ形の正解 t から。"""

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__(reduction)


class CrossEntropyLoss(_Loss, function=elements.cross_entropy):
    """交差エントロピー誤差 (`cross_entropy`): ロジット (N, C) と、番号 (N,) か確率 (N, C) から。"""

    def __init__(
        self, weight: Any = None, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(reduction)
        self.weight, self.label_smoothing = weight, label_smoothing


class NLLLoss(_Loss, function=elements.nll_loss):
    """負の対数尤度 (`nll_loss`): 対数確率 (N, C) と番号 (N,) から。"""

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight


class BCEWithLogitsLoss(_Loss, function=elements.binary_cross_entropy_with_logits):
    """2 値の交差エントロピー誤差 (`binary_cross_entropy_with_logits`)。

    ロジット y と、同じ形の 0 以上 1 以下の正解 t から。
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = weight, pos_weight


class HingeLoss(_Loss, function=elements.hinge_loss):
    """ヒンジ損失 (`hinge_loss`): スコア (N, C) と番号 (N,)、または y と、同じ形の −1 か 1 から。"""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin


explain_all(globals())
