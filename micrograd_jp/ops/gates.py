"""閉じた門 (gate): 局所微分のうち、「0 倍」ではなく「つながっていない」ことを表すもの。

`relu` の負の側では、出力は入力によらない。上流の勾配が inf や nan でも、入力の勾配は 0 である
（0·inf = nan ではない）。たまたま 0 になった因子 (`x * 0`) は、IEEE 754 のとおり nan を通す。

局所微分の規則では、`m.gate(x <= 0, 0, 1)` のように書く。選ばれた側が文字どおりの数 0 なら、そこは
閉じている。規則そのものが 0 を返せば、どこでも閉じている。
"""

from __future__ import annotations

from typing import Any


class Gate:
    """門のある局所微分。数を掛けられる。

    Attributes:
        shut: 閉じている場所。
        slope: 開いている場所の局所微分。閉じた場所でも有限の数。
    """

    __slots__ = ("shut", "slope")

    def __init__(self, shut: Any, slope: Any) -> None:
        self.shut, self.slope = shut, slope

    def __mul__(self, factor: Any) -> Gate:
        return Gate(self.shut, self.slope * factor)

    __rmul__ = __mul__

    def __neg__(self) -> Gate:
        return self * -1


def literally(d: Any, number: int) -> bool:
    """規則が返した d が、計算された数ではなく、文字どおりの整数 `number` か。"""
    return d.__class__ is int and d == number


NUMBERS: frozenset[Any] = frozenset({bool, int, float})
"""Python の数の型。配列と違って、いっしょに計算するものの型を変えない。"""


def gate(m: Any, condition: Any, x: Any, y: Any) -> Any:
    """条件で選ぶ局所微分。文字どおりの 0 が選ばれたところは閉じている。"""
    if condition.__class__ in NUMBERS:  # a number: only one side is looked at
        return x if condition else y
    if literally(x, 0) and y.__class__ is not Gate and not literally(y, 0):
        return Gate(condition, y)
    (x_shut, x), (y_shut, y) = _parts(x), _parts(y)
    if x_shut is False is y_shut:
        return m.where(condition, x, y)
    shut = m.where(condition, x_shut, y_shut)
    if x_shut is True or x is y:
        return Gate(shut, y)
    return Gate(shut, x if y_shut is True else m.where(condition, x, y))


def _parts(d: Any) -> tuple[Any, Any]:
    return (d.shut, d.slope) if isinstance(d, Gate) else (literally(d, 0), d)


# ---- べき乗 xʸ の局所微分 ----------------------------------------------------------------------


def slope_of_base(m: Any, z: Any, x: Any, y: Any) -> Any:
    """y·x^(y−1). x**0 is 1 everywhere, as in PyTorch; no 0·∞ stands where that gate is shut."""
    if getattr(y, "requires_grad", False):  # the slope has a slope in y, too: 1/x where y = 0
        slope = y * x ** (y - 1)
        return m.gate(m.abs(x) >= 1e-30, slope, m.gate(y == 0, 0, slope))
    return m.gate(y == 0, 0, y * x ** (m.where(y == 0, 1, y) - 1))


def slope_of_exponent(m: Any, z: Any, x: Any, y: Any) -> Any:
    """xʸ·log x. 0**y is 0 for every y > 0 (and 1 for y = 0), as in PyTorch."""
    slope = z * m.log(m.where(x == 0, m.where(y >= 0, 1, x), x))
    return m.gate(x == 0, m.gate(y >= 0, 0, slope), slope)
