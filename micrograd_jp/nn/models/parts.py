"""いくつかのモデルが使う部品: He の初期値と、端の画像を縮めすぎないプーリング。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.nn import init
from micrograd_jp.nn.layers.conv import Conv2d
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.pool import MaxPool2d
from micrograd_jp.nn.module.module import Module


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
