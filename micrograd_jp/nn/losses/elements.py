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
from micrograd_jp.engine.value import Value
from micrograd_jp.nn.losses import targets
from micrograd_jp.nn.losses.classes import cross_entropy as cross_entropy
from micrograd_jp.nn.losses.classes import hinge_of_classes
from micrograd_jp.nn.losses.classes import nll_loss as nll_loss
from micrograd_jp.nn.losses.reduction import mean_or_sum, require_reduction
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import floating, single

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "hinge_loss", "l1_loss", "mse_loss",
    "nll_loss", "sum_squared_error",
]  # fmt: skip


def sum_squared_error(y: Any, t: Any, reduction: str = "sum") -> Any:
    """二乗和誤差 ½Σ(t − y)² (sum of squares error)。

    Args:
        y: 出力。`Tensor`、または `Value` の並び。
        t: 正解。y と同じ形。
        reduction: 既定は `"sum"`。`"mean"` は ½(t − y)² の、要素についての平均。

    Raises:
        ValueError: 形が違う。
    """
    return _squares("sum_squared_error", y, t, reduction, 0.5)


def mse_loss(y: Any, t: Any, reduction: str = "mean") -> Any:
    """平均二乗誤差 (mean squared error): (t − y)² の、すべての要素についての平均。

    Args:
        y: 出力。`Tensor`、または `Value` の並び。
        t: 正解。y と同じ形。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う。
    """
    return _squares("mse_loss", y, t, reduction, 1.0)


def _squares(name: str, y: Any, t: Any, reduction: str, scale: float) -> Any:
    require_reduction(reduction)
    if targets.has_values(y):
        errors = [a - b for a, b in _pairs(y, t, name)]
        if reduction == "none":
            return [_times(d * d, scale) for d in errors]
        total, n = mg.dot(errors, errors), len(errors)
    else:
        d = _difference(y, t, name)
        if reduction == "none":
            return _times(d * d, scale)
        squares = d * d
        return _times(squares.mean() if reduction == "mean" else squares.sum(), scale)
    if reduction == "sum":
        return _times(total, scale)
    return _times(total, scale) / n if n != 1 else _times(total, scale)


def l1_loss(y: Any, t: Any, reduction: str = "mean") -> Any:
    """平均絶対誤差 |t − y| (mean absolute error)。等しいところの勾配は 0。

    Args:
        y: 出力。`Tensor`、または `Value` の並び。
        t: 正解。y と同じ形。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う。
    """
    require_reduction(reduction)
    if targets.has_values(y):
        return mean_or_sum([mg.abs(a - b) for a, b in _pairs(y, t, "l1_loss")], reduction)
    return mean_or_sum(_difference(y, t, "l1_loss").abs(), reduction)


def binary_cross_entropy_with_logits(
    y: Any, t: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """2 値の交差エントロピー誤差 −t·log σ(y) − (1 − t)·log(1 − σ(y)) (binary cross entropy)。

    t·softplus(−y) + (1 − t)·softplus(y) として計算するので、あふれず、桁落ちもしない。

    Args:
        y: ロジット。`Tensor`、または `Value` の並び。
        t: 正解。0 以上 1 以下で、y と同じ形。
        weight: 要素の重み（y にブロードキャストされる。`Value` の並びなら数）。
        reduction: `"mean"`、`"sum"`、`"none"`。
        pos_weight: t = 1 の側の重み（同上）。

    Raises:
        ValueError: 形が違う、または正解が範囲の外。
    """
    name = "binary_cross_entropy_with_logits"
    require_reduction(reduction)
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

    if targets.has_values(y):
        pairs = _pairs(y, t, name)
        known = np.array([b for _, b in pairs if is_number(b)])
        targets.within(Tensor(known), 0, 1, name)
        return mean_or_sum([formula(a, b) for a, b in pairs], reduction)
    y, t = _floating_pair(y, t, name)
    targets.within(t, 0, 1, name)
    weight, positive = (_as(y, x) for x in (weight, positive))
    return mean_or_sum(formula(y, t), reduction)


def hinge_loss(y: Any, t: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """ヒンジ損失 (hinge loss)。

    多クラス: max(0, margin + 最大の誤ったクラスのスコア − 正解のスコア)。
    Crammer & Singer (2001)。同点の最大のスコアは、勾配を等しく分ける。
    2 値: 正解が y と同じ形なら、−1 か 1 とみなして max(0, margin − t·y)。

    Args:
        y: スコア。多クラスは (N, C) か (C,)、`Value` の並びならその入れ子。
        t: クラスの番号 (N,) か整数。2 値なら y と同じ形の −1 か 1。
        margin: 余裕。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、範囲の外の番号、−1 でも 1 でもない正解、クラスが 1 つしかない。
        TypeError: 番号が整数でない。
    """
    require_reduction(reduction)
    if targets.has_values(y):
        if not targets.is_row(y) or (_is_sequence(t) and not targets.is_row(y[0] if y else 0)):
            pairs = _pairs(y, t, "hinge_loss")
            known = np.array([b for _, b in pairs if is_number(b)])
            targets.signs(Tensor(known), "hinge_loss")
            losses: Any = [mg.relu(margin - b * a) for a, b in pairs]
            return mean_or_sum(losses, reduction)
    elif (scores := floating(y)).shape == as_tensor(t).shape:
        scores, signs = _floating_pair(scores, t, "hinge_loss")
        targets.signs(signs, "hinge_loss")
        return mean_or_sum(mg.relu(margin - signs * scores), reduction)
    return hinge_of_classes(y, t, margin, reduction)


# ---- 出力と正解を揃える -------------------------------------------------------------------------


def _is_sequence(t: Any) -> bool:
    return targets.is_row(t) or bool(getattr(t, "shape", ()))


def _pairs(y: Any, t: Any, name: str) -> list[tuple[Any, Any]]:
    """(output, target) of each element; numbers among the outputs become Values."""
    return [(Value(a) if is_number(a) else a, b) for a, b in targets.paired(y, t, name)]


def _floating_pair(y: Any, t: Any, name: str) -> tuple[Tensor, Tensor]:
    """Both as tensors of the output's dtype and of the same shape."""
    outputs, wanted = single(y), as_tensor(t)
    targets.same_shape(outputs, wanted, name)
    return outputs, wanted.astype(outputs.dtype)


def _difference(y: Any, t: Any, name: str) -> Tensor:
    outputs, wanted = _floating_pair(y, t, name)
    return outputs - wanted


def _as(y: Tensor, x: Any) -> Any:
    """A weight in the dtype of the output; None and numbers as they are."""
    return x if x is None or is_number(x) else as_tensor(x).astype(y.dtype)


def _times(x: Any, scale: float) -> Any:
    return x if scale == 1 else x * scale


explain_all(globals())
