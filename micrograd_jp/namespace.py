"""名前空間 (namespace): 演算の規則が使う数学関数の集まり。

規則は `m.exp(x)` のように書かれ、`m` が何であるかで実行のされ方が決まる。

- `scalar`: Python の float。`Value` の順伝播が使う。速いが、0 除算などで例外を出す。
- `ieee`: NumPy。例外を出さず IEEE 754 の inf と nan を返す。`scalar` が例外を出したときの答え。
- `analytic`: 複素数。複素ステップ法による数値微分だけが使う。
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from types import SimpleNamespace
from typing import Any

import numpy as np


def _sign(x: float) -> float:
    return x if x != x else math.copysign(1.0, x) if x else 0.0


def _floor(x: float) -> float:
    return float(math.floor(x))


def _maximum(x: float, y: float) -> float:
    return x if x >= y or x != x else y


def _minimum(x: float, y: float) -> float:
    return x if x <= y or x != x else y


def _logsumexp(xs: Sequence[float]) -> float:
    top = max(xs)
    if math.isinf(top):  # inf − inf would turn a defined answer into nan
        return math.nan if any(x != x for x in xs) else top
    return top + math.log(sum([math.exp(x - top) for x in xs]))


scalar = SimpleNamespace(
    exp=math.exp, log=math.log, log1p=math.log1p, expm1=math.expm1, sqrt=math.sqrt,
    sin=math.sin, cos=math.cos, tan=math.tan, asin=math.asin, acos=math.acos, atan=math.atan,
    sinh=math.sinh, cosh=math.cosh, tanh=math.tanh,
    asinh=math.asinh, acosh=math.acosh, atanh=math.atanh, erf=math.erf, pow=math.pow,
    abs=abs, sign=_sign, floor=_floor, maximum=_maximum, minimum=_minimum,
    where=lambda condition, x, y: x if condition else y,
    sum=sum, prod=math.prod, dot=lambda ws, xs: sum(map(mul, ws, xs)), logsumexp=_logsumexp,
)  # fmt: skip


class _NumPy:
    """NumPy's functions under the names the rules use, plus the one NumPy lacks."""

    erf = staticmethod(np.vectorize(math.erf, otypes=[np.float64]))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


ieee = _NumPy()


class _ByRealPart(complex):
    """A complex number that compares by its real part, so that x ≤ 0 picks the branch of Re x."""

    def __lt__(self, other: Any) -> bool:
        return self.real < complex(other).real

    def __le__(self, other: Any) -> bool:
        return self.real <= complex(other).real

    def __gt__(self, other: Any) -> bool:
        return self.real > complex(other).real

    def __ge__(self, other: Any) -> bool:
        return self.real >= complex(other).real


class _Analytic:
    """Functions continued analytically from the real axis: |x| is ±x, not the modulus."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        return lambda *xs: complex(function(*map(complex, xs)))

    def abs(self, x: complex) -> complex:
        return -x if x.real < 0 else x

    def sign(self, x: complex) -> complex:
        return complex(_sign(x.real))

    def floor(self, x: complex) -> complex:
        return complex(_floor(x.real))

    def maximum(self, x: complex, y: complex) -> complex:
        return x if x.real >= y.real else y

    def minimum(self, x: complex, y: complex) -> complex:
        return x if x.real <= y.real else y

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return x if complex(condition).real else y

    def erf(self, x: complex) -> complex:
        raise TypeError(
            "erf（と gelu）は複素ステップ法 (complex step) では計算できません。"
            'method="central" か "richardson" を使ってください。'
        )

    sum = staticmethod(sum)
    prod = staticmethod(math.prod)
    dot = staticmethod(scalar.dot)

    def logsumexp(self, xs: Sequence[complex]) -> complex:
        top = max(complex(x).real for x in xs)
        return complex(top + np.log(sum(np.exp(complex(x) - top) for x in xs)))


analytic = _Analytic()
compared_by_real_part = _ByRealPart
