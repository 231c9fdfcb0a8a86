"""小さな画像 (28 × 28, 32 × 32) のための、好きな深さの ResNet と、スキップ接続のない同じもの。

He et al. (2016) §4.2: 3 × 3 の畳み込み 6n + 1 層と全結合 1 層。スキップ接続にパラメータがないので
（恒等写像と 0 埋め、論文の option A）、残差のあるものとないもの (plain) の重みは同じ数になる。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.layers.activations import ReLU
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.norm import BatchNorm2d
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.layers.pool import AdaptiveAvgPool2d
from micrograd_jp.nn.models.resnet import BasicBlock, conv3x3, initialized
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.functions.shape import pad


class PaddedShortcut(Module):
    """画素を 1 つおきに取り、増えたチャネルを 0 で埋める、パラメータのない近道 (option A)。

    Args:
        stride: 画素を取る間隔。
        added: 増やすチャネルの数。前と後ろに半分ずつ入れる。
    """

    def __init__(self, stride: int, added: int) -> None:
        self.stride, self.added = stride, added

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) から (N, C + added, ⌈H/stride⌉, ⌈W/stride⌉)。"""
        front = self.added // 2
        widths = ((0, 0), (front, self.added - front), (0, 0), (0, 0))
        return pad(x[:, :, :: self.stride, :: self.stride], widths)


class PlainBlock(BasicBlock):
    """`BasicBlock` からスキップ接続を除いたもの。"""

    def forward(self, x: Any) -> Any:
        """relu(F(x))。"""
        return self.relu(self.branch(x))


class SmallResNet(Module):
    """小さな画像のための ResNet。`resnet_small(depth)` で作る。

    Args:
        depth: 重みのある層の数。6n + 2（8, 14, 20, 32, 44, 56, 110 など）。
        num_classes: クラスの数。
        in_channels: 入力のチャネルの数。
        width: 最初の段のチャネルの数（論文では 16）。2 段めは 2 倍、3 段めは 4 倍。
        residual: 偽なら、スキップ接続のないネットワーク (plain)。
        zero_init_residual: 真なら、各ブロックの最後の正規化の倍率を 0 から始める。

    Raises:
        ValueError: 深さが 6n + 2 でない、数が 1 以上の整数でない、スキップ接続がないのに
            `zero_init_residual`。呼んだとき、入力の形が合わない。
    """

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        in_channels: int = 1,
        width: int = 16,
        residual: bool = True,
        zero_init_residual: bool = False,
    ) -> None:
        sizes = {"num_classes": num_classes, "in_channels": in_channels, "width": width}
        require_positive("SmallResNet", depth=depth, **sizes)
        blocks, left = divmod(depth - 2, 6)
        if left or not blocks:
            near = max(1, round((depth - 2) / 6)) * 6 + 2
            raise ValueError(
                f"SmallResNet の深さは 6n + 2 です (depth must be 6n + 2): {depth} ではなく "
                f"{near} などにしてください。"
            )
        if zero_init_residual and not residual:
            raise ValueError(
                "スキップ接続のないネットワークの倍率を 0 にすると、出力がすべて 0 になります "
                "(zero_init_residual needs residual=True)。"
            )
        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = BatchNorm2d(width)
        self.relu = ReLU()
        self.layer1 = _stage(residual, width, width, blocks)
        self.layer2 = _stage(residual, width, width * 2, blocks)
        self.layer3 = _stage(residual, width * 2, width * 4, blocks)
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(width * 4, num_classes)
        initialized(self, zero_init_residual)

    def forward(self, x: Any) -> Any:
        """(N, in_channels, H, W) からロジット (N, num_classes)。"""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def resnet_small(depth: int = 20, **options: Any) -> SmallResNet:
    """深さ 6n + 2 の、小さな画像のための ResNet。引数は `SmallResNet` と同じ。"""
    return SmallResNet(depth, **options)


def _stage(residual: bool, before: int, channels: int, blocks: int) -> Sequential:
    block = BasicBlock if residual else PlainBlock
    stride = 1 if before == channels else 2
    shortcut = PaddedShortcut(stride, channels - before) if residual and stride > 1 else None
    rest = [block(channels, channels) for _ in range(blocks - 1)]
    return Sequential(block(before, channels, stride, shortcut), *rest)


explain_all(globals())
