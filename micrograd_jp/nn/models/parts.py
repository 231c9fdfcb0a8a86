"""いくつかのモデルが使う部品: 畳み込みの組、He の初期値、縮めすぎないプーリング。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from micrograd_jp.nn import init
from micrograd_jp.nn.layers.activations import ReLU
from micrograd_jp.nn.layers.conv import Conv2d
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.norm import BatchNorm2d
from micrograd_jp.nn.layers.pool import MaxPool2d
from micrograd_jp.nn.module.module import Module

M = TypeVar("M", bound=Module)


def chosen(
    name: str, doc: str, model: Callable[..., M], *args: Any, **fixed: Any
) -> Callable[..., M]:
    """引数のいくつかを決めたモデルを作る関数（`resnet18` など）。残りは名前で渡す。"""

    def make(**options: Any) -> M:
        return model(*args, **fixed, **options)

    make.__name__ = make.__qualname__ = name
    make.__module__, make.__doc__ = model.__module__, doc
    make.__annotations__["return"] = getattr(model, "__name__", "Module")
    return make


def convolution(
    before: int, channels: int, batch_norm: bool, padding: int = 1, bias: bool = True
) -> list[Module]:
    """3 × 3 の畳み込み、（あれば）バッチ正規化、ReLU。"""
    norm = [BatchNorm2d(channels)] if batch_norm else []
    return [Conv2d(before, channels, 3, padding=padding, bias=bias), *norm, ReLU()]


def he_initialized(model: Module, mode: str = "fan_in", linear_std: float | None = None) -> None:
    """畳み込み層（と全結合層）の重みを He の正規乱数に、バイアスを 0 にする。

    Args:
        model: 中のすべての `Conv2d` と `Linear` が対象。
        mode: `"fan_in"` は順伝播の、`"fan_out"` は逆伝播の分散を保つ。
        linear_std: 全結合層の標準偏差。省略すると He の初期値。
    """
    for module in model.modules():
        if not isinstance(module, Conv2d | Linear):
            continue
        if isinstance(module, Linear) and linear_std is not None:
            init.normal_(module.weight, 0.0, linear_std)
        else:
            init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        if module.bias is not None:
            init.zeros_(module.bias)


class Halving(MaxPool2d):
    """2 × 2 の最大プーリング。1 画素まで縮んだ画像は、それ以上縮めない。

    28 × 28 の画像は 5 回は半分にできない。1 画素より大きい画像では `MaxPool2d(2, 2)` と同じ。
    """

    def __init__(self) -> None:
        super().__init__(kernel_size=2, stride=2)

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) から (N, C, H / 2, W / 2)。"""
        return super().forward(x) if min(x.shape[-2:]) > 1 else x
