"""数の並びを 1 つの数にまとめる演算の表。1 つの並びに 1 つのノード。

`xs` は平らな並び。`dot` だけは同じ長さの 2 つの並びをつないだもの `(*ws, *xs)` を受け取る。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd_jp.ops.primitive import Reduction, register

# The columns of the table are set by hand.
# fmt: off

sum = register(Reduction("sum", "Σ", "総和 (sum)",
    lambda m, xs: m.sum(xs), lambda m, z, xs: [1] * len(xs)))


def _products_of_the_others(m: Any, z: Any, xs: Sequence[Any]) -> list[Any]:
    """∂(x₀x₁…)/∂xᵢ as a product, not as z / xᵢ: right also where factors are zero."""
    before, products = 1, []
    for x in xs:
        products.append(before)
        before = before * x
    after = 1
    for i in range(len(xs) - 1, -1, -1):
        products[i] = products[i] * after
        after = xs[i] * after
    return products


prod = register(Reduction("prod", "Π", "総乗 (product)",
    lambda m, xs: m.prod(xs), _products_of_the_others, domain=(0.5, 2.0)))

dot = register(Reduction("dot", "Σwx", "内積 (dot product)",
    lambda m, xs: m.dot(xs[: len(xs) // 2], xs[len(xs) // 2 :]),
    lambda m, z, xs: [*xs[len(xs) // 2 :], *xs[: len(xs) // 2]], lists=2))

# log Σ eˣ with the maximum taken out; ∂/∂xᵢ is the softmax.
logsumexp = register(Reduction("logsumexp", "logΣeˣ", "指数の和の対数 (log-sum-exp)",
    lambda m, xs: m.logsumexp(xs), lambda m, z, xs: [m.exp(x - z) for x in xs]))
