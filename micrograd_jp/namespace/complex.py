"""複素数の名前空間: 実軸から解析接続 (analytic continuation) した関数。複素ステップ法が使う。"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.namespace.scalar import floor_of, scalar, signum
from micrograd_jp.ops.gates import gate


class ByRealPart(complex):
    """A complex number that compares by its real part, so that x ≤ 0 picks the branch of Re x."""

    def __lt__(self, other: Any) -> bool:
        return self.real < complex(other).real

    def __le__(self, other: Any) -> bool:
        return self.real <= complex(other).real

    def __gt__(self, other: Any) -> bool:
        return self.real > complex(other).real

    def __ge__(self, other: Any) -> bool:
        return self.real >= complex(other).real


class Analytic:
    """Functions continued analytically from the real axis: |x| is ±x, not the modulus."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        return lambda *xs: complex(function(*map(complex, xs)))

    def abs(self, x: complex) -> complex:
        """±x: not the modulus, which is not analytic."""
        return -x if x.real < 0 else x

    def sign(self, x: complex) -> complex:
        """The sign of the real part."""
        return complex(signum(x.real))

    def floor(self, x: complex) -> complex:
        """The floor of the real part."""
        return complex(floor_of(x.real))

    def maximum(self, x: complex, y: complex) -> complex:
        """The argument with the larger real part."""
        return x if x.real >= y.real else y

    def minimum(self, x: complex, y: complex) -> complex:
        """The argument with the smaller real part."""
        return x if x.real <= y.real else y

    gate = gate

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """The branch that the real part picks."""
        return x if complex(condition).real else y

    def erf(self, x: complex) -> complex:
        """Refused: there is no complex erf at hand."""
        raise TypeError(
            "erf（と gelu）は複素ステップ法 (complex step) では計算できません。"
            'method="central" か "richardson" を使ってください。'
        )

    sum = staticmethod(sum)
    prod = staticmethod(math.prod)
    dot = staticmethod(scalar.dot)

    def logsumexp(self, xs: Sequence[complex]) -> complex:
        """Log Σ eˣ, with the largest real part taken out."""
        top = max(complex(x).real for x in xs)
        return complex(top + np.log(sum(np.exp(complex(x) - top) for x in xs)))


analytic = Analytic()
