"""学習率を探す (learning rate range test; Smith 2017): 学習率を上げながら少しだけ学習してみる。"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data import DataLoader
from micrograd_jp.engine.numbers import is_number, require_count
from micrograd_jp.nn.module.calling import number_of, stepper
from micrograd_jp.nn.module.evaluating import undisturbed
from micrograd_jp.viz import figures

_SMOOTHING = 0.9
_FAR = 4.0
"""損失がここまでの最小のこの倍を超えたら、発散とみて止める。"""


@dataclass(frozen=True)
class LearningRates:
    """`lr_finder` の結果。Jupyter ではそのまま図になる。

    Attributes:
        rates: 試した学習率。
        losses: なめらかにした損失（指数移動平均、係数 0.9、偏りを直したもの）。
        suggestion: 損失が最小になるまでに、最も速く下がった学習率。試しはじめの値には、これを選ぶ。
    """

    rates: list[float]
    losses: list[float]
    suggestion: float

    def __post_init__(self) -> None:
        lists = type(self.rates) is type(self.losses) is list
        both = [*self.rates, *self.losses, self.suggestion] if lists else [None]
        if not all(map(is_number, both)) or len(self.rates) != len(self.losses):
            raise TypeError(
                "LearningRates は、同じ長さの、数のリスト rates と losses を持ちます "
                "(expected two lists of numbers): mg.viz.lr_finder(…) が作ります。"
            )

    def plot(self) -> Any:
        """学習率（対数目盛り）と損失の図。

        Raises:
            ImportError: matplotlib か matplotlib_fontja がない。
        """
        figure, axes = figures.subplots(size=(6, 4))
        axes.plot(self.rates, self.losses)
        label = f"最も速く下がる {self.suggestion:.2g}"
        axes.axvline(self.suggestion, color=figures.COLORS[1], linestyle="--", label=label)
        axes.set(
            xscale="log", xlabel="学習率（対数目盛り）", ylabel="損失（なめらかにしたもの）",
            title="学習率を上げながらの損失",
        )  # fmt: skip
        axes.grid(alpha=0.3)
        axes.legend()
        return figure

    def _repr_png_(self) -> Any:
        return self.plot()._repr_png_()


def lr_finder(
    model: Any,
    data: Any,
    loss: Any,
    optimizer: Any,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
) -> LearningRates:
    """学習率を `low` から `high` まで等比で上げながら `steps` 回更新し、損失を記録する。

    損失が発散したら止める。終わると、モデル、最適化手法、`DataLoader` の位置、乱数は元に戻る。

    Args:
        model: `Module`。
        data: (x, t) のミニバッチの並び（`DataLoader` など）。足りなければ、はじめから繰り返す。
        loss: 損失 `loss(y, t)` か `loss(model, x, t)`。
        optimizer: `model` のパラメータを持つ最適化手法。どのグループも同じ学習率で試す。
        low: はじめの学習率。
        high: 終わりの学習率。
        steps: 更新の回数（10 以上）。

    Raises:
        TypeError: 使えないモデルや最適化手法。
        ValueError: 範囲か回数が使えない、はじめの損失から有限でない、データが空。
    """
    require_count("steps", steps)
    if not (0 < low < high < float("inf")) or steps < 10:
        raise ValueError(
            "0 < low < high、steps は 10 以上です (bad range): "
            f"low = {low!r}、high = {high!r}、steps = {steps!r}。"
        )
    if not hasattr(model, "state_dict") or not hasattr(optimizer, "param_groups"):
        raise TypeError(
            "model は Module、optimizer は mg.optim の最適化手法です (expected a Module and an "
            f"optimizer): {type(model).__name__} と {type(optimizer).__name__} が渡されました。"
        )
    step = stepper(model, loss)
    rates = np.geomspace(low, high, steps).tolist()
    held = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    grads = [(p, p.grad if p.has_grad else None) for p in model.parameters()]
    place = data.state_dict() if isinstance(data, DataLoader) else None
    losses: list[float] = []
    average = 0.0
    try:
        with undisturbed(model):
            model.train()
            for k, (rate, batch) in enumerate(zip(rates, _again_and_again(data)), 1):
                now = step(batch)
                number = number_of(now)
                average = _SMOOTHING * average + (1 - _SMOOTHING) * number
                smooth = average / (1 - _SMOOTHING**k)
                if not np.isfinite(number) or (losses and smooth > _FAR * min(losses)):
                    break
                losses.append(smooth)
                optimizer.zero_grad()
                now.backward()
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
    finally:
        model.load_state_dict(held[0])
        optimizer.load_state_dict(held[1])
        for p, grad in grads:
            p.grad = grad
        if place is not None:
            data.load_state_dict(place)
    if len(losses) < 3:
        raise ValueError(
            f"{len(losses)} 回の更新で損失が発散しました (diverged): low を小さくするか、"
            "はじめの重みと損失を確かめてください。"
        )
    slopes = np.gradient(losses, np.log(rates[: len(losses)]))
    end = max(int(np.argmin(losses)) + 1, 3)  # beyond, it may fall from a height that it rose to
    return LearningRates(rates[: len(losses)], losses, rates[int(np.argmin(slopes[:end]))])


def _again_and_again(data: Any) -> Iterator[Any]:
    while True:
        empty = True
        for batch in data:
            empty = False
            yield batch
        if empty:
            raise ValueError("学習するデータがありません (no data)。")


explain_all(globals())
