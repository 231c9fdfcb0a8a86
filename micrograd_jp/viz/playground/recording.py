"""モデルか関数から、損失・スコア・確率をまとめて計算する配列のプログラムへ。"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.compiler.lift.lift import lifted
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.pipeline import record
from micrograd_jp.compiler.simplify import simplified
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.engine.value import Value
from micrograd_jp.nn.layers.activations import Activation
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.shape import Flatten, Identity
from micrograd_jp.nn.losses.elements import binary_cross_entropy_with_logits, cross_entropy
from micrograd_jp.nn.module.module import Module

Function = Callable[[Any], Any]


class Recorded(NamedTuple):
    """記録したもの。

    Attributes:
        program: 入力は x (2) と t（1 か K）、出力は損失、K 個のスコア、K 個の確率。
        weights: はじめの重み。
        scores: スコアの数 K。
    """

    program: Program
    weights: list[float]
    scores: int


def recorded(model: Any, loss: Any, classes: int) -> Recorded:
    """モデルを記号で動かし、行列を見つける。モデルは何も変わらない。

    Args:
        model: `Module` か、数の並び x から数（かその並び）を作る関数。
        loss: 損失 `loss(y, t)` か `None`。
        classes: データのクラスの数。

    Raises:
        TypeError: 記録できないモデル。
        ValueError: 出力の数がクラスの数に足りない、パラメータがない。
    """
    function, values = _in_numbers(model)
    x = np.zeros((1, 2))
    count = len(record(lambda x: _listed(function(x)), (x,), {}, 1).trace.outputs)
    if count < classes and (count, classes) != (1, 2):
        raise ValueError(
            f"データは {classes} クラスですが、モデルの出力は {count} 個です (too few outputs): "
            f"出力を {'1 個か 2 個' if classes == 2 else f'{classes} 個'}にしてください。"
        )

    def everything(x: Any, t: Any) -> list[Any]:
        scores = _listed(function(x))
        if count == 1:
            total = loss(scores[0], t) if loss else binary_cross_entropy_with_logits(scores, [t])
            return [total, *scores, mg.sigmoid(scores[0])]
        return [(loss or cross_entropy)(scores, t), *scores, *mg.softmax(scores)]

    found = record(everything, (x, np.zeros((1, count) if count > 1 else 1)), {}, 1)
    if len(found.trace.outputs) != 1 + 2 * count:
        raise TypeError(
            "loss(y, t) は 1 つの Value を返します (expected a scalar loss): 並びが返されました。"
        )
    if not found.values:
        raise ValueError(
            "学習するパラメータがありません (no parameters): 関数の外で作った Value を使って"
            "計算するモデルか関数を渡してください。凍結した重みは学習しません。"
        )
    values = list({id(value): value for value in [*values, *found.values]}.values())
    places = {id(value): place for place, value in enumerate(values)}
    program = lifted(simplified(found.trace)).placed(
        np.array([places[id(value)] for value in found.values], dtype=np.int64), len(values)
    )
    groups = tuple((group.name, group.size) for group in found.groups)
    return Recorded(replace(program, groups=groups), [v.data for v in values], count)


def _listed(scores: Any) -> list[Any]:
    if isinstance(scores, Value) or is_number(scores):
        scores = [scores]
    if isinstance(scores, Sequence) and scores and all(
        isinstance(y, Value) or is_number(y) for y in scores
    ):  # fmt: skip
        return [y if isinstance(y, Value) else Value(y) for y in scores]
    raise TypeError(
        "モデルは、1 つの点からスコアの数 1 つか、その並びを作ります (expected numbers): "
        f"{type(scores).__name__} が返されました。"
    )


# ---- 1 つずつの数の計算に ----------------------------------------------------------------------


def _in_numbers(model: Any) -> tuple[Function, list[Value]]:
    """The model as a function of numbers, and its parameters in their order (a function: none)."""
    if not callable(model):
        raise TypeError(
            "model は Module か関数です (expected a Module or a function): "
            f"{type(model).__name__} が渡されました。"
        )
    if not isinstance(model, Module):
        return model, []
    parameters = list(model.parameters())
    if all(isinstance(parameter, Value) for parameter in parameters):
        return model, parameters
    known: dict[int, list[Any]] = {}
    function = _layer(model, known)
    return function, np.concatenate([[], *(np.ravel(rows) for rows in known.values())]).tolist()


def _layer(module: Any, known: dict[int, list[Any]]) -> Function:
    """A layer of Tensors as a function of a list of numbers, with the same weights."""
    if isinstance(module, Sequential):
        layers = [_layer(child, known) for child in module]

        def through(x: Any) -> Any:
            for layer in layers:
                x = layer(x)
            return x

        return through
    if isinstance(module, Linear):
        rows = _numbers(module.weight, known)
        biases = [0.0] * len(rows) if module.bias is None else _numbers(module.bias, known)
        return lambda x: [mg.dot(_fitting(row, x), x) + b for row, b in zip(rows, biases)]
    if isinstance(module, Activation):
        return module.forward
    if isinstance(module, Flatten | Identity):
        return lambda x: x
    raise TypeError(
        "ページで学習できる Tensor のモデルは、Linear と活性化関数の Sequential です "
        f"(unsupported layer): {type(module).__name__} があります。ほかのモデルは、数の関数 "
        "f(x)（x は 2 つの Value の並び）として書くか、mg.nn.MLP を使ってください。"
    )


def _numbers(parameter: Any, known: dict[int, list[Any]]) -> list[Any]:
    """Its numbers: plain ones if it is frozen, else the same Values wherever it is used."""
    numbers: list[Any] = parameter.detach().tolist()
    if not parameter.requires_grad:
        return numbers
    if id(parameter) not in known:
        known[id(parameter)] = _learned(numbers)
    return known[id(parameter)]


def _learned(numbers: Any) -> Any:
    return [_learned(x) for x in numbers] if isinstance(numbers, list) else Value(numbers)


def _fitting(row: list[Any], x: Any) -> list[Any]:
    if len(row) != len(x):
        raise ValueError(
            "入力の数が合いません (length mismatch): "
            f"重みは {len(row)} 個、入力は {len(x)} 個です。"
        )
    return row
