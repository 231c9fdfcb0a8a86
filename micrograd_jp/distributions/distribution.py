"""確率分布に共通のもの: 形、平均と分散、引く。"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.namespace import is_traced
from micrograd_jp.on_demand import what_to_write
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, broadcastable, shape_of
from micrograd_jp.tensor.dtypes import result_type
from micrograd_jp.tensor.functions import shape as shapes


def _no_way_through(of: Distribution) -> NotImplementedError:
    return NotImplementedError(
        f"{type(of).__name__} から引いたものは微分できません (no reparameterization): "
        "sample() で引き、-log_prob(x) * reward のような損失を使ってください。"
    )


class Distribution:
    """確率分布。1 つの分布が、パラメータの要素の数だけの、独立な分布を表す。

    Attributes:
        batch_shape: 独立な分布の並ぶ形。
        event_shape: 1 度に引かれるものの形。ここの分布では、いつも ()。
    """

    batch_shape: Shape
    event_shape: Shape = ()

    @property
    def mean(self) -> Tensor:
        """平均。形は `batch_shape`。"""
        raise undefined(self, "mean(self)")

    @property
    def variance(self) -> Tensor:
        """分散。形は `batch_shape`。"""
        raise undefined(self, "variance(self)")

    @property
    def stddev(self) -> Tensor:
        """標準偏差。形は `batch_shape`。"""
        return self.variance.sqrt()

    def log_prob(self, value: Any) -> Tensor:
        """`value` の対数確率（連続なら対数密度）。形は、値と `batch_shape` を合わせたもの。"""
        raise undefined(self, "log_prob(self, value)")

    def entropy(self) -> Tensor:
        """エントロピー −E[log p]（自然対数）。形は `batch_shape`。"""
        raise undefined(self, "entropy(self)")

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        """引く。勾配は通らない。

        Args:
            sample_shape: 分布の 1 つ 1 つから、この形だけ引く。
            generator: 引く列 (`mg.Generator`)。なければ、パッケージのもの。

        Returns:
            形が `sample_shape + batch_shape` の Tensor。
        """
        with no_grad():
            return self.rsample(sample_shape, generator=generator)

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        """引く。勾配は、引いた値からパラメータへ通る (reparameterization trick)。

        Raises:
            NotImplementedError: 勾配の通らない分布（番号や 0 と 1 を引くもの）。
        """
        raise _no_way_through(self)

    def _drawn(self, sample_shape: Any) -> Shape:
        return (*shape_of((sample_shape,), "sample"), *self.batch_shape)

    def _fitting(self, value: Any, valid: Any, what: str) -> Tensor:
        """A value, of a shape that fits and from the support."""
        x = as_tensor(value)
        if not broadcastable(x.shape, self.batch_shape):
            raise ValueError(
                f"log_prob の値と分布の形が合いません (shape mismatch): 値 {x.shape}、"
                f"分布 {self.batch_shape}。"
            )
        require(valid(x), f"{type(self).__name__}.log_prob の値は{what}です", x)
        return x

    if not TYPE_CHECKING:  # it knows every name that is not here

        def __getattr__(self, name: str) -> NoReturn:
            told = what_to_write(name, "distribution")
            text = told or f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={self.batch_shape})"


def together(*parameters: Any) -> tuple[Tensor, ...]:
    """パラメータを、1 つの形と 1 つの小数の型に揃える。"""
    dtype = result_type([*(p._data if isinstance(p, Tensor) else p for p in parameters), 1.0])
    return shapes.broadcast_tensors(*(as_tensor(p).astype(dtype) for p in parameters))


def require(holds: Tensor, what: str, given: Tensor) -> None:
    """すべての要素について成り立つことを確かめる（`jax.jit` の中の配列には、値がない）。

    Raises:
        ValueError: 成り立たない要素がある。
    """
    if not is_traced(holds._data) and not holds.all():
        bad = given.detach().broadcast_to(holds.shape)[~holds]
        raise ValueError(f"{what} (out of range): {bad.reshape(-1)[0].item()} が渡されました。")


explain_all(globals())
