"""2 値の層 (binarized layers): 順伝播では ±1 の重みと活性を使い、もとの小数の重みを学習する。"""

from __future__ import annotations

from typing import Any

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.conv import Conv2d
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.module.module import Module
from micrograd_jp.nn.module.parameter import Parameter, put
from micrograd_jp.optim.checks import require_at_least
from micrograd_jp.tensor.array import Tensor

__all__ = ["Binarize", "BinaryConv2d", "BinaryLinear"]


class Binarize(Module):
    """活性を ±1 にする (binary activation)。計算は `nn.functional.binarize`。

    Args:
        stochastic: 真なら、訓練中は確率 σ(x) で +1 にする。推論中はいつも x ≥ 0 で決める。
    """

    def __init__(self, stochastic: bool = False) -> None:
        self.stochastic = bool(stochastic)

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        return F.binarize(x, self.stochastic and self.training)

    def extra_repr(self) -> str:
        """確率的か。"""
        return "stochastic=True" if self.stochastic else ""


class _Binary(Module):
    """What both layers share: latent weights, which learn, and their signs, which are used."""

    binary_weights = True
    weight: Parameter
    bias: Parameter | None

    def reset_parameters(self) -> None:
        """初期値を入れ直す: もとの重みは [−1, 1] の一様乱数、バイアスは 0。"""
        init.uniform_(self.weight, -1.0, 1.0)
        if self.bias is not None:
            init.zeros_(self.bias)

    def signs(self) -> Tensor:
        """順伝播で使う重み ±1（形は `weight` と同じ）。"""
        return F.binarize(self.weight)


class BinaryLinear(_Binary, Linear):
    """2 値の全結合層: y = x·sign(W)ᵀ (+ b)。

    学習されるのは、もとの小数の重み (latent weights) W。範囲 [−1, 1] の外では勾配が 0 になるので、
    更新のたびに `nn.utils.clip_weights_` で収める。初期値は [−1, 1] の一様乱数。

    Args:
        in_features: 入力の数。
        out_features: 出力の数。
        bias: バイアスを持つか（後にバッチ正規化が続くので、ふつうは要らない）。
        dtype: 型。

    Attributes:
        weight: もとの重み (out, in)。
        bias: バイアス (out,) か `None`。

    Raises:
        ValueError: `Linear` と同じ。
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = False, dtype: Any = None
    ) -> None:
        super().__init__(in_features, out_features, bias, dtype)

    def forward(self, x: Any) -> Tensor:
        """`x`: (…, in) から (…, out)。"""
        return F.linear(x, self.signs(), self.bias)


class BinaryConv2d(_Binary, Conv2d):
    """2 値の畳み込み層。もとの重みと初期値は `BinaryLinear`、引数とエラーは `Conv2d` と同じ。

    まわりに足される 0 は ±1 でない: 窓のその画素は、和に加わらない。足すのはいつも 0 で、
    `padding_mode` はない。
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            dtype=dtype,
        )

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return F.conv2d(
            x, self.signs(), self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def clip_weights_(model: Module, bound: float = 1.0) -> None:
    """2 値の層のもとの重みを、[−bound, bound] にその場で収める (weight clipping)。

    ほかの層の重み、バイアス、バッチ正規化は変わらない。更新のたびに呼ぶには
    `optimizer.register_step_post_hook(lambda *_: nn.utils.clip_weights_(model))` と書く。

    Raises:
        TypeError: `Module` でない。
        ValueError: `bound` が負、または 2 値の層がない。
    """
    require_at_least(0, {"bound": bound}, "bound")
    if not isinstance(model, Module):
        raise TypeError(
            "clip_weights_ はモデルを受け取ります (expected a Module): "
            f"{type(model).__name__} が渡されました。"
        )
    layers = [m for m in model.modules() if isinstance(m, _Binary)]
    if not layers:
        raise ValueError(
            "2 値の層がありません (no binary layers): nn.BinaryLinear か nn.BinaryConv2d を持つ"
            "モデルを渡してください。"
        )
    for layer in layers:
        data = layer.weight._data
        put(layer.weight, namespace.of(data).clip(data, -bound, bound))


explain_all(globals())
