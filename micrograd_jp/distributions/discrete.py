"""離散な分布: 番号を引くカテゴリ分布と、0 か 1 を引くベルヌーイ分布。"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explained
from micrograd_jp.distributions.distribution import Distribution, require
from micrograd_jp.nn.losses.elements import binary_cross_entropy_with_logits
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.constants import finfo, nan
from micrograd_jp.tensor.creation import full_like, zeros
from micrograd_jp.tensor.dtypes import int64
from micrograd_jp.tensor.functions import sampling
from micrograd_jp.tensor.functions import shape as shapes
from micrograd_jp.tensor.run import floating


def _one_of(name: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ValueError(
            f"{name} には probs か logits のどちらか 1 つを渡してください "
            f"(exactly one of probs and logits): {'どちらもない' if probs is None else '両方'}。"
        )


def _inside(p: Tensor) -> Tensor:
    """Away from 0 and 1, as in PyTorch: their logarithms stay finite."""
    eps = finfo(p.dtype).eps
    return p.clip(eps, 1 - eps)


class Categorical(Distribution):
    """カテゴリ分布: 0 から K − 1 までの番号を引く。

    Args:
        probs: 確率に比例する 0 以上の重み。最後の軸が番号で、和は 1 でなくてよい。
        logits: 確率の対数（定数の差は問わない）。`probs` の代わりに渡す。
        validate_args: 受け取るだけ。いつも調べる。

    Raises:
        ValueError: 両方、またはどちらもない。負や nan の重み、和が 0 の重み、0 次元の重み。
    """

    @explained
    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        _one_of("Categorical", probs, logits)
        given = floating(logits if probs is None else probs)
        if not given.ndim:
            raise ValueError(
                "Categorical の重みは 1 次元以上です (expected at least one dimension): "
                "0 次元の Tensor が渡されました。最後の軸に、番号ごとの重みを並べてください。"
            )
        self.batch_shape = given.shape[:-1]
        if probs is None:
            require(given == given, "Categorical の logits は nan でない数です", given)
            self.logits: Tensor = mg.log_softmax(given, -1)
            return
        require(given >= 0, "Categorical の probs は 0 以上です", given)
        total = given.sum(-1, keepdim=True)
        require(total > 0, "Categorical の probs の和は正です", total)
        self.probs = given / total
        self.logits = _inside(self.probs).log()

    @cached_property
    def probs(self) -> Tensor:
        """番号ごとの確率。最後の軸の和は 1。"""
        p: Tensor = mg.softmax(self.logits, -1)
        return p

    @property
    def mean(self) -> Tensor:
        """番号に平均はない (nan)。"""
        return full_like(self.probs[..., 0], nan)

    variance = mean

    @property
    def mode(self) -> Tensor:
        """確率の最も大きい番号。"""
        return self.probs.argmax(-1)

    @explained
    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        """番号を引く。int64 で、形は `sample_shape + batch_shape`。"""
        shape = self._drawn(sample_shape)
        rows = self.probs.detach().reshape(-1, self.probs.shape[-1])
        n = math.prod(shape) // max(1, len(rows))
        if not n:
            return zeros(shape, dtype=int64)
        return sampling.multinomial(rows, n, True, generator=generator).T.reshape(shape)

    @explained
    def log_prob(self, value: Any) -> Tensor:
        """番号 `value` の対数確率。

        Raises:
            ValueError: 0 以上 K 未満の整数でない、または形が合わない。
        """
        k = self.logits.shape[-1]
        x = self._fitting(
            value, lambda x: (x >= 0) & (x < k) & (x == mg.floor(x)), f" 0 以上 {k} 未満の整数"
        )
        whole = x if x.dtype.kind in "iu" else x.long()
        number, logits = shapes.broadcast_tensors(whole.unsqueeze(-1), self.logits[..., :1])
        wide = self.logits.expand(*logits.shape[:-1], k)
        return wide.gather(-1, number).squeeze(-1)

    def entropy(self) -> Tensor:
        """エントロピー −Σ p log p。"""
        return -(self.logits.clip(min=finfo(self.logits.dtype).min) * self.probs).sum(-1)


class Bernoulli(Distribution):
    """ベルヌーイ分布: 確率 p で 1、残りで 0。

    Args:
        probs: 1 の確率 p。0 以上 1 以下。
        logits: log p − log(1 − p)。`probs` の代わりに渡す。
        validate_args: 受け取るだけ。いつも調べる。

    Raises:
        ValueError: 両方、またはどちらもない。0 から 1 までにない確率。
    """

    @explained
    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        _one_of("Bernoulli", probs, logits)
        given = floating(logits if probs is None else probs)
        self.batch_shape = given.shape
        if probs is None:
            require(given == given, "Bernoulli の logits は nan でない数です", given)
            self.logits = given
            return
        require((given >= 0) & (given <= 1), "Bernoulli の probs は 0 から 1 までです", given)
        self.probs = given
        self.logits = _inside(given).logit()

    @cached_property
    def probs(self) -> Tensor:
        """1 の確率。"""
        p: Tensor = mg.sigmoid(self.logits)
        return p

    @property
    def mean(self) -> Tensor:
        """平均 p。"""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """分散 p(1 − p)。"""
        return self.probs * (1 - self.probs)

    @property
    def mode(self) -> Tensor:
        """p が ½ より大きければ 1、小さければ 0、ちょうど ½ なら nan。"""
        return (self.probs > 0.5).astype(self.probs.dtype).masked_fill(self.probs == 0.5, nan)

    @explained
    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        """0 か 1 を引く。p の型で、形は `sample_shape + batch_shape`。"""
        chances = self.probs.detach().expand(*self._drawn(sample_shape))
        return sampling.bernoulli(chances, generator=generator)

    @explained
    def log_prob(self, value: Any) -> Tensor:
        """対数確率: 1 なら log p、0 なら log(1 − p)。

        Raises:
            ValueError: 0 でも 1 でもない、または形が合わない。
        """
        x = self._fitting(value, lambda x: (x == 0) | (x == 1), " 0 か 1")
        logits, x = shapes.broadcast_tensors(self.logits, x.astype(self.logits.dtype))
        out: Tensor = -binary_cross_entropy_with_logits(logits, x, reduction="none")
        return out

    def entropy(self) -> Tensor:
        """エントロピー −p log p − (1 − p) log(1 − p)。"""
        out: Tensor = binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return out
