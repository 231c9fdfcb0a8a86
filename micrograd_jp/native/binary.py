"""±1 のベクトルの内積の機械語（extra `fast`）: 64 個ずつ、XNOR と popcount で。

±1 をビットで表すと、積が −1 になるのはビットが違うところだから、n 個の内積は
n − 2·popcount(x XOR w) になる。重みは、ベクトル 1 本に入る個数の出力ごとに並べておき (panels)、
いくつかの x が同じ重みを使う。
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from micrograd_jp.native import machine_code, threads
from micrograd_jp.native.call import address, kernel
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Writer

ROWS = 8
"""1 度に計算する x の数: 重みを読むのは、そのたびに 1 回で済む。"""

JOB = 1 << 21
"""64 ビットの XOR がこれより多ければ、スレッドに分ける。"""

_WORDS = np.dtype(np.float64)  # a vector of as many words of 64 bits as numbers of this type


def lanes() -> int:
    """重みを並べる幅: ベクトル 1 本に入る、64 ビットの個数。"""
    return machine_code.vector_bytes() // 8 if machine_code.available() else 8


def dots(x: Any, panels: Any, count: int) -> Any:
    """x (rows, words) と panels (groups, words, lanes()) の内積 (rows, groups·lanes)、int32。

    機械語がなければ `None`。`count` は、1 つの内積で足される ±1 の個数。
    """
    if not machine_code.enabled():
        return None
    rows, words = x.shape
    groups, _, width = panels.shape
    out = np.empty((rows, groups * width), np.int32)
    x_at, out_at, row = address(x), address(out), groups * width
    part_of = -(-groups // threads.threads()) if rows * panels.size >= JOB else groups
    tiled, single = kernel(_tile(ROWS), _WORDS), kernel(_tile(1), _WORDS)
    panels_at = address(panels)

    def part(i: int) -> None:
        first = i * part_of
        here = min(part_of, groups - first)
        w = panels_at + first * words * width * 8
        z = out_at + first * width * 4
        whole = rows - rows % ROWS
        if whole:
            tiled(x_at, w, z, whole, words, here, count, row)
        if rows - whole:
            single(
                x_at + whole * words * 8, w, z + whole * row * 4, rows - whole, words, here,
                count, row,
            )  # fmt: skip

    threads.run(part, -(-groups // part_of))
    return out


@functools.cache
def _tile(height: int) -> Function:
    """The kernel that goes through the rows `height` at a time."""

    def body(f: Writer, x: Any, w: Any, out: Any, rows: Any, words: Any, *more: Any) -> None:
        groups, count, row = more
        x, w, out = x.of("i64"), w.of("i64"), out.of("i32")
        lines = range(height)

        def group(r: Number, g: Number) -> None:
            sums = [f.variable(f.zero("i64")) for _ in lines]
            begin = [x + (r + i) * words for i in lines]
            weights = w + g * words * f.width

            def word(k: Number) -> None:
                here = (weights + k * f.width).load()
                for i in lines:
                    sums[i].value += _ones(f, f.all((begin[i] + k).item()) ^ here)

            f.loop(words, word)
            for i in lines:
                z = f.all(count) - sums[i].value * 2
                (out + (r + i) * row + g * f.width).store(z.cast("trunc", "i32"))

        f.loop(groups, lambda g: f.loop(rows, lambda r: group(r, g), step=height))

    return Function(f"dots{height}", "pppiiiii", body)


def _ones(f: Writer, x: Number) -> Number:
    """How many bits of each word are 1."""
    name = f"@llvm.ctpop.v{x.width}i64"
    f.declared.add(f"declare {x.type} {name}({x.type})")
    return x.made(f"call {x.type} {name}({x.type} {x.text})")
