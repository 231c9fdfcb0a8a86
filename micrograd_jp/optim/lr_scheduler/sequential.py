"""いくつかのスケジューラを、順に (`SequentialLR`)、または一緒に (`ChainedScheduler`) 使う。"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.lr_scheduler.base import LRScheduler, Scheduler
from micrograd_jp.optim.optimizer import Optimizer


class _Several(Scheduler):
    """Saves and restores the schedulers that it is made of."""

    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Sequence[LRScheduler]) -> None:
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise ValueError(
                    f"schedulers[{i}] は一緒に使えません (unsupported scheduler): "
                    f"{type(scheduler).__name__}。"
                )
            if scheduler.optimizer is not self.optimizer:
                raise ValueError(
                    f"schedulers[{i}] は別の最適化手法のものです (different optimizer)。"
                )
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """状態の写し。中のスケジューラの状態も入る。"""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def _loading(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        self._require_names(state_dict)
        states = state_dict["_schedulers"]
        count = len(states) if isinstance(states, list | tuple) else 0
        if count != len(self._schedulers):
            raise ValueError(
                f"スケジューラの数が違います (scheduler count mismatch): 保存された状態は "
                f"{count}、いまは {len(self._schedulers)}。"
            )
        loads = [super()._loading(state_dict)]
        loads += [s._loading(state) for s, state in zip(self._schedulers, states, strict=True)]

        def load() -> None:
            for one in loads:
                one()

        return load


class SequentialLR(_Several):
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
        self._take(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:
            scheduler.last_epoch -= 1  # each took a first step when it was made
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.begin()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """次の反復の学習率にする。`optimizer.step()` の後に呼ぶ。"""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler.restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Several):
    """いくつかのスケジューラを一緒に使う: `step()` は、どれもの `step()` を順に呼ぶ。

    Args:
        schedulers: スケジューラ（どれも同じ最適化手法のもの）。
        optimizer: その最適化手法（省ける）。

    Raises:
        ValueError: 空、別の最適化手法のもの、`ReduceLROnPlateau`。
    """

    _saved = ("_last_lr",)

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError(
                "schedulers が空です (expected at least one scheduler): 1 つ以上渡してください。"
            )
        super().__init__(schedulers[0].optimizer if optimizer is None else optimizer)
        self._take(schedulers)

    def step(self) -> None:
        """次の反復の学習率にする。`optimizer.step()` の後に呼ぶ。"""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()


explain_all(globals())
