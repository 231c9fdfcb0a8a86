"""スケジューラの土台: 学習率の更新、状態の保存と復元。"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.optim.checks import require_alike
from micrograd_jp.optim.optimizer import Optimizer


class Scheduler:
    """どのスケジューラにも共通の部分: 最適化手法、最後の学習率、保存と復元。"""

    optimizer: Optimizer
    _saved: tuple[str, ...] = ()

    def __init__(self, optimizer: Optimizer) -> None:
        require_optimizer(optimizer)
        self.optimizer = optimizer
        self._last_lr = self._rates()

    def _rates(self) -> list[Any]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[Any]:
        """最後に決めた学習率を、グループの順に。"""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """状態の写し。関数（`LambdaLR` の `lr_lambda`）は入らない。"""
        return {name: copy(getattr(self, name)) for name in self._saved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """`state_dict()` の状態に戻す。

        Raises:
            ValueError: 名前が足りないか余っている、値が合わない。このとき何も変わらない。
        """
        self._loading(state_dict)()

    def _loading(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """What loads the state, once all of it is found to fit."""
        self._require_names(state_dict)
        new = {name: copy(state_dict[name]) for name in self._saved}
        for name, x in new.items():
            require_alike(name, x, getattr(self, name))
        return lambda: vars(self).update(new)

    def _require_names(self, state_dict: Any) -> None:
        wanted = set(self.state_dict())
        given = set(state_dict) if isinstance(state_dict, Mapping) else set()
        if given != wanted:
            raise ValueError(
                f"{type(self).__name__} の状態ではありません (state mismatch): "
                f"足りないもの {sorted(wanted - given)}、余分なもの {sorted(given - wanted)}。"
            )


class LRScheduler(Scheduler):
    """反復（ふつうエポック）の数で学習率を決めるスケジューラの土台。

    Args:
        optimizer: 最適化手法。各グループのいまの学習率が基準 (`base_lrs`) になる。
        last_epoch: 最後に終えた反復の番号。はじめは −1。

    Raises:
        TypeError: `optimizer` が最適化手法でない。
        KeyError: `last_epoch` が 0 以上なのに、グループに `initial_lr` がない。
    """

    _saved: tuple[str, ...] = ("base_lrs", "last_epoch", "_step_count", "_last_lr")
    _only_counts = False
    """Whether only the number of steps decides: nobody's function is asked, nothing else is set.

    What is said of a class does not hold for those that are derived from it."""

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
        self.begin()

    def begin(self) -> None:
        """最初の反復の学習率にする。"""
        self._step_count = 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def get_lr(self) -> list[Any]:
        """反復 `last_epoch` の学習率を、グループの順に。自分で作るスケジューラは、これを書く。

        使えるのは `self.base_lrs`、`self.last_epoch` と、いまの `self.optimizer.param_groups`。
        決まった学習率を見るのは `get_last_lr()`。
        """
        if self._step_count == 1:
            return [self._first(lr) for lr in self._rates()]
        pairs = zip(self._rates(), self.base_lrs, strict=True)
        return [self._next(lr, base) for lr, base in pairs]

    def _first(self, lr: Any) -> Any:
        """The rate when the scheduler is made (or begins its turn)."""
        return lr

    def _next(self, lr: Any, base: Any) -> Any:
        """The rate of `last_epoch` from that of the epoch before."""
        raise undefined(self, "_next(self, lr, base)")

    def _closed_form(self, base: Any) -> Any:
        """The rate of `last_epoch` from the base rate alone."""
        raise undefined(self, "_closed_form(self, base)")

    def step(self, epoch: int | None = None) -> None:
        """次の反復の学習率にする。`optimizer.step()` の後に呼ぶ。

        Args:
            epoch: 何番目の反復にするか（PyTorch の古い書き方。警告する）。ふつうは省く。
        """
        if self._step_count == 1 and not self.optimizer.stepped:
            warnings.warn(
                "optimizer.step() より先に scheduler.step() が呼ばれました (scheduler stepped "
                "before the optimizer): はじめの学習率が使われません。順を入れ替えてください。",
                UserWarning,
                stacklevel=3,
            )
        if epoch is None:
            self._advance()
            return
        warnings.warn(
            "scheduler.step(epoch) は古い書き方です (deprecated): 引数なしで、反復ごとに 1 度呼んで"
            "ください。",
            UserWarning,
            stacklevel=3,
        )
        self._step_count += 1
        self._jump(epoch)

    def _advance(self) -> None:
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def foretells(self, optimizer: Optimizer) -> bool:
        """この最適化手法の先の学習率を、`ahead` で決めてよいか: 反復の数だけで決まるか。"""
        own = vars(type(self)).get("_only_counts", False) and "step" not in vars(self)
        return bool(own) and self.optimizer is optimizer

    def ahead(self, count: int) -> tuple[list[Any], Callable[[int], None]]:
        """これから `count` 回の更新と `step()` の、更新のときの学習率（グループは 1 つ）。

        Returns:
            学習率と、終えた回数を言う関数。言うまで、`count` 回とも終えたことになっている。
        """
        before, group = self.state_dict(), self.optimizer.param_groups[0]
        rates = [group["lr"]]

        def done(times: int) -> None:
            if times != count:
                vars(self).update(before)
                group["lr"] = rates[0]
                for _ in range(times):
                    self._advance()

        try:
            for _ in range(count):
                self._advance()
                rates.append(group["lr"])
        except BaseException:
            done(0)
            raise
        return rates[:-1], done

    def restart(self) -> None:
        """途中からの順番を、基準の学習率から始める。"""
        self._jump(0)

    def _jump(self, epoch: int) -> None:
        self.last_epoch = epoch
        closed = type(self)._closed_form is not LRScheduler._closed_form
        self._set([self._closed_form(x) for x in self.base_lrs] if closed else self.get_lr())

    def _set(self, rates: Sequence[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._rates()


class OfEpoch(LRScheduler):
    """学習率を、反復の番号だけから（漸化式でなく）決めるスケジューラの土台。"""

    def begin(self) -> None:
        """最初の反復の学習率にする。"""
        self._step_count = 0
        self._advance()

    def _advance(self) -> None:
        self._step_count += 1
        self._jump(self.last_epoch + 1)

    def _jump(self, epoch: int) -> None:
        self.last_epoch = epoch
        self._set(self.get_lr())

    def get_lr(self) -> list[Any]:
        """反復 `last_epoch` の学習率を、グループの順に。"""
        return self._at()

    def _at(self) -> list[Any]:
        """The rates of `last_epoch`, one a group."""
        raise undefined(self, "_at(self)")


def require_optimizer(optimizer: Any) -> None:
    """最適化手法であることを確かめる。

    Raises:
        TypeError: そうでない。
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "スケジューラには最適化手法を渡します (expected an Optimizer): "
            f"{type(optimizer).__name__} が渡されました。"
        )


def per_group(name: str, x: Any, optimizer: Optimizer) -> list[Any]:
    """グループごとに 1 つの値: 並びならその要素、そうでなければ、どれも x。

    Raises:
        ValueError: 並びの長さがグループの数と違う。
    """
    require_optimizer(optimizer)
    n = len(optimizer.param_groups)
    if not isinstance(x, list | tuple):
        return [x] * n
    if len(x) != n:
        raise ValueError(f"{name} の数がグループの数と違います (expected {n} {name}s): {len(x)}。")
    return list(x)


explain_all(globals())
