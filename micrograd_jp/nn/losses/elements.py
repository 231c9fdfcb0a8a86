"""損失関数 (loss functions)。`Tensor` でも、`Value` の並びでも計算できる。

どれも `reduction` を受け取る: `"mean"`（平均）、`"sum"`（和）、`"none"`（まとめない）。
ロジットが ±1000 でも、値も勾配もあふれない。`Value` の並びからは `Value` 1 つ（`"none"` なら
並び）ができ、`mg.compile` の中でも使える。

>>> import micrograd_jp as mg
>>> logits = [mg.Value(0.0), mg.Value(1000.0)]
>>> mg.cross_entropy(logits, 0).data
1000.0
>>> mg.cross_entropy(mg.tensor([[0.0, 1000.0]]), mg.tensor([0])).item()
1000.0
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.nn.losses import targets
from micrograd_jp.nn.losses.classes import cross_entropy as cross_entropy
from micrograd_jp.nn.losses.classes import hinge_of_classes
from micrograd_jp.nn.losses.classes import nll_loss as nll_loss
from micrograd_jp.nn.losses.pairs import alike, by_element, floating_pair, pairs, weighted
from micrograd_jp.nn.losses.reduction import mean_or_sum, reduction_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import floating

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "hinge_loss", "l1_loss", "mse_loss",
    "nll_loss", "sum_squared_error",
]  # fmt: skip


def sum_squared_error(input: Any, target: Any, reduction: str = "sum") -> Any:
    """二乗和誤差 ½Σ(t − y)² (sum of squares error)。

    Args:
        input: 出力 y。`Tensor`、または `Value` の並び。
        target: 正解 t。y と同じ形。
        reduction: 既定は `"sum"`。`"mean"` は ½(t − y)² の、要素についての平均。

    Raises:
        ValueError: 形が違う。
    """
    return _squares("sum_squared_error", input, target, reduction_of(reduction), 0.5)


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """平均二乗誤差 (mean squared error): (t − y)² の、すべての要素についての平均。

    Args:
        input: 出力 y。`Tensor`、または `Value` の並び。
        target: 正解 t。y と同じ形。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。
        weight: 要素の重み（y と同じ形）。平均は重みの合計で割る。

    Raises:
        ValueError: 形が違う。
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if weight is None:
        return _squares("mse_loss", input, target, reduction, 1.0)
    squares = _squares("mse_loss", input, target, "none", 1.0)
    return weighted(squares, input, weight, reduction, "mse_loss")


def _squares(name: str, y: Any, t: Any, reduction: str, scale: float) -> Any:
    if targets.has_values(y):
        errors = [a - b for a, b in pairs(y, t, name)]
        if reduction == "none":
            return [_times(d * d, scale) for d in errors]
        total, n = mg.dot(errors, errors), len(errors)
    else:
        outputs, wanted = floating_pair(y, t, name)
        d = outputs - wanted
        squares = d * d
        if reduction == "none":
            return _times(squares, scale)
        return _times(squares.mean() if reduction == "mean" else squares.sum(), scale)
    if reduction == "sum":
        return _times(total, scale)
    return _times(total, scale) / n if n != 1 else _times(total, scale)


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """平均絶対誤差 |t − y| (mean absolute error)。等しいところの勾配は 0。

    Args:
        input: 出力 y。`Tensor`、または `Value` の並び。
        target: 正解 t。y と同じ形。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。
        weight: 要素の重み（y と同じ形）。平均は重みの合計で割る。

    Raises:
        ValueError: 形が違う。
    """
    reduction = reduction_of(reduction, size_average, reduce)
    return by_element("l1_loss", lambda y, t: mg.abs(y - t), input, target, reduction, weight)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """2 値の交差エントロピー誤差 −t·log σ(y) − (1 − t)·log(1 − σ(y)) (binary cross entropy)。

    t·softplus(−y) + (1 − t)·softplus(y) として計算するので、あふれず、桁落ちもしない。

    Args:
        input: ロジット y。`Tensor`、または `Value` の並び。
        target: 正解 t。0 以上 1 以下で、y と同じ形。
        weight: 要素の重み（y にブロードキャストされる。`Value` の並びなら数）。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。
        pos_weight: t = 1 の側の重み（同上）。

    Raises:
        ValueError: 形が違う、または正解が範囲の外。
    """
    name = "binary_cross_entropy_with_logits"
    reduction = reduction_of(reduction, size_average, reduce)
    positive = 1.0 if pos_weight is None else pos_weight

    def formula(y: Any, t: Any) -> Any:
        loss: Any = None
        for factor, logit in ((t * positive, -y), (1 - t, y)):
            if is_number(factor) and factor == 0:  # the usual targets of a Value: 0 and 1
                continue
            part = mg.softplus(logit)
            part = part if is_number(factor) and factor == 1 else factor * part
            loss = part if loss is None else loss + part
        loss = 0.0 * y if loss is None else loss
        return loss if weight is None else loss * weight

    if targets.has_values(input):
        every = pairs(input, target, name)
        known = np.array([b for _, b in every if is_number(b)])
        targets.within(Tensor(known), 0, 1, name)
        return mean_or_sum([formula(a, b) for a, b in every], reduction)
    y, t = floating_pair(input, target, name)
    targets.within(t, 0, 1, name)
    weight, positive = (alike(y, x) for x in (weight, positive))
    return mean_or_sum(formula(y, t), reduction)


def hinge_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """ヒンジ損失 (hinge loss)。

    多クラス: max(0, margin + 最大の誤ったクラスのスコア − 正解のスコア)。
    Crammer & Singer (2001)。同点の最大のスコアは、勾配を等しく分ける。
    2 値: 正解が y と同じ形なら、−1 か 1 とみなして max(0, margin − t·y)。

    Args:
        input: スコア y。多クラスは (N, C) か (C,)、`Value` の並びならその入れ子。
        target: 正解 t。クラスの番号 (N,) か整数。2 値なら y と同じ形の −1 か 1。
        margin: 余裕。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、範囲の外の番号、−1 でも 1 でもない正解、クラスが 1 つしかない。
        TypeError: 番号が整数でない。
    """
    reduction, y, t = reduction_of(reduction), input, target
    if targets.has_values(y):
        if not targets.is_row(y) or (_is_sequence(t) and not targets.is_row(y[0] if y else 0)):
            every = pairs(y, t, "hinge_loss")
            known = np.array([b for _, b in every if is_number(b)])
            targets.signs(Tensor(known), "hinge_loss")
            losses: Any = [mg.relu(margin - b * a) for a, b in every]
            return mean_or_sum(losses, reduction)
    elif (scores := floating(y)).shape == as_tensor(t).shape:
        scores, signs = floating_pair(scores, t, "hinge_loss")
        targets.signs(signs, "hinge_loss")
        return mean_or_sum(mg.relu(margin - signs * scores), reduction)
    return hinge_of_classes(y, t, margin, reduction)


def _is_sequence(t: Any) -> bool:
    return targets.is_row(t) or bool(getattr(t, "shape", ()))


def _times(x: Any, scale: float) -> Any:
    return x if scale == 1 else x * scale


explain_all(globals())
