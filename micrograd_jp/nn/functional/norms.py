"""正規化: バッチごと、層ごと。"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.writes import writes
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.norm import batch_normalized, layer_normalized, standardized
from micrograd_jp.tensor.functions.norm import local_response_norm as local_response_norm
from micrograd_jp.tensor.run import floating, rounded

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm",
]  # fmt: skip


def batch_norm(
    input: Any,
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
        input: (N, C, …)。
        running_mean: 平均の移動平均 (C,)。`None` は訓練中だけ。
        running_var: 分散の移動平均 (C,)。同上。
        weight: 倍率 (C,) か `None`。
        bias: ずらし (C,) か `None`。
        training: 真なら、バッチの統計を使う。
        momentum: 移動平均に新しい値が占める割合。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 2 次元未満、訓練中に 1 チャネルに値が 1 つしかない、使う移動平均がない、
            倍率などの形が違う。
        TypeError: （`mg.jit` でない）`jax.jit` の中で移動平均を更新しようとした。
    """
    t = floating(input)
    if t.ndim < 2:
        raise ValueError(
            f"バッチ正規化の入力は (N, C, …) です (expected at least 2 dimensions): {t.shape}。"
        )
    _require_shape(
        "バッチ正規化", t.shape[1:2], weight=weight, bias=bias, running_mean=running_mean,
        running_var=running_var,
    )  # fmt: skip
    if not training:
        _require_running("training", running_mean, running_var)
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
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    """層正規化 (layer normalization): 最後のいくつかの軸で、平均 0、分散 1 にする。

    Ba, Kiros & Hinton (2016) arXiv:1607.06450。

    Args:
        input: 最後の次元が `normalized_shape` である入力。
        normalized_shape: 正規化する形。
        weight: 倍率（`normalized_shape` の形）か `None`。
        bias: ずらし（同じ形）か `None`。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 入力の最後の次元や、倍率の形が `normalized_shape` でない。
    """
    t = floating(input)
    axes = _last_axes("層正規化", t, normalized_shape, weight=weight, bias=bias)
    own, t = t.dtype, _single(t)
    if weight is not None and bias is not None and len(axes) < t.ndim:
        w, b = as_tensor(weight), as_tensor(bias)
        if own == t.dtype == w.dtype == b.dtype:
            return layer_normalized(t, w, b, axes, eps)
    return _affine(rounded(standardized(t, axes, eps), own), weight, bias)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """グループ正規化 (group normalization): 標本ごとに、チャネルの組の中で正規化する。

    Wu & He (2018) "Group Normalization"。

    Args:
        input: (N, C, …)。
        num_groups: 組の数。C を割り切ること。
        weight: 倍率 (C,) か `None`。
        bias: ずらし (C,) か `None`。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 2 次元未満、C が `num_groups` で割り切れない、倍率かずらしの形が違う。
    """
    t = floating(input)
    if t.ndim < 2 or not isinstance(num_groups, int) or num_groups < 1 or t.shape[1] % num_groups:
        raise ValueError(
            f"グループ正規化の入力は (N, C, …) で、C は組の数 {num_groups!r} で割り切れるように"
            f"します (channels not divisible by groups): 形は {t.shape} です。"
        )
    _require_shape("グループ正規化", t.shape[1:2], weight=weight, bias=bias)
    own, t = t.dtype, _single(t)
    groups = t.reshape(t.shape[0], num_groups, prod(t.shape[1:]) // num_groups)
    out = rounded(standardized(groups, (2,), eps).reshape(t.shape), own)
    return _affine(out, weight, bias, along_channels=True)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """インスタンス正規化 (instance normalization): 標本とチャネルごとに正規化する。

    Ulyanov, Vedaldi & Lempitsky (2016) "Instance Normalization"。

    Args:
        input: (N, C, …)。3 次元以上。
        running_mean: 平均の移動平均 (C,) か `None`。
        running_var: 分散の移動平均 (C,) か `None`。
        weight: 倍率 (C,) か `None`。
        bias: ずらし (C,) か `None`。
        use_input_stats: 真なら入力の統計を、偽なら移動平均を使う。
        momentum: 移動平均に新しい値が占める割合。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 3 次元未満、統計を取る値が 1 つしかない、使う移動平均がない、形が違う。
        TypeError: （`mg.jit` でない）`jax.jit` の中で移動平均を更新しようとした。
    """
    t = floating(input)
    n = prod(t.shape[2:])
    if t.ndim < 3 or (use_input_stats and n < 2):
        raise ValueError(
            "インスタンス正規化の入力は (N, C, …) で、1 チャネルに 2 つ以上の値が必要です "
            f"(expected more than 1 spatial element): 形は {t.shape} です。"
        )
    _require_shape(
        "インスタンス正規化", t.shape[1:2], weight=weight, bias=bias, running_mean=running_mean,
        running_var=running_var,
    )  # fmt: skip
    if not use_input_stats:
        _require_running("use_input_stats", running_mean, running_var)
        return batch_normalized(t, weight, bias, eps, running_mean, running_var)[0]
    # Every channel of every sample is a channel of one sample.
    batch, channels = t.shape[:2]
    out, mean, var = batch_normalized(t.reshape(1, -1, *t.shape[2:]), None, None, eps)
    for running, now in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
        if running is not None:
            _update(running, now.reshape(batch, channels).mean(0), momentum)
    return _affine(out.reshape(t.shape), weight, bias, along_channels=True)


def rms_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    eps: float | None = None,
) -> Tensor:
    """二乗平均平方根での正規化 x/√(x² の平均 + eps) (RMS normalization)。

    Zhang & Sennrich (2019) "Root Mean Square Layer Normalization"。

    Args:
        input: 最後の次元が `normalized_shape` である入力。
        normalized_shape: 正規化する形。
        weight: 倍率（`normalized_shape` の形）か `None`。
        eps: 足す小さな数。既定は、計算する型の 1 の次の数との差。

    Raises:
        ValueError: 入力の最後の次元や、倍率の形が `normalized_shape` でない。
    """
    t = floating(input)
    axes = _last_axes("RMS 正規化", t, normalized_shape, weight=weight)
    own, t = t.dtype, _single(t)
    small = float(np.finfo(t.dtype).eps) if eps is None else eps
    out = rounded(t * ((t * t).mean(axes, keepdim=True) + small).rsqrt(), own)
    return _affine(out, weight, None)


def _require_shape(name: str, shape: tuple[int, ...], **given: Any) -> None:
    """Before anything is computed: a weight of another shape would broadcast."""
    for what, x in given.items():
        if x is not None and as_tensor(x).shape != shape:
            raise ValueError(
                f"{name}の {what} の形が合いません (shape mismatch): {as_tensor(x).shape}。"
                f"{shape} にしてください。"
            )


def _require_running(flag: str, mean: Any, var: Any) -> None:
    if mean is None or var is None:
        raise ValueError(
            f"{flag}=False には running_mean と running_var が必要です "
            "(running statistics missing)。"
        )


def _last_axes(
    name: str, t: Tensor, normalized_shape: int | Sequence[int], **given: Any
) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or t.shape[-len(shape) :] != shape:
        raise ValueError(
            f"{name}の形が合いません (layer norm shape mismatch): 入力 {t.shape}。"
            f"最後の次元を {shape} にしてください。"
        )
    _require_shape(name, shape, **given)
    return tuple(range(t.ndim - len(shape), t.ndim))


def _single(t: Tensor) -> Tensor:
    return t.astype(np.float32) if t.dtype.itemsize == 2 else t


def _affine(out: Tensor, weight: Any, bias: Any, along_channels: bool = False) -> Tensor:
    """Out times the weight plus the bias, where they are given."""
    shape = (1, -1, *(1,) * (out.ndim - 2))
    given = [None if p is None else as_tensor(p) for p in (weight, bias)]
    w, b = (p if p is None or not along_channels else p.reshape(shape) for p in given)
    out = out if w is None else out * w
    return out if b is None else out + b


def _update(running: Tensor, now: Any, momentum: float) -> None:
    """Move a running average towards `now`, in place where the memory allows it."""
    if namespace.is_traced(now) and not namespace.is_traced(running._data):
        raise TypeError(
            "jax.jit の中では移動平均を更新できません (running statistics inside jax.jit): "
            "jax.jit の代わりに mg.jit(関数, model) を使うか、model.eval() としてください。"
        )
    moved = running._data + momentum * (now - running._data)
    if isinstance(running._data, np.ndarray) and isinstance(moved, np.ndarray):
        running._data[...] = moved
        writes.note(running._data)
    else:
        running.data = namespace.of(moved).astype(moved, running.dtype)


explain_all(globals())
