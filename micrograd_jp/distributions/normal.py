"""正規分布 (normal distribution)。"""

from __future__ import annotations

import math
from typing import Any

from micrograd_jp.arguments import explained
from micrograd_jp.distributions.distribution import Distribution, require, together
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.random import randn

_HALF_LOG_2PI = math.log(math.tau) / 2


class Normal(Distribution):
    """正規分布 N(loc, scale²)。

    Args:
        loc: 平均 μ。
        scale: 標準偏差 σ > 0。`loc` とブロードキャストできる形。
        validate_args: 受け取るだけ。いつも調べる。

    Raises:
        ValueError: 平均が nan、標準偏差が正でない、または形が揃わない。
    """

    @explained
    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = together(loc, scale)
        require(self.loc == self.loc, "Normal の loc は nan でない数です", self.loc)
        require(self.scale > 0, "Normal の scale は正です", self.scale)
        self.batch_shape = self.loc.shape

    @property
    def mean(self) -> Tensor:
        """平均 μ。"""
        return self.loc

    mode = mean

    @property
    def variance(self) -> Tensor:
        """分散 σ²。"""
        return self.scale**2

    @property
    def stddev(self) -> Tensor:
        """標準偏差 σ。"""
        return self.scale

    @explained
    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        """μ + σε を引く (ε は標準正規乱数)。勾配は μ と σ へ通る (Kingma & Welling 2014)。"""
        shape = self._drawn(sample_shape)
        return self.loc + self.scale * randn(shape, dtype=self.loc.dtype, generator=generator)

    @explained
    def log_prob(self, value: Any) -> Tensor:
        """対数密度 −(x − μ)²/2σ² − log σ − ½ log 2π。

        Raises:
            ValueError: 形が合わない、または nan。
        """
        x = self._fitting(value, lambda x: x == x, "実数")
        z = (x - self.loc) / self.scale
        return -(z**2) / 2 - self.scale.log() - _HALF_LOG_2PI

    def entropy(self) -> Tensor:
        """エントロピー ½ + ½ log 2π + log σ。"""
        return 0.5 + _HALF_LOG_2PI + self.scale.log()

    @explained
    def cdf(self, value: Any) -> Tensor:
        """累積分布関数 P(X ≤ x)。

        Raises:
            ValueError: 形が合わない、または nan。
        """
        x = self._fitting(value, lambda x: x == x, "実数")
        return 0.5 * (1 + ((x - self.loc) / (self.scale * math.sqrt(2))).erf())
