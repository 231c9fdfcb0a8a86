"""±1 をビットにして並べる: 詰める、ほどく、内積、窓。+1 が 1、−1 が 0。

最後の軸の ±1 を 64 個ずつ 1 つの整数 (word) にする。余ったビットは 0 で、どちらの側も 0 だから、
XOR しても数えられない。
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.native import binary
from micrograd_jp.ops.windows import Windows

PIECE = 1 << 19
"""NumPy で 1 度に比べる word の数: 中間の配列がキャッシュに収まるように。"""


class Bits(NamedTuple):
    """詰めた ±1: 形 (…, words) の uint64 と、最後の軸の ±1 の個数。画像なら (N, H, W, words)。"""

    words: Any
    features: int

    @classmethod
    def of(cls, up: Any) -> Bits:
        """+1 のところが真の配列 (…, n) から。"""
        return cls(as_words(np.packbits(up, axis=-1, bitorder="little")), up.shape[-1])

    def up(self) -> Any:
        """+1 のところが真の配列 (…, n)。"""
        words = np.ascontiguousarray(self.words)
        return unpacked(words.view(np.uint8), self.features)


def as_words(packed: Any) -> Any:
    """`np.packbits` のバイト (…, bytes) を、64 ビットずつにしたもの (…, words)。"""
    rest = -packed.shape[-1] % 8
    if rest:
        packed = np.pad(packed, [(0, 0)] * (packed.ndim - 1) + [(0, rest)])
    return np.ascontiguousarray(packed).view(np.uint64)


def unpacked(packed: Any, count: int) -> Any:
    """`np.packbits` のバイト (…, bytes) の、はじめの `count` ビット。"""
    return np.unpackbits(packed, axis=-1, count=count, bitorder="little").astype(bool)


class Weights:
    """内積のために並べた重み: `lanes()` 個の出力ごとに、word の順に (groups, words, lanes)。

    word の並びは `native.binary.paired`。
    """

    def __init__(self, words: Any, count: int) -> None:
        self.outputs, self.count = len(words), count
        width = binary.lanes()
        words = binary.paired(words)
        filled = np.zeros((-(-len(words) // width) * width, words.shape[1]), np.uint64)
        filled[: len(words)] = words
        groups = filled.reshape(-1, width, words.shape[1])
        self.panels = np.ascontiguousarray(groups.transpose(0, 2, 1))

    def dots(self, x: Any) -> Any:
        """x (rows, words) と、それぞれの出力の重みとの内積 (rows, outputs)、int32。"""
        found = binary.dots(x, self.panels, self.count)
        if found is None:
            found = self._dots(x)
        return found[:, : self.outputs]

    @cached_property
    def _plain(self) -> Any:
        """The panels for NumPy, which gains nothing from pairs: the same XOR takes them back."""
        plain = self.panels.copy()
        plain[:, 1::2] ^= plain[:, ::2]
        return plain

    def _dots(self, x: Any) -> Any:
        panels = self._plain[:, : x.shape[1]]
        groups, _, width = panels.shape
        out = np.empty((len(x), groups * width), np.int32)
        each = max(1, PIECE // max(panels.size, 1))
        for start in range(0, len(x), each):
            some = x[start : start + each, None, :, None]
            different = np.bitwise_count(some ^ panels).sum(axis=2, dtype=np.int32)
            out[start : start + each] = self.count - 2 * different.reshape(len(some), -1)
        return out


def taps(x: Any, windows: Windows) -> Iterator[Any]:
    """窓の画素ごとに、すべての窓のその画素: (N, H, W, c) から (N, OH, OW, c)。まわりは 0。"""
    (top, bottom), (left, right) = windows.padding
    oh, ow = windows.outputs(x.shape[1:3])
    x = np.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)])
    (kh, kw), (sh, sw), (dh, dw) = windows.kernel, windows.stride, windows.dilation
    for i in range(0, kh * dh, dh):
        for j in range(0, kw * dw, dw):
            yield x[:, i : i + sh * oh : sh, j : j + sw * ow : sw][:, :oh, :ow]


def patches(x: Any, windows: Windows) -> Any:
    """それぞれの窓の画素: (N, H, W, c) から (N, OH, OW, 窓の画素の数, c)。まわりは 0。"""
    return np.stack([*taps(x, windows)], axis=3)
