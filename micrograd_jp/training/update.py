"""1 更新: 損失、有限か、逆伝播、有限か、クリッピング、更新。どの動かし方でも、この順。"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from micrograd_jp.engine.value import Value
from micrograd_jp.nn.module.calling import number_of, stepper
from micrograd_jp.optim.clipping import clip_grad_norm_
from micrograd_jp.optim.optimizer import parameters_of
from micrograd_jp.training.checkpoint import Session
from micrograd_jp.training.evaluation import size_of
from micrograd_jp.training.nonfinite import Moment, NonFiniteError, explained, gradients_are_finite
from micrograd_jp.training.precision import LEAST_SCALE, Precision

Window = Sequence[Any]
"""The mini-batches of one update: as many as `accumulate` says, fewer at the end of an epoch."""


class Update:
    """1 更新。書かれたとおりに、1 つの演算ずつ動かす。"""

    def __init__(
        self, session: Session, loss: Any, clip_norm: float | None, precision: Precision
    ) -> None:
        self.others = session.others
        self.session, self.optimizer, self.clip_norm = session, session.optimizer, clip_norm
        self.losses = session.history.losses
        self.step = precision.computed(stepper(session.model, loss))
        self.scaler = precision.scaler
        self.parameters = parameters_of(session.optimizer)
        self.tensors = [p for p in self.parameters if not isinstance(p, Value)]
        self.values = [p for p in self.parameters if isinstance(p, Value)]
        self.moment: Any = Moment(session.model)

    def __call__(self, window: Window, first: bool) -> None:
        """1 更新をして、損失を記録に加える。

        Args:
            window: この更新のミニバッチ。
            first: エポックの最初の更新か。

        Raises:
            NonFiniteError: 損失か勾配が nan か inf。重みはこの更新の前のまま。
        """
        self.moment.remember(first)
        self.optimizer.zero_grad()
        total = 0.0
        for batch, share in shares(window):
            loss = self.step(batch)
            number = number_of(loss)
            if not math.isfinite(number) and not self.scaler.is_enabled():
                total = number
                break
            self.backward(loss, share)
            total += share * number
        # Here the gradients become those of all processes.
        total = self.others.average(window, total)
        if self.scaler.is_enabled():
            self.apply_or_skip(window)
        elif not (math.isfinite(total) and gradients_are_finite(self.tensors, self.values)):
            raise self.explained(self.fault(total, 1.0), window)
        else:
            self.apply()
        self.losses.append(total)

    def backward(self, loss: Any, share: float) -> None:
        """このミニバッチの勾配を、見本の数の割合 `share` をかけて足し込む。"""
        self.scaler.scale(loss if share == 1 else loss * share).backward()

    def apply(self) -> None:
        """勾配を縮めて、重みを更新する。"""
        if self.clip_norm is not None:
            clip_grad_norm_(self.parameters, self.clip_norm)
        self.scaler.step(self.optimizer)

    def apply_or_skip(self, window: Window) -> None:
        """割り戻し、縮めて、更新する。オーバーフローなら、とばして数え、倍率を小さくする。"""
        before = self.scaler.get_scale()
        self.scaler.unscale_(self.optimizer)
        self.apply()
        self.scaler.update()
        if self.scaler.get_scale() < before:
            self.session.history.skipped += 1
            if before < LEAST_SCALE:
                raise self.explained(self.fault(math.nan, before), window)

    def finish(self) -> None:
        """始めた更新のすべての損失が、記録にあるようにする。"""

    def close(self) -> None:
        """学習が終わった。"""

    def again(self, window: Window) -> None:
        """損失と勾配だけを、もう一度求める。"""
        for batch, share in shares(window):
            self.backward(self.step(batch), share)

    def fault(self, loss: float, scale: float) -> str:
        """何が有限でなかったか。"""
        if self.scaler.is_enabled():
            return f"損失の倍率が {scale} でも、勾配がオーバーフローします"
        if math.isfinite(loss):
            return "勾配が nan か inf になりました"
        return f"損失が {loss} になりました"

    def explained(self, what: str, window: Window) -> Exception:
        """原因を書いたエラー。"""
        self.session.clock()
        if self.others.blame:
            return NonFiniteError(self.others.blame, None, self.session.history)
        return explained(what, lambda: self.again(window), self.session, self.moment)


def shares(window: Window) -> Iterator[tuple[Any, float]]:
    """ミニバッチと、その見本の数の割合。平均の平均は、大きさが違うと全体の平均ではない。"""
    if len(window) == 1:
        yield window[0], 1.0
        return
    rows = [size_of(batch) for batch in window]
    for batch, n in zip(window, rows, strict=True):
        yield batch, n / sum(rows)
