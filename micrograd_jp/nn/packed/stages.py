"""詰めたネットワークの段 (stages): 小数、整数の和、ビットを受け取り、次の段に渡す。

段は、保存される項目だけを持つ dataclass である。段の間を流れるのは、小数の配列（ネットワークと
同じ形）、`Sums`（整数。チャネルが最後の軸）、`Bits` のどれか。
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, reduce
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.arguments import undefined
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.packed.bits import Bits, Weights, as_words, patches, taps, unpacked
from micrograd_jp.ops.windows import Windows
from micrograd_jp.tensor.array import Tensor


class Sums(NamedTuple):
    """±1 の積の和（整数）。画像なら (N, H, W, C)。"""

    numbers: Any


@dataclass(eq=False)
class Stage:
    """段に共通のこと。"""

    @property
    def nbytes(self) -> int:
        """配列の大きさ。"""
        values = (getattr(self, f.name) for f in fields(self))
        return sum(x.nbytes for x in values if isinstance(x, np.ndarray))

    def __call__(self, x: Any) -> Any:
        """次の段に渡すもの。"""
        raise undefined(self, "__call__(self, x)")


def real(x: Any, dtype: Any) -> Tensor:
    """ネットワークの層が受け取る形の、小数の `Tensor`。"""
    if isinstance(x, Bits):
        x = Sums(x.up() * np.int8(2) - 1)
    if isinstance(x, Sums):
        x = np.moveaxis(x.numbers, -1, 1) if x.numbers.ndim == 4 else x.numbers
    return Tensor(np.asarray(x).astype(dtype, copy=False))


@dataclass(eq=False)
class Linear(Stage):
    """重みが ±1 の全結合。

    Attributes:
        weight: `np.packbits` の重み (out, ⌈in/8⌉)。
        features: 入力の数。
        dtype: ネットワークの型。
        reals: 入力は小数か。偽ならビット。
        bias: バイアス (out,) か `None`。
    """

    weight: Any
    features: int
    dtype: str
    reals: bool
    bias: Any = None

    def __post_init__(self) -> None:
        _require_packed(self.weight, 2, self.features)

    @cached_property
    def _signs(self) -> Tensor:
        signs = unpacked(self.weight, self.features).astype(self.dtype) * 2 - 1
        return Tensor(np.ascontiguousarray(signs.T).T)  # as in nn.Linear: the same sums

    @cached_property
    def _weights(self) -> Weights:
        return Weights(as_words(self.weight), self.features)

    def __call__(self, x: Any) -> Any:
        """次の段に渡すもの。"""
        if self.reals:
            return F.linear(real(x, self.dtype), self._signs, self.bias)._data
        _require(x.features == self.features, x.features, self.features)
        sums = self._weights.dots(x.words)
        return Sums(sums if self.bias is None else sums.astype(self.dtype) + self.bias)


@dataclass(eq=False)
class Conv2d(Stage):
    """重みが ±1 の畳み込み。まわりの 0 は、和に加わらない。

    Attributes:
        weight: `np.packbits` の重み (out, 窓の画素の数, ⌈in/8⌉)。
        channels: 入力のチャネルの数。
        dtype, reals: `Linear` と同じ。
        kernel, stride, padding, dilation: 窓 (`Windows`)。
    """

    weight: Any
    channels: int
    dtype: str
    reals: bool
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]

    def __post_init__(self) -> None:
        _require_packed(self.weight, 3, self.channels)

    @cached_property
    def _up(self) -> Any:
        return unpacked(self.weight, self.channels)  # (out, taps, in)

    @cached_property
    def _signs(self) -> Tensor:
        shape = (len(self.weight), *self.kernel, self.channels)
        signs = (self._up.astype(self.dtype) * 2 - 1).reshape(shape)
        return Tensor(np.ascontiguousarray(np.moveaxis(signs, -1, 1)))

    @cached_property
    def _weights(self) -> Weights:
        words = as_words(self.weight)
        return Weights(words.reshape(len(words), -1), self._up[0].size)

    def __call__(self, x: Any) -> Any:
        """次の段に渡すもの。"""
        windows = Windows(self.kernel, self.stride, self.padding, self.dilation)
        if self.reals:
            (top, bottom), (left, right) = self.padding
            padding = (top, left) if (top, left) == (bottom, right) else "same"
            t = real(x, self.dtype)
            return F.conv2d(t, self._signs, None, self.stride, padding, self.dilation)._data
        _require(x.features == self.channels, x.features, self.channels)
        n, *size, _ = x.words.shape
        oh, ow = windows.outputs(tuple(size))
        _require(oh > 0 and ow > 0, tuple(size), f"{windows.span} 以上の画像")
        seen = patches(x.words, windows)
        sums = self._weights.dots(seen.reshape(n * oh * ow, -1)).reshape(n, oh, ow, -1)
        return Sums(sums + self._missing(windows, tuple(size)))

    def _missing(self, windows: Windows, size: tuple[int, int]) -> Any:
        """What was counted for the pixels outside, (OH, OW, out): each as −1 times its weight."""
        outside = ~patches(np.ones((1, *size, 1), bool), windows)[0, ..., 0]
        if not outside.any():
            return 0
        weight = (self._up * np.int32(2) - 1).sum(axis=2, dtype=np.int32)  # (out, taps)
        return outside.astype(np.int32) @ weight.T


@dataclass(eq=False)
class Threshold(Stage):
    """しきい値以上なら +1: バッチ正規化と符号を、まとめたもの。

    Attributes:
        at: チャネルごとのしきい値 (C,) か、1 つの数。届くことがなければ nan（整数なら個数 + 1）。
    """

    at: Any

    def __call__(self, x: Any) -> Bits:
        """次の段に渡すもの。"""
        numbers = x.numbers if isinstance(x, Sums) else x
        if not isinstance(x, Sums) and numbers.ndim == 4:
            numbers = np.moveaxis(numbers, 1, -1)
        return Bits.of(numbers >= self.at)


@dataclass(eq=False)
class MaxPool2d(Stage):
    """ビットの最大プーリング: 窓の中に 1 つでも +1 があれば +1。

    Attributes:
        kernel, stride, padding, dilation: 窓 (`Windows`)。
        flipped: 後に続く倍率が負で、最小を取るチャネル（`np.packbits` のバイト）。なければ `None`。
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    flipped: Any = None

    def __call__(self, x: Any) -> Bits:
        """次の段に渡すもの。"""
        windows = Windows(self.kernel, self.stride, self.padding, self.dilation)
        size = x.words.shape[1:3]
        _require(min(windows.outputs(size)) > 0, size, f"{windows.span} 以上の画像")
        turn = np.uint64(0) if self.flipped is None else as_words(self.flipped)
        return Bits(reduce(np.bitwise_or, taps(x.words ^ turn, windows)) ^ turn, x.features)


@dataclass(eq=False)
class Flatten(Stage):
    """画像を、ネットワークと同じ順の 1 列にする。"""

    def __call__(self, x: Any) -> Any:
        """次の段に渡すもの。"""
        if not isinstance(x, Bits):
            return x.reshape(len(x), -1)
        up = x.up()
        return Bits.of(np.moveaxis(up, -1, 1).reshape(len(up), -1))


@dataclass(eq=False)
class Normalize(Stage):
    """出力の前の、推論中のバッチ正規化。引数は `nn.functional.batch_norm` と同じ。"""

    mean: Any
    var: Any
    weight: Any
    bias: Any
    eps: float
    dtype: str

    def __call__(self, x: Any) -> Any:
        """次の段に渡すもの。"""
        t = real(x, self.dtype)
        return F.batch_norm(t, self.mean, self.var, self.weight, self.bias, eps=self.eps)._data


KINDS = {kind.__name__: kind for kind in (Linear, Conv2d, Threshold, MaxPool2d, Flatten, Normalize)}


def _require_packed(weight: Any, axes: int, count: int) -> None:
    shape: tuple[int, ...] = getattr(weight, "shape", ())
    if (
        getattr(weight, "dtype", None) != np.uint8
        or len(shape) != axes
        or (shape[-1] != -(-count // 8))
    ):
        raise ValueError(
            f"詰めた重みの形が合いません (shape mismatch): 形 {shape}、1 つの出力に {count} 個。"
        )


def _require(fits: bool, came: Any, wanted: Any) -> None:
    if not fits:
        raise ValueError(
            f"詰めたネットワークの入力の形が合いません (shape mismatch): {came} が渡されました。"
            f"{wanted} にしてください。"
        )
