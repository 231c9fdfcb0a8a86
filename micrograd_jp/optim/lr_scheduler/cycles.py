"""上げ下げを繰り返すスケジューラ: CosineAnnealingWarmRestarts、CyclicLR、OneCycleLR。

CyclicLR と OneCycleLR は、モーメンタム（`momentum` か `betas[0]`）も、学習率と反対向きに動かす。
`mg.jit` の中では `cycle_momentum=False` とする（変わるたびにコンパイルし直すことになる）。
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.optim.lr_scheduler.base import (
    LRScheduler,
    OfEpoch,
    per_group,
    require_optimizer,
)
from micrograd_jp.optim.optimizer import Optimizer


class CosineAnnealingWarmRestarts(OfEpoch):
    """学習率を余弦の形で `eta_min` まで下げ、はじめに戻すことを繰り返す (SGDR)。

    η = eta_min + ½(η₀ − eta_min)(1 + cos(π·T_cur/T_i))。T_cur が T_i になると 0 に戻り、周期 T_i は
    `T_mult` 倍になる。`scheduler.step(epoch + i / n)` のように、反復の途中の値でも呼べる。

    Args:
        optimizer: 最適化手法。
        T_0: はじめの周期。
        T_mult: 周期に掛ける整数。
        eta_min: 学習率の最小値。
        last_epoch: 最後に終えた反復の番号。

    Raises:
        ValueError: `T_0` か `T_mult` が正の整数でない。

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
    (ICLR 2017)。
    """

    _only_counts = True

    _saved = (*LRScheduler._saved, "T_cur", "T_i")

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        require_count("T_0", T_0)
        require_count("T_mult", T_mult)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_i: int = T_0
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """次の反復の学習率にする。

        Args:
            epoch: 何番目の反復か（途中なら小数）。省けば、次の反復。

        Raises:
            ValueError: `epoch` が負。
        """
        if epoch is None:
            super().step()
            return
        if epoch < 0:
            raise ValueError(f"epoch は 0 以上です (expected a non-negative epoch): {epoch}。")
        self._jump(epoch)

    def _advance(self) -> None:
        self._step_count += 1
        if self.last_epoch < 0:
            self._jump(0)
            return
        self.last_epoch += 1
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur %= self.T_i
            self.T_i *= self.T_mult
        self._set(self._at())

    def _jump(self, epoch: float) -> None:
        self.T_i, self.T_cur = self.T_0, epoch
        if epoch >= self.T_0:
            if self.T_mult == 1:
                self.T_cur = epoch % self.T_0
            else:
                cycles = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
                self.T_i *= self.T_mult**cycles
                self.T_cur = epoch - (self.T_i - self.T_0) / (self.T_mult - 1)
        super()._jump(math.floor(epoch))

    def _at(self) -> list[Any]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class _WithMomentum(OfEpoch):
    """Moves the momentum of the optimizer, too."""

    cycle_momentum: bool

    def _take_momentum(self, base_momentum: Any, max_momentum: Any, first: bool) -> None:
        """Remember between which values the momentum moves, and begin with the largest."""
        optimizer = self.optimizer
        if not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                "cycle_momentum=True には、momentum か betas のある最適化手法が必要です (optimizer "
                f"must support momentum): {type(optimizer).__name__} では cycle_momentum=False と"
                "してください。"
            )
        low = per_group("base_momentum", base_momentum, optimizer)
        high = per_group("max_momentum", max_momentum, optimizer)
        self.base_momentums, self.max_momentums = low, high
        if first:
            for group, least, most in zip(optimizer.param_groups, low, high, strict=True):
                group["max_momentum"], group["base_momentum"] = most, least
            self._set_momentums(high)

    def _set_momentums(self, momentums: list[Any]) -> None:
        for group, momentum in zip(self.optimizer.param_groups, momentums, strict=True):
            if "betas" in self.optimizer.defaults:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class CyclicLR(_WithMomentum):
    """学習率を、`base_lr` と `max_lr` の間で、三角形の波のように動かす。

    Args:
        optimizer: 最適化手法。
        base_lr: 下の学習率（グループごとの並びでもよい）。
        max_lr: 上の学習率（同上）。
        step_size_up: 上がる反復の数。
        step_size_down: 下がる反復の数（省けば `step_size_up`）。
        mode: `"triangular"`（そのまま）、`"triangular2"`（1 周ごとに高さを半分に）、`"exp_range"`
            （高さを gammaᵗ 倍に）。`scale_fn` があれば使わない。
        gamma: `"exp_range"` の係数。
        scale_fn: 高さの倍率を返す関数。保存されない。
        scale_mode: `scale_fn` に渡すのが周の番号 (`"cycle"`、1 から) か、反復の番号
            (`"iterations"`) か。
        cycle_momentum: 真なら、モーメンタムを反対向きに動かす。
        base_momentum: モーメンタムの最小値（グループごとの並びでもよい）。
        max_momentum: モーメンタムの最大値（同上）。
        last_epoch: 最後に終えた反復の番号。

    Raises:
        ValueError: 知らない `mode`、並びの長さが違う、モーメンタムのない最適化手法。

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (WACV 2017)。
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        require_optimizer(optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(
                "mode は 'triangular'、'triangular2'、'exp_range' のどれかです (mode is invalid "
                f"and scale_fn is None): {mode!r} が渡されました。"
            )
        base_lrs = per_group("base_lr", base_lr, optimizer)
        self.max_lrs = per_group("max_lr", max_lr, optimizer)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self.scale_mode = mode, gamma, scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self._own_scale, self.cycle_momentum, self.optimizer = scale_fn, cycle_momentum, optimizer
        if cycle_momentum:
            self._take_momentum(base_momentum, max_momentum, last_epoch == -1)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """高さの倍率。"""
        if self._own_scale is not None:
            return self._own_scale(x)
        if self.mode == "exp_range":
            return float(self.gamma**x)
        return 0.5 ** (x - 1) if self.mode == "triangular2" else 1.0

    def _at(self) -> list[Any]:
        turns = self.last_epoch / self.total_size
        cycle = math.floor(1 + turns)
        x = 1.0 + turns - cycle
        rising = x <= self.step_ratio
        height = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            self._set_momentums([high - (high - low) * height for low, high in pairs])
        return [
            low + (high - low) * height
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]


class OneCycleLR(_WithMomentum):
    """学習率を 1 度だけ大きく上げ、はじめよりずっと小さくなるまで下げる (1cycle policy)。

    はじめ `max_lr / div_factor`、`pct_start` の割合の反復で `max_lr`、終わりに
    `max_lr / div_factor / final_div_factor`。1 エポックでなく、1 回の更新ごとに `step()` を呼ぶ。

    Args:
        optimizer: 最適化手法。
        max_lr: 最大の学習率（グループごとの並びでもよい）。
        total_steps: 更新の総数。省くなら `epochs` と `steps_per_epoch` の積。
        epochs: エポックの数。
        steps_per_epoch: 1 エポックの更新の数。
        pct_start: 上げるのに使う割合。
        anneal_strategy: `"cos"`（余弦）か `"linear"`（直線）。
        cycle_momentum: 真なら、モーメンタムを反対向きに動かす。
        base_momentum: モーメンタムの最小値（グループごとの並びでもよい）。
        max_momentum: モーメンタムの最大値（同上）。
        div_factor: `max_lr` とはじめの学習率の比。
        final_div_factor: はじめと終わりの学習率の比。
        three_phase: 真なら、はじめの学習率まで下げてから、さらに下げる。
        last_epoch: 最後に終えた反復の番号。

    Raises:
        ValueError: 更新の総数が決まらない、範囲の外の値、モーメンタムのない最適化手法。`step()` が
            総数より多く呼ばれた。

    Source: Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates" (arXiv:1708.07120)。
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        require_optimizer(optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(
                f"pct_start は 0 以上 1 以下の小数です (out of range): {pct_start!r}。"
            )
        require_strategy(anneal_strategy)
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        self.optimizer = optimizer
        top, end = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        self._phases: list[tuple[float, str, str, str, str]] = [
            (top, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
            (end, "max_lr", "min_lr", "base_momentum", "max_momentum"),
        ]
        if three_phase:
            self._phases[1:] = [
                (2 * top, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (end, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        most = per_group("max_lr", max_lr, optimizer)
        if cycle_momentum:
            self._take_momentum(base_momentum, max_momentum, last_epoch == -1)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, most, strict=True):
                group["initial_lr"], group["max_lr"] = lr / div_factor, lr
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def _at(self) -> list[Any]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"step() が多すぎます (tried to step {step} times): 更新の総数は total_steps="
                f"{self.total_steps} です。1 回の更新ごとに 1 度、総数まで呼んでください。"
            )
        ends = [phase[0] for phase in self._phases]
        i = next((i for i, end in enumerate(ends) if step <= end), len(ends) - 1)
        start, end = [0.0, *ends][i], ends[i]
        share = (step - start) / (end - start) if end != start else 1.0
        _, lr_from, lr_to, momentum_from, momentum_to = self._phases[i]
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            self._set_momentums([
                annealed(self.anneal_strategy, g[momentum_from], g[momentum_to], share)
                for g in groups
            ])  # fmt: skip
        return [annealed(self.anneal_strategy, g[lr_from], g[lr_to], share) for g in groups]


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        require_count("total_steps", total_steps)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ValueError(
            "total_steps か、epochs と steps_per_epoch の両方を渡してください (define either "
            "total_steps or epochs and steps_per_epoch)。"
        )
    require_count("epochs", epochs)
    require_count("steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch


def require_strategy(strategy: Any) -> None:
    """`annealed` の形の名前であることを確かめる。

    Raises:
        ValueError: 知らない名前。
    """
    if strategy not in ("cos", "linear"):
        raise ValueError(
            f"anneal_strategy は 'cos' か 'linear' です (unknown strategy): {strategy!r}。"
        )


def annealed(strategy: str, start: Any, end: Any, share: float) -> Any:
    """`start` から `end` まで、割合 `share` だけ進んだ値: 余弦 (cos) か直線 (linear) に沿って。"""
    if strategy == "linear":
        return (end - start) * share + start
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


explain_all(globals())
