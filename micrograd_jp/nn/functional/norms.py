"""正規化: バッチごと、層ごと。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.writes import writes
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.norm import batch_normalized, standardized
from micrograd_jp.tensor.functions.norm import local_response_norm as local_response_norm
from micrograd_jp.tensor.run import floating, rounded

__all__ = ["batch_norm", "layer_norm", "local_response_norm"]


def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """バッチ正規化 (batch normalization): チャネル（軸 1）ごとに、平均 0、分散 1 にする。

    Ioffe & Szegedy (2015) "Batch Normalization"。訓練中はバッチの統計を使い、移動平均
    `running_mean`, `running_var`（不偏分散）をその場で更新する。

    Args:
        x: (N, C, …)。
        running_mean: 平均の移動平均 (C,) か `None`。
        running_var: 分散の移動平均 (C,) か `None`。
        weight: 倍率 (C,) か `None`。
        bias: ずらし (C,) か `None`。
        training: 真なら、バッチの統計を使う。
        momentum: 移動平均に新しい値が占める割合。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 2 次元未満、または訓練中に 1 チャネルに値が 1 つしかない。
        TypeError: （`mg.jit` でない）`jax.jit` の中で移動平均を更新しようとした。
    """
    t = floating(x)
    if t.ndim < 2:
        raise ValueError(
            f"バッチ正規化の入力は (N, C, …) です (expected at least 2 dimensions): {t.shape}。"
        )
    if not training:
        return batch_normalized(t, weight, bias, eps, running_mean, running_var)[0]
    n = t.numel() // max(t.shape[1], 1)
    if n < 2:
        raise ValueError(
            "訓練中のバッチ正規化には、1 チャネルに 2 つ以上の値が必要です "
            f"(expected more than 1 value per channel): 形は {t.shape} です。"
            "バッチを大きくするか、model.eval() としてください。"
        )
    out, mean, var = batch_normalized(t, weight, bias, eps)
    for running, now in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
        if running is not None:
            _update(running, now, momentum)
    return out


def layer_norm(
    x: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    """層正規化 (layer normalization): 最後のいくつかの軸で、平均 0、分散 1 にする。

    Ba, Kiros & Hinton (2016) arXiv:1607.06450。

    Args:
        x: 最後の次元が `normalized_shape` である入力。
        normalized_shape: 正規化する形。
        weight: 倍率（`normalized_shape` の形）か `None`。
        bias: ずらし（同じ形）か `None`。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 入力の最後の次元が `normalized_shape` でない。
    """
    t = floating(x)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or t.shape[-len(shape) :] != shape:
        raise ValueError(
            f"層正規化の形が合いません (layer norm shape mismatch): 入力 {t.shape}。"
            f"最後の次元を {shape} にしてください。"
        )
    axes = tuple(range(t.ndim - len(shape), t.ndim))
    own, t = t.dtype, t.astype(np.float32) if t.dtype.itemsize == 2 else t
    out = rounded(standardized(t, axes, eps), own)
    out = out if weight is None else out * as_tensor(weight)
    return out if bias is None else out + as_tensor(bias)


def _update(running: Tensor, now: Any, momentum: float) -> None:
    """Move a running average towards `now`, in place where the memory allows it."""
    if namespace.is_traced(now) and not namespace.is_traced(running.data):
        raise TypeError(
            "jax.jit の中では移動平均を更新できません (running statistics inside jax.jit): "
            "jax.jit の代わりに mg.jit(関数, model) を使うか、model.eval() としてください。"
        )
    moved = running.data + momentum * (now - running.data)
    if isinstance(running.data, np.ndarray) and isinstance(moved, np.ndarray):
        running.data[...] = moved
        writes.note(running.data)
    else:
        running.data = namespace.of(moved).astype(moved, running.dtype)


explain_all(globals())
