"""確率から番号を引く関数。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integer
from micrograd_jp.tensor.dtypes import float64, int64
from micrograd_jp.tensor.generator import draw, is_keyed, numbers_of
from micrograd_jp.tensor.registry import function


@function()
def multinomial(
    x: Any, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """重みに比例する確率で、番号を引く。勾配はない。

    戻さずに引く方法は Efraimidis & Spirakis (2006) "Weighted random sampling with a reservoir"。

    Args:
        x: 重み (C,) か、行ごとの重み (N, C)。0 以上の有限の数で、和は 1 でなくてよい。
        num_samples: 引く個数 n。
        replacement: 真なら、引いたものを戻してから次を引く。
        generator: 引く列 (`mg.Generator`)。なければ、パッケージのもの。

    Returns:
        int64 の (n,) か (N, n)。

    Raises:
        TypeError: 重みが小数でない、個数が整数でない。
        ValueError: 1 次元でも 2 次元でもない、負・nan・inf の重み、0 でない重みが足りない、個数が
            1 より小さい。
    """
    weights, n = data_of(as_tensor(x)), integer(num_samples, "multinomial")
    if not namespace.is_floating(weights.dtype):
        raise TypeError(
            f"multinomial の重みは小数です (expected floats): {weights.dtype} が渡されました。"
            "p.float() と書いてください。"
        )
    if weights.ndim not in (1, 2) or n < 1:
        raise ValueError(
            "multinomial の重みは 1 次元か 2 次元、個数は 1 以上です (invalid shape or number): "
            f"形 {weights.shape} から {n} 個。"
        )
    rng, shape = numbers_of(generator), (*weights.shape[:-1], n)
    if is_keyed():  # the largest of log p + Gumbel noise has the probability p
        m = namespace.of(weights, np.zeros(0)) if namespace.is_traced(weights) else np
        logs = m.log(weights)[..., None, :]
        if replacement:
            return Tensor((logs + draw("gumbel", (*shape, weights.shape[-1]))).argmax(-1))
        keys = -(logs + draw("gumbel", logs.shape))[..., 0, :]
        return Tensor(keys.argsort(-1)[..., :n])
    p = namespace.concrete(weights, "multinomial()").astype(float64)
    if not (np.isfinite(p) & (p >= 0)).all():
        raise ValueError(
            "multinomial の重みは 0 以上の有限の数です (negative, nan or inf weight): "
            "F.softmax(logits, dim=-1) の結果のようなものを渡してください。"
        )
    if ((p > 0).sum(-1) < (1 if replacement else n)).any():
        raise ValueError(
            f"0 でない重みが足りません (too few nonzero weights): 戻さずに {n} 個を引くには、"
            "どの行にもその個数が要ります。replacement=True なら、1 つあれば引けます。"
            if not replacement
            else "重みがすべて 0 の行からは引けません (all weights are zero)。"
        )
    if not replacement:
        with np.errstate(divide="ignore"):
            return Tensor((rng.exponential(size=p.shape) / p).argsort(-1)[..., :n])
    ends = p.cumsum(-1)
    ends /= ends[..., -1:]
    drawn = rng.random(shape)
    rows = zip(ends.reshape(-1, p.shape[-1]), drawn.reshape(-1, n), strict=True)
    places = [end.searchsorted(u, side="right") for end, u in rows]
    return Tensor(np.reshape(places, shape).astype(int64))
