"""積和の核 (`conv_ir`) の機械語（extra `fast`）。畳み込みと、チャネルごとの和が使う。"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.native import conv_ir, machine_code
from micrograd_jp.native.call import kernels
from micrograd_jp.native.ir import Vector


class Kernel(NamedTuple):
    """1 つの型の機械語と、その核の大きさ。"""

    convolve: Callable[..., None]
    correlate: Callable[..., None]
    pixels: int
    vectors: int
    lanes: int

    def padded(self, outputs: int) -> int:
        """ベクトルがちょうど収まる、出力の数。"""
        return -(-outputs // self.lanes) * self.lanes


@functools.cache
def kernel(dtype: Any) -> Kernel:
    """float32 か float64 の機械語。"""
    found = kernels(conv_ir.module, dtype, **conv_ir.FUNCTIONS)
    vector = Vector.of(dtype.name, machine_code.vector_bytes())
    return Kernel(found.convolve, found.correlate, *conv_ir.tile_size(vector), vector.width)


def filled_up(places: Any, multiple: int) -> Any:
    """場所の表の終わりを、`multiple` の倍数まで、最後の場所で埋める。"""
    flat = places.ravel()
    return np.concatenate([flat, np.repeat(flat[-1:], -flat.size % multiple)])


def panels(rows: Any, k: Kernel) -> Any:
    """行列 (K, O) を核が読む順に: ベクトル V 本の幅ごとに、K 行。"""
    n, o = rows.shape
    wide = k.lanes * k.vectors
    out = np.zeros(n * k.padded(o), rows.dtype)
    for start in range(0, o, wide):
        part = rows[:, start : start + wide]
        width = k.padded(part.shape[1])
        out[start * n :][: n * width].reshape(n, width)[:, : part.shape[1]] = part
    return out
