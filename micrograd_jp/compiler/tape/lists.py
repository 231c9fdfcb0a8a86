"""並びをまとめる命令 (sum, dot, softmax …) の、順伝播と逆伝播の枝。

引数がいくつでもよいので、宣言から 1 行ずつ写せるものではなく、ここに手で書いてある。
答えが宣言 (`ops/reduce.py`) と同じことは、試験が確かめる。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.compiler.tape.branches import Branch, Write
from micrograd_jp.native.expressions import Number

# ---- 局所微分を保存してある命令 ----------------------------------------------------------------


def _saved1_backward(b: Branch) -> None:
    """[op, out, a]: 引数が 1 つで、局所微分が保存してある。"""
    a = b.slot(2)

    def body(lane: Any) -> None:
        partial = b.load("v", b.beside(b.out, 1), lane)
        b.give(a, lane, b.taken(b.out, lane) * partial)

    b.over_lanes(body)
    b.next(3)


def _saved_backward(b: Branch) -> None:
    """[op, out, n, 引数…]: 局所微分が out の隣に、引数の順に保存してある。"""
    n = b.word(2)

    def body(lane: Any) -> None:
        upstream = b.taken(b.out, lane)

        def share(i: Number) -> list[Number]:
            b.give(b.slot(i + 3), lane, upstream * b.load("v", b.beside(b.out, i + 1), lane))
            return []

        b.over_words(n, 1, [], share)

    b.over_lanes(body)
    b.next(n + 3)


# ---- 和と内積 ----------------------------------------------------------------------------------

# Arguments come in fours, filled up with −0.0, which added to anything changes nothing:
# the more a branch does without asking, the further the CPU looks ahead.


def _sum4_forward(b: Branch) -> None:
    """[op, out, a, b, c, d]。"""
    slots = [b.slot(2 + i) for i in range(4)]

    def body(lane: Any) -> None:
        w, x, y, z = [b.load("v", slot, lane) for slot in slots]
        b.store("v", b.out, lane, w + x + y + z)

    b.over_lanes(body)
    b.next(6)


def _sum4_backward(b: Branch) -> None:
    slots = [b.slot(2 + i) for i in range(4)]

    def body(lane: Any) -> None:
        upstream = b.taken(b.out, lane)
        for slot in slots:
            b.give(slot, lane, upstream)

    b.over_lanes(body)
    b.next(6)


def _sum_forward(b: Branch) -> None:
    """[op, out, n, 引数…]。n は 4 の倍数。"""
    n = b.word(2)

    def body(lane: Any) -> None:
        def four(i: Number, total: Number) -> list[Number]:
            w, x, y, z = [b.load("v", b.slot(i + k), lane) for k in range(3, 7)]
            return [total + ((w + x) + (y + z))]

        [total] = b.over_words(n, 4, [b.m.number(-0.0)], four)
        b.store("v", b.out, lane, total)

    b.over_lanes(body)
    b.next(n + 3)


def _sum_backward(b: Branch) -> None:
    n = b.word(2)

    def body(lane: Any) -> None:
        upstream = b.taken(b.out, lane)

        def share(i: Number) -> list[Number]:
            for k in range(3, 7):
                b.give(b.slot(i + k), lane, upstream)
            return []

        b.over_words(n, 4, [], share)

    b.over_lanes(body)
    b.next(n + 3)


def _muladd_forward(b: Branch) -> None:
    """[op, out, a, b, c]: a·b + c。"""
    slots = [b.slot(2 + i) for i in range(3)]

    def body(lane: Any) -> None:
        x, y, z = [b.load("v", slot, lane) for slot in slots]
        b.store("v", b.out, lane, x * y + z)

    b.over_lanes(body)
    b.next(5)


def _muladd_backward(b: Branch) -> None:
    slots = [b.slot(2 + i) for i in range(3)]

    def body(lane: Any) -> None:
        upstream = b.taken(b.out, lane)
        x, y = [b.load("v", slot, lane) for slot in slots[:2]]
        for slot, share in zip(slots, [upstream * y, upstream * x, upstream]):
            b.give(slot, lane, share)

    b.over_lanes(body)
    b.next(5)


def _dot_forward(b: Branch) -> None:
    """[op, out, n, c, w₀, x₀, w₁, x₁, …]: Σ wᵢxᵢ + c。n は w と x を合わせた個数で、8 の倍数。"""
    n, c = b.word(2), b.slot(3)

    def body(lane: Any) -> None:
        def four(i: Number, total: Number) -> list[Number]:
            w = [b.load("v", b.slot(i + 4 + k), lane) for k in range(8)]
            return [total + ((w[0] * w[1] + w[2] * w[3]) + (w[4] * w[5] + w[6] * w[7]))]

        [total] = b.over_words(n, 8, [b.load("v", c, lane)], four)
        b.store("v", b.out, lane, total)

    b.over_lanes(body)
    b.next(n + 4)


def _dot_backward(b: Branch) -> None:
    n, c = b.word(2), b.slot(3)

    def body(lane: Any) -> None:
        upstream = b.taken(b.out, lane)
        b.give(c, lane, upstream)

        def share(i: Number) -> list[Number]:
            for k in range(4, 12, 2):
                w, x = b.slot(i + k), b.slot(i + (k + 1))
                weight, value = b.load("v", w, lane), b.load("v", x, lane)
                b.give(w, lane, upstream * value)
                b.give(x, lane, upstream * weight)
            return []

        b.over_words(n, 8, [], share)

    b.over_lanes(body)
    b.next(n + 4)


# ---- 総乗、logsumexp、softmax -------------------------------------------------------------------


def _prod_forward(b: Branch) -> None:
    """[op, out, n, 引数…]: 各引数の微分は、前の引数の積 × 後ろの引数の積（0 があってもよい）。"""
    n = b.word(2)

    def body(lane: Any) -> None:
        def from_the_front(i: Number, product: Number) -> list[Number]:
            b.store("v", b.beside(b.out, i + 1), lane, product)
            return [product * b.load("v", b.slot(i + 3), lane)]

        def from_the_back(i: Number, product: Number) -> list[Number]:
            partial = b.beside(b.out, n - i)
            b.store("v", partial, lane, b.load("v", partial, lane) * product)
            return [product * b.load("v", b.slot(n - i + 2), lane)]

        [product] = b.over_words(n, 1, [b.m.number(1)], from_the_front)
        b.store("v", b.out, lane, product)
        b.over_words(n, 1, [b.m.number(1)], from_the_back)

    b.over_lanes(body)
    b.next(n + 3)


def _exponentials(
    b: Branch, n: Number, lane: Any, first: int, bounded: bool
) -> tuple[Number, Number]:
    """Writes e^(xᵢ − top) into the slots beside `out`, from `first` on. Returns top and Σ."""

    def larger(i: Number, top: Number) -> list[Number]:
        return [b.m.maximum(top, b.load("v", b.slot(i + 3), lane))]

    [top] = b.over_words(n, 1, [b.load("v", b.slot(3), lane)], larger)
    top = b.m.finite(top) if bounded else top

    def term(i: Number, total: Number) -> list[Number]:
        e = b.m.exp(b.load("v", b.slot(i + 3), lane) - top)
        b.store("v", b.beside(b.out, i + first), lane, e)
        return [total + e]

    [total] = b.over_words(n, 1, [b.m.number(0)], term)
    return top, total


def _divide(b: Branch, n: Number, lane: Any, first: int, total: Number) -> None:
    scale = 1 / total

    def one(i: Number) -> list[Number]:
        slot = b.beside(b.out, i + first)
        b.store("v", slot, lane, b.load("v", slot, lane) * scale)
        return []

    b.over_words(n, 1, [], one)


def _logsumexp_forward(b: Branch) -> None:
    """[op, out, n, 引数…]: 隣に、局所微分である softmax を保存する。"""
    n = b.word(2)

    def body(lane: Any) -> None:
        # With the infinities made finite, e / Σe is what e^(x − z) is, also where x is infinite.
        top, total = _exponentials(b, n, lane, 1, bounded=True)
        b.store("v", b.out, lane, top + b.m.log(total))
        _divide(b, n, lane, 1, total)

    b.over_lanes(body)
    b.next(n + 3)


def _softmax_forward(bounded: bool) -> Write:
    """[op, out, n, 引数…]: n 個のスロットに softmax を書く。"""

    def write(b: Branch) -> None:
        n = b.word(2)

        def body(lane: Any) -> None:
            _, total = _exponentials(b, n, lane, 0, bounded)
            _divide(b, n, lane, 0, total)

        b.over_lanes(body)
        b.next(n + 3)

    return write


def _softmax_backward(b: Branch) -> None:
    """[op, out, n, m, 引数…]: ∂/∂xᵢ = zᵢ·(gᵢ − Σ zⱼgⱼ)。和は、使われている初めの m 個について。"""
    n, m = b.word(2), b.word(3)

    def body(lane: Any) -> None:
        def product(i: Number, total: Number) -> list[Number]:
            slot = b.beside(b.out, i)
            return [total + b.load("v", slot, lane) * b.load("g", slot, lane)]

        [total] = b.over_words(m, 1, [b.m.number(0)], product)

        def share(i: Number) -> list[Number]:
            slot = b.beside(b.out, i)
            z, upstream = b.load("v", slot, lane), b.taken(slot, lane)
            b.give(b.slot(i + 4), lane, b.m.where(i < m, z * upstream, 0) - z * total)
            return []

        b.over_words(n, 1, [], share)

    b.over_lanes(body)
    b.next(n + 4)


def _softmax4_forward(bounded: bool) -> Write:
    """[op, out, a, b, c, d]: 4 つまで。足りない引数は −∞。"""

    def write(b: Branch) -> None:
        slots = [b.slot(2 + i) for i in range(4)]

        def body(lane: Any) -> None:
            xs = [b.load("v", slot, lane) for slot in slots]
            top = b.m.maximum(b.m.maximum(xs[0], xs[1]), b.m.maximum(xs[2], xs[3]))
            top = b.m.finite(top) if bounded else top
            es = b.m.each("exp", [x - top for x in xs])
            scale = 1 / ((es[0] + es[1]) + (es[2] + es[3]))
            for i, e in enumerate(es):
                b.store("v", b.beside(b.out, i), lane, e * scale)

        b.over_lanes(body)
        b.next(6)

    return write


def _softmax4_backward(used: int) -> Write:
    """[op, out, a, b, c, d]: 使われている結果は、初めの `used` 個。"""

    def write(b: Branch) -> None:
        slots = [b.slot(2 + i) for i in range(4)]

        def body(lane: Any) -> None:
            outs = [b.beside(b.out, i) for i in range(4)]
            zs = [b.load("v", slot, lane) for slot in outs]
            products = [z * b.taken(slot, lane) for z, slot in zip(zs, outs[:used])]
            total = sum(products[1:], products[0])
            for slot, product, z in zip(slots, [*products, 0, 0, 0], zs):
                b.give(slot, lane, product - z * total)

        b.over_lanes(body)
        b.next(6)

    return write


# Beside an infinite x, e^(x − logsumexp x) is 0, but e / Σe with e = e^(x − max x) is nan: "ratio".
FORWARD: dict[str, Write] = {
    "sum4": _sum4_forward, "sum": _sum_forward, "muladd": _muladd_forward, "dot": _dot_forward,
    "prod": _prod_forward, "logsumexp": _logsumexp_forward,
    "softmax4": _softmax4_forward(True), "softmax": _softmax_forward(True),
    "ratio4": _softmax4_forward(False), "ratio": _softmax_forward(False),
}  # fmt: skip
"""並びをまとめる命令の名前から、順伝播の枝を書く関数へ。"""

BACKWARD: dict[str, Write] = {
    "saved1": _saved1_backward, "saved": _saved_backward,
    "sum4": _sum4_backward, "sum": _sum_backward, "muladd": _muladd_backward, "dot": _dot_backward,
    "softmax": _softmax_backward,
    **{f"softmax4.{used}": _softmax4_backward(used) for used in range(1, 5)},
}  # fmt: skip
"""逆伝播の枝を書く関数。`saved` は、局所微分を保存した命令（prod と logsumexp も）すべて。"""
