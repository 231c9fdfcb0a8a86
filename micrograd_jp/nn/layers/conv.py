"""畳み込みと転置畳み込みの層。"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive, reset_uniform
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.windows import margins, several

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d"]

_MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Module):
    """畳み込みと転置畳み込みに共通の、設定とパラメータ。引数は `Conv2d` のもの。"""

    transposed = False
    axes = 2

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
        padding_mode: str = "zeros",
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
        self.kernel_size = several(kernel_size, owner, "kernel_size", self.axes)
        self.stride = several(stride, owner, "stride", self.axes)
        self.dilation = several(dilation, owner, "dilation", self.axes)
        around = margins(padding, owner, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else tuple(n for n, _ in around)
        if padding_mode not in _MODES:
            raise ValueError(
                f"{owner} の padding_mode は {_MODES} のどれかです (unknown padding_mode): "
                f"{padding_mode!r}。"
            )
        self.padding_mode = padding_mode
        self.groups = groups
        channels = (out_channels, in_channels)
        first, second = reversed(channels) if self.transposed else channels
        self.weight = empty_parameter(first, second // groups, *self.kernel_size, dtype=dtype)
        self.bias = empty_parameter(out_channels, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """初期値を入れ直す。"""
        reset_uniform(self.weight, self.bias)

    def _convolved(self, x: Any, function: Callable[..., Tensor]) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            around = margins(padding, "", self.kernel_size, self.stride, self.dilation)
            x = F.pad(x, [n for side in reversed(around) for n in side], self.padding_mode)
            padding = 0
        return function(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """出力（転置畳み込みでは入力）の要素 1 つにつき、重みの 1 行の数だけ。"""
        elements = as_tensor(inputs[0]) if self.transposed else output
        return int(elements.size) * prod(self.weight.shape[1:])

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        usually: dict[str, Any] = {
            "padding": (0,) * self.axes, "dilation": (1,) * self.axes,
            "output_padding": (0,) * self.axes, "groups": 1,
        }  # fmt: skip
        for name, usual in usually.items():
            if getattr(self, name, usual) != usual:
                text += f", {name}={getattr(self, name)}"
        text = text if self.bias is not None else text + ", bias=False"
        usual_mode = self.padding_mode == "zeros"
        return text if usual_mode else text + f", padding_mode={self.padding_mode}"


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
        padding_mode: 足すのが 0 (`"zeros"`) か、`F.pad` の `"reflect"`, `"replicate"`,
            `"circular"` か。
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
        return self._convolved(x, F.conv2d)


class ConvolutionTranspose(Convolution):
    """転置畳み込みに共通の、設定と計算。引数は `ConvTranspose2d` のもの。"""

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
        padding = several(padding, owner, "padding", self.axes, 0)  # "same" would make no sense
        self.output_padding = several(output_padding, owner, "output_padding", self.axes, 0)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            dtype=dtype,
        )  # fmt: skip

    def _convolved(self, x: Any, function: Callable[..., Tensor]) -> Tensor:
        return function(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip


class ConvTranspose2d(ConvolutionTranspose):
    """転置畳み込み層 (transposed convolution)。計算は `nn.functional.conv_transpose2d`。

    引数とエラーは `Conv2d` と同じで、次の 2 つが違う。

    Args:
        padding: 出力のまわりから切り取る幅。整数か (縦, 横)。
        output_padding: 出力の下と右に足す幅。

    Attributes:
        weight: 重み (in_channels, out_channels/groups, kh, kw)。
        bias: バイアス (out_channels,) か `None`。
    """

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return self._convolved(x, F.conv_transpose2d)


class Conv1d(Convolution):
    """1 次元の畳み込み層。計算は `nn.functional.conv1d`。

    引数と初期値は、長さだけの `Conv2d` と同じ。

    Attributes:
        weight: 重み (out_channels, in_channels/groups, k)。
        bias: バイアス (out_channels,) か `None`。
    """

    axes = 1

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, L) か (C, L)。"""
        return self._convolved(x, F.conv1d)


class Conv3d(Convolution):
    """3 次元の畳み込み層。計算は `nn.functional.conv3d`。

    引数と初期値は、奥行きのある `Conv2d` と同じ。

    Attributes:
        weight: 重み (out_channels, in_channels/groups, kd, kh, kw)。
        bias: バイアス (out_channels,) か `None`。
    """

    axes = 3

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, D, H, W) か (C, D, H, W)。"""
        return self._convolved(x, F.conv3d)


class ConvTranspose1d(ConvolutionTranspose):
    """1 次元の転置畳み込み層。計算は `nn.functional.conv_transpose1d`。

    引数は `ConvTranspose2d` と同じ。

    Attributes:
        weight: 重み (in_channels, out_channels/groups, k)。
        bias: バイアス (out_channels,) か `None`。
    """

    axes = 1

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, L) か (C, L)。"""
        return self._convolved(x, F.conv_transpose1d)


explain_all(globals())
