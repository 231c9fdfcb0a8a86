"""Python の float の名前空間: `Value` の順伝播が使う。速いが、0 除算などで例外を出す。"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from types import SimpleNamespace
from typing import Any

from micrograd_jp.ops.gates import Gate, gate, literally


def signum(x: float) -> float:
    """符号 −1, 0, 1。nan は nan。"""
    return x if x != x else math.copysign(1.0, x) if x else 0.0


def floor_of(x: float) -> float:
    """切り捨て。`math.floor` と違って float で、−0.0 は −0.0。"""
    return float(math.floor(x)) if x else x


def _maximum(x: float, y: float) -> float:
    return x if x >= y or x != x else y


def _minimum(x: float, y: float) -> float:
    return x if x <= y or x != x else y


def _logsumexp(xs: Sequence[float]) -> float:
    top = max(xs)
    if math.isinf(top):  # inf − inf would turn a defined answer into nan
        return math.nan if any(x != x for x in xs) else top
    return top + math.log(sum([math.exp(x - top) for x in xs]))


class Shut(float):
    """閉じた門の局所微分 0: 上流の勾配が inf や nan でも、積は 0。"""

    __slots__ = ()

    def __mul__(self, other: Any) -> float:
        return 0.0

    __rmul__ = __mul__  # asked before float's own: a subclass on the right comes first


def slope(d: Any) -> float:
    """規則が返した局所微分を、1 つの数に。閉じていれば `Shut`。"""
    if isinstance(d, Gate):
        d = 0 if d.shut else d.slope
    return Shut() if literally(d, 0) else float(d)


scalar: SimpleNamespace = SimpleNamespace(
    exp=math.exp, log=math.log, log1p=math.log1p, expm1=math.expm1,
    log2=math.log2, log10=math.log10, sqrt=math.sqrt,
    sin=math.sin, cos=math.cos, tan=math.tan, asin=math.asin, acos=math.acos, atan=math.atan,
    sinh=math.sinh, cosh=math.cosh, tanh=math.tanh,
    asinh=math.asinh, acosh=math.acosh, atanh=math.atanh, erf=math.erf, pow=math.pow,
    abs=abs, sign=signum, floor=floor_of, maximum=_maximum, minimum=_minimum,
    where=lambda condition, x, y: x if condition else y,
    gate=lambda condition, x, y: gate(scalar, condition, x, y), SHUT=Shut(),
    sum=sum, prod=math.prod, dot=lambda ws, xs: sum(map(mul, ws, xs)), logsumexp=_logsumexp,
)  # fmt: skip
