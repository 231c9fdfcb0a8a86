"""±1 のベクトルの内積の機械語（extra `fast`）: 64 個ずつ、XNOR と popcount で。

±1 をビットで表すと、積が −1 になるのはビットが違うところだから、n 個の内積は
n − 2·popcount(x XOR w) になる。重みは、ベクトル 1 本に入る個数の出力ごとに並べておき (panels)、
いくつかの x が同じ重みを使う。

数えるのは XOR より重いので、2 つの word の違い a, b を全加算器 (carry-save adder) で、それまでの
余り s に足し、桁上がりだけを数える (Harley & Seal)。和 s ^ a ^ b は (x₀ ^ x₁) ^ (w₀ ^ w₁) ^ s で
ある。x₁ と w₁ の代わりに x₀ ^ x₁ と w₀ ^ w₁ を持てば (`paired`)、b は要らず、桁上がりも、s と
新しい s と a から決まる。AVX-512 では、和も桁上がりも 1 つの命令 (vpternlog) になる。
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

GROUPS = 64
"""1 度に見る重みの組の数: すべての x が通る間、キャッシュに残る。"""

JOB = 1 << 21
"""64 ビットの XOR がこれより多ければ、スレッドに分ける。"""

_WORDS = np.dtype(np.float64)  # a vector of as many words of 64 bits as numbers of this type


def lanes() -> int:
    """重みを並べる幅: ベクトル 1 本に入る、64 ビットの個数。"""
    return machine_code.vector_bytes() // 8 if machine_code.available() else 8


def paired(words: Any) -> Any:
    """(…, words) の 2 つめごとの word を、前の word との XOR にする。word は偶数個になる。"""
    if words.shape[-1] % 2:
        words = np.concatenate([words, np.zeros_like(words[..., :1])], axis=-1)
    words = words.copy()
    second = words[..., 1::2]
    second ^= words[..., ::2]
    return words


def dots(x: Any, panels: Any, count: int) -> Any:
    """x (rows, words) と panels (groups, words, lanes()) の内積 (rows, groups·lanes)、int32。

    機械語がなければ `None`。panels の word は `paired` の並び。`count` は、足される ±1 の個数。
    """
    if not machine_code.enabled():
        return None
    x = paired(x)
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
            odd = [f.variable(f.zero("i64")) for _ in lines]
            carries = [f.variable(f.zero("i64")) for _ in lines]
            begin = [x + (r + i) * words for i in lines]
            weights = w + g * words * f.width

            def pair(k: Number) -> None:
                first = (weights + k * f.width).load()
                both = (weights + (k + 1) * f.width).load()
                for i in lines:
                    a = f.all((begin[i] + k).item()) ^ first
                    old = odd[i].value
                    new = odd[i].value = old ^ (f.all((begin[i] + (k + 1)).item()) ^ both)
                    carries[i].value += _ones(f, _carry(f, old, new, a))

            f.loop(words, pair, step=2)
            for i in lines:
                different = carries[i].value * 2 + _ones(f, odd[i].value)
                z = f.all(count) - different * 2
                (out + (r + i) * row + g * f.width).store(z.cast("trunc", "i32"))

        def panel(g: Number) -> None:
            end = f.least(g + GROUPS, groups)
            f.loop(rows, lambda r: f.loop(end, lambda g: group(r, g), start=g), step=height)

        f.loop(groups, panel, step=GROUPS)

    return Function(f"dots{height}", "pppiiiii", body)


def _carry(f: Writer, old: Number, new: Number, a: Number) -> Number:
    """Where `old` + a + b carries, `new` being its sum old ^ a ^ b: `old` if a ≠ b, else a."""
    if old.width != 8:
        return a ^ ((old ^ a) & (old ^ new))
    # One instruction of AVX-512, which LLVM does not find: bit 4·old + 2·new + a of the table.
    name, kind, table = "@llvm.x86.avx512.pternlog.q.512", old.type, 0b10110010
    f.declared.add(f"declare {kind} {name}({kind}, {kind}, {kind}, i32)")
    three = ", ".join(f"{kind} {x.text}" for x in (old, new, a))
    return old.made(f"call {kind} {name}({three}, i32 {table})")


def _ones(f: Writer, x: Number) -> Number:
    """How many bits of each word are 1."""
    name = f"@llvm.ctpop.v{x.width}i64"
    f.declared.add(f"declare {x.type} {name}({x.type})")
    return x.made(f"call {x.type} {name}({x.type} {x.text})")
