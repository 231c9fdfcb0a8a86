"""nan・inf で止まる: 重みが壊れる前に、最初の nan・inf を生んだノードを名指しする。"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.anomaly import AnomalyError, detect_anomaly
from micrograd_jp.graph.leaves import gradients_of
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.tensor.generator import generator
from micrograd_jp.training.checkpoint import Session
from micrograd_jp.training.history import History


class NonFiniteError(ArithmeticError):
    """損失か勾配が nan か inf になった。重みは、その更新の前のまま残っている。

    Attributes:
        node: 最初に nan・inf を生んだノード（見つからなければ `None`）。
        history: それまでの学習の記録。
    """

    def __init__(self, message: str, node: Any, history: History) -> None:
        super().__init__(message)
        self.node, self.history = node, history


class Moment:
    """更新を始めるときの、乱数とバッファ（バッチ正規化の移動平均など）の状態。"""

    def __init__(self, model: Any) -> None:
        self._buffers = list(model.buffers()) if hasattr(model, "buffers") else []
        self._state: Any = None
        self._random = True
        self._copies: list[Any] = []

    def remember(self, first: bool) -> None:
        """いまの状態を覚える。`first` はエポックの最初の更新か。"""
        # A model that drew no random number in the first update of the epoch is taken to draw
        # none in the others. Python's random is left out: its state is 625 numbers.
        if first or self._random:
            state = generator().bit_generator.state
            self._random = first or state != self._state
            self._state = state
        if self._buffers:
            self._copies = [namespace.of(b._data).array(b._data) for b in self._buffers]

    def restore(self) -> None:
        """覚えた状態に戻す。"""
        generator().bit_generator.state = self._state
        for buffer, copy in zip(self._buffers, self._copies, strict=False):
            buffer.data = namespace.of(copy).array(copy)


def gradients_are_finite(tensors: list[Any], values: list[Any]) -> bool:
    """すべての勾配が有限か。

    Args:
        tensors: `Tensor` のパラメータ。
        values: `Value` のパラメータ。
    """
    with quiet.silence():
        for g in gradients_of(tensors):
            if g is None:
                continue
            if g.__class__ is not np.ndarray:
                g = namespace.concrete(data_of(g), "fit")
            # One pass without a temporary: g·g is finite unless g has nan or inf, or is huge.
            flat = g.ravel("K")
            if not math.isfinite(flat.dot(flat)) and not np.isfinite(g).all():
                return False
    return all(math.isfinite(value.grad) for value in values)


def explained(
    what: str, again: Callable[[], Any], session: Session, moment: Moment
) -> NonFiniteError:
    """同じ更新を `detect_anomaly` の中でもう一度計算し、原因を書いたエラーを作る。

    Args:
        what: 何が有限でなかったか。
        again: 損失を計算し、逆伝播をする関数。
        session: 学習の状態。
        moment: 更新を始めたときの乱数とバッファ。終わると、この状態に戻っている。
    """
    zero_grad, history = session.optimizer.zero_grad, session.history
    node, found = None, "もう一度計算すると、見つかりませんでした。"
    try:
        moment.restore()
        zero_grad()
        with detect_anomaly():
            again()
    except AnomalyError as error:
        node, found = error.node, str(error)
    finally:
        moment.restore()
        zero_grad()
    message = (
        f"{len(history.epochs) + 1} エポック目の {history.updates + 1:,} 回目の更新で、{what}"
        f" (non-finite)。\n  {found}\n"
        "  重みは、この更新の前のままです。学習率を下げるか、clip_norm=1.0 を渡すか、入力に nan が"
        "ないか確かめてください。"
    )
    return NonFiniteError(message, node, history)


explain_all(globals())
