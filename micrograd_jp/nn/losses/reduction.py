"""損失を 1 つにまとめる (`reduction`): `Tensor` でも、`Value` の並びでも。"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.tensor.array import Tensor


def reduction_of(
    reduction: Any, size_average: Any = None, reduce: Any = None, also: Sequence[str] = ()
) -> str:
    """知っている `reduction`。古い引数があれば、それを直したもの（警告する）。

    Args:
        reduction: `"mean"`、`"sum"`、`"none"`。
        size_average: 古い引数: 偽なら `"sum"`。
        reduce: 古い引数: 偽なら `"none"`。
        also: ほかの名前。

    Raises:
        ValueError: 知らない名前。
        TypeError: 古い引数が真偽値でない。
    """
    for name, x in (("size_average", size_average), ("reduce", reduce)):
        if x is not None and not isinstance(x, bool):
            raise TypeError(
                f"{name} は真偽値です (expected bool): {x!r} が渡されました。まとめ方なら、"
                f"reduction={x!r} のように名前を書いてください。"
            )
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            "size_average と reduce は古い引数です (deprecated): reduction="
            f"'{reduction}' と書いてください。",
            UserWarning,
            stacklevel=4,
        )
    known = ("mean", "sum", "none", *also)
    if reduction not in known:
        raise ValueError(
            f"reduction は {'、'.join(map(repr, known))} のどれかです (unknown reduction): "
            f"{reduction!r} が渡されました。"
        )
    return str(reduction)


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
