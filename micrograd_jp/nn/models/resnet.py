"""ResNet: スキップ接続 (skip connection) で、深くしても勾配が届くネットワーク。

He et al. (2016) "Deep Residual Learning for Image Recognition" 表 1。パラメータの名前と形は
torchvision と同じ（ボトルネックで縮めるのは、その実装と同じく 3 × 3 の畳み込み）。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from micrograd_jp.arguments import explain_all, undefined
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.activations import ReLU
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.conv import Conv2d
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.norm import BatchNorm2d
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.layers.pool import AdaptiveAvgPool2d, MaxPool2d
from micrograd_jp.nn.models.parts import chosen
from micrograd_jp.nn.module.module import Module


def conv3x3(before: int, channels: int, stride: int = 1) -> Conv2d:
    """大きさを保つ（ストライド 1 のとき）3 × 3 の畳み込み。正規化の前なのでバイアスはない。"""
    return Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)


class _Block(Module):
    """The skip connection around what a block computes, `branch`."""

    relu: ReLU
    downsample: Module | None

    def branch(self, x: Any) -> Any:
        """F(x)。"""
        raise undefined(self, "branch(self, x)")

    def forward(self, x: Any) -> Any:
        """relu(F(x) + x)。"""
        out = self.branch(x)
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class BasicBlock(_Block):
    """3 × 3 の畳み込み 2 層と、スキップ接続。

    Args:
        before: 入力のチャネルの数。
        channels: 出力のチャネルの数。
        stride: 最初の畳み込みのストライド。
        downsample: 入力の形を出力に合わせる部品。`None` なら入力をそのまま足す。
    """

    expansion = 1

    def __init__(
        self, before: int, channels: int, stride: int = 1, downsample: Module | None = None
    ) -> None:
        self.conv1 = conv3x3(before, channels, stride)
        self.bn1 = BatchNorm2d(channels)
        self.relu = ReLU()
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = BatchNorm2d(channels)
        self.downsample = downsample

    def branch(self, x: Any) -> Any:
        """F(x)。"""
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Bottleneck(_Block):
    """1 × 1 でチャネルを減らし、3 × 3 のあと、1 × 1 で 4 倍に戻すブロック。

    引数は `BasicBlock` と同じ。`channels` は 3 × 3 の畳み込みのチャネルの数で、出力はその 4 倍。
    """

    expansion = 4

    def __init__(
        self, before: int, channels: int, stride: int = 1, downsample: Module | None = None
    ) -> None:
        self.conv1 = Conv2d(before, channels, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels, stride)
        self.bn2 = BatchNorm2d(channels)
        self.conv3 = Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = BatchNorm2d(channels * self.expansion)
        self.relu = ReLU()
        self.downsample = downsample

    def branch(self, x: Any) -> Any:
        """F(x)。"""
        out = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.bn3(self.conv3(out))


Block = type[BasicBlock] | type[Bottleneck]


class ResNet(Module):
    """ResNet。`resnet18()` などで作る。

    Args:
        block: `BasicBlock` か `Bottleneck`。
        layers: 4 つの段のブロックの数。
        num_classes: クラスの数。
        in_channels: 入力のチャネルの数。
        width: 最初の段のチャネルの数（論文では 64）。ほかの段は同じ比で変わる。
        zero_init_residual: 真なら、各ブロックの最後の正規化の倍率を 0 から始める
            （はじめは恒等写像になる。Goyal et al. 2017 §5.1）。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、入力の形が合わない。
    """

    def __init__(
        self,
        block: Block,
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 64,
        zero_init_residual: bool = False,
    ) -> None:
        require_positive("ResNet", num_classes=num_classes, in_channels=in_channels, width=width)
        if len(layers) != 4:
            raise ValueError(f"ResNet の layers は 4 つの整数です (expected 4): {layers!r}。")
        for blocks in layers:
            require_positive("ResNet", layers=blocks)
        self.conv1 = Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.relu = ReLU()
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        first, second, third, fourth = layers
        grown = block.expansion
        self.layer1 = _stage(block, width, width, first, 1)
        self.layer2 = _stage(block, width * grown, width * 2, second, 2)
        self.layer3 = _stage(block, width * 2 * grown, width * 4, third, 2)
        self.layer4 = _stage(block, width * 4 * grown, width * 8, fourth, 2)
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(width * 8 * grown, num_classes)
        initialized(self, zero_init_residual)

    def forward(self, x: Any) -> Any:
        """(N, in_channels, H, W) からロジット (N, num_classes)。"""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def initialized(model: Module, zero_init_residual: bool = False) -> None:
    """畳み込みの重みを He の初期値（fan_out）にする。全結合層は変えない。"""
    for module in model.modules():
        if isinstance(module, Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual and isinstance(module, BasicBlock | Bottleneck):
            last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
            init.zeros_(last.weight)


def _stage(block: Block, before: int, channels: int, blocks: int, stride: int) -> Sequential:
    """Blocks of one size; the first brings its input to that size."""
    after = channels * block.expansion
    downsample = None
    if stride != 1 or before != after:
        projection = Conv2d(before, after, 1, stride=stride, bias=False)
        downsample = Sequential(projection, BatchNorm2d(after))
    rest = [block(after, channels) for _ in range(blocks - 1)]
    return Sequential(block(before, channels, stride, downsample), *rest)


def _resnet(depth: int, block: Block, *layers: int) -> Callable[..., ResNet]:
    said = f"{depth} 層の ResNet。引数は `ResNet` の `num_classes` 以下。"
    return chosen(f"resnet{depth}", said, ResNet, block, layers)


resnet18 = _resnet(18, BasicBlock, 2, 2, 2, 2)
resnet34 = _resnet(34, BasicBlock, 3, 4, 6, 3)
resnet50 = _resnet(50, Bottleneck, 3, 4, 6, 3)
resnet101 = _resnet(101, Bottleneck, 3, 4, 23, 3)
resnet152 = _resnet(152, Bottleneck, 3, 8, 36, 3)


explain_all(globals())
