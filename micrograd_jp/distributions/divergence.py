"""カルバック・ライブラー情報量 (Kullback-Leibler divergence): 2 つの分布の違い。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explained
from micrograd_jp.distributions.discrete import Bernoulli, Categorical
from micrograd_jp.distributions.distribution import Distribution
from micrograd_jp.distributions.normal import Normal
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.constants import inf


def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


def _term(p: Tensor, q: Tensor, difference: Tensor) -> Tensor:
    """p (log p − log q): 0 where p is 0, and infinite where q alone is."""
    return (p * difference).masked_fill(q == 0, inf).masked_fill(p == 0, 0.0)


def _categorical(p: Categorical, q: Categorical) -> Tensor:
    return _term(p.probs, q.probs, p.logits - q.logits).sum(-1)


def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    one = _term(p.probs, q.probs, mg.softplus(-q.logits) - mg.softplus(-p.logits))
    none = _term(1 - p.probs, 1 - q.probs, mg.softplus(q.logits) - mg.softplus(p.logits))
    return one + none


_FORMULAS: dict[type, Callable[[Any, Any], Tensor]] = {
    Normal: _normal, Categorical: _categorical, Bernoulli: _bernoulli,
}  # fmt: skip


@explained
def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p ‖ q) = E_p[log p − log q]。形は、2 つの `batch_shape` を合わせたもの。

    Raises:
        NotImplementedError: 種類の違う分布。
        ValueError: 形が揃わない。
    """
    formula = _FORMULAS.get(type(p))
    if formula is None or type(q) is not type(p):
        known = "、".join(kind.__name__ for kind in _FORMULAS)
        raise NotImplementedError(
            f"kl_divergence は、同じ種類の 2 つの分布 ({known}) に使います (no formula): "
            f"{type(p).__name__} と {type(q).__name__} が渡されました。違う種類の分布では、"
            "x = p.sample((n,)) での p.log_prob(x) - q.log_prob(x) を平均してください。"
        )
    return formula(p, q)
