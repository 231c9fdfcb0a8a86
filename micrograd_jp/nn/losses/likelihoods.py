"""確率の対数の損失: 2 値の確率、分布の距離、正規分布とポアソン分布の負の対数尤度。"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.nn.losses import targets
from micrograd_jp.nn.losses.pairs import alike, by_element, floating_pair, pairs
from micrograd_jp.nn.losses.reduction import mean_or_sum, reduction_of
from micrograd_jp.tensor.array import Tensor, as_tensor

__all__ = ["binary_cross_entropy", "gaussian_nll_loss", "kl_div", "poisson_nll_loss"]

_LEAST_LOG = -100.0  # in place of log 0, as in PyTorch
_LEAST_SPREAD = float(np.float32(1e-12))  # of p(1 − p), where it divides: PyTorch's is a float


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """2 値の交差エントロピー誤差 −t·log p − (1 − t)·log(1 − p)。p は確率（シグモイドの後）。

    log は −100 より小さくならない。ロジットがあるなら `binary_cross_entropy_with_logits` の方がよい
    （p が 0 や 1 に丸められると、桁が失われる）。

    Args:
        input: 確率 p。`Tensor`、または `Value` の並び。
        target: 正解。0 以上 1 以下で、同じ形。
        weight: 要素の重み（ブロードキャストされる。`Value` の並びなら数）。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、0 以上 1 以下でない。
    """
    name = "binary_cross_entropy"
    reduction = reduction_of(reduction, size_average, reduce)
    if targets.has_values(input):
        every = pairs(input, target, name)
        known = np.array([b for _, b in every if is_number(b)])
        targets.within(Tensor(known), 0, 1, name)
        losses: Any = [_of_a_number(p, t) for p, t in every]
        if weight is not None:
            losses = [loss * weight for loss in losses]
        return mean_or_sum(losses, reduction)
    p, t = floating_pair(input, target, name)
    targets.within(p, 0, 1, name, "確率")
    targets.within(t, 0, 1, name)
    losses = _of_probabilities(p, t)
    return mean_or_sum(losses if weight is None else losses * alike(p, weight), reduction)


def _of_a_number(p: Any, t: Any) -> Any:
    loss: Any = 0.0 * p
    for share, x in ((t, p), (1 - t, 1 - p)):
        if not (is_number(share) and share == 0):
            loss = loss - share * mg.log(mg.clip(x, min=math.exp(_LEAST_LOG)))
    return loss


def _of_probabilities(p: Tensor, t: Tensor) -> Tensor:
    fixed = p.detach()
    spread = fixed * (1 - fixed)
    at_an_end = mg.lt(spread, _LEAST_SPREAD)
    if not namespace.is_traced(spread._data) and not at_an_end._data.any():
        plain: Tensor = -(t * mg.log(p) + (1 - t) * mg.log(1 - p))
        return plain
    inner = mg.where(at_an_end, 0.5, p)
    losses = -(t * mg.log(inner) + (1 - t) * mg.log(1 - inner))
    # The slope there is not that of the clipped logarithms, but (p − t)/max(p(1 − p), 1e-12).
    log_p, log_q = (mg.clip(mg.log(x), min=_LEAST_LOG) for x in (fixed, 1 - fixed))
    slope = (fixed - t.detach()) / mg.clip(spread, min=_LEAST_SPREAD)
    ends = slope * (p - fixed) - (t * log_p + (1 - t) * log_q)
    out: Tensor = mg.where(at_an_end, ends, losses)
    return out


def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """カルバック・ライブラー情報量 Σ t·(log t − x) (Kullback–Leibler divergence)。x は対数確率。

    Args:
        input: 対数確率 x（`log_softmax` の結果など）。`Tensor`、または `Value` の並び。
        target: 確率 t（`log_target` なら、その対数）。同じ形。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"batchmean"`（和を標本の数で割る: 定義どおり）、`"mean"`（要素の数で割る）、
            `"sum"`、`"none"`。
        log_target: 真なら、`target` は確率の対数。

    Raises:
        ValueError: 形が違う、知らない `reduction`。
    """
    reduction = reduction_of(reduction, size_average, reduce, also=("batchmean",))

    def formula(x: Any, t: Any) -> Any:
        if log_target:
            return mg.exp(t) * (t - x)
        positive = t > 0
        return mg.where(positive, t * mg.log(mg.where(positive, t, 1.0)), 0.0) - t * x

    if reduction != "batchmean":
        return by_element("kl_div", formula, input, target, reduction)
    total = by_element("kl_div", formula, input, target, "sum")
    shape = getattr(input, "shape", None) or (len(input) if targets.is_row(input) else 1,)
    return total / shape[0]


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """正規分布の負の対数尤度 ½(log σ² + (y − t)²/σ²) (Gaussian negative log likelihood)。

    Args:
        input: 平均 y。`Tensor`。
        target: 正解 t。同じ形。
        var: 分散 σ²。同じ形、最後の軸がない形、1 つの軸が 1 の形の `Tensor`、または数。
        full: 真なら、定数 ½log 2π を足す。
        eps: 分散の最小値。これより小さい分散にも、勾配は流れる。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、負の分散。
    """
    name = "gaussian_nll_loss"
    reduction = reduction_of(reduction)
    y, t = floating_pair(input, target, name)
    v = as_tensor(np.asarray(var, y.dtype) if is_number(var) else var).astype(y.dtype)
    if v.ndim and v.shape != y.shape:
        if v.shape == y.shape[:-1]:
            v = v.reshape(*v.shape, 1)
        differing = [n for n, wanted in zip(v.shape, y.shape) if n != wanted]
        if v.ndim != y.ndim or differing != [1]:
            raise ValueError(
                f"{name} の分散の形が合いません (var is of incorrect size): {v.shape}。"
                f"{y.shape} か {y.shape[:-1]} にしてください。"
            )
    if not namespace.is_traced(v._data) and (v._data < 0).any():
        raise ValueError(
            f"{name} の分散に負の数があります (var has negative entries): 分散そのもの（標準偏差の "
            "2 乗、または mg.exp や F.softplus の結果）を渡してください。"
        )
    v = v + (mg.clip(v, min=eps) - v).detach()
    d = y - t
    losses = 0.5 * (mg.log(v) + d * d / v)
    return mean_or_sum(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """ポアソン分布の負の対数尤度 λ − t·log λ (Poisson negative log likelihood)。

    Args:
        input: log λ（`log_input=False` なら λ）。`Tensor`、または `Value` の並び。
        target: 回数 t。同じ形。
        log_input: `input` が λ の対数か。
        full: 真なら、log t! の近似 t·log t − t + ½log 2πt を足す（t > 1 のところだけ）。
        size_average: 古い引数（`reduction` に直される）。
        eps: log 0 を避けて λ に足す小さな数。
        reduce: 古い引数。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う。
    """
    reduction = reduction_of(reduction, size_average, reduce)

    def formula(x: Any, t: Any) -> Any:
        loss = mg.exp(x) - t * x if log_input else x - t * mg.log(x + eps)
        if not full:
            return loss
        many = mg.where(t > 1, t, 1.0)
        stirling = many * mg.log(many) - many + 0.5 * mg.log(2 * math.pi * many)
        return loss + mg.where(t > 1, stirling, 0.0)

    return by_element("poisson_nll_loss", formula, input, target, reduction)


explain_all(globals())
