"""プーリングの層と、局所応答正規化。学習するパラメータはない。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor


class MaxPool2d(Module):
    """最大プーリング (max pooling)。引数とエラーは `nn.functional.max_pool2d` と同じ。"""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """平均プーリング (average pooling)。引数とエラーは `nn.functional.avg_pool2d` と同じ。"""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """出力の大きさを決める平均プーリング。`nn.functional.adaptive_avg_pool2d` と同じ。"""

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """出力の大きさ。"""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(AdaptiveAvgPool2d):
    """出力の大きさを決める最大プーリング。`nn.functional.adaptive_max_pool2d` と同じ。"""

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。"""
        return F.adaptive_max_pool2d(x, self.output_size)


class LocalResponseNorm(Module):
    """局所応答正規化。引数とエラーは `nn.functional.local_response_norm` と同じ。"""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, …) と同じ形。"""
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
