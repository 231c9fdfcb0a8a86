"""ドロップアウト: 要素ごとと、チャネルごと。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.functional.draws import uniform
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating

__all__ = ["dropout", "dropout2d", "probability"]


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """ドロップアウト: 訓練中、要素を確率 p で 0 にし、残りを 1/(1 − p) 倍する。

    Raises:
        ValueError: p が 0 以上 1 以下でない。
        TypeError: 訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    t = floating(x)
    return _dropped(t, t.shape, p, training)


def dropout2d(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """チャネルごとのドロップアウト: 訓練中、チャネルを丸ごと確率 p で 0 にする。

    Args:
        x: (N, C, H, W) か (C, H, W)。
        p: 0 にする確率。残りは 1/(1 − p) 倍する。
        training: 偽なら何もしない。

    Raises:
        ValueError: 3 次元でも 4 次元でもない、または p が 0 以上 1 以下でない。
        TypeError: 訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    t = floating(x)
    if t.ndim not in (3, 4):
        raise ValueError(
            "dropout2d の入力は (N, C, H, W) か (C, H, W) です (expected 3 or 4 dimensions): "
            f"形は {t.shape} です。"
        )
    return _dropped(t, (*t.shape[:-2], 1, 1), p, training)


def _dropped(t: Tensor, shape: tuple[int, ...], p: float, training: bool) -> Tensor:
    """One draw for each element of the shape, which broadcasts to that of t."""
    if not training or probability(p) == 0:
        return t
    keep: Any = uniform(t, shape, "dropout") >= p
    # Chosen, not multiplied by 0: 0 · ∞ would be nan.
    kept: Tensor = mg.where(keep, t, 0)
    return kept if p == 1 else kept * (1 / (1 - p))


def probability(p: Any) -> float:
    """0 以上 1 以下であることを確かめる。

    Raises:
        ValueError: そうでない。
    """
    if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
        raise ValueError(f"確率は 0 以上 1 以下です (probability out of range): {p!r}。")
    return float(p)


explain_all(globals())
