"""PyTorch にある、同じ関数のもう 1 つの名前: `absolute` は `abs`、`arctan2` は `atan2`、…。"""

from __future__ import annotations

SAME = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "negative": "neg", "fix": "trunc",
    "multiply": "mul", "divide": "div", "true_divide": "div", "subtract": "sub",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne",
    "concat": "concatenate", "cat": "concatenate",
    "row_stack": "vstack", "swapdims": "swapaxes",
    "moveaxis": "movedim", "inverse": "inv", "ger": "outer",
    "trapz": "trapezoid",
}  # fmt: skip
"""別の名前から、ここでの名前へ。"""
