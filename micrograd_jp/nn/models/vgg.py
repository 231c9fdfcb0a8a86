"""VGG: 3 × 3 の畳み込みだけを重ね、ときどき半分に縮めるネットワーク。

Simonyan & Zisserman (2015) "Very Deep Convolutional Networks for Large-Scale Image Recognition"
表 1。パラメータの名前と形は torchvision と同じ。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.layers.activations import ReLU
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.dropout import Dropout
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.layers.pool import AdaptiveAvgPool2d
from micrograd_jp.nn.models.parts import Halving, chosen, convolution, he_initialized
from micrograd_jp.nn.module.module import Module

_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDENED = (1, 2, 4, 8, 8)


class VGG(Module):
    """VGG。`vgg16()` などで作る。

    Args:
        depth: 重みのある層の数: 11、13、16、19。
        num_classes: クラスの数。
        in_channels: 入力のチャネルの数。
        width: 最初のチャネルの数（論文では 64）。ほかの層は同じ比で変わる。
        batch_norm: 真なら、畳み込みのあとにバッチ正規化を入れる。
        dropout: 全結合層のドロップアウトの割合。
        hidden: 全結合の隠れ層の大きさ。省略すると 64 × `width`。
        pooled: 全結合層に渡す画像の一辺。7 より小さくすると、全結合層が小さくなる。

    Raises:
        ValueError: 数が 1 以上の整数でない、知らない深さ。呼んだとき、入力の形が合わない。
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        batch_norm: bool = False,
        dropout: float = 0.5,
        hidden: int | None = None,
        pooled: int = 7,
    ) -> None:
        if depth not in _CONVOLUTIONS:
            raise ValueError(
                f"VGG の深さは 11、13、16、19 です (unknown depth): {depth!r} が渡されました。"
            )
        hidden = 64 * width if hidden is None else hidden
        sizes = {"width": width, "hidden": hidden, "pooled": pooled}
        require_positive("VGG", num_classes=num_classes, in_channels=in_channels, **sizes)
        layers: list[Module] = []
        before = in_channels
        for repeats, wider in zip(_CONVOLUTIONS[depth], _WIDENED):
            for _ in range(repeats):
                layers += convolution(before, width * wider, batch_norm)
                before = width * wider
            layers.append(Halving())
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d((pooled, pooled))
        self.classifier = Sequential(
            Linear(before * pooled * pooled, hidden),
            ReLU(),
            Dropout(dropout),
            Linear(hidden, hidden),
            ReLU(),
            Dropout(dropout),
            Linear(hidden, num_classes),
        )
        he_initialized(self, mode="fan_out", linear_std=0.01)

    def forward(self, x: Any) -> Any:
        """(N, in_channels, H, W) からロジット (N, num_classes)。"""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _vgg(depth: int, batch_norm: bool) -> Callable[..., VGG]:
    name, normalized = ("_bn", "（バッチ正規化つき）") if batch_norm else ("", "")
    said = f"{depth} 層の VGG{normalized}。引数は `VGG` の `num_classes` 以下。"
    return chosen(f"vgg{depth}{name}", said, VGG, depth, batch_norm=batch_norm)


vgg11, vgg13, vgg16, vgg19 = (_vgg(depth, False) for depth in _CONVOLUTIONS)
vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn = (_vgg(depth, True) for depth in _CONVOLUTIONS)


explain_all(globals())
