"""積和の核 (micro-kernel): 畳み込みも、その重みの勾配も、これのくり返しである。

    acc[p][v] += x[場所 p] · w[v]      p: 画素 (P 個)、v: 出力のチャネルのベクトル (V 個)

`acc` の P·V 本のベクトルはレジスタに居続け、くり返すごとに、数 P 個を広げ (broadcast)、ベクトル
V 本を読む。畳み込みでは p は出力の画素で、窓の画素とチャネルにわたって足す。重みの勾配では、p は
窓の画素とチャネルで、画像の画素にわたって足す。行列の形に並べ直すこと (im2col) はしない。

場所は表で渡すので、ストライドも dilation も、画像の並びも、同じ核で済む。場所と間隔は、数の個数で
数える。
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.native import machine_code
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Vector, Writer, function


class Tile(NamedTuple):
    """核の大きさ: 画素 P、ベクトル V 本、1 本に入る数。"""

    pixels: int
    vectors: int
    lanes: int

    @classmethod
    def of(cls, vector: Vector) -> Tile:
        """512 ビットのレジスタは 32 本、それより短いものは 16 本ある。"""
        return cls(8 if vector.bits == 512 else 6, 2, vector.width)

    def padded(self, outputs: int) -> int:
        """ベクトルがちょうど収まる、出力の数。"""
        return -(-outputs // self.lanes) * self.lanes

    def filled_up(self, places: Any) -> Any:
        """場所の表の終わりを、P の倍数まで、最後の場所で埋める。"""
        flat = places.ravel()
        return np.concatenate([flat, np.repeat(flat[-1:], -flat.size % self.pixels)])

    def panels(self, rows: Any) -> Any:
        """行列 (K, O) を核が読む順に: ベクトル V 本の幅ごとに、K 行。"""
        n, o = rows.shape
        wide = self.lanes * self.vectors
        out = np.zeros(n * self.padded(o), rows.dtype)
        for start in range(0, o, wide):
            part = rows[:, start : start + wide]
            width = self.padded(part.shape[1])
            out[start * n :][: n * width].reshape(n, width)[:, : part.shape[1]] = part
        return out


def tile_of(dtype: Any) -> Tile:
    """float32 か float64 の核の、この CPU での大きさ。"""
    return Tile.of(Vector.of(dtype.name, machine_code.vector_bytes()))


_ARGUMENTS = "ppipiipipipiii"


@functools.cache
def _tile(vectors: int) -> Function:
    """The kernel itself for so many vectors.

    x, places: P places; jumps: `steps` further ones, from each of which n numbers are read, sx
    apart; w: vectors, sw apart, one after the other; init: what the sums start with, si apart; out:
    where the first `rows` of them go, so apart. A last argument says how many outputs there are.
    """

    def body(f: Writer, x: Any, places: Any, steps: Any, jumps: Any, n: Any, *more: Any) -> None:
        sx, w, sw, init, si, out, so, rows, lanes = more
        pixels, vs = range(Tile.of(f.vector).pixels), range(vectors)
        starts = [x + (places.of("i64") + p).item() for p in pixels]
        sums = [[f.variable((init + si * p + v * f.width).load()) for v in vs] for p in pixels]

        def tap(t: Number) -> None:
            jump, before = (jumps.of("i64") + t).item(), t * n * sw
            here = [start + jump for start in starts]

            def number(k: Number) -> None:
                weights = [(w + before + k * sw + v * f.width).load() for v in vs]
                for p in pixels:
                    one = f.all((here[p] + k * sx).item())
                    for v in vs:
                        sums[p][v].value += one * weights[v]

            f.loop(n, number)

        f.loop(steps, tap)
        mask = f.first(lanes)
        for p in pixels:
            f.when(rows <= p, lambda: None, leave=True)
            for v in vs:
                end = mask if v == vs[-1] else None
                (out + so * p + v * f.width).store(sums[p][v].value, end)

    return Function(f"tile{vectors}", _ARGUMENTS, body, inline=False)


@function(_ARGUMENTS)
def tile(f: Writer, *arguments: Any) -> None:
    """The kernel that is as wide as what is left: the last argument."""
    *others, left = arguments

    def use(vectors: int) -> None:
        rest = left - (vectors - 1) * f.width
        lanes = f.least(rest, f.width)
        f.when(rest > 0, lambda: f.call(_tile(vectors), *others, lanes), leave=True)

    for vectors in range(Tile.of(f.vector).vectors, 0, -1):
        use(vectors)
