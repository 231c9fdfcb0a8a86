"""ドロップアウト: 要素ごと、チャネルごと、平均と分散を保つもの。

どれも、訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれると `TypeError` を出す。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.functional.draws import uniform
from micrograd_jp.nn.functional.writing import written
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating

__all__ = [
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
    "probability",
]  # fmt: skip

_SELU_AT_MINUS_INFINITY = -1.7580993408473766  # −scale·alpha of `selu`

_SHAPES = {1: "(N, C, L) か (C, L)", 2: "(N, C, H, W) か (C, H, W)",
           3: "(N, C, D, H, W) か (C, D, H, W)"}  # fmt: skip


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """ドロップアウト: 訓練中、要素を確率 p で 0 にし、残りを 1/(1 − p) 倍する。

    Args:
        input: `Tensor`。
        p: 0 にする確率。
        training: 偽なら何もしない。
        inplace: 真なら、`input` を書き換える。

    Raises:
        ValueError: p が 0 以上 1 以下でない。
        TypeError: 訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    t = floating(input)
    return _dropped(t, t.shape, p, training, inplace)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """チャネルごとのドロップアウト。入力は (N, C, L) か (C, L)。引数は `dropout` と同じ。"""
    return _of_channels(input, p, training, inplace, 1)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """チャネルごとのドロップアウト: 訓練中、チャネルを丸ごと確率 p で 0 にする。

    入力は (N, C, H, W) か (C, H, W)。引数は `dropout` と同じ。

    Raises:
        ValueError: 3 次元でも 4 次元でもない、または p が 0 以上 1 以下でない。
        TypeError: 訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    return _of_channels(input, p, training, inplace, 2)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """チャネルごとのドロップアウト。入力は (N, C, D, H, W) か (C, D, H, W)。"""
    return _of_channels(input, p, training, inplace, 3)


def _of_channels(input: Any, p: float, training: bool, inplace: bool, axes: int) -> Tensor:
    t = floating(input)
    if t.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"dropout{axes}d の入力は {_SHAPES[axes]} です (expected {axes + 1} or {axes + 2} "
            f"dimensions): 形は {t.shape} です。"
        )
    return _dropped(t, (*t.shape[:-axes], *(1,) * axes), p, training, inplace)


def _dropped(t: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    """One draw for each element of the shape, which broadcasts to that of t."""
    if not training or probability(p) == 0:
        return t
    keep: Any = uniform(t, shape, "dropout") >= p

    def function(t: Tensor) -> Tensor:
        # Chosen, not multiplied by 0: 0 · ∞ would be nan.
        kept: Tensor = mg.where(keep, t, 0)
        return kept if p == 1 else kept * (1 / (1 - p))

    out: Tensor = written("dropout", function, t, inplace)
    return out


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`selu` のためのドロップアウト: 消した要素を selu(−∞) にし、平均 0、分散 1 を保つ。

    引数は `dropout` と同じ（`training` の既定値は偽）。

    Source: Klambauer et al., "Self-Normalizing Neural Networks" (NIPS 2017)。
    """
    t = floating(input)
    return _alpha_dropped(t, t.shape, p, training, inplace)


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """チャネルごとの `alpha_dropout`: (N, C, …) のチャネルを丸ごと消す。

    Raises:
        ValueError: 2 次元未満。
    """
    t = floating(input)
    if t.ndim < 2:
        raise ValueError(
            f"feature_alpha_dropout の入力は (N, C, …) です (expected at least 2 dimensions): "
            f"形は {t.shape} です。"
        )
    return _alpha_dropped(t, (*t.shape[:2], *(1,) * (t.ndim - 2)), p, training, inplace)


def _alpha_dropped(
    t: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool
) -> Tensor:
    if not training or probability(p) == 0:
        return t
    low = _SELU_AT_MINUS_INFINITY
    keep: Any = uniform(t, shape, "alpha_dropout") >= p
    scale = 0.0 if p == 1 else ((low * low * p + 1) * (1 - p)) ** -0.5

    def function(t: Tensor) -> Tensor:
        out: Tensor = (mg.where(keep, t, low) - low * p) * scale
        return out

    out: Tensor = written("alpha_dropout", function, t, inplace)
    return out


def probability(p: Any) -> float:
    """0 以上 1 以下であることを確かめる。

    Raises:
        ValueError: そうでない。
    """
    if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
        raise ValueError(f"確率は 0 以上 1 以下です (probability out of range): {p!r}。")
    return float(p)


explain_all(globals())
