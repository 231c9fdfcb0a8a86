"""乱数を引く関数のうち、配列から決まるもの: 確率から番号や 0 と 1 を、平均と標準偏差から数を。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explained
from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integer
from micrograd_jp.tensor.dtypes import float64, int64
from micrograd_jp.tensor.generator import draw, is_keyed, numbers_of
from micrograd_jp.tensor.random import randn
from micrograd_jp.tensor.registry import IN_PLACE, function


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


def _uniform(shape: Any, generator: Any) -> Any:
    rng = numbers_of(generator)
    return draw("uniform", shape) if is_keyed() else rng.random(shape)


@function(real=True)
def bernoulli(x: Any, p: Any = None, *, generator: Any = None) -> Tensor:
    """確率 x で 1、残りで 0。`p` があれば、確率は p で、形と型だけが x のもの。勾配はない。

    Raises:
        TypeError: 確率が小数でない。
        ValueError: 0 から 1 までにない確率。
    """
    t = as_tensor(x).detach()
    chances = t if p is None else as_tensor(p).detach()
    if not namespace.is_floating(chances.dtype):
        raise TypeError(
            f"bernoulli の確率は小数です (expected floats): {chances.dtype} が渡されました。"
            "p.float() と書いてください。"
        )
    if not namespace.is_traced(chances._data) and not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError("bernoulli の確率は 0 から 1 までです (probability out of range)。")
    return (as_tensor(_uniform(t.shape, generator)) < chances).astype(t.dtype)


_only_in_place = function(package=False, method=False, in_place=True)


@explained
def _bernoulli_in_place(x: Any, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """確率 p で 1、残りで 0 にする。"""
    return bernoulli(x, p, generator=generator)


IN_PLACE["bernoulli_"] = _bernoulli_in_place


@_only_in_place
def exponential(x: Any, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """率 lambd の指数分布の乱数にする。"""
    t = as_tensor(x)
    return as_tensor(-np.log1p(-_uniform(t.shape, generator)) / lambd).astype(t.dtype)


@_only_in_place
def random(x: Any, low: int = 0, high: int | None = None, *, generator: Any = None) -> Tensor:
    """`low` 以上 `high` 未満の整数の乱数にする。1 つだけなら、0 以上それ未満。"""
    t = as_tensor(x)
    if high is None:
        low, high = (0, low) if low else (0, 2**24 if t.dtype.kind == "f" else 127)
    return as_tensor(low + np.floor(_uniform(t.shape, generator) * (high - low))).astype(t.dtype)


@function(method=False)
def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """正規乱数。`mean` と `std` は数か Tensor で、要素ごとの平均と標準偏差。

    Args:
        mean: 平均。
        std: 標準偏差。
        size: 形（平均も標準偏差も数のとき）。
        generator: 引く列 (`mg.Generator`)。
        dtype: 型。なければ、平均か標準偏差の型、または既定の型。
        device: 置く場所。
        requires_grad: 勾配を求めるか。

    Raises:
        ValueError: 負の標準偏差、または形が決まらない。
    """
    center, width = as_tensor(mean).detach(), as_tensor(std).detach()
    if size is None and not (isinstance(mean, Tensor) or isinstance(std, Tensor)):
        raise ValueError(
            "normal の mean と std が数なら、size も要ります (size required): "
            "mg.normal(0.0, 1.0, (2, 3)) と書いてください。"
        )
    if not namespace.is_traced(width._data) and bool((width < 0).any()):
        raise ValueError("normal の std は 0 以上です (negative standard deviation)。")
    shape = np.broadcast_shapes(center.shape, width.shape) if size is None else tuple(size)
    own = next((t.dtype for t in (mean, std) if isinstance(t, Tensor)), None)
    z = randn(shape, generator=generator, dtype=dtype or own, device=device)
    out = (z * width + center).astype(z.dtype)
    return out.requires_grad_() if requires_grad else out
