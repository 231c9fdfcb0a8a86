"""GoogLeNet (Inception v1): 大きさの違う畳み込みを並べ、1 × 1 の畳み込みでチャネルを減らす。

Szegedy et al. (2015) "Going Deeper with Convolutions" 表 1。公開されている重みを読めるように、
torchvision と同じく、畳み込みごとにバッチ正規化があり、5 × 5 の代わりに 3 × 3 を使う。
"""

from __future__ import annotations

from typing import Any, NamedTuple

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.activations import ReLU
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.conv import Conv2d
from micrograd_jp.nn.layers.dropout import Dropout
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.norm import BatchNorm2d
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.layers.pool import AdaptiveAvgPool2d, MaxPool2d
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.shape import concatenate

_IMAGENET = ((0.229, 0.485), (0.224, 0.456), (0.225, 0.406))
"""ImageNet の RGB の標準偏差と平均（torchvision の前処理）。"""


class GoogLeNetOutputs(NamedTuple):
    """訓練中の出力: 最後のロジットと、補助の分類器 (auxiliary head) のロジット。"""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class BasicConv2d(Module):
    """畳み込み、バッチ正規化、ReLU。引数は `Conv2d` と同じ（バイアスはない）。"""

    def __init__(self, before: int, channels: int, kernel_size: int, **options: Any) -> None:
        self.conv = Conv2d(before, channels, kernel_size, bias=False, **options)
        self.bn = BatchNorm2d(channels, eps=0.001)
        self.relu = ReLU()

    def forward(self, x: Any) -> Any:
        """(N, before, H, W) から (N, channels, H', W')。"""
        return self.relu(self.bn(self.conv(x)))


class Inception(Module):
    """4 つの枝を並べ、チャネルをつなぐ。

    Args:
        before: 入力のチャネルの数。
        ones: 1 × 1 の枝のチャネルの数。
        middle: 3 × 3 の枝の、1 × 1 で減らした数と、出力の数。
        large: 論文の 5 × 5 の枝の、1 × 1 で減らした数と、出力の数。
        pooled: プーリングの枝の出力の数。
    """

    def __init__(
        self,
        before: int,
        ones: int,
        middle: tuple[int, int],
        large: tuple[int, int],
        pooled: int,
    ) -> None:
        self.branch1 = BasicConv2d(before, ones, 1)
        self.branch2 = _reduced(before, *middle)
        self.branch3 = _reduced(before, *large)
        self.branch4 = Sequential(
            MaxPool2d(3, stride=1, padding=1, ceil_mode=True), BasicConv2d(before, pooled, 1)
        )

    def forward(self, x: Any) -> Any:
        """(N, before, H, W) から (N, 4 つの枝の和, H, W)。"""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return concatenate([branch(x) for branch in branches], axis=1)


class InceptionAux(Module):
    """補助の分類器: 途中の特徴からもクラスを当てさせ、手前の層に勾配を届ける。

    Args:
        before: 入力のチャネルの数。
        channels: 1 × 1 の畳み込みの出力の数。
        num_classes: クラスの数。
        dropout: ドロップアウトの割合。
    """

    def __init__(self, before: int, channels: int, num_classes: int, dropout: float) -> None:
        self.pool = AdaptiveAvgPool2d((4, 4))
        self.conv = BasicConv2d(before, channels, 1)
        self.fc1 = Linear(channels * 4 * 4, channels * 8)
        self.fc2 = Linear(channels * 8, num_classes)
        self.relu = ReLU()
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        """(N, before, H, W) からロジット (N, num_classes)。"""
        out = self.relu(self.fc1(self.conv(self.pool(x)).flatten(1)))
        return self.fc2(self.dropout(out))


class GoogLeNet(Module):
    """GoogLeNet。

    訓練中で補助の分類器があれば `GoogLeNetOutputs` を、ほかではロジット (N, num_classes) を返す。
    論文の損失は `L(logits) + 0.3·(L(aux_logits1) + L(aux_logits2))`。

    Args:
        num_classes: クラスの数。
        in_channels: 入力のチャネルの数。
        width: 最初のチャネルの数（論文では 64）。ほかの層は同じ比で変わる。
        aux_logits: 補助の分類器を持つか。
        transform_input: 真なら、ImageNet の平均と標準偏差で正規化した入力を、平均 0.5、
            標準偏差 0.5 での正規化に直す（torchvision の公開の重みは、真で使う）。
        dropout: 最後のドロップアウトの割合。
        dropout_aux: 補助の分類器のドロップアウトの割合。

    Raises:
        ValueError: 数が 1 以上の整数でない、`transform_input` なのに入力が 3 チャネルでない。
            呼んだとき、入力の形が合わない。
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        aux_logits: bool = True,
        transform_input: bool = False,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        require_positive("GoogLeNet", num_classes=num_classes, in_channels=in_channels, width=width)
        if transform_input and in_channels != 3:
            raise ValueError(
                "transform_input は 3 チャネル (RGB) の入力のためのものです "
                f"(expected 3 channels): in_channels={in_channels}。"
            )
        self.transform_input = transform_input

        def wide(n: int) -> int:
            return max(1, n * width // 64)

        before = 0

        def inception(*sizes: int) -> Inception:
            nonlocal before
            ones, reduced3, out3, reduced5, out5, pooled = (wide(n) for n in sizes)
            made = Inception(before, ones, (reduced3, out3), (reduced5, out5), pooled)
            before = ones + out3 + out5 + pooled
            return made

        self.conv1 = BasicConv2d(in_channels, width, 7, stride=2, padding=3)
        self.maxpool1 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(width, width, 1)
        self.conv3 = BasicConv2d(width, wide(192), 3, padding=1)
        self.maxpool2 = MaxPool2d(3, stride=2, ceil_mode=True)
        before = wide(192)
        self.inception3a = inception(64, 96, 128, 16, 32, 32)
        self.inception3b = inception(128, 128, 192, 32, 96, 64)
        self.maxpool3 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(192, 96, 208, 16, 48, 64)
        first = before
        self.inception4b = inception(160, 112, 224, 24, 64, 64)
        self.inception4c = inception(128, 128, 256, 24, 64, 64)
        self.inception4d = inception(112, 144, 288, 32, 64, 64)
        second = before
        self.inception4e = inception(256, 160, 320, 32, 128, 128)
        self.maxpool4 = MaxPool2d(2, 2, ceil_mode=True)
        self.inception5a = inception(256, 160, 320, 32, 128, 128)
        self.inception5b = inception(384, 192, 384, 48, 128, 128)
        heads = [
            InceptionAux(channels, wide(128), num_classes, dropout_aux) if aux_logits else None
            for channels in (first, second)
        ]
        self.aux1, self.aux2 = heads
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.dropout = Dropout(dropout)
        self.fc = Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, Conv2d | Linear):
                init.normal_(module.weight, 0.0, 0.01)

    def forward(self, x: Any) -> Any:
        """(N, in_channels, H, W) からロジット、または訓練中は `GoogLeNetOutputs`。"""
        if self.transform_input:
            channels = [
                x[:, i : i + 1] * (std / 0.5) + (mean - 0.5) / 0.5
                for i, (std, mean) in enumerate(_IMAGENET)
            ]
            x = concatenate(channels, axis=1)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        first = self.inception4a(x)
        second = self.inception4d(self.inception4c(self.inception4b(first)))
        x = self.maxpool4(self.inception4e(second))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutputs(logits, self.aux2(second), self.aux1(first))
        return logits


def googlenet(**options: Any) -> GoogLeNet:
    """GoogLeNet。引数は `GoogLeNet` と同じ。"""
    return GoogLeNet(**options)


def _reduced(before: int, reduced: int, channels: int) -> Sequential:
    """A 1 × 1 convolution that makes the 3 × 3 one after it cheap."""
    return Sequential(BasicConv2d(before, reduced, 1), BasicConv2d(reduced, channels, 3, padding=1))


explain_all(globals())
