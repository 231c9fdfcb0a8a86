"""外れ値に強い回帰の損失: 小さな誤差では 2 乗、大きな誤差では絶対値。"""

from __future__ import annotations

from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.losses.elements import l1_loss
from micrograd_jp.nn.losses.pairs import by_element
from micrograd_jp.nn.losses.reduction import reduction_of

__all__ = ["huber_loss", "smooth_l1_loss"]


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """フーバー損失 (Huber loss): |d| ≤ δ なら ½d²、その外では δ(|d| − ½δ)。d は誤差。

    Args:
        input: 出力。`Tensor`、または `Value` の並び。
        target: 正解。同じ形。
        reduction: `"mean"`、`"sum"`、`"none"`。
        delta: 2 乗と直線の境 δ。
        weight: 要素の重み（同じ形）。平均は要素の数で割る (PyTorch と同じ)。

    Raises:
        ValueError: 形が違う、δ が正でない。

    Source: Huber, "Robust Estimation of a Location Parameter" (1964)。
    """
    reduction = reduction_of(reduction)
    if not delta > 0:
        raise ValueError(f"delta は 0 より大きい数です (expected delta > 0): {delta}。")

    def formula(y: Any, t: Any) -> Any:
        return _huber(y - t, delta)

    return by_element("huber_loss", formula, input, target, reduction, weight, by_weight=False)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """滑らかな L1 損失 (smooth L1): |d| < β なら ½d²/β、その外では |d| − ½β。β = 0 なら |d|。

    Args:
        input: 出力。`Tensor`、または `Value` の並び。
        target: 正解。同じ形。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。
        beta: 2 乗と直線の境 β。

    Raises:
        ValueError: 形が違う、β が負。

    Source: Girshick, "Fast R-CNN" (ICCV 2015) 式 (3)。
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if not beta >= 0:
        raise ValueError(f"beta は 0 以上の数です (expected beta >= 0): {beta}。")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)

    def formula(y: Any, t: Any) -> Any:
        return _huber(y - t, beta) / beta

    return by_element("smooth_l1_loss", formula, input, target, reduction)


def _huber(d: Any, delta: float) -> Any:
    near = mg.clip(d, -delta, delta)
    return near * (d - 0.5 * near)


explain_all(globals())
