"""名前空間 (namespace) `Native`: 演算の規則を機械語にする。

ほかの名前空間と同じく、規則はこれが何であるかを知らない。四則とビット操作で書いた exp や log は、
その場に展開されて SIMD 命令になる。数学ライブラリの `expf` を 1 つずつ呼ぶのでは、そうならない。

- exp: x = n·ln 2 + r (|r| ≤ ln 2 / 2) と分け、2ⁿ·eʳ。eʳ は Taylor 展開。
- log: x = 2ᵏ·m (√½ ≤ m < √2) と分け、k·ln 2 + 2·artanh((m − 1)/(m + 1))。
- 分け方: W. J. Cody & W. Waite, "Software Manual for the Elementary Functions" (1980)。
  log1p の補正: D. Goldberg, ACM Computing Surveys 23 (1991), Theorem 4 と同じ考え。

どれも 3 ulp 以内で、nan・±inf・非正規化数 (denormal)・−0 で IEEE 754 の答えを返す。
ほかの関数 (sin, erf, pow …) は、数学ライブラリを 1 つずつ呼ぶ。
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrograd_jp.native.expressions import BITS, Code, Number, joined
from micrograd_jp.ops.gates import Gate, gate, literally

LIBRARY = ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh",
           "log2", "log10", "erf", "pow")  # fmt: skip
"""数学ライブラリ (libm) から呼ぶ関数。核には、この順に並んだ番地の表が渡される。"""


@dataclass(frozen=True)
class Format:
    """浮動小数点の型ごとに違う数。

    Attributes:
        dtype: NumPy の型名。
        mantissa: 仮数部のビット数。
        bias: 指数のかたより (exponent bias)。
        ln2: ln 2 を、整数倍しても丸められない上位と、残りの下位に分けたもの。
        low: これ以下の x で eˣ は 0 に丸められる。
        high: これ以上の x で eˣ は inf に丸められる。
        flat: これ以下の x で eˣ − 1 は −1 に丸められる。
        exp_degree: eʳ の Taylor 展開の次数。
        log_terms: artanh の展開の項の数。
    """

    dtype: str
    mantissa: int
    bias: int
    ln2: tuple[float, float]
    low: float
    high: float
    flat: float
    exp_degree: int
    log_terms: int

    @property
    def tiny(self) -> float:
        """これより小さな x では、log(1 + x), eˣ − 1 は x に丸められる。"""
        return 2.0 ** -(self.mantissa + 2)

    @property
    def smallest_normal(self) -> float:
        """非正規化数でない最小の正の数。"""
        return 2.0 ** (1 - self.bias)

    def bits(self, x: float) -> int:
        """数 x のビットを整数として読んだもの。"""
        number = np.dtype(self.dtype).type(x)
        return int(number.view(f"i{number.itemsize}"))


FORMATS = {
    # ln 2 in two pieces as in Cephes (single) and fdlibm (double): few enough bits in the first
    # that a multiple by an exponent is exact.
    "float": Format("float32", 23, 127, (0.693359375, -2.12194440e-4), -104.0, 89.0, -20.0, 7, 5),
    "double": Format("float64", 52, 1023,
                     (6.93147180369123816490e-01, 1.90821492927058770002e-10),
                     -746.0, 710.0, -40.0, 13, 11),
}  # fmt: skip


class Native:
    """機械語を書く名前空間。

    Args:
        code: 書き足す先。
        kind: `"float"` か `"double"`。
        width: ベクトルの幅。

    Attributes:
        calls: exp や sin など、四則と比較より重い関数を書いた回数。
        library_calls: そのうち、数学ライブラリを要素ごとに呼ぶもの。
    """

    def __init__(self, code: Code, kind: str, width: int) -> None:
        self.code, self.kind, self.width = code, kind, width
        self.calls = self.library_calls = 0
        self.format = FORMATS[kind]
        code.power = self.pow

    def number(self, x: Any) -> Number:
        """Python の数を定数にする。"""
        return x if isinstance(x, Number) else Number(self.code, self.kind, self.width, "").same(x)

    # ---- 1 つか 2 つの命令になるもの ----

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """両方を計算して、片方を選ぶ。枝分かれ (branch) すると SIMD にならない。"""
        if not isinstance(condition, Number):
            return x if condition else y
        if condition.kind != "i1":
            condition = condition != 0
        if not isinstance(x, Number):
            x = y.same(x) if isinstance(y, Number) else self.number(x)
        y = x.same(y)
        chosen: Number = x.made(
            f"select {condition.type} {condition.text}, {x.type} {x.text}, {y.type} {y.text}"
        )
        return chosen

    gate = gate

    def times(self, g: Number, d: Any) -> Any:
        """上流の勾配と局所微分の積。門の閉じた所では、上流が何でも 0。"""
        if isinstance(d, Gate):
            return self.where(d.shut, 0, self.times(g, d.slope))
        return 0 if literally(d, 0) else g if literally(d, 1) else g * d

    def _intrinsic(self, name: str, x: Any) -> Number:
        value = self.number(x)
        suffix = "f32" if value.kind == "float" else "f64"
        full = f"@llvm.{name}.{suffix if value.width == 1 else f'v{value.width}{suffix}'}"
        self.code.declared.add(f"declare {value.type} {full}({value.type})")
        return value.made(f"call {value.type} {full}({value.type} {value.text})")

    def abs(self, x: Any) -> Number:
        """|x|。"""
        return self._intrinsic("fabs", x)

    def sqrt(self, x: Any) -> Number:
        """√x。"""
        return self._intrinsic("sqrt", x)

    def floor(self, x: Any) -> Number:
        """切り捨て。"""
        return self._intrinsic("floor", x)

    def sign(self, x: Any) -> Any:
        """符号 −1, 0, 1。nan は nan。"""
        x = self.number(x)
        return self.where(x > 0, 1, self.where(x < 0, -1, self.where(x != x, x, 0)))

    def maximum(self, x: Any, y: Any) -> Any:
        """大きい方。どちらかが nan なら nan。"""
        x = self.number(x)
        return self.where((x >= y) | (x != x), x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        """小さい方。どちらかが nan なら nan。"""
        x = self.number(x)
        return self.where((x <= y) | (x != x), x, y)

    def finite(self, x: Number) -> Number:
        """±inf を、有限の最大の数にする。nan はそのまま。"""
        largest = float(np.finfo(self.format.dtype).max)
        y = self.where(x > largest, largest, x)
        return self.number(self.where(y < -largest, -largest, y))

    def total(self, x: Number) -> Number:
        """ベクトルの要素の和。"""
        suffix = f"v{x.width}{'f32' if x.kind == 'float' else 'f64'}"
        name = f"@llvm.vector.reduce.fadd.{suffix}"
        self.code.declared.add(f"declare {x.kind} {name}({x.kind}, {x.type})")
        zero = f"{x.kind} -0.0"
        text = self.code.result(f"call reassoc {x.kind} {name}({zero}, {x.type} {x.text})")
        return self.code.number(x.kind, 1, text)

    # ---- 多項式 ----

    def _power_of_two(self, k: Number) -> Number:
        """2ᵏ, normal numbers only: k goes straight into the bits of the exponent."""
        return ((k + self.format.bias) << self.format.mantissa).as_float(self.kind)

    def _reduced(self, x: Number) -> tuple[Number, Number]:
        """X = n·ln 2 + r → n and eʳ − 1. Adding and taking away 1.5·2^mantissa rounds."""
        f = self.format
        magic = 1.5 * 2.0**f.mantissa
        shifted = x * (1 / math.log(2)) + magic
        n = shifted - magic
        r = (x - n * f.ln2[0]) - n * f.ln2[1]
        # The integer stands in the last bits of `shifted`; converting a nan would be undefined.
        k = shifted.bits() - f.bits(magic)
        return k, r + r * r * _polynomial(
            r, [1 / math.factorial(i) for i in range(2, f.exp_degree + 1)]
        )

    def exp(self, x: Any) -> Any:
        """Eˣ。"""
        self.calls += 1
        x, f = self.number(x), self.format
        # Results that would be rounded to 0 are not computed: processors are slow at underflow.
        vanishing = x < f.low
        y = self.where(vanishing, 0, self.where(x > f.high, f.high, x))
        k, q = self._reduced(y)
        half = k >> 1  # two factors: one alone could not reach denormal or huge results
        z = (q + 1) * self._power_of_two(half) * self._power_of_two(k - half)
        return self.where(vanishing, 0, z)

    def expm1(self, x: Any) -> Any:
        """Eˣ − 1。"""
        self.calls += 1
        x, f = self.number(x), self.format
        y = self.where(x < f.flat, f.flat, self.where(x > f.high, f.high, x))
        k, q = self._reduced(y)
        scale = self._power_of_two(k - 1)  # half, because 2ᵏ itself may overflow
        return self.where(self.abs(x) < f.tiny, x, (scale * q + (scale - 0.5)) * 2)

    def _log_of_normal(self, x: Number) -> Number:
        f = self.format
        bits = x.bits()
        k = (bits - f.bits(math.sqrt(0.5))) >> f.mantissa
        m = (bits - (k << f.mantissa)).as_float(self.kind) - 1
        s = m / (m + 2)
        t = s * s
        tail = t * _polynomial(t, [2 / (2 * i + 1) for i in range(1, f.log_terms + 1)])
        n = k.converted(self.kind)
        return n * f.ln2[0] + ((m - s * (m - tail)) + n * f.ln2[1])

    def _log_elsewhere(self, x: Number, z: Number) -> Any:
        """Z where x is positive and finite, else what log(x) is there."""
        z = self.where(x > 0, z, self.where(x == 0, -math.inf, math.nan))
        return self.where(x < math.inf, z, x + x)

    def log(self, x: Any) -> Any:
        """自然対数。"""
        self.calls += 1
        x, f = self.number(x), self.format
        denormal = x < f.smallest_normal
        z = self._log_of_normal(self.where(denormal, x * 2.0**f.mantissa, x))
        return self._log_elsewhere(x, z - self.where(denormal, f.mantissa * math.log(2), 0))

    def log1p(self, x: Any) -> Any:
        """log(1 + x)."""
        self.calls += 1
        x = self.number(x)
        u = x + 1
        z = self._log_of_normal(u) + (x - (u - 1)) / u  # what rounding took from u
        return self.where(self.abs(x) < self.format.tiny, x, self._log_elsewhere(u, z))

    def tanh(self, x: Any) -> Any:
        """双曲線正接。"""
        x = self.number(x)
        t = self.expm1(self.abs(x) * -2)
        z = -t / (t + 2)
        return self.where(x > 0, z, self.where(x < 0, -z, x))

    # ---- 数学ライブラリ ----

    def pow(self, x: Any, y: Any) -> Number:
        """Xʸ。指数が、0.5 の倍数の小さな定数なら、掛け算と平方根で済む。"""
        if isinstance(y, Number) or not is_short_power(y):
            return self._library("pow", x, y)
        return self._repeated(self.number(x), float(y))

    def _repeated(self, x: Number, y: float) -> Number:
        whole, half = divmod(int(math.fabs(2 * y)), 2)
        if not half:
            factors = [1 / x if y < 0 else x] * whole
            return functools.reduce(operator.mul, factors) if whole else x.same(1)
        root = self.sqrt(x + 0)  # a root of −0 is 0
        factors = [1 / root] * (2 * whole + 1) if y < 0 else [x] * whole + [root]
        z = functools.reduce(operator.mul, factors)
        return self.number(self.where(x == -math.inf, 0 if y < 0 else math.inf, z))

    def __getattr__(self, name: str) -> Any:
        if name not in LIBRARY:
            raise AttributeError(name)
        return lambda x: self._library(name, x)

    def _library(self, name: str, *xs: Any) -> Number:
        """One call for every element, always in double precision."""
        self.calls += 1
        self.library_calls += 1
        columns = [self.number(x).converted("double").split() for x in xs]
        entry = f"getelementptr ptr, ptr %library, i64 {LIBRARY.index(name)}"
        address = self.code.result(f"load ptr, ptr {self.code.result(entry)}")
        results = []
        for args in zip(*columns):
            given = ", ".join(f"double {a.text}" for a in args)
            results.append(args[0].made(f"call double {address}({given})"))
        return joined(results).converted(self.kind)

    def each(self, function: str, xs: Sequence[Number]) -> list[Number]:
        """いくつもの値に同じ関数。レーンが 1 本のときは、並べて 1 つのベクトルにする。"""
        if self.width > 1:
            return [getattr(self, function)(x) for x in xs]
        wide = Native(self.code, self.kind, len(xs))
        parts: list[Number] = getattr(wide, function)(joined(xs)).split()
        self.code.power = self.pow
        return parts


def is_short_power(y: float) -> bool:
    """Xʸ が、少しの掛け算と平方根で済むか。"""
    return math.fabs(y) <= 4 and float(2 * y).is_integer()


def _polynomial(x: Number, coefficients: Sequence[float]) -> Number:
    """The constant term first."""
    total: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = x * total + c
    return x.same(total)


assert set(FORMATS) == set(BITS)
