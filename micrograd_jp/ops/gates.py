"""閉じた門 (gate): 局所微分のうち、「0 倍」ではなく「つながっていない」ことを表すもの。

`relu` の負の側では、出力は入力によらない。上流の勾配が inf や nan でも、入力の勾配は 0 である
（0·inf = nan ではない）。たまたま 0 になった因子 (`x * 0`) は、IEEE 754 のとおり nan を通す。

局所微分の規則では、`m.gate(x <= 0, 0, 1)` のように書く。選ばれた側が文字どおりの数 0 なら、そこは
閉じている。規則そのものが 0 を返せば、どこでも閉じている。
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Gate(NamedTuple):
    """門のある局所微分。

    Attributes:
        shut: 閉じている場所。
        slope: 開いている場所の局所微分。閉じた場所でも有限の数。
    """

    shut: Any
    slope: Any


def literally(d: Any, number: int) -> bool:
    """規則が返した d が、計算された数ではなく、文字どおりの整数 `number` か。"""
    return d.__class__ is int and d == number


def gate(m: Any, condition: Any, x: Any, y: Any) -> Any:
    """条件で選ぶ局所微分。文字どおりの 0 が選ばれたところは閉じている。"""
    if condition.__class__ is bool:
        return x if condition else y
    (x_shut, x), (y_shut, y) = _halves(x), _halves(y)
    if x_shut is False is y_shut:
        return m.where(condition, x, y)
    plain = x_shut is True and y_shut is False
    shut = condition if plain else m.where(condition, x_shut, y_shut)
    if x_shut is True or x is y:
        return Gate(shut, y)
    return Gate(shut, x if y_shut is True else m.where(condition, x, y))


def _halves(d: Any) -> Gate:
    return d if isinstance(d, Gate) else Gate(literally(d, 0), d)
