"""損失を 1 つにまとめる (`reduction`): `Tensor` でも、`Value` の並びでも。"""

from __future__ import annotations

from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.tensor.array import Tensor


def require_reduction(reduction: Any) -> None:
    """知っている `reduction` か。

    Raises:
        ValueError: 知らない名前。
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(
            "reduction は 'mean'、'sum'、'none' のどれかです (unknown reduction): "
            f"{reduction!r} が渡されました。"
        )


def mean_or_sum(losses: Any, reduction: str, total_weight: Any = None) -> Any:
    """損失をまとめる。

    Args:
        losses: `Tensor` か、`Value` の並び。
        reduction: `"mean"`、`"sum"`、`"none"`。
        total_weight: 平均を取るときに割る数（既定は要素の数）。
    """
    if reduction == "none":
        return losses
    if isinstance(losses, Tensor):
        if reduction == "mean" and total_weight is None:
            return losses.mean()
        total, n = losses.sum(), losses.numel()
    else:
        total, n = losses[0] if len(losses) == 1 else mg.sum(losses), len(losses)
    n = n if total_weight is None else total_weight
    if reduction == "sum" or (n.__class__ is int and n == 1):
        return total
    return total / n if n.__class__ is not int or n else total * float("nan")
