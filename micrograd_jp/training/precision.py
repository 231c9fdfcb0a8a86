"""`fit` の精度 (precision): どの型で計算し、損失をスケールするか。名前は Lightning のもの。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.amp import GradScaler, autocast
from micrograd_jp.engine.value import Value
from micrograd_jp.optim.optimizer import parameters_of

PRECISIONS = {"32": None, "bf16-mixed": "bfloat16", "16-mixed": "float16"}

LEAST_SCALE = 2.0**-14
"""倍率がこれより小さくなっても、まだオーバーフローするなら、倍率のせいではない。"""


class Precision:
    """1 つの学習の精度。

    Attributes:
        scaler: 損失スケーリング。float16 でなければ、何もしない。
    """

    def __init__(self, precision: str | None, optimizer: Any) -> None:
        wanted = "32" if precision is None else precision
        if not isinstance(wanted, str) or wanted not in PRECISIONS:
            raise ValueError(
                f"precision は {'、'.join(map(repr, PRECISIONS))} のどれかです "
                f"(unknown precision): {precision!r}。"
            )
        mixed = PRECISIONS[wanted] is not None
        if mixed and any(isinstance(p, Value) for p in parameters_of(optimizer)):
            raise TypeError(
                f"precision={precision!r} は Tensor のモデルのものです (parameters must be "
                "tensors): Value のパラメータがあります。nn.Linear などの層を使ってください。"
            )
        self._mode = autocast(dtype=PRECISIONS[wanted]) if mixed else None
        self.scaler = GradScaler(enabled=wanted == "16-mixed")

    @property
    def kept(self) -> GradScaler | None:
        """チェックポイントに入れるもの。"""
        return self.scaler if self.scaler.is_enabled() else None

    def computed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """この精度で計算する、損失の関数。"""
        return step if self._mode is None else self._mode(step)
