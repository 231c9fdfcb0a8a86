"""重みの平均 (weight averaging): 確率的重み平均 SWA と、指数移動平均 EMA。PyTorch の名前で。

averaged = mg.optim.swa_utils.AveragedModel(
    model, multi_avg_fn=mg.optim.swa_utils.get_ema_multi_avg_fn(0.999)
)
for x, t in loader:
    ...                                  # model の 1 更新
    averaged.update_parameters(model)
mg.optim.swa_utils.update_bn(loader, averaged)   # バッチ正規化があれば
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.graph.node import data_of
from micrograd_jp.nn.layers.norm import BatchNorm
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim.lr_scheduler.base import OfEpoch, per_group
from micrograd_jp.optim.lr_scheduler.cycles import require_strategy
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import int64

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

Average = Callable[[Any, Any, Any], Any]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """指数移動平均 (EMA) の公式 decay·平均 + (1 − decay)·いまの値。

    Args:
        decay: 減衰率。0 以上 1 以下。

    Raises:
        ValueError: 範囲の外。
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay は 0 以上 1 以下の数です (invalid decay): {decay}。")
    return lambda averaged, current, num_averaged: decay * averaged + (1 - decay) * current


def get_swa_avg_fn() -> Average:
    """等しい重みの平均 (SWA) の公式 平均 + (いまの値 − 平均)/(数 + 1)。

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
    Generalization" (UAI 2018)。
    """
    return lambda averaged, current, num_averaged: (
        averaged + (current - averaged) / (num_averaged + 1)
    )


def get_ema_multi_avg_fn(decay: float = 0.999) -> Average:
    """`get_ema_avg_fn` を、並びのすべてに、その場で行う関数。

    Raises:
        ValueError: 範囲の外の `decay`。
    """
    return _of_every(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Average:
    """`get_swa_avg_fn` を、並びのすべてに、その場で行う関数。"""
    # The share first, as in PyTorch: of a count in a Tensor it is a float32.
    return _of_every(lambda averaged, current, n: averaged + (current - averaged) * (1 / (n + 1)))


def _of_every(average: Average) -> Average:
    def update(averaged: Sequence[Any], current: Sequence[Any], num_averaged: Any) -> None:
        for a, x in zip(averaged, current, strict=True):
            n = num_averaged if isinstance(a, Tensor) else int(num_averaged)
            _assign(a, average(a.detach(), x.detach(), n))

    return update


def _assign(p: Any, x: Any) -> None:
    """Put a value where a parameter or a buffer lies."""
    if isinstance(p, Tensor):
        with no_grad():
            p.copy_(x)
    else:
        p.data = float(data_of(x))


class AveragedModel(Module):
    """モデルの写しに、更新のたびの重みの平均を持つ部品。呼べば、写しの順伝播。

    Attributes:
        module: 平均した重みのモデル。
        n_averaged: 平均した数（0 次元の整数のバッファ）。

    Args:
        model: もとのモデル。写される。
        device: 写しを置く装置（既定は、そのまま）。
        avg_fn: 1 つの重みの平均 `f(平均, いまの値, 数)`。既定は SWA。
        multi_avg_fn: 重みの並びを、その場で平均する `f(平均の並び, いまの値の並び, 数)`。
        use_buffers: 真ならバッファも平均する。偽なら、写す。

    Raises:
        ValueError: `avg_fn` と `multi_avg_fn` の両方が渡された。
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Average | None = None,
        use_buffers: bool = False,
    ) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError(
                "avg_fn と multi_avg_fn はどちらか 1 つを渡します (only one of avg_fn and "
                "multi_avg_fn should be provided)。"
            )
        self.register_buffer("n_averaged", Tensor(np.zeros((), int64)))
        self.module = copy.deepcopy(model)
        if device is not None:
            self.to(device)
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    n_averaged: Any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """平均した重みでの順伝播。"""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """いまの重みを平均に加える。はじめは、写すだけである。

        Raises:
            ValueError: 重みの数が違う。
        """
        ours, theirs = list(self.module.parameters()), list(model.parameters())
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        if len(ours) != len(theirs):
            raise ValueError(
                f"重みの数が違います (different number of parameters): 平均は {len(ours)}、"
                f"モデルは {len(theirs)}。"
            )
        if self.use_buffers:
            ours += [a for a, _ in buffers]
            theirs += [x for _, x in buffers]
        count = int(self.n_averaged.item())
        if count == 0:
            for a, x in zip(ours, theirs, strict=True):
                _assign(a, x.detach())
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn(
                [_shared(a) for a in ours], [x.detach() for x in theirs], self.n_averaged
            )
        else:
            _of_every(self.avg_fn or get_swa_avg_fn())(ours, theirs, self.n_averaged)
        if not self.use_buffers:
            for a, x in buffers:
                _assign(a, x.detach())
        self.n_averaged.data = self.n_averaged.detach() + 1


def _shared(p: Any) -> Any:
    """What may be written to in place without a graph: a Tensor on the same memory."""
    return p.detach() if isinstance(p, Tensor) else p


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """バッチ正規化の移動平均を、データを 1 度通して求め直す（重みを平均した後に）。

    Args:
        loader: バッチの並び。`Tensor`、または、はじめの要素が入力の組。
        model: モデル。
        device: 入力を置く装置（既定は、そのまま）。
    """
    norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
    if not norms:
        return
    momenta, was_training = [part.momentum for part in norms], model.training
    for part in norms:
        part.reset_running_stats()
    model.train()
    try:
        for part in norms:
            part.momentum = None  # the plain mean of all batches
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, list | tuple) else batch
                model(x if device is None else x.to(device))
    finally:
        for part, momentum in zip(norms, momenta, strict=True):
            part.momentum = momentum
        model.train(was_training)


class SWALR(OfEpoch):
    """学習率を、`anneal_epochs` 反復で `swa_lr` まで変え、そのままにする。

    Args:
        optimizer: 最適化手法。
        swa_lr: 終わりの学習率（グループごとの並びでもよい）。
        anneal_epochs: 変えるのに使う反復の数。
        anneal_strategy: `"cos"`（余弦）か `"linear"`（直線）。
        last_epoch: 最後に終えた反復の番号。

    Raises:
        ValueError: 並びの長さが違う、知らない形、負の反復の数。
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = per_group("swa_lr", swa_lr, optimizer)
        require_strategy(anneal_strategy)
        if isinstance(anneal_epochs, bool) or not isinstance(anneal_epochs, int):
            raise TypeError(f"anneal_epochs は整数です (expected int): {anneal_epochs!r}。")
        if anneal_epochs < 0:
            raise ValueError(f"anneal_epochs は 0 以上の整数です (out of range): {anneal_epochs}。")
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        for group, lr in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = lr
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t

    def _at(self) -> list[Any]:
        step = self._step_count - 1 if self.anneal_epochs else max(1, self._step_count - 1)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, end = group["lr"], group["swa_lr"]
            # From what is left of the way: the rate may have been changed by others.
            start = end if before == 1 else (lr - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates


explain_all(globals())
