"""学習率のスケジューラ (learning rate schedulers)。名前と意味は PyTorch の `lr_scheduler` と同じ。

    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    scheduler = mg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    for _ in range(epochs):
        ...                      # optimizer.step() を何度か
        scheduler.step()         # そのあとに 1 度

学習率は、いまの `group["lr"]` から次の値を作る漸化式で変わる（途中で書き換えた学習率も生きる）。
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from micrograd_jp.optim.checks import number
from micrograd_jp.optim.optimizer import Optimizer

__all__ = [
    "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR",
    "MultiStepLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class _Scheduler:
    """What all schedulers share: the optimizer, the last rates, saving and restoring."""

    optimizer: Optimizer
    _saved: tuple[str, ...] = ()

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                "スケジューラには最適化手法を渡します (expected an Optimizer): "
                f"{type(optimizer).__name__} が渡されました。"
            )
        self.optimizer = optimizer
        self._last_lr = self._rates()

    def _rates(self) -> list[Any]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[Any]:
        """最後に決めた学習率を、グループの順に。"""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """状態の写し。関数（`LambdaLR` の `lr_lambda`）は入らない。"""
        state = {name: getattr(self, name) for name in self._saved}
        return {k: list(x) if isinstance(x, list) else x for k, x in state.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """`state_dict()` の状態に戻す。

        Raises:
            ValueError: 名前が足りないか余っている。このとき何も変わらない。
        """
        self._require_names(state_dict)
        for name in self._saved:
            x = state_dict[name]
            setattr(self, name, list(x) if isinstance(x, list) else x)

    def _require_names(self, state_dict: Any) -> None:
        wanted = set(self.state_dict())
        given = set(state_dict) if isinstance(state_dict, Mapping) else set()
        if given != wanted:
            raise ValueError(
                f"{type(self).__name__} の状態ではありません (state mismatch): "
                f"足りないもの {sorted(wanted - given)}、余分なもの {sorted(given - wanted)}。"
            )


class LRScheduler(_Scheduler):
    """反復（ふつうエポック）の数で学習率を決めるスケジューラの土台。

    Args:
        optimizer: 最適化手法。各グループのいまの学習率が基準 (`base_lrs`) になる。
        last_epoch: 最後に終えた反復の番号。はじめは −1。

    Raises:
        TypeError: `optimizer` が最適化手法でない。
        KeyError: `last_epoch` が 0 以上なのに、グループに `initial_lr` がない。
    """

    _saved = ("base_lrs", "last_epoch", "_step_count", "_last_lr")

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"グループ {i} に initial_lr がありません (missing initial_lr): last_epoch を"
                    "渡すのは、optimizer.load_state_dict() で状態を戻した後だけです。"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def _begin(self) -> None:
        """Set the rates of the first epoch."""
        self._step_count = 1
        self.last_epoch += 1
        self._set([self._first(lr) for lr in self._rates()])

    def _first(self, lr: Any) -> Any:
        """The rate when the scheduler is made (or begins its turn)."""
        return lr

    def _next(self, lr: Any, base: Any) -> Any:
        """The rate of `last_epoch` from that of the epoch before."""
        raise NotImplementedError

    def _closed_form(self, base: Any) -> Any:
        """The rate of `last_epoch` from the base rate alone."""
        raise NotImplementedError

    def step(self) -> None:
        """次の反復の学習率にする。`optimizer.step()` の後に呼ぶ。"""
        if self._step_count == 1 and not self.optimizer._stepped:
            warnings.warn(
                "optimizer.step() より先に scheduler.step() が呼ばれました (scheduler stepped "
                "before the optimizer): はじめの学習率が使われません。順を入れ替えてください。",
                UserWarning,
                stacklevel=2,
            )
        self._advance()

    def _advance(self) -> None:
        self._step_count += 1
        self.last_epoch += 1
        pairs = zip(self._rates(), self.base_lrs, strict=True)
        self._set([self._next(lr, base) for lr, base in pairs])

    def _restart(self) -> None:
        """Begin a turn in the middle of a run, from the base rates."""
        self.last_epoch = 0
        self._set([self._closed_form(base) for base in self.base_lrs])

    def _set(self, rates: Sequence[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._rates()


class LambdaLR(LRScheduler):
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
        n = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * n if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != n:
            raise ValueError(
                f"lr_lambda の数がグループの数と違います (expected {n} lr_lambdas): "
                f"{len(self.lr_lambdas)}。"
            )
        super().__init__(optimizer, last_epoch)

    def _begin(self) -> None:
        self._step_count = 0
        self._advance()

    def _advance(self) -> None:
        self._step_count += 1
        self.last_epoch += 1
        self._evaluate()

    def _restart(self) -> None:
        self.last_epoch = 0
        self._evaluate()

    def _evaluate(self) -> None:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        self._set([base * factor(self.last_epoch) for base, factor in pairs])


class StepLR(LRScheduler):
    """`step_size` 反復ごとに学習率を `gamma` 倍する。

    Raises:
        ValueError: `step_size` が正の整数でない。
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        _require_count("step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _first(self, lr: Any) -> Any:
        return self._next(lr, None)

    def _next(self, lr: Any, base: Any) -> Any:
        turn = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return lr * self.gamma if turn else lr

    def _closed_form(self, base: Any) -> Any:
        return base * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """`milestones` の反復で学習率を `gamma` 倍する（同じ番号が n 度あれば n 乗）。"""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _first(self, lr: Any) -> Any:
        return self._next(lr, None)

    def _next(self, lr: Any, base: Any) -> Any:
        times = self.milestones[self.last_epoch]
        return lr * self.gamma**times if times else lr

    def _closed_form(self, base: Any) -> Any:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return base * self.gamma**passed


class ExponentialLR(LRScheduler):
    """反復ごとに学習率を `gamma` 倍する。"""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: Any, base: Any) -> Any:
        return lr * self.gamma

    def _closed_form(self, base: Any) -> Any:
        return base * self.gamma**self.last_epoch


class LinearLR(LRScheduler):
    """学習率の倍率を `start_factor` から `end_factor` まで、`total_iters` 反復で直線的に変える。

    大きな学習率で始める前の準備 (warm-up) に使う。

    Raises:
        ValueError: 倍率や回数が範囲の外。
    """

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
        _require_count("total_iters", total_iters)
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


class CosineAnnealingLR(LRScheduler):
    """学習率を、余弦の形で基準の値から `eta_min` まで下げる。

    η = eta_min + ½(η₀ − eta_min)(1 + cos(π·t/T_max))。T_max を過ぎると、同じ形で上がる。

    Raises:
        ValueError: `T_max` が正の整数でない。

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
    (ICLR 2017)。
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        _require_count("T_max", T_max)
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


class SequentialLR(_Scheduler):
    """いくつかのスケジューラを順に使う: はじめは warm-up、そのあとは余弦、など。

    Args:
        optimizer: 最適化手法。
        schedulers: 順に使うスケジューラ（どれも同じ `optimizer` のもの）。
        milestones: 次のスケジューラに替わる反復の番号。1 つ少ない。

    Raises:
        ValueError: 空、数が合わない、別の `optimizer` のもの、`ReduceLROnPlateau`。
    """

    _saved = ("last_epoch", "_milestones", "_last_lr")

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer)
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "milestones の数は schedulers より 1 つ少なくします (expected one fewer): "
                f"schedulers は {len(schedulers)}、milestones は {len(milestones)}。"
            )
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise ValueError(
                    f"schedulers[{i}] は順に使えません (unsupported scheduler): "
                    f"{type(scheduler).__name__}。"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"schedulers[{i}] は別の最適化手法のものです (different optimizer)。"
                )
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:
            scheduler.last_epoch -= 1  # each took a first step when it was made
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._begin()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """次の反復の学習率にする。`optimizer.step()` の後に呼ぶ。"""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """状態の写し。中のスケジューラの状態も入る。"""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """`state_dict()` の状態に戻す。

        Raises:
            ValueError: 名前や、中のスケジューラの数が合わない。
        """
        self._require_names(state_dict)
        states = state_dict["_schedulers"]
        if len(states) != len(self._schedulers):
            raise ValueError(
                f"スケジューラの数が違います (scheduler count mismatch): 保存された状態は "
                f"{len(states)}、いまは {len(self._schedulers)}。"
            )
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler._require_names(state)
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(state)


class ReduceLROnPlateau(_Scheduler):
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
        n = len(optimizer.param_groups)
        self.min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * n
        if len(self.min_lrs) != n:
            raise ValueError(
                f"min_lr の数がグループの数と違います (expected {n} min_lrs): {len(self.min_lrs)}。"
            )
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
        if self.threshold_mode == "rel":
            bar = self.best * (1 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return current < bar if self.mode == "min" else current > bar


def _require_count(name: str, n: Any) -> None:
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{name} は 1 以上の整数です (expected a positive int): {n!r}。")
