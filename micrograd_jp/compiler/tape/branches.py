"""テープの命令 1 種類ごとの、順伝播と逆伝播の枝 (branch)。

要素ごとの演算の枝に公式は 1 つもない: 宣言の規則を、機械語を書く名前空間で実行するだけである。
局所微分が四則だけで済む演算 (mul, tanh, relu …) は、逆伝播で計算し直す。exp などが要る演算は、
順伝播で値の隣に保存する（softplus のシグモイドなど）。保存した演算の逆伝播はどれも同じ枝になる。

並びをまとめる命令は `lists.py` にある。
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from micrograd_jp.native.expressions import SIZES, Code, Number
from micrograd_jp.native.math import Native
from micrograd_jp.ops.gates import Gate
from micrograd_jp.ops.primitive import Elementwise

VECTOR = {"float": 16, "double": 8}
"""1 つのベクトルに入れる数の個数（512 ビット）。狭い CPU では、LLVM がいくつかに分ける。"""


class Branch:
    """命令 1 つを実行する機械語を書くための道具。

    Args:
        code: 書き足す先。
        kind: `"float"` か `"double"`。
        lanes: レーンの数 L。スロット s の値は、`v[s·L] … v[s·L + L − 1]` に並ぶ。

    Attributes:
        m: 規則に渡す名前空間。
        out: 命令の結果のスロットの、最初の要素の番号。
    """

    def __init__(self, code: Code, kind: str, lanes: int) -> None:
        self.code, self.kind, self.lanes = code, kind, lanes
        self.m = Native(code, kind, min(lanes, VECTOR[kind]))
        self.out = self.slot(1)

    def word(self, at: Any) -> Number:
        """命令の `at` 番目の語。"""
        pc = Number(self.code, "i64", 1, "%pc") + at
        place = self.code.result(f"getelementptr i32, ptr %code, i64 {pc.text}")
        word = self.code.result(f"load i32, ptr {place}")
        return self.code.integer(f"zext i32 {word} to i64")

    def slot(self, at: Any) -> Number:
        """命令の `at` 番目の語が指すスロットの、最初の要素の番号。"""
        word = self.word(at)
        return word if self.lanes == 1 else word * self.lanes

    def beside(self, slot: Number, k: Any) -> Number:
        """スロットの k 個うしろのスロット。"""
        place: Number = slot + k * self.lanes
        return place

    def load(self, array: str, slot: Number, lane: Any) -> Number:
        """`v` か `g` のスロットから、SIMD の幅だけ読む。"""
        kind, place = self.m.number(0).type, self._at(array, slot, lane)
        text = self.code.result(f"load {kind}, ptr {place}, {self._align}", pure=False)
        return self.code.number(self.kind, self.m.width, text)

    def store(self, array: str, slot: Number, lane: Any, x: Any) -> None:
        """`v` か `g` のスロットへ書く。"""
        x, place = self.m.number(x), self._at(array, slot, lane)
        self.code.write(f"store {x.type} {x.text}, ptr {place}, {self._align}")

    @property
    def _align(self) -> str:
        return f"align {self.m.width * SIZES[self.kind]}"

    def _at(self, array: str, slot: Number, lane: Any) -> str:
        element = (slot + lane).text if isinstance(lane, Number) else slot.text
        return self.code.result(f"getelementptr {self.kind}, ptr %{array}, i64 {element}")

    def give(self, slot: Number, lane: Any, share: Any) -> None:
        """勾配に足す。"""
        self.store("g", slot, lane, self.load("g", slot, lane) + share)

    def taken(self, slot: Number, lane: Any) -> Number:
        """上流の勾配を読み、0 に戻す: 次の逆伝播のために消して回らなくてよい。"""
        upstream = self.load("g", slot, lane)
        self.store("g", slot, lane, 0)
        return upstream

    def run(self, words: Any, body: Callable[[Any], Any]) -> None:
        """すべてのレーンについて計算し、`words` 語先の、次の命令へ進む。

        `body(lane)` は SIMD の幅だけを 1 度に計算する。
        """
        if self.lanes == self.m.width:
            body(0)
        else:
            self.code.fold((0, self.lanes, self.m.width), [], lambda lane: body(lane) or [])
        following = Number(self.code, "i64", 1, "%pc") + words
        self.code.write(f"br label %next ; {following.text}")

    def over_words(
        self, n: Number, step: int, carried: Sequence[Number], body: Callable[..., Any]
    ) -> list[Number]:
        """引数の並びについて。`body(i, *carried)` は i 番目から `step` 個を読む。"""
        return self.code.fold((0, n, step), carried, lambda i, *xs: body(i, *xs) or [])

    def sum_of_words(
        self, n: Number, step: int, start: Number, term: Callable[[Number], Number]
    ) -> Number:
        """`start` + Σ `term(i)`。`RUN` 個ずつ足すので、丸め誤差が小さい。"""

        def run(first: Number, total: Number) -> list[Number]:
            stop = self.m.where(first + RUN < n, first + RUN, n)
            nothing = [start.same(-0.0)]
            [part] = self.code.fold(
                (first, stop, step), nothing, lambda i, total: [total + term(i)]
            )
            return [total + part]

        [total] = self.code.fold((0, n, RUN), [start], run)
        return total


Write = Callable[[Branch], None]

RUN = 256
"""続けて足す引数の数。4 つずつ・8 つずつ読む命令でも割り切れる。"""

# ---- 要素ごとの演算 ----------------------------------------------------------------------------


def wanted(op: Elementwise) -> list[int]:
    """微分の対象となる引数の番号。"""
    return [i for i, rule in enumerate(op.partials) if rule is not None]


@functools.cache
def _counted(op: Elementwise) -> tuple[int, int, int]:
    """Heavy functions in the partials when the value is known; in all; of these in the library."""
    m = Native(Code(), "float", 1)
    z, *xs = [m.code.number("float", 1, f"%{i}") for i in range(op.arity + 1)]
    op.value(m, *xs)
    of_value = m.calls
    for i in wanted(op):
        _partial(op, i, m, z, xs)
    return m.calls - of_value, m.calls, m.library_calls


def saved(op: Elementwise) -> list[int]:
    """順伝播で局所微分を保存する引数の番号。四則と比較で計算し直せる演算では空。

    Raises:
        AttributeError: 機械語に直せない関数を使う演算。
    """
    return wanted(op) if _counted(op)[0] else []


def heavy_calls(op: Elementwise) -> tuple[int, int]:
    """順伝播で呼ぶ、四則より重い関数の数: その場に展開されるもの (exp) と、ライブラリのもの (sin)。

    Raises:
        AttributeError: 機械語に直せない関数を使う演算。
    """
    _, calls, in_library = _counted(op)
    return calls - in_library, in_library


def _partial(op: Elementwise, i: int, m: Native, z: Number, xs: Sequence[Number]) -> Any:
    rule = op.partials[i]
    assert rule is not None
    return rule(m, z, *xs)


_SHUT = {"float": 0x7FC0_6A7E, "double": 0x7FF8_0000_0000_6A7E}
"""閉じた門を、保存する局所微分の中で表す: どの計算からも出てこない nan のビット。"""


def _kept(m: Native, d: Any) -> Any:
    """A partial derivative as one number."""
    if not isinstance(d, Gate):
        return d
    bits = m.number(d.slope).bits()
    return m.where(d.shut, bits.same(_SHUT[m.kind]), bits).as_float(m.kind)


def times_kept(m: Native, g: Number, kept: Number) -> Any:
    """上流の勾配と、保存した局所微分の積。"""
    return m.where(kept.bits() == _SHUT[m.kind], 0, g * kept)


def elementwise_forward(op: Elementwise) -> Write:
    """[op, out, 引数…]: 値を out に、保存する局所微分をその隣に書く。"""

    def write(b: Branch) -> None:
        slots = [b.slot(2 + i) for i in range(op.arity)]

        def body(lane: Any) -> None:
            xs = [b.load("v", slot, lane) for slot in slots]
            z = b.m.number(op.value(b.m, *xs))
            b.store("v", b.out, lane, z)
            for k, i in enumerate(saved(op)):
                b.store("v", b.beside(b.out, k + 1), lane, _kept(b.m, _partial(op, i, b.m, z, xs)))

        b.run(2 + op.arity, body)

    return write


def elementwise_backward(op: Elementwise) -> Write:
    """[op, out, 引数…]: 局所微分を計算し直し、上流の勾配との積を引数の勾配に足す。"""

    def write(b: Branch) -> None:
        slots = [b.slot(2 + i) for i in range(op.arity)]

        def body(lane: Any) -> None:
            upstream = b.taken(b.out, lane)
            xs = [b.load("v", slot, lane) for slot in slots]
            z = b.load("v", b.out, lane)
            partials = [_partial(op, i, b.m, z, xs) for i in wanted(op)]
            for i, partial in zip(wanted(op), partials):
                b.give(slots[i], lane, b.m.times(upstream, partial))

        b.run(2 + op.arity, body)

    return write
