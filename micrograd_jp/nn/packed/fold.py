"""バッチ正規化と符号を、1 つのしきい値にする。ネットワーク自身の小数の計算で、しきい値を探す。

推論中のバッチ正規化は、丸めまで含めて単調である（引き算、掛け算、足し算のどれもが単調だから）。
だから、+1 になる入力のうち最小のものを 2 分探索すれば、どの入力でも答えはネットワークと同じになる。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd_jp.graph.node import data_of
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.layers.norm import BatchNorm
from micrograd_jp.tensor.array import Tensor

Test = Callable[[Any], Any]
"""チャネルごとの数 (C,) から、+1 になるか (C,) へ。"""


def array_of(x: Any) -> Any:
    """`Tensor` の値を NumPy の配列で。`None` はそのまま。"""
    return None if x is None else np.asarray(data_of(x))


def normalized(layer: BatchNorm, x: Any) -> Any:
    """チャネルごとに 1 つの数 (C,) の、推論中のバッチ正規化。"""
    out = F.batch_norm(
        Tensor(x[None]), layer.running_mean, layer.running_var, layer.weight, layer.bias,
        eps=layer.eps,
    )  # fmt: skip
    return np.asarray(out._data)[0]


def slopes(layers: list[BatchNorm], channels: int) -> Any:
    """続けて正規化したものが、増えるチャネルで 1、減るチャネルで −1 (C,)。"""
    out = np.ones(channels, np.int8)
    for layer in layers:
        if layer.weight is not None:
            out = np.where(array_of(layer.weight) < 0, -out, out)
    return out


def least_integer(test: Test, channels: int, most: int) -> Any:
    """−most から most までの整数のうち、`test` が成り立つ最小のもの (C,)。なければ most + 1。"""
    found = _bisected(test, np.full(channels, -most), most + 1)
    return found.astype(np.int16 if most < np.iinfo(np.int16).max else np.int32)


def least_float(test: Test, channels: int, dtype: Any) -> Any:
    """有限の小数のうち、`test` が成り立つ最小のもの (C,)。なければ nan。

    同じ符号の浮動小数点数は、ビットを整数と見た順に並んでいる。
    """
    kind = np.dtype(dtype)
    whole = np.dtype(f"i{kind.itemsize}")
    sign = int(np.iinfo(whole).min)

    def number(order: Any) -> Any:
        bits = np.where(order < 0, sign - (order + 1), order)
        return bits.astype(whole).view(kind)

    most = int(np.array(np.finfo(kind).max, kind).view(whole))
    found = _bisected(lambda order: test(number(order)), np.full(channels, -most - 1), most + 1)
    return np.where(found > most, kind.type(np.nan), number(np.minimum(found, most)))


def _bisected(test: Test, first: Any, never: int) -> Any:
    """The least integer from `first` on for which the test holds, or `never`."""
    low, high = first.astype(np.int64) - 1, np.full(first.shape, never, np.int64)
    while True:
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # high − low may not fit
        between = middle > low
        if not between.any():
            return high
        holds = test(np.where(between, middle, high - 1))
        high = np.where(between & holds, middle, high)
        low = np.where(between & ~holds, middle, low)
