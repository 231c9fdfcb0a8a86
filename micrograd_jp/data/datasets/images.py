"""画像のデータセットの形と、scikit-learn に同梱の 8×8 の手書き数字。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.dataset import TensorDataset
from micrograd_jp.environment import require
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import float32


class Images(TensorDataset):
    """画像とラベルの組。`data[i]` は `(画像, ラベル)`。"""

    @property
    def images(self) -> Tensor:
        """画像。形は (N, 縦, 横)、`flatten=True` なら (N, 縦 × 横)。float32 で 0 から 1。"""
        return self.tensors[0]

    @property
    def labels(self) -> Tensor:
        """ラベル。形は (N,)、int64。"""
        return self.tensors[1]


def prepared(
    pixels: Any, labels: Any, white: int, *, flatten: bool, statistics: tuple[float, float] | None
) -> Images:
    """0 から `white` の画素を 0 から 1 の float32 にした、画像のデータセット。

    Args:
        pixels: 画素。形は (N, 縦, 横)。
        labels: ラベル。形は (N,)。
        white: 最も明るい画素。
        flatten: 真なら形を (N, 縦 × 横) にする。
        statistics: (平均, 標準偏差)。渡すと、平均を引いて標準偏差で割る。
    """
    x = np.divide(pixels, float32.type(white), dtype=float32)
    if statistics is not None:
        mean, deviation = statistics
        x -= float32.type(mean)
        x /= float32.type(deviation)
    return Images(x.reshape(len(x), -1) if flatten else x, labels.astype(np.int64))


def digits(*, flatten: bool = False) -> Images:
    """scikit-learn に同梱の手書き数字: 8×8 の画像 1,797 枚、0 から 9 のラベル。

    Args:
        flatten: 真なら画像の形を (1797, 64) にする。

    Raises:
        ImportError: scikit-learn がない。
    """
    bunch = require("sklearn.datasets", "data").load_digits()
    return prepared(bunch.images, bunch.target, 16, flatten=flatten, statistics=None)


explain_all(globals())
