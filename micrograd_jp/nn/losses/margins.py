"""余裕 (margin) の損失: 順位、符号、クラス、いくつものラベル。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.losses import targets
from micrograd_jp.nn.losses.class_axis import (
    chosen,
    class_places,
    class_weights,
    indicator,
    with_classes,
)
from micrograd_jp.nn.losses.elements import binary_cross_entropy_with_logits
from micrograd_jp.nn.losses.pairs import by_element, pairs
from micrograd_jp.nn.losses.reduction import mean_or_sum, reduction_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import single

__all__ = [
    "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "soft_margin_loss",
]  # fmt: skip


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """順位の損失 max(0, −t·(x₁ − x₂) + margin): t = 1 なら x₁ を、−1 なら x₂ を上に。

    Args:
        input1: スコア x₁。`Tensor`、または `Value` の並び。
        input2: スコア x₂。同じ形。
        target: 1 か −1。同じ形。
        margin: 余裕。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う。
    """
    name = "margin_ranking_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    if targets.has_values(input1):
        difference: Any = [a - b for a, b in pairs(input1, input2, name)]
        target = target if targets.is_row(target) else [target]
    else:
        first, second = single(input1), single(input2)
        targets.same_shape(first, second, name)
        difference = first - second

    def formula(d: Any, t: Any) -> Any:
        return mg.clip(margin - t * d, min=0)

    return by_element(name, formula, difference, target, reduction)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """距離のヒンジ損失: 正解が 1 なら x、−1 なら max(0, margin − x)。

    Args:
        input: 距離 x。`Tensor`、または `Value` の並び。
        target: 1 か −1。同じ形。
        margin: 余裕。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う。
    """
    reduction = reduction_of(reduction, size_average, reduce)

    def formula(x: Any, t: Any) -> Any:
        far = mg.where(t != 1, mg.clip(margin - x, min=0), 0.0)
        return far + mg.where(t != -1, x, 0.0)

    return by_element("hinge_embedding_loss", formula, input, target, reduction)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """ロジスティック損失 log(1 + e^(−t·x)): t は 1 か −1。

    Args:
        input: スコア x。`Tensor`、または `Value` の並び。
        target: 1 か −1。同じ形。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う。
    """
    reduction = reduction_of(reduction, size_average, reduce)

    def formula(x: Any, t: Any) -> Any:
        return mg.softplus(-t * x)

    return by_element("soft_margin_loss", formula, input, target, reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """多クラスのヒンジ損失 Σ_{i≠y} max(0, margin − x_y + xᵢ)ᵖ / C。

    Args:
        input: スコア。(N, C) か (C,)。
        target: クラスの番号 y。(N,) か 0 次元。
        p: 1 か 2。
        margin: 余裕。
        weight: クラスの重み (C,)（正解のクラスのものを掛ける）。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、番号が範囲の外、p が 1 でも 2 でもない。
        TypeError: 番号が整数でない。
    """
    name = "multi_margin_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"{name} の p は 1 か 2 です (only p == 1 and p == 2 supported): {p}。")
    x, axis = with_classes(input, name)
    if x.ndim > 2:
        raise ValueError(
            f"{name} の入力は (N, C) か (C,) です (expected 1 or 2 dimensions): {x.shape}。"
        )
    places = class_places(x, axis, as_tensor(target), name)
    right = indicator(x, places, axis) != 0
    over = mg.relu(margin - mg.unsqueeze(chosen(x, places, axis), axis) + x)
    losses = mg.where(right, 0.0, over**p).sum(axis) / x.shape[axis]
    weights = class_weights(weight, x, axis, name)
    if weights is not None:
        losses = losses * weights.reshape(-1)[places]
    out: Tensor = mean_or_sum(losses, reduction)
    return out


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """いくつものラベルの損失: クラスごとの 2 値の交差エントロピー誤差の、クラスについての平均。

    Args:
        input: ロジット。(N, C) か (C,)。
        target: 0 か 1。同じ形。
        weight: クラスの重み（ブロードキャストされる）。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、または正解が 0 以上 1 以下でない。
    """
    reduction = reduction_of(reduction, size_average, reduce)
    losses = binary_cross_entropy_with_logits(single(input), target, weight, reduction="none")
    out: Tensor = mean_or_sum(losses.mean(-1), reduction)
    return out


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """いくつものラベルのヒンジ損失 Σ_{j∈正解} Σ_{i∉正解} max(0, 1 − xⱼ + xᵢ) / C。

    Args:
        input: スコア。(N, C) か (C,)。
        target: 正解の番号を前から並べ、−1 で終える（そのあとは読まない）。同じ形の整数。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、番号が範囲の外。
        TypeError: 番号が整数でない。
    """
    name = "multilabel_margin_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    x, t = single(input), as_tensor(target)
    targets.same_shape(x, t, name)
    if x.ndim not in (1, 2):
        raise ValueError(
            f"{name} の入力は (N, C) か (C,) です (expected 1 or 2 dimensions): {x.shape}。"
        )
    numbers, n = targets.whole_numbers(t, name), x.shape[-1]
    m = namespace.of(numbers, x._data)
    listed = m.cumsum(m.astype(numbers < 0, np.int64), -1) == 0
    places = m.where(listed, numbers, 0)
    targets.class_numbers(places, n, name)
    right = m.any((places[..., None] == np.arange(n)) & listed[..., None], axis=-2)
    wanted = x[places] if x.ndim == 1 else x[np.arange(x.shape[0])[:, None], places]
    over = mg.relu(1 - mg.unsqueeze(wanted, -1) + mg.unsqueeze(x, -2))
    counted = listed[..., :, None] & ~right[..., None, :]
    losses = mg.where(counted, over, 0.0).sum((-2, -1)) / n
    out: Tensor = mean_or_sum(losses, reduction)
    return out


explain_all(globals())
