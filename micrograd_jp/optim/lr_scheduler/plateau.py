"""指標がよくならなくなったら、学習率を下げる。"""

from __future__ import annotations

import math
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.checks import number
from micrograd_jp.optim.lr_scheduler.base import Scheduler, per_group
from micrograd_jp.optim.optimizer import Optimizer


class ReduceLROnPlateau(Scheduler):
    """指標がよくならなくなったら、学習率を `factor` 倍する。

    Args:
        optimizer: 最適化手法。
        mode: `"min"` なら小さいほど、`"max"` なら大きいほどよい指標。
        factor: 学習率に掛ける数 (< 1)。
        patience: よくならない反復を何回まで待つか。
        threshold: よくなったとみなす最小の変化。
        threshold_mode: `"rel"` なら最良の値に対する割合、`"abs"` なら差。
        cooldown: 下げた後に休む反復の数。
        min_lr: 学習率の下限（グループごとの並びでもよい）。
        eps: これより小さい変化なら下げない。

    Raises:
        ValueError: `factor` が 1 以上、`mode`・`threshold_mode` が違う、`min_lr` の数が違う。
    """

    _saved = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "_last_lr")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(optimizer)
        if not factor < 1:
            raise ValueError(f"factor は 1 より小さい数です (factor should be < 1): {factor}。")
        if mode not in ("min", "max"):
            raise ValueError(f'mode は "min" か "max" です (unknown mode): {mode!r}。')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f'threshold_mode は "rel" か "abs" です (unknown mode): {threshold_mode!r}。'
            )
        self.min_lrs = per_group("min_lr", min_lr, optimizer)
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode, self.eps = threshold, threshold_mode, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: Any) -> None:
        """指標の新しい値を知らせる。

        Args:
            metrics: 開発データの損失や正解率。
        """
        current = float(number("metrics", metrics))
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()

    def _reduce(self) -> None:
        for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            reduced = max(group["lr"] * self.factor, low)
            if group["lr"] - reduced > self.eps:
                group["lr"] = reduced

    def _is_better(self, current: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        margin = sign * self.threshold
        bar = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return sign * current > sign * bar


explain_all(globals())
