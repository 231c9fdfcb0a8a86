"""切り出す変換: 余白をつける、でたらめな位置や中央を切り出す。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.transforms.geometry import Geometric, Placement, translation
from micrograd_jp.data.transforms.resample import Size


class Pad(Geometric):
    """まわりに余白 (padding) をつける。

    Args:
        padding: 余白の画素の数。整数、(左右, 上下)、または (左, 上, 右, 下)。
        fill: 余白の値。

    Raises:
        ValueError: 余白が 0 以上の整数でない。
    """

    def __init__(self, padding: int | Sequence[int], fill: float = 0.0) -> None:
        self.padding, self.fill = padding, float(fill)
        self._edges = _edges(padding)

    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        """余白の半分の差だけ、中心がずれる。"""
        left, top, right, bottom = self._edges
        larger = size[0] + top + bottom, size[1] + left + right
        return Placement(translation(n, (bottom - top) / 2, (right - left) / 2), larger)


class RandomCrop(Geometric):
    """まわりに余白 (padding) をつけた画像から、でたらめな位置を切り出す。

    Args:
        size: 切り出す大きさ。整数か (高さ, 幅)。
        padding: 余白の画素の数。`Pad` と同じ。
        fill: 余白の値。

    Raises:
        ValueError: 大きさが 1 以上の整数でない、余白が負。呼んだとき、余白をつけても足りない。
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | Sequence[int] | None = 0,
        fill: float = 0.0,
    ) -> None:
        self.size = size_of(size)
        self.padding, self.fill = 0 if padding is None else padding, float(fill)
        self._edges = _edges(self.padding)

    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        """見本ごとの切り出す位置から作る。"""
        left, top, right, bottom = self._edges
        padded = size[0] + top + bottom, size[1] + left + right
        room = [a - b for a, b in zip(padded, self.size)]
        if min(room) < 0:
            raise ValueError(
                f"RandomCrop で {self.size} は切り出せません (crop larger than the image): 画像 "
                f"{size} に余白 {self.padding} をつけた大きさは {padded} です。"
                "padding を大きくしてください。"
            )
        # The crop that starts at half of the room has the padded image's centre.
        dy, dx = (generator.integers(0, free + 1, n) - free / 2 for free in room)
        return Placement(
            translation(n, dy + (bottom - top) / 2, dx + (right - left) / 2), self.size
        )


class CenterCrop(Geometric):
    """中央を切り出す (center crop)。画像より大きければ、まわりを `fill` で埋める。

    余りが奇数のときは torchvision と同じく、切り出しでは偶数側に丸めた位置から始める。

    Args:
        size: 切り出す大きさ。整数か (高さ, 幅)。
        fill: 画像の外の値。

    Raises:
        ValueError: 大きさが 1 以上の整数でない。
    """

    def __init__(self, size: int | tuple[int, int], fill: float = 0.0) -> None:
        self.size, self.fill = size_of(size), float(fill)

    def placement(self, n: int, size: Size, generator: np.random.Generator) -> Placement:
        """中央の位置から作る。"""
        dy, dx = (round((a - b) / 2) - (a - b) / 2 for a, b in zip(size, self.size))
        return Placement(translation(n, dy, dx), self.size)


def _edges(given: Any) -> tuple[int, int, int, int]:
    """What is put around: left, top, right, bottom."""
    edges = tuple(given) if isinstance(given, tuple | list) else (given,)
    whole = all(isinstance(a, int | np.integer) and not isinstance(a, bool) for a in edges)
    if len(edges) not in (1, 2, 4) or not whole or min(edges) < 0:
        raise ValueError(
            "padding は 0 以上の整数か、(左右, 上下)、(左, 上, 右, 下) です (expected ints ≥ 0): "
            f"{given!r} が渡されました。"
        )
    left, top, right, bottom = (int(a) for a in edges * (4 // len(edges)))
    return left, top, right, bottom


def size_of(given: Any) -> Size:
    """整数 a なら (a, a)、組なら (高さ, 幅)。

    Raises:
        ValueError: 1 以上の整数でない。
    """
    both = tuple(given) if isinstance(given, tuple | list) else (given,)
    both = both * 2 if len(both) == 1 else both
    whole = all(isinstance(a, int | np.integer) and not isinstance(a, bool) for a in both)
    if len(both) != 2 or not whole or min(both) < 1:
        raise ValueError(
            f"size は 1 以上の整数か (高さ, 幅) の組です (expected a positive size): {given!r}。"
        )
    return int(both[0]), int(both[1])


explain_all(globals())
