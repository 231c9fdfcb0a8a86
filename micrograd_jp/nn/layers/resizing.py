"""大きさや並びを変える層: 補間、画素の並べ替え、窓を列に並べる (unfold)。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.function import FunctionModule

__all__ = [
    "ChannelShuffle", "Fold", "PixelShuffle", "PixelUnshuffle", "Unfold", "Upsample",
    "UpsamplingBilinear2d", "UpsamplingNearest2d",
]  # fmt: skip


class Upsample(FunctionModule, function=F.interpolate):
    """補間で大きさを変える。引数とエラーは `nn.functional.interpolate` と同じ。"""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.scale_factor = (
            tuple(map(float, scale_factor)) if isinstance(scale_factor, tuple | list)
            else None if scale_factor is None else float(scale_factor)
        )  # fmt: skip
        self.recompute_scale_factor = recompute_scale_factor

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """最も近い画素で大きさを変える (N, C, H, W)。"""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """両端を揃えた双線形補間で大きさを変える (N, C, H, W)。"""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(FunctionModule, function=F.pixel_shuffle):
    """チャネルを画素に並べ替える。計算とエラーは `nn.functional.pixel_shuffle` と同じ。"""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor


class PixelUnshuffle(FunctionModule, function=F.pixel_unshuffle):
    """画素をチャネルに並べ替える。計算とエラーは `nn.functional.pixel_unshuffle` と同じ。"""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor


class ChannelShuffle(FunctionModule, function=F.channel_shuffle):
    """チャネルを組から 1 つずつ並べる。計算とエラーは `nn.functional.channel_shuffle` と同じ。"""

    def __init__(self, groups: int) -> None:
        self.groups = groups


class Unfold(FunctionModule, function=F.unfold):
    """画像の窓を列に並べる。引数とエラーは `nn.functional.unfold` と同じ。"""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride


class Fold(FunctionModule, function=F.fold):
    """列を画像に戻す。引数とエラーは `nn.functional.fold` と同じ。"""

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
        stride: Any = 1,
    ) -> None:  # fmt: skip
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride


explain_all(globals())
