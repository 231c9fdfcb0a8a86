"""モデルの呼び方: 配列のモデルには配列のまま、`Value` のモデルには見本を 1 つずつ渡す。"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import Node
from micrograd_jp.tensor.array import Tensor

Step = Callable[[Any, Any], tuple[Any, Any]]
"""`(model, batch) -> (出力, 損失)`。出力は、損失だけを計算する書き方では `None`。"""


def takes_model(loss: Any) -> bool:
    """`loss(model, x, t)` と書かれた損失か。そうでなければ `loss(y, t)`。"""
    try:
        parameters = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return sum(p.default is p.empty for p in positional) >= 3


def callers(model: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """ミニバッチ x から出力を作る関数と、正解 t を損失に渡す形にする関数。

    `Value` だけでできたモデルは見本を 1 つずつ受け取るので、x の行を順に渡し、出力の並びを返す。
    正解は、数の並びになる。
    """
    parameters = list(model.parameters()) if hasattr(model, "parameters") else []
    if not parameters or not all(isinstance(p, Value) for p in parameters):
        return model, lambda t: t
    return lambda x: [model(row) for row in rows(x)], rows


def rows(x: Any) -> Any:
    """見本の並び。配列ならその行を、Python の数のリストで。"""
    return x.tolist() if hasattr(x, "tolist") else x


def pair(batch: Any) -> tuple[Any, Any]:
    """ミニバッチの (x, t)。

    Raises:
        ValueError: 2 つの組でない。
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    raise ValueError(
        "ミニバッチは (x, t) の組です (expected a pair): "
        f"{type(batch).__name__} が来ました。他の形なら、loss を loss(model, x, t, …) と 3 つ以上の"
        "引数で書いてください。"
    )


def stepper(model: Any, loss: Any) -> Callable[[Any], Any]:
    """ミニバッチから損失を作る関数。"""
    if takes_model(loss):
        return lambda batch: loss(model, *(batch if isinstance(batch, tuple | list) else (batch,)))
    predict, wanted = callers(model)

    def step(batch: Any) -> Any:
        x, t = pair(batch)
        return loss(predict(x), wanted(t))

    return step


def number_of(loss: Any) -> float:
    """損失の数。

    Raises:
        TypeError: `Tensor` でも `Value` でもない。
        ValueError: 要素が 1 つでない。
    """
    if loss.__class__ is Tensor or isinstance(loss, Tensor):
        return float(loss.item())
    if isinstance(loss, Value):
        return float(loss._data)
    raise TypeError(
        "損失は Tensor か Value 1 つです (expected a scalar Tensor or Value): "
        f"{type(loss).__name__} が返りました。"
    )


def array_of(y: Any) -> Any:
    """出力や正解の ndarray。`Value` の並びからも作る。"""
    if isinstance(y, Node):
        return np.asarray(namespace.concrete(y._data, "評価") if hasattr(y, "dtype") else y._data)
    if isinstance(y, list | tuple):
        return np.array([array_of(row) for row in y])
    return np.asarray(y)
