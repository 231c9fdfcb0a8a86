"""誤差関数 erf の公式。数学ライブラリのない名前空間（NumPy、機械語、JavaScript）のために。

倍精度: |x| < 0.84375 では x + x·R(x²)。係数は Sun Microsystems の fdlibm (1993,
netlib.org/fdlibm)。その外では 1 − e^(−y²)·R(y)。W. J. Cody, "Rational Chebyshev approximations for
the error function", Mathematics of Computation 23 (1969), 631–637。係数は著者の SPECFUN
(netlib.org/specfun/erf)。

単精度: x + x·P(x²) と、1 − e^Q(y)。N. Juffa の erff (2017, stackoverflow.com/a/35148199)。
"""

from __future__ import annotations

from typing import Any

Coefficients = tuple[float, ...]  # highest power first

# Numerator and denominator.
SMALL: tuple[Coefficients, Coefficients] = (
    (-2.37630166566501626084e-05, -5.77027029648944159157e-03, -2.84817495755985104766e-02,
     -3.25042107247001499370e-01, 1.28379167095512558561e-01),
    (-3.96022827877536812320e-06, 1.32494738004321644526e-04, 5.08130628187576562776e-03,
     6.50222499887672944485e-02, 3.97917223959155352819e-01, 1.0),
)  # fmt: skip
LARGE: tuple[Coefficients, Coefficients] = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
     6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
     1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
     3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
BORDER = 0.84375
ONE_FROM = 6.0  # erf is 1 from here on, to the last digit of float64

SINGLE_SMALL: Coefficients = (
    -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1,
)  # fmt: skip
SINGLE_LARGE: Coefficients = (
    -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1,
    -1.28717512e-1, 0.0,
)  # fmt: skip
SINGLE_BORDER = 0.927734375
SINGLE_ONE_FROM = 4.0


def formula(m: Any, x: Any) -> Any:
    """倍精度の erf を、名前空間 `m` の関数で。"""
    y = m.minimum(m.abs(x), ONE_FROM)
    far = m.sign(x) * (1 - m.exp(-(y * y)) * _ratio(y, *LARGE))
    return m.where(m.abs(x) < BORDER, x + x * _ratio(x * x, *SMALL), far)


def single(m: Any, x: Any) -> Any:
    """単精度の erf を、名前空間 `m` の関数で。"""
    y = m.minimum(m.abs(x), SINGLE_ONE_FROM)
    far = m.sign(x) * (1 - m.exp(polynomial(y, SINGLE_LARGE) - y))
    return m.where(m.abs(x) < SINGLE_BORDER, x + x * polynomial(x * x, SINGLE_SMALL), far)


def polynomial(x: Any, coefficients: Coefficients) -> Any:
    """多項式。配列なら、途中の結果は同じメモリに書く。"""
    total = coefficients[0] * x
    for c in coefficients[1:-1]:
        total += c
        total *= x
    if coefficients[-1]:
        total += coefficients[-1]
    return total


def _ratio(x: Any, numerator: Coefficients, denominator: Coefficients) -> Any:
    return polynomial(x, numerator) / polynomial(x, denominator)
