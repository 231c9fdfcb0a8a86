"""軸に沿って、正で和が 1 の数にする関数。"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.functional.draws import uniform
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import floating

__all__ = ["gumbel_softmax", "log_softmax", "softmax", "softmin"]


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """ソフトマックス関数 (softmax)。`Value` の並びからは `Value` のリスト。

    Args:
        input: `Tensor`、または `Value` の並び。
        dim: 軸。省くと、PyTorch と同じく、0・1・3 次元なら軸 0、ほかは軸 1（3 次元以上なら警告）。
        _stacklevel: 使わない。
        dtype: 計算の前に変える型。
    """
    return mg.softmax(*_along("softmax", input, dim, dtype))


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """対数ソフトマックス (log-softmax)。`Value` の並びからは `Value` のリスト。

    引数は `softmax` と同じ。
    """
    return mg.log_softmax(*_along("log_softmax", input, dim, dtype))


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """−x のソフトマックス関数 (softmin)。引数は `softmax` と同じ。"""
    if isinstance(input, list | tuple):
        return mg.softmax([-x for x in input])
    x, axis = _along("softmin", input, dim, dtype)
    return mg.softmax(-floating(x), axis)


def _along(name: str, x: Any, dim: int | None, dtype: Any) -> tuple[Any, int]:
    if isinstance(x, list | tuple):
        return x, -1 if dim is None else dim
    if dtype is not None:
        x = as_tensor(x).astype(dtype)
    if dim is not None:
        return x, dim
    ndim = np.ndim(x) if not isinstance(x, Tensor) else x.ndim
    if ndim > 2:
        warnings.warn(
            f"{name} の dim を書いてください (implicit dimension choice): {ndim} 次元の入力では、"
            f"軸 {0 if ndim == 3 else 1} に沿って計算されます。最後の軸なら dim=-1 です。",
            UserWarning,
            stacklevel=5,
        )
    return x, 0 if ndim in (0, 1, 3) else 1


def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """クラスを、微分できる形で引く: softmax((x + ガンベル分布の乱数)/tau) (Gumbel-softmax)。

    Args:
        logits: 対数確率（正規化していなくてよい）。
        tau: 温度。小さいほど one-hot に近い。
        hard: 真なら、値は one-hot、勾配は one-hot にする前のもの (straight-through)。
        eps: 使わない（PyTorch の古い引数）。
        dim: クラスの軸。

    Raises:
        TypeError: （`mg.jit` でない）`jax.jit` の中で呼ばれた。

    Source: Jang, Gu & Poole, "Categorical Reparameterization with Gumbel-Softmax" (ICLR 2017)。
    """
    t = floating(logits)
    m = namespace.of(t._data)
    drawn = m.asarray(uniform(t, t.shape, "gumbel_softmax"))
    # Not 0 and not 1, whose logarithms are not finite.
    inside = m.clip(drawn, np.finfo(np.float32).tiny, 1 - np.finfo(np.float32).epsneg)
    noise = Tensor(m.astype(-m.log(-m.log(inside)), t.dtype))
    soft: Tensor = mg.softmax((t + noise) / tau, dim)
    if not hard:
        return soft
    n, axis = soft.shape[dim], dim % soft.ndim
    classes = np.arange(n).reshape(n, *(1,) * (soft.ndim - axis - 1))
    best = m.expand_dims(m.argmax(soft._data, axis), axis) == classes
    # What is added is 0 up to rounding: only the slope is left.
    return Tensor(m.astype(best, soft.dtype)) + (soft - soft.detach())


explain_all(globals())
