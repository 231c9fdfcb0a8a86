"""反復の番号だけで学習率を決めるスケジューラ。"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.optim.lr_scheduler.base import LRScheduler, OfEpoch, per_group
from micrograd_jp.optim.optimizer import Optimizer


class LambdaLR(OfEpoch):
    """基準の学習率に、反復の番号の関数を掛ける。

    Args:
        optimizer: 最適化手法。
        lr_lambda: 番号 (0 から) から倍率を返す関数、またはグループごとの関数の並び。保存されない。
        last_epoch: 最後に終えた反復の番号。

    Raises:
        ValueError: 関数の数がグループの数と違う。
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def _at(self) -> list[Any]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * factor(self.last_epoch) for base, factor in pairs]


class MultiplicativeLR(LRScheduler):
    """いまの学習率に、反復ごとに、その番号の関数を掛ける。

    Args:
        optimizer: 最適化手法。
        lr_lambda: 番号 (1 から) から倍率を返す関数、またはグループごとの関数の並び。保存されない。
        last_epoch: 最後に終えた反復の番号。

    Raises:
        ValueError: 関数の数がグループの数と違う。
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def _advance(self) -> None:
        self._step_count += 1
        self._jump(self.last_epoch + 1)

    def _jump(self, epoch: int) -> None:
        self.last_epoch = epoch
        pairs = zip(self._rates(), self.lr_lambdas, strict=True)
        self._set([lr * factor(epoch) for lr, factor in pairs])


class _Decay(LRScheduler):
    """`gamma` times the rate, now and then."""

    gamma: float

    def _turns(self, epoch: int) -> int:
        """How often the rate has been multiplied by the end of an epoch (0 before the first)."""
        raise undefined(self, "_turns(self, epoch)")

    def _first(self, lr: Any) -> Any:
        return self._next(lr, None)

    def _next(self, lr: Any, base: Any) -> Any:
        times = self._turns(self.last_epoch) - self._turns(self.last_epoch - 1)
        return lr * self.gamma**times if times else lr

    def _closed_form(self, base: Any) -> Any:
        return base * self.gamma ** self._turns(self.last_epoch)


class StepLR(_Decay):
    """`step_size` 反復ごとに学習率を `gamma` 倍する。

    Raises:
        ValueError: `step_size` が正の整数でない。
    """

    _only_counts = True

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        require_count("step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _turns(self, epoch: int) -> int:
        return max(epoch, 0) // self.step_size


class MultiStepLR(_Decay):
    """`milestones` の反復で学習率を `gamma` 倍する（同じ番号が n 度あれば n 乗）。"""

    _only_counts = True

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _turns(self, epoch: int) -> int:
        return bisect_right(sorted(self.milestones.elements()), epoch)


class ExponentialLR(_Decay):
    """反復ごとに学習率を `gamma` 倍する。"""

    _only_counts = True

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _turns(self, epoch: int) -> int:
        return max(epoch, 0)

    def _first(self, lr: Any) -> Any:
        return lr


class LinearLR(LRScheduler):
    """学習率の倍率を `start_factor` から `end_factor` まで、`total_iters` 反復で直線的に変える。

    大きな学習率で始める前の準備 (warm-up) に使う。

    Raises:
        ValueError: 倍率や回数が範囲の外。
    """

    _only_counts = True

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(
                f"start_factor は 0 より大きく 1 以下の数です (out of range): {start_factor}。"
            )
        if not 0 <= end_factor <= 1:
            raise ValueError(f"end_factor は 0 以上 1 以下の数です (out of range): {end_factor}。")
        require_count("total_iters", total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _first(self, lr: Any) -> Any:
        return lr * self.start_factor if self.last_epoch == 0 else lr

    def _next(self, lr: Any, base: Any) -> Any:
        if self.last_epoch > self.total_iters:
            return lr
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return lr * (1 + rise / before)

    def _closed_form(self, base: Any) -> Any:
        share = min(self.total_iters, self.last_epoch) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class ConstantLR(LRScheduler):
    """学習率を、はじめの `total_iters` 反復のあいだだけ `factor` 倍にする。

    Raises:
        ValueError: `factor` が 0 以上 1 以下でない。
    """

    _only_counts = True

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"factor は 0 以上 1 以下の数です (out of range): {factor}。")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _first(self, lr: Any) -> Any:
        return lr * self.factor if self.last_epoch == 0 else self._next(lr, lr)

    def _next(self, lr: Any, base: Any) -> Any:
        if self.last_epoch != self.total_iters:
            return lr
        return lr * (1.0 / self.factor) if self.factor else base

    def _closed_form(self, base: Any) -> Any:
        return base * (1 if self.last_epoch >= self.total_iters else self.factor)


class PolynomialLR(LRScheduler):
    """学習率を、`total_iters` 反復で (1 − t/total_iters)^power 倍まで下げる。"""

    _only_counts = True

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        require_count("total_iters", total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Any, base: Any) -> Any:
        if self.last_epoch > self.total_iters:
            return lr
        now, before = (1.0 - t / self.total_iters for t in (self.last_epoch, self.last_epoch - 1))
        return lr * (now / before) ** self.power

    def _closed_form(self, base: Any) -> Any:
        share = min(self.total_iters, self.last_epoch) / self.total_iters
        return base * (1.0 - share) ** self.power


class CosineAnnealingLR(LRScheduler):
    """学習率を、余弦の形で基準の値から `eta_min` まで下げる。

    η = eta_min + ½(η₀ − eta_min)(1 + cos(π·t/T_max))。T_max を過ぎると、同じ形で上がる。

    Raises:
        ValueError: `T_max` が正の整数でない。

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
    (ICLR 2017)。
    """

    _only_counts = True

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        require_count("T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Any, base: Any) -> Any:
        t, T = self.last_epoch, self.T_max
        if (t - 1 - T) % (2 * T) == 0:  # the lowest point: the ratio below would be 0/0
            return lr + (base - self.eta_min) * (1 - math.cos(math.pi / T)) / 2
        ratio = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return ratio * (lr - self.eta_min) + self.eta_min

    def _closed_form(self, base: Any) -> Any:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * share


explain_all(globals())
