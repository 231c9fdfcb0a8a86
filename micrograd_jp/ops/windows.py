"""`Windows`: 画像の上を滑る窓 (sliding windows) の形。畳み込みもプーリングも、これで場所を表す。"""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]


class Windows(NamedTuple):
    """縦横の (高さ, 幅) の順に並んだ、窓の大きさと動き方。

    Attributes:
        kernel: 窓の大きさ。
        stride: 窓の動く幅 (ストライド)。
        padding: ふち (パディング) の幅 ((上, 下), (左, 右))。負なら、その分を切り落とす。
        dilation: 窓の中の画素の間隔。
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    def outputs(self, size: tuple[int, ...]) -> Pair:
        """大きさ `size` の画像に置ける窓の数。1 つも置けなければ 0 以下。"""
        height, width = (
            (size[i] + sum(self.padding[i]) - self.span[i]) // self.stride[i] + 1 for i in (0, 1)
        )
        return height, width

    @property
    def span(self) -> Pair:
        """窓が覆う画素の数: 間隔 × (大きさ − 1) + 1。"""
        height, width = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel))
        return height, width

    def reach(self, axis: int, tap: int, size: int, outputs: int) -> tuple[slice, slice]:
        """窓の中の `tap` 番目の画素が画像の中にある、窓の範囲と、その画素の範囲。

        Args:
            axis: 0 は縦、1 は横。
            tap: 窓の中の番号。
            size: 画像の長さ。
            outputs: 窓の数。
        """
        stride = self.stride[axis]
        start = tap * self.dilation[axis] - self.padding[axis][0]
        first = max(0, -(start // stride))  # the first window whose pixel is not before the image
        last = min(outputs, (size - 1 - start) // stride + 1)
        n = max(last - first, 0)
        begin = first * stride + start
        return slice(first, first + n), slice(begin, begin + n * stride, stride)
