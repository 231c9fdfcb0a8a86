"""畳み込みと転置畳み込みの層。"""

from __future__ import annotations

from math import prod
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive, reset_uniform
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.windows import margins, pair

__all__ = ["Conv2d", "ConvTranspose2d"]


class Convolution(Module):
    """畳み込みと転置畳み込みに共通の、設定とパラメータ。引数は `Conv2d` のもの。"""

    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        owner = type(self).__name__
        self.in_channels, self.out_channels = in_channels, out_channels
        require_positive(owner, in_channels=in_channels, out_channels=out_channels, groups=groups)
        for n in (in_channels, out_channels):
            if n % groups:
                raise ValueError(
                    f"{owner} のチャネルの数 {n} は groups = {groups} で割り切れません "
                    f"(channels not divisible by groups): {n} = {groups}·{n // groups} + "
                    f"{n % groups}。"
                )
        self.kernel_size = pair(kernel_size, owner, "kernel_size")
        self.stride = pair(stride, owner, "stride")
        self.dilation = pair(dilation, owner, "dilation")
        margins(padding, owner, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else pair(padding, owner, "padding", 0)
        self.groups = groups
        channels = (out_channels, in_channels)
        first, second = reversed(channels) if self.transposed else channels
        self.weight = empty_parameter(first, second // groups, *self.kernel_size, dtype=dtype)
        self.bias = empty_parameter(out_channels, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """初期値を入れ直す。"""
        reset_uniform(self.weight, self.bias)

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for name, usual in {"padding": (0, 0), "dilation": (1, 1), "groups": 1}.items():
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else text + ", bias=False"


class Conv2d(Convolution):
    """畳み込み層 (convolutional layer)。計算は `nn.functional.conv2d`。

    初期値は PyTorch と同じく、重みもバイアスも [−b, b] の一様乱数、b = 1/√(in·kh·kw/groups)。

    Args:
        in_channels: 入力のチャネルの数。
        out_channels: 出力のチャネルの数。
        kernel_size: 窓の大きさ。整数か (縦, 横)。
        stride: ストライド。
        padding: まわりに足す 0 の幅。整数か (縦, 横) か、`"same"`, `"valid"`。
        dilation: 窓の中の画素の間隔。
        groups: チャネルを分ける組の数。
        bias: バイアスを持つか。
        dtype: 型（既定は `mg.get_default_dtype()`）。

    Attributes:
        weight: 重み (out_channels, in_channels/groups, kh, kw)。
        bias: バイアス (out_channels,) か `None`。

    Raises:
        ValueError: 数が正しくない、チャネルが `groups` で割り切れない。呼んだとき、入力の
            チャネルの数が違う、窓が画像より大きい。
    """

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """出力の要素 1 つにつき in_channels/groups·kh·kw 回。"""
        return int(output.size) * prod(self.weight.shape[1:])


class ConvTranspose2d(Convolution):
    """転置畳み込み層 (transposed convolution)。計算は `nn.functional.conv_transpose2d`。

    引数とエラーは `Conv2d` と同じで、次の 2 つが違う。

    Args:
        padding: 出力のまわりから切り取る幅。整数か (縦, 横)。
        output_padding: 出力の下と右に足す幅。

    Attributes:
        weight: 重み (in_channels, out_channels/groups, kh, kw)。
        bias: バイアス (out_channels,) か `None`。
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        dtype: Any = None,
    ) -> None:
        owner = type(self).__name__
        padding = pair(padding, owner, "padding", 0)  # "same" would make no sense
        self.output_padding = pair(output_padding, owner, "output_padding", 0)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype
        )

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return F.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """入力の要素 1 つにつき out_channels/groups·kh·kw 回。"""
        return int(as_tensor(inputs[0]).size) * prod(self.weight.shape[1:])


explain_all(globals())
