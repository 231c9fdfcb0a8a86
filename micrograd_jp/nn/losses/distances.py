"""ベクトルの長さと距離と角度: 正規化、コサイン類似度、2 点の距離。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """軸に沿って長さを 1 にする: x / max(‖x‖ₚ, eps)。

    Args:
        input: `Tensor`。
        p: ノルムの種類。
        dim: 軸。
        eps: 0 で割らないための、長さの最小値。

    Raises:
        IndexError: 軸がない。
    """
    x = floating(input)
    out: Tensor = x / mg.clip(mg.norm(x, p, dim, True), min=eps)
    return out


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """コサイン類似度 x₁·x₂ / (max(‖x₁‖, eps)·max(‖x₂‖, eps)) (cosine similarity)。

    Args:
        x1: `Tensor`。
        x2: `Tensor`。`x1` とブロードキャストできる形。
        dim: 内積を取る軸（なくなる）。
        eps: 長さの最小値。

    Raises:
        ValueError: ブロードキャストできない。
        IndexError: 軸がない。
    """
    a, b = (_of_length_one(floating(x), dim, eps) for x in (x1, x2))
    out: Tensor = mg.sum(a * b, dim)
    return out


def _of_length_one(x: Tensor, dim: int, eps: float) -> Tensor:
    size = mg.norm(x, 2, dim, True)
    out: Tensor = x / (size + (mg.clip(size, min=eps) - size).detach())  # the slope stays
    return out


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """2 点の距離 ‖x₁ − x₂ + eps‖ₚ。最後の軸がなくなる。

    Args:
        x1: (N, D) か (D,)。
        x2: 同じ形。
        p: ノルムの種類。
        eps: 差に足す小さな数（同じ点でも傾きがあるように）。
        keepdim: 真なら、最後の軸を長さ 1 で残す。

    Raises:
        ValueError: ブロードキャストできない。
    """
    return mg.norm(floating(x1) - floating(x2) + eps, p, -1, keepdim)


def pdist(input: Any, p: float = 2.0) -> Tensor:
    """行のすべての組 (i < j) の距離 ‖xᵢ − xⱼ‖ₚ。

    Args:
        input: (N, D)。
        p: ノルムの種類。

    Returns:
        (N(N − 1)/2,)。

    Raises:
        ValueError: 2 次元でない。
    """
    x = floating(input)
    if x.ndim != 2:
        raise ValueError(f"pdist の入力は (N, D) です (expected 2 dimensions): 形は {x.shape}。")
    i, j = np.triu_indices(x.shape[0], 1)
    return mg.norm(x[i] - x[j], p, -1)


explain_all(globals())
