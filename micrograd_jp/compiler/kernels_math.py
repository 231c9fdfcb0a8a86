"""ネイティブの核 (kernel) が使う exp・log などを、その場に展開できる多項式として書く。

数学ライブラリの `expf` は 1 つずつの呼び出しなので、レーン (lane) の並びに対して SIMD 命令に
ならない。ここにある式は四則とビット操作だけなので、LLVM がそのまま並列の命令にする。
式は 1 度だけ書き、float32 と float64 の 2 つのソースコードにする (`kernels_source.py` が使う)。

- exp: x = n·ln 2 + r (|r| ≤ ln 2 / 2) と分け、2ⁿ·eʳ。eʳ は Taylor 展開。
- log: x = 2ᵏ·m (√½ ≤ m < √2) と分け、k·ln 2 + 2·artanh((m − 1)/(m + 1))。
- 還元の方法: W. J. Cody & W. Waite, "Software Manual for the Elementary Functions" (1980)。
  log1p の補正: D. Goldberg, ACM Computing Surveys 23 (1991), Theorem 4 と同じ考え。

どれも数 ulp 以内で、nan・±inf・非正規化数 (denormal)・−0 で IEEE 754 の答えを返す。
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Width:
    """浮動小数点の型ごとに違う数。

    Attributes:
        name: NumPy の型名。
        bits: 同じ幅の整数の型名。
        mantissa: 仮数部のビット数。
        bias: 指数のかたより (exponent bias)。
        ln2: ln 2 を、整数倍しても丸められない上位と、残りの下位に分けたもの。
        low: これ以下の x で eˣ は 0 に丸められる。
        high: これ以上の x で eˣ は inf に丸められる。
        flat: これ以下の x で eˣ − 1 は −1 に丸められる。
        exp_terms: eʳ − 1 の Taylor 展開の次数。
        log_terms: artanh の展開の項の数。
    """

    name: str
    bits: str
    mantissa: int
    bias: int
    ln2: tuple[float, float]
    low: float
    high: float
    flat: float
    exp_terms: int
    log_terms: int


WIDTHS = (
    # ln 2 in two pieces as in fdlibm (double) and Cephes (single): few enough bits in the first
    # that a multiple by an exponent is exact.
    Width("float32", "int32", 23, 127, (0.693359375, -2.12194440e-4), -104.0, 89.0, -20.0, 7, 5),
    Width("float64", "int64", 52, 1023, (6.93147180369123816490e-01, 1.90821492927058770002e-10),
          -746.0, 710.0, -40.0, 13, 11),
)  # fmt: skip

_TEMPLATE = '''
@inlined
def _two_to_the_{name}(k):
    """2ᵏ for normal numbers: k goes straight into the exponent's bits."""
    return {I}((k + {I}({bias})) << {I}({mantissa})).view({F})


@inlined
def _reduced_{name}(x):
    """X = n·ln 2 + r → (n, eʳ − 1). Adding and taking away 1.5·2^{mantissa} rounds to an integer."""
    shifted = x * {F}({log2e!r}) + {F}({magic!r})
    n = shifted - {F}({magic!r})
    r = (x - n * {F}({ln2[0]!r})) - n * {F}({ln2[1]!r})
    # The integer is in the last bits of `shifted`; converting the float would be undefined for nan.
    k = {I}({F}(shifted).view({I}) - {I}({magic_bits}))
    return k, r + r * r * ({taylor})


@inlined
def _exp_{name}(x):
    y = {F}({low!r}) if x < {F}({low!r}) else x
    y = {F}({high!r}) if y > {F}({high!r}) else y
    k, q = _reduced_{name}(y)
    half = k >> {I}(1)  # two factors: one alone could not reach denormal or huge results
    first, second = _two_to_the_{name}(half), _two_to_the_{name}({I}(k - half))
    return ({F}(1) + q) * first * second


@inlined
def _expm1_{name}(x):
    y = {F}({flat!r}) if x < {F}({flat!r}) else x
    y = {F}({high!r}) if y > {F}({high!r}) else y
    k, q = _reduced_{name}(y)
    scale = _two_to_the_{name}({I}(k - {I}(1)))  # half, because 2ᵏ itself may overflow
    z = (scale * q + (scale - {F}(0.5))) * {F}(2)
    return x if abs(x) < {F}({tiny!r}) else z


@inlined
def _log_{name}(x):
    denormal = x < {F}({smallest!r})
    y = x * {F}({lift!r}) if denormal else x
    bits = {F}(y).view({I})
    k = {I}(bits - {I}({root_half_bits})) >> {I}({mantissa})
    f = {I}(bits - (k << {I}({mantissa}))).view({F}) - {F}(1)
    s = f / ({F}(2) + f)
    t = s * s
    n = {F}(k) - ({F}({mantissa}) if denormal else {F}(0))
    z = n * {F}({ln2[0]!r}) + ((f - s * (f - t * ({artanh}))) + n * {F}({ln2[1]!r}))
    z = z if x > {F}(0) else (-{F}(np.inf) if x == {F}(0) else {F}(np.nan))
    return z if x < {F}(np.inf) else x + x


@inlined
def _log1p_{name}(x):
    u = {F}(1) + x
    lost = (x - (u - {F}(1))) / u  # what rounding took from u
    z = _log_{name}(u) + lost
    z = z if u > {F}(0) and u < {F}(np.inf) else _log_{name}(u)
    return x if abs(x) < {F}({tiny!r}) else z


@inlined
def _tanh_{name}(x):
    t = _expm1_{name}({F}(-2) * abs(x))
    z = -t / (t + {F}(2))
    return z if x > {F}(0) else (-z if x < {F}(0) else x)
'''

FUNCTIONS = ("exp", "expm1", "log", "log1p", "tanh")
"""ここで定義する関数の名前。"""

_CHOICE = '''
def {function}(x):
    """Chosen by the type of x when a kernel is compiled."""
    raise NotImplementedError


@overload({function}, inline="never")
def _choose_{function}(x):
    chosen = _{function}_float32 if x == types.float32 else _{function}_float64
    return lambda x: chosen(x)
'''


def source() -> str:
    """関数の定義を並べた Python のソースコード。"""
    parts = [_definitions(w) for w in WIDTHS]
    return "\n".join([*parts, *[_CHOICE.format(function=name) for name in FUNCTIONS]])


def _definitions(w: Width) -> str:
    taylor = [1 / math.factorial(k) for k in range(2, w.exp_terms + 1)]
    artanh = [2 / (2 * k + 1) for k in range(1, w.log_terms + 1)]
    return _TEMPLATE.format(
        **vars(w), F=f"np.{w.name}", I=f"np.{w.bits}", log2e=1 / math.log(2),
        magic=1.5 * 2.0**w.mantissa, taylor=_horner("r", taylor, w), artanh=_horner("t", artanh, w),
        smallest=2.0 ** (1 - w.bias), lift=2.0**w.mantissa,
        magic_bits=_bits(1.5 * 2.0**w.mantissa, w), root_half_bits=_bits(math.sqrt(0.5), w),
        tiny=2.0 ** -(w.mantissa + 2),
    )  # fmt: skip


def _bits(x: float, w: Width) -> int:
    """The number's bits, read as an integer."""
    return int(np.dtype(w.name).type(x).view(w.bits))


def _horner(x: str, coefficients: list[float], w: Width) -> str:
    """A polynomial, constant term first, as nested multiply-adds."""
    *others, text = [f"np.{w.name}({c!r})" for c in coefficients]
    for c in reversed(others):
        text = f"({text}) * {x} + {c}"
    return text
