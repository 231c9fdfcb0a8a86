"""似たものを近く、違うものを遠くに置く損失: コサイン、三つ組 (triplet)。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.losses import targets
from micrograd_jp.nn.losses.distances import pairwise_distance
from micrograd_jp.nn.losses.reduction import mean_or_sum, reduction_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import single

__all__ = ["cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"]

_EPS = 1e-12


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """コサイン類似度の損失: 正解が 1 なら 1 − cos、−1 なら max(0, cos − margin)。

    Args:
        input1: (N, D) か (D,)。
        input2: 同じ形。
        target: 1 か −1。(N,) か 0 次元。
        margin: 余裕。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、1 でも −1 でもない正解。
    """
    name = "cosine_embedding_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    a, b, t = single(input1), single(input2), as_tensor(target)
    targets.same_shape(a, b, name)
    if a.ndim not in (1, 2) or t.shape != a.shape[:-1]:
        raise ValueError(
            f"{name} の形が合いません (shape mismatch): 入力 {a.shape} と正解 {t.shape}。"
            "(N, D) と (N,) か、(D,) と () にしてください。"
        )
    targets.signs(t, name)
    sizes = (mg.sum(a * a, -1) + _EPS) * (mg.sum(b * b, -1) + _EPS)
    cos = mg.sum(a * b, -1) / mg.sqrt(sizes)
    losses = mg.where(mg.eq(t, 1), 1 - cos, mg.clip(cos - margin, min=0))
    out: Tensor = mean_or_sum(losses, reduction)
    return out


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """三つ組の損失 max(0, margin + d(a, p) − d(a, n)) (triplet loss)。d は `pairwise_distance`。

    Args:
        anchor: 基準 a。(N, D) か (D,)。
        positive: 同じ種類のもの p。同じ形。
        negative: 違う種類のもの n。同じ形。
        margin: 余裕。
        p: ノルムの種類。
        eps: 差に足す小さな数。
        swap: 真なら、d(a, n) と d(p, n) の小さい方を使う。
        size_average: 古い引数（`reduction` に直される）。
        reduce: 同上。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、`margin` が正でない。

    Source: Balntas et al., "Learning shallow convolutional feature descriptors with triplet
    losses" (BMVC 2016)。
    """
    reduction = reduction_of(reduction, size_average, reduce)

    def distance(a: Any, b: Any) -> Any:
        return pairwise_distance(a, b, p, eps)

    name = "triplet_margin_loss"
    return _triplet(name, anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """自分で決めた距離の、三つ組の損失。

    Args:
        anchor: 基準 a。
        positive: 同じ種類のもの p。同じ形。
        negative: 違う種類のもの n。同じ形。
        distance_function: 2 つの `Tensor` から距離を返す関数（既定は `pairwise_distance`）。
        margin: 余裕。
        swap: 真なら、d(a, n) と d(p, n) の小さい方を使う。
        reduction: `"mean"`、`"sum"`、`"none"`。

    Raises:
        ValueError: 形が違う、`margin` が正でない。
    """
    reduction, name = reduction_of(reduction), "triplet_margin_with_distance_loss"
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(name, anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    name: str, anchor: Any, positive: Any, negative: Any, distance: Any, margin: float, swap: bool,
    reduction: str,
) -> Tensor:  # fmt: skip
    if not margin > 0:
        raise ValueError(
            f"margin は 0 より大きい数です (margin must be greater than 0): {margin}。"
        )
    a, p, n = (single(x) for x in (anchor, positive, negative))
    targets.same_shape(a, p, name)
    targets.same_shape(a, n, name)
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = mg.minimum(far, distance(p, n))
    out: Tensor = mean_or_sum(mg.clip(margin + near - far, min=0), reduction)
    return out


explain_all(globals())
