"""並びをまとめる命令 (sum, dot, softmax …) の、順伝播と逆伝播の枝。

引数がいくつでもよいので、宣言から 1 行ずつ写せるものではなく、ここに手で書いてある。
答えが宣言 (`ops/lists.py`) と同じことは、テストが確かめる。
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from micrograd_jp.compiler.tape.branches import (
    Branch,
    Write,
    elementwise_backward,
    elementwise_forward,
    times_kept,
)
from micrograd_jp.native.expressions import Number
from micrograd_jp.ops.primitive import Elementwise


def _counted(words: int, body: Callable[[Branch, Number, Any], None]) -> Write:
    """The branch of [op, out, n, …], an instruction of n + `words` words. For some lanes: body."""

    def write(b: Branch) -> None:
        n = b.word(2)
        b.run(n + words, lambda lane: body(b, n, lane))

    return write


def _of_four(body: Callable[[Branch, list[Number], Any], None]) -> Write:
    """The branch of [op, out, a, b, c, d]. For some lanes: body."""

    def write(b: Branch) -> None:
        slots = [b.slot(2 + i) for i in range(4)]
        b.run(6, lambda lane: body(b, slots, lane))

    return write


# ---- 局所微分を保存してある命令 ----------------------------------------------------------------


def _saved1_backward(b: Branch) -> None:
    """[op, out, a]: 引数が 1 つで、局所微分が保存してある。"""
    a = b.slot(2)

    def body(lane: Any) -> None:
        saved = b.load("v", b.beside(b.out, 1), lane)
        b.give(a, lane, times_kept(b.m, b.taken(b.out, lane), saved))

    b.run(3, body)


def _saved_backward(b: Branch, n: Number, lane: Any) -> None:
    """[op, out, n, 引数…]: 局所微分が out の隣に、引数の順に保存してある。"""
    upstream = b.taken(b.out, lane)

    def share(i: Number) -> None:
        saved = b.load("v", b.beside(b.out, i + 1), lane)
        b.give(b.slot(i + 3), lane, times_kept(b.m, upstream, saved))

    b.over_words(n, 1, [], share)


# ---- 和と内積 ----------------------------------------------------------------------------------

# Arguments come in fours, filled up with −0.0, which added to anything changes nothing:
# the more a branch does without asking, the further the CPU looks ahead.

SUM4 = Elementwise(
    "sum4", "Σ", "4 つの数の和", lambda m, a, b, c, d: a + b + c + d, (lambda m, *_: 1,) * 4
)
MULADD = Elementwise(
    "muladd", "ab + c", "積と和", lambda m, a, b, c: a * b + c,
    (lambda m, z, a, b, c: b, lambda m, z, a, b, c: a, lambda m, *_: 1),
)  # fmt: skip


def _sum_forward(b: Branch, n: Number, lane: Any) -> None:
    """[op, out, n, 引数…]。n は 4 の倍数。"""

    def four(i: Number) -> Number:
        w, x, y, z = [b.load("v", b.slot(i + k), lane) for k in range(3, 7)]
        return (w + x) + (y + z)

    b.store("v", b.out, lane, b.sum_of_words(n, 4, b.m.number(-0.0), four))


def _sum_backward(b: Branch, n: Number, lane: Any) -> None:
    upstream = b.taken(b.out, lane)

    def share(i: Number) -> None:
        for k in range(3, 7):
            b.give(b.slot(i + k), lane, upstream)

    b.over_words(n, 4, [], share)


def _dot_forward(b: Branch, n: Number, lane: Any) -> None:
    """[op, out, n, c, w₀, x₀, w₁, x₁, …]: Σ wᵢxᵢ + c。n は w と x を合わせた個数で、8 の倍数。"""

    def four(i: Number) -> Number:
        w = [b.load("v", b.slot(i + 4 + k), lane) for k in range(8)]
        return (w[0] * w[1] + w[2] * w[3]) + (w[4] * w[5] + w[6] * w[7])

    b.store("v", b.out, lane, b.sum_of_words(n, 8, b.load("v", b.slot(3), lane), four))


def _dot_backward(b: Branch, n: Number, lane: Any) -> None:
    upstream = b.taken(b.out, lane)
    b.give(b.slot(3), lane, upstream)

    def share(i: Number) -> None:
        for k in range(4, 12, 2):
            w, x = b.slot(i + k), b.slot(i + (k + 1))
            weight, value = b.load("v", w, lane), b.load("v", x, lane)
            b.give(w, lane, upstream * value)
            b.give(x, lane, upstream * weight)

    b.over_words(n, 8, [], share)


# ---- 総乗、logsumexp、softmax -------------------------------------------------------------------


def _prod_forward(b: Branch, n: Number, lane: Any) -> None:
    """[op, out, n, 引数…]: 各引数の微分は、前の引数の積 × 後ろの引数の積（0 があってもよい）。"""

    def from_the_front(i: Number, product: Number) -> list[Number]:
        b.store("v", b.beside(b.out, i + 1), lane, product)
        return [product * b.load("v", b.slot(i + 3), lane)]

    def from_the_back(i: Number, product: Number) -> list[Number]:
        place = b.beside(b.out, n - i)
        b.store("v", place, lane, b.load("v", place, lane) * product)
        return [product * b.load("v", b.slot(n - i + 2), lane)]

    [product] = b.over_words(n, 1, [b.m.number(1)], from_the_front)
    b.store("v", b.out, lane, product)
    b.over_words(n, 1, [b.m.number(1)], from_the_back)


def _softmax(
    b: Branch, n: Number, lane: Any, first: int = 0, bounded: bool = True
) -> tuple[Number, Number]:
    """Writes the softmax into the slots beside `out`, from `first` on. Returns max x and Σ.

    With the infinities made finite (`bounded`), e / Σe is what e^(x − z) is, also where x is
    infinite.
    """

    def larger(i: Number, top: Number) -> list[Number]:
        return [b.m.maximum(top, b.load("v", b.slot(i + 3), lane))]

    [top] = b.over_words(n, 1, [b.load("v", b.slot(3), lane)], larger)
    top = b.m.finite(top) if bounded else top

    def term(i: Number) -> Number:
        e: Number = b.m.exp(b.load("v", b.slot(i + 3), lane) - top)
        b.store("v", b.beside(b.out, i + first), lane, e)
        return e

    total = b.sum_of_words(n, 1, b.m.number(0), term)
    scale = 1 / total

    def divided(i: Number) -> None:
        slot = b.beside(b.out, i + first)
        b.store("v", slot, lane, b.load("v", slot, lane) * scale)

    b.over_words(n, 1, [], divided)
    return top, total


def _softmax_forward(bounded: bool, b: Branch, n: Number, lane: Any) -> None:
    """[op, out, n, 引数…]: n 個のスロットに softmax を書く。"""
    _softmax(b, n, lane, bounded=bounded)


def _logsumexp_forward(b: Branch, n: Number, lane: Any) -> None:
    """[op, out, n, 引数…]: 隣に、局所微分である softmax を保存する。"""
    top, total = _softmax(b, n, lane, first=1)
    b.store("v", b.out, lane, top + b.m.log(total))


def _softmax_backward(b: Branch, n: Number, lane: Any) -> None:
    """[op, out, n, m, 引数…]: ∂/∂xᵢ = zᵢ·(gᵢ − Σ zⱼgⱼ)。和は、使われている初めの m 個について。"""
    m = b.word(3)

    def product(i: Number) -> Number:
        slot = b.beside(b.out, i)
        return b.load("v", slot, lane) * b.load("g", slot, lane)

    total = b.sum_of_words(m, 1, b.m.number(0), product)

    def share(i: Number) -> None:
        slot = b.beside(b.out, i)
        z, upstream = b.load("v", slot, lane), b.taken(slot, lane)
        b.give(b.slot(i + 4), lane, b.m.where(i < m, z * upstream, 0) - z * total)

    b.over_words(n, 1, [], share)


def _softmax4_forward(bounded: bool, b: Branch, slots: list[Number], lane: Any) -> None:
    """[op, out, a, b, c, d]: 4 つまで。足りない引数は −∞。"""
    xs = [b.load("v", slot, lane) for slot in slots]
    top = b.m.maximum(b.m.maximum(xs[0], xs[1]), b.m.maximum(xs[2], xs[3]))
    top = b.m.finite(top) if bounded else top
    es = b.m.each("exp", [x - top for x in xs])
    scale = 1 / ((es[0] + es[1]) + (es[2] + es[3]))
    for i, e in enumerate(es):
        b.store("v", b.beside(b.out, i), lane, e * scale)


def _softmax4_backward(used: int, b: Branch, slots: list[Number], lane: Any) -> None:
    """[op, out, a, b, c, d]: 使われている結果は、初めの `used` 個。"""
    outs = [b.beside(b.out, i) for i in range(4)]
    zs = [b.load("v", slot, lane) for slot in outs]
    products = [z * b.taken(slot, lane) for z, slot in zip(zs, outs[:used])]
    total = sum(products[1:], products[0])
    for slot, product, z in zip(slots, [*products, 0, 0, 0], zs):
        b.give(slot, lane, product - z * total)


# Beside an infinite x, e^(x − logsumexp x) is 0, but e / Σe with e = e^(x − max x) is nan: "ratio".
FORWARD: dict[str, Write] = {
    "sum4": elementwise_forward(SUM4), "muladd": elementwise_forward(MULADD),
    "sum": _counted(3, _sum_forward), "dot": _counted(4, _dot_forward),
    "prod": _counted(3, _prod_forward), "logsumexp": _counted(3, _logsumexp_forward),
    "softmax4": _of_four(partial(_softmax4_forward, True)),
    "softmax": _counted(3, partial(_softmax_forward, True)),
    "ratio4": _of_four(partial(_softmax4_forward, False)),
    "ratio": _counted(3, partial(_softmax_forward, False)),
}  # fmt: skip
"""並びをまとめる命令の名前から、順伝播の枝を書く関数へ。"""

BACKWARD: dict[str, Write] = {
    "saved1": _saved1_backward, "saved": _counted(3, _saved_backward),
    "sum4": elementwise_backward(SUM4), "muladd": elementwise_backward(MULADD),
    "sum": _counted(3, _sum_backward), "dot": _counted(4, _dot_backward),
    "softmax": _counted(4, _softmax_backward),
    **{f"softmax4.{used}": _of_four(partial(_softmax4_backward, used)) for used in range(1, 5)},
}  # fmt: skip
"""逆伝播の枝を書く関数。`saved` は、局所微分を保存した命令（prod と logsumexp も）すべて。"""
