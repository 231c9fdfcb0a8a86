"""プーリングの層と、局所応答正規化。学習するパラメータはない。

引数とエラーは、同じ意味の関数 (`nn.functional.max_pool2d` など) と同じである。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.function import FunctionModule
from micrograd_jp.tensor.functions.windows import several

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d", "AdaptiveMaxPool3d",
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "LocalResponseNorm", "MaxPool1d", "MaxPool2d",
    "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
]  # fmt: skip


class MaxPool2d(FunctionModule, function=F.max_pool2d):
    """最大プーリング (max pooling)。引数とエラーは `nn.functional.max_pool2d` と同じ。

    入力は (N, C, H, W) か (C, H, W)。
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class MaxPool1d(MaxPool2d, function=F.max_pool1d):
    """1 次元の最大プーリング。引数は `MaxPool2d` と同じ。入力は (N, C, L) か (C, L)。"""


class MaxPool3d(MaxPool2d, function=F.max_pool3d):
    """3 次元の最大プーリング。引数は `MaxPool2d` と同じ。

    入力は (N, C, D, H, W) か (C, D, H, W)。
    """


class MaxUnpool2d(FunctionModule, function=F.max_unpool2d):
    """最大プーリングの逆 (max unpooling): 値を、選ばれた場所に戻す。ほかは 0。

    `MaxPool2d(…, return_indices=True)` の返す 2 つを受け取る。引数とエラーは
    `nn.functional.max_unpool2d` と同じ。
    """

    _axes = 2

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        moves = kernel_size if stride is None else stride
        given = {"kernel_size": kernel_size, "stride": moves, "padding": padding}
        for name, numbers in given.items():
            low = int(name != "padding")
            setattr(self, name, several(numbers, type(self).__name__, name, self._axes, low))

    def forward(self, x: Any, indices: Any, output_size: Any = None) -> Any:
        """値と場所を、大きさ `output_size`（省けば、窓の指定から決まる）に戻す。"""
        return super().forward(x, indices, output_size=output_size)


class MaxUnpool1d(MaxUnpool2d, function=F.max_unpool1d):
    """1 次元の最大プーリングの逆。引数は `MaxUnpool2d` と同じ。"""

    _axes = 1


class MaxUnpool3d(MaxUnpool2d, function=F.max_unpool3d):
    """3 次元の最大プーリングの逆。引数は `MaxUnpool2d` と同じ。"""

    _axes = 3


class AvgPool2d(FunctionModule, function=F.avg_pool2d):
    """平均プーリング (average pooling)。引数とエラーは `nn.functional.avg_pool2d` と同じ。

    入力は (N, C, H, W) か (C, H, W)。
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(FunctionModule, function=F.avg_pool1d):
    """1 次元の平均プーリング。計算は `nn.functional.avg_pool1d`。入力は (N, C, L) か (C, L)。"""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        moves = kernel_size if stride is None else stride
        given = {"kernel_size": kernel_size, "stride": moves, "padding": padding}
        for name, numbers in given.items():
            setattr(self, name, several(numbers, "AvgPool1d", name, 1, 0))
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        names = ("kernel_size", "stride", "padding")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class AvgPool3d(AvgPool2d, function=F.avg_pool3d):
    """3 次元の平均プーリング。引数は `AvgPool2d` と同じ。

    入力は (N, C, D, H, W) か (C, D, H, W)。
    """


class AdaptiveAvgPool2d(FunctionModule, function=F.adaptive_avg_pool2d):
    """出力の大きさを決める平均プーリング。`nn.functional.adaptive_avg_pool2d` と同じ。

    入力は (N, C, H, W) か (C, H, W)。
    """

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size


class AdaptiveMaxPool2d(AdaptiveAvgPool2d, function=F.adaptive_max_pool2d):
    """出力の大きさを決める最大プーリング。`nn.functional.adaptive_max_pool2d` と同じ。

    入力は (N, C, H, W) か (C, H, W)。
    """


class AdaptiveAvgPool1d(AdaptiveAvgPool2d, function=F.adaptive_avg_pool1d):
    """出力の長さを決める平均プーリング。入力は (N, C, L) か (C, L)。"""


class AdaptiveMaxPool1d(AdaptiveAvgPool2d, function=F.adaptive_max_pool1d):
    """出力の長さを決める最大プーリング。入力は (N, C, L) か (C, L)。"""


class AdaptiveAvgPool3d(AdaptiveAvgPool2d, function=F.adaptive_avg_pool3d):
    """出力の大きさを決める平均プーリング。入力は (N, C, D, H, W) か (C, D, H, W)。"""


class AdaptiveMaxPool3d(AdaptiveAvgPool2d, function=F.adaptive_max_pool3d):
    """出力の大きさを決める最大プーリング。入力は (N, C, D, H, W) か (C, D, H, W)。"""


class LocalResponseNorm(FunctionModule, function=F.local_response_norm):
    """局所応答正規化: (N, C, …) から同じ形へ。`nn.functional.local_response_norm` と同じ。"""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return super().extra_repr().removeprefix("size=")


explain_all(globals())
