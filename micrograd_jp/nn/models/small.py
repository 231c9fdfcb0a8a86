"""28 × 28 の手書き数字のためのネットワーク: `LeNet` と `DeepConvNet`。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.layers.activations import ReLU, Tanh
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.conv import Conv2d
from micrograd_jp.nn.layers.dropout import Dropout
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.layers.pool import AvgPool2d, MaxPool2d
from micrograd_jp.nn.layers.shape import Flatten
from micrograd_jp.nn.models.parts import convolution, he_initialized
from micrograd_jp.nn.module.module import Module


class LeNet(Module):
    """LeNet-5: 畳み込みとプーリングを 2 度、そのあと全結合層 120、84、10。

    LeCun et al. (1998) "Gradient-Based Learning Applied to Document Recognition"。最後の層は
    RBF でなく全結合、プーリングは学習する係数のない平均、2 つめの畳み込みは全チャネルにつながる。

    Args:
        num_classes: クラスの数。
        in_channels: 入力のチャネルの数。
        width: 最初の畳み込み層のチャネルの数（論文では 6）。ほかの層は同じ比で変わる。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、入力が (N, in_channels, 28, 28) でない。
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, width: int = 6) -> None:
        require_positive("LeNet", num_classes=num_classes, in_channels=in_channels, width=width)
        second, fc1, fc2 = (max(1, width * n // 6) for n in (16, 120, 84))
        self.features = Sequential(
            Conv2d(in_channels, width, 5, padding=2),
            Tanh(),
            AvgPool2d(2),
            Conv2d(width, second, 5),
            Tanh(),
            AvgPool2d(2),
        )
        self.classifier = Sequential(
            Flatten(),
            Linear(second * 5 * 5, fc1),
            Tanh(),
            Linear(fc1, fc2),
            Tanh(),
            Linear(fc2, num_classes),
        )

    def forward(self, x: Any) -> Any:
        """(N, in_channels, 28, 28) からロジット (N, num_classes)。"""
        return self.classifier(self.features(x))


class DeepConvNet(Module):
    """手書き数字のための VGG 風のネットワーク: 3 × 3 の畳み込み 6 層と全結合 2 層。

    斎藤康毅『ゼロから作る Deep Learning』(2016) 8.1 節。チャネルは 16, 16, 32, 32, 64, 64 で、
    2 層ごとに半分に縮める。4 層めの余白は 2 なので、画像は 28 → 14 → 8 → 4 となる。
    重みは He の初期値、バイアスは 0。本では最後の全結合層のあとにもドロップアウトがあるが、
    ロジットを消すことになるので、ここでは隠れ層だけに置く。

    Args:
        num_classes: クラスの数。
        in_channels: 入力のチャネルの数。
        width: 最初の畳み込み層のチャネルの数。ほかの畳み込み層は同じ比で変わる。
        hidden: 全結合の隠れ層の大きさ。
        dropout: ドロップアウトの割合。
        batch_norm: 真なら、畳み込みのあとにバッチ正規化を入れる。

    Raises:
        ValueError: 数が 1 以上の整数でない、割合が 0 から 1 の外。
            呼んだとき、入力が (N, in_channels, 28, 28) でない。
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        width: int = 16,
        hidden: int = 50,
        dropout: float = 0.5,
        batch_norm: bool = False,
    ) -> None:
        sizes = {"in_channels": in_channels, "width": width, "hidden": hidden}
        require_positive("DeepConvNet", num_classes=num_classes, **sizes)
        layers: list[Module] = []
        before = in_channels
        for stage in range(3):
            channels = width * 2**stage
            for second in (False, True):
                padding = 2 if stage == 1 and second else 1
                layers += convolution(before, channels, batch_norm, padding, bias=not batch_norm)
                before = channels
            layers.append(MaxPool2d(2))
        self.features = Sequential(*layers)
        self.classifier = Sequential(
            Flatten(),
            Linear(before * 4 * 4, hidden),
            ReLU(),
            Dropout(dropout),
            Linear(hidden, num_classes),
        )
        he_initialized(self)

    def forward(self, x: Any) -> Any:
        """(N, in_channels, 28, 28) からロジット (N, num_classes)。"""
        return self.classifier(self.features(x))


explain_all(globals())
