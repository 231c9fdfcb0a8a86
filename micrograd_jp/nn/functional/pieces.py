"""折れ線の活性化関数。折れ点での傾きは、PyTorch と同じ側のもの。"""

from __future__ import annotations

from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.functional.writing import in_place, written
from micrograd_jp.tensor.run import floats

__all__ = [
    "hardshrink", "hardtanh", "hardtanh_", "relu6", "softshrink", "threshold", "threshold_",
]  # fmt: skip


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """区間 [min_val, max_val] に収める (hard tanh)。端での傾きは 0（`clip` では 1）。

    Raises:
        ValueError: `min_val` が `max_val` より大きい。
    """
    if not min_val <= max_val:
        raise ValueError(
            "hardtanh の min_val は max_val 以下です (min_val cannot be greater than max_val): "
            f"{min_val} と {max_val}。"
        )

    def function(x: Any) -> Any:
        # In this order: nan is in neither piece, and stays.
        return mg.where(x <= min_val, min_val, mg.where(x >= max_val, max_val, x))

    return written("hardtanh", function, input, inplace)


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6) (ReLU6)。Krizhevsky (2010) "Convolutional Deep Belief Networks"。"""
    return hardtanh(input, 0.0, 6.0, inplace)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """`threshold` より大きい x はそのまま、ほかは `value` (threshold)。"""
    return written("threshold", lambda x: mg.where(x <= threshold, value, x), input, inplace)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """|x| ≤ lambd のところを 0 にする (hard shrinkage)。"""
    x = floats(input)
    return mg.where(mg.abs(x) <= lambd, 0.0, x)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """0 の向きに lambd だけ縮める。|x| ≤ lambd のところは 0 (soft shrinkage)。

    Raises:
        ValueError: `lambd` が負。
    """
    if not lambd >= 0:
        raise ValueError(f"softshrink の lambd は 0 以上の数です (lambda must be >= 0): {lambd}。")
    x = floats(input)
    return x - mg.clip(x, -lambd, lambd)


hardtanh_, threshold_ = in_place(hardtanh), in_place(threshold)

explain_all(globals())
