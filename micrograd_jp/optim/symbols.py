"""更新のたびに変わる数 (`Symbol`): 更新式の中の数を、何回目かと学習率の式にする。"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}


class Symbol:
    """値のまだない数。四則とべきは、その Python の式になる。

    値を見るもの（比較、真偽、float）は断るので、値で変わる式が黙って決まることはない。

    Attributes:
        text: 式。
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __neg__(self) -> Symbol:
        return Symbol(f"(-{self.text})")

    def refuse(self, *_: Any) -> NoReturn:
        """値が要る。"""
        raise TypeError(f"{self.text} has no value yet")

    __bool__ = __float__ = __int__ = __index__ = __abs__ = __round__ = refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = refuse
    __hash__ = None  # type: ignore[assignment]


def _operation(sign: str, swapped: bool) -> Callable[[Any, Any], Symbol]:
    def operation(self: Any, other: Any) -> Symbol:
        left, right = (other, self) if swapped else (self, other)
        return Symbol(f"({_text(left)} {sign} {_text(right)})")

    return operation


for _name, _sign in _SIGNS.items():
    setattr(Symbol, f"__{_name}__", _operation(_sign, False))
    setattr(Symbol, f"__r{_name}__", _operation(_sign, True))


def _text(x: Any) -> str:
    """As Python reads it: the same number, to the last bit."""
    if x.__class__ is Symbol:
        return str(x.text)
    if x.__class__ in (float, int) and math.isfinite(x):
        return f"({x!r})"
    raise TypeError(f"{x!r} is not a number that can be written down")


def function_of(
    names: str, numbers: Sequence[Any], nonzero: Sequence[Symbol] = ()
) -> Callable[..., tuple[float, ...]]:
    """記号 `names` の値から、数を計算する関数。`nonzero` のどれかが 0 になるなら、何も返さない。

    Raises:
        TypeError: 式に書けない数がある。
    """
    body = "".join(f"{_text(x)}, " for x in numbers)
    condition = " and ".join(["True", *map(_text, nonzero)])
    found: Callable[..., tuple[float, ...]] = eval(
        f"lambda {names}: ({body}) if {condition} else ()"
    )
    return found
