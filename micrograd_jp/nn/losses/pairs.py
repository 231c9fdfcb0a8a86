"""出力と正解を揃える: `Tensor` なら同じ形と型に、`Value` の並びなら要素の組に。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.engine.numbers import is_number
from micrograd_jp.engine.value import Value
from micrograd_jp.nn.losses import targets
from micrograd_jp.nn.losses.reduction import mean_or_sum
from micrograd_jp.ops.complex import is_complex, only_for_real
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import single


def by_element(
    name: str,
    formula: Callable[[Any, Any], Any],
    input: Any,
    target: Any,
    reduction: str,
    weight: Any = None,
    by_weight: bool = True,
) -> Any:
    """要素ごとの公式の損失: `Tensor` でも、`Value` の並びでも。

    Args:
        name: エラーに書く名前。
        formula: 出力と正解から損失。
        input: 出力。
        target: 正解。同じ形。
        reduction: まとめ方。
        weight: 要素の重み。
        by_weight: 重みがあれば、平均は重みの合計で割るか（偽なら、要素の数で）。

    Raises:
        ValueError: 形が違う。
    """
    if targets.has_values(input):
        losses: Any = [formula(a, b) for a, b in pairs(input, target, name)]
    else:
        losses = formula(*floating_pair(input, target, name))
    if weight is None:
        return mean_or_sum(losses, reduction)
    return weighted(losses, input, weight, reduction, name, by_weight)


def pairs(input: Any, target: Any, name: str) -> list[tuple[Any, Any]]:
    """要素ごとの (出力, 正解)。出力の数は `Value` になる。"""
    return [(Value(a) if is_number(a) else a, b) for a, b in targets.paired(input, target, name)]


def floating_pair(input: Any, target: Any, name: str) -> tuple[Tensor, Tensor]:
    """出力と、その型の正解。

    Raises:
        ValueError: 形が違う。
    """
    outputs, wanted = single(input), as_tensor(target)
    if is_complex(outputs) or is_complex(wanted):
        raise only_for_real(name)
    targets.same_shape(outputs, wanted, name)
    return outputs, wanted.astype(outputs.dtype)


def alike(input: Tensor, x: Any) -> Any:
    """出力の型にした重み。`None` と数はそのまま。"""
    return x if x is None or is_number(x) else as_tensor(x).astype(input.dtype)


def weighted(
    losses: Any, input: Any, weight: Any, reduction: str, name: str, by_weight: bool = True
) -> Any:
    """要素の重みを掛けてまとめる。平均は重みの合計で割る（`by_weight` が偽なら、要素の数で）。

    Raises:
        ValueError: 重みの形が違う。
    """
    if isinstance(losses, Tensor):
        w = as_tensor(weight).astype(losses.dtype)
        targets.same_shape(losses, w, name, "重み")
        return mean_or_sum(losses * w, reduction, w.sum() if by_weight else None)
    each = [w for _, w in targets.paired(input, weight, name, "重み")]
    products = [a * w for a, w in zip(losses, each, strict=True)]
    return mean_or_sum(products, reduction, sum(each) if by_weight else None)
