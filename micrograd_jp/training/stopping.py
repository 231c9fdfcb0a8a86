"""早期終了 (early stopping): 開発データの結果がよくならなくなったら学習を止める。"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.optim.checks import require_alike


@dataclass(frozen=True)
class EarlyStopping:
    """早期終了のしかた。終わると、最もよかったエポックの重みに戻る。

    Attributes:
        patience: よくならないエポックを何回まで待つか。
        monitor: 見る値。`"metric"`（開発データの指標）か `"loss"`（開発データの損失）。
        mode: `"max"` なら大きいほど、`"min"` なら小さいほどよい。`None` なら、損失は小さいほど、
            指標は大きいほどよいとみる。
        min_delta: よくなったとみなす最小の変化。

    Raises:
        ValueError: `patience` が正の整数でない、`monitor` や `mode` が違う。

    Source: Prechelt, "Early Stopping – But When?" (Neural Networks: Tricks of the Trade, 1998)。
    """

    patience: int
    monitor: str = "metric"
    mode: str | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        require_count("patience", self.patience)
        if self.monitor not in ("metric", "loss"):
            raise ValueError(
                f'monitor は "metric" か "loss" です (unknown monitor): {self.monitor!r}。'
            )
        if self.mode not in (None, "min", "max"):
            raise ValueError(f'mode は "min" か "max" です (unknown mode): {self.mode!r}。')

    @property
    def sign(self) -> int:
        """値に掛けると、大きいほどよくなる数。"""
        mode = self.mode or ("min" if self.monitor == "loss" else "max")
        return 1 if mode == "max" else -1


class Watch:
    """早期終了の途中経過: 最もよかった値と重み、それからのエポックの数。"""

    def __init__(self, rule: EarlyStopping, model: Any) -> None:
        self.rule, self.model = rule, model
        self.best, self.waited = -math.inf, 0
        self.weights: Any = None

    def saw(self, row: Mapping[str, Any]) -> bool:
        """エポックの結果を見る。止めるべきなら真。"""
        value = row["development_loss" if self.rule.monitor == "loss" else "metric"]
        score = self.rule.sign * value
        if score > self.best + self.rule.min_delta or self.weights is None:
            self.best, self.waited = score, 0
            self.weights = self.model.state_dict()
        else:
            self.waited += 1
        return self.waited >= self.rule.patience

    def restore(self) -> None:
        """最もよかった重みに戻す。"""
        if self.weights is not None:
            self.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """途中経過。"""
        return {"best": self.best, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """途中経過に戻す。"""
        self._loading(state)()

    def _loading(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """What loads the state, once all of it is found to fit."""
        if not isinstance(state, Mapping) or set(state) != set(self.state_dict()):
            raise ValueError("早期終了の途中経過ではありません (not a state of early stopping)。")
        new = {name: state[name] for name in ("best", "waited")}
        for name, x in new.items():
            require_alike(name, x, getattr(self, name))
        if state["weights"] is not None and hasattr(self.model, "_loading"):
            self.model._loading(state["weights"])
        return lambda: vars(self).update(new, weights=state["weights"])


def watch_of(rule: Any, development: Any, metric: Any, model: Any) -> Watch | None:
    """`fit` の引数から。早期終了をしないなら `None`。

    Raises:
        TypeError, ValueError: 早期終了のできないモデル、見るもののない設定。
    """
    if rule is None:
        return None
    if not isinstance(rule, EarlyStopping):
        rule = EarlyStopping(rule, "loss" if metric is None else "metric")
    if not hasattr(model, "state_dict"):
        raise TypeError(
            "早期終了には model の state_dict() が要ります (cannot be restored): "
            f"{type(model).__name__} にはありません。"
        )
    if development is None or (rule.monitor == "metric" and metric is None):
        raise ValueError(
            "早期終了には開発データ（と、見る指標）が要ります (early stopping needs development "
            "data): fit に development を渡してください。"
        )
    return Watch(rule, model)


explain_all(globals())
