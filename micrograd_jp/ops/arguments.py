"""要素ごとの関数の引数: 位置、名前、既定値。"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import copysign, inf
from typing import Any

from micrograd_jp.ops.primitive import Elementwise

_TORCH_NAMES = {"input": "x", "other": "y", "exponent": "y"}


def bound(
    op: Elementwise,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    about: Callable[[Iterable[str]], str],
) -> tuple[Any, ...]:
    """位置と名前で渡された引数を、宣言された順に並べる。足りない末尾は既定値になる。

    既定値のある引数では None も既定値になる: `clip(x, None, 1)` には下限がない。

    Args:
        op: 演算。
        args: 位置で渡された引数。
        kwargs: 名前で渡された引数。
        about: ここにない引数の名前について、代わりに何と書くかを言う関数。

    Raises:
        TypeError: 引数が余る、足りない、または 2 度渡された。
        RuntimeError: `needs_one` の引数が 1 つも渡されない: `clip(x)` (PyTorch と同じ)。
    """
    if not kwargs and len(args) == op.arity and not (op.defaults and _has_none(args)):
        return args
    kwargs = {_TORCH_NAMES.get(n, n): x for n, x in kwargs.items()}
    defaults = dict(zip(op.arguments[op.arity - len(op.defaults) :], op.defaults, strict=True))
    given = dict(zip(op.arguments, args, strict=False))
    passed = {**given, **kwargs}
    named = {**defaults, **passed}
    twice_or_unknown = kwargs.keys() & given or kwargs.keys() - set(op.arguments)
    if twice_or_unknown or len(args) > op.arity or len(named) < op.arity:
        raise TypeError(
            f"{op.name}({', '.join(op.arguments)}) の引数が合いません (wrong arguments): "
            f"{len(args)} 個の引数と {sorted(kwargs)} が渡されました。{about(kwargs)}"
        )
    if op.needs_one and all(passed.get(n) is None for n in defaults):
        raise RuntimeError(
            f"{op.name} には {' か '.join(defaults)} の少なくとも 1 つを渡してください "
            f"(at least one of {' and '.join(defaults)} must not be None)。"
        )
    return tuple([defaults.get(n) if named[n] is None else named[n] for n in op.arguments])


def _has_none(args: tuple[Any, ...]) -> bool:
    return any(x is None for x in args)


def over(y: Any) -> Any:
    """1 / y。計算グラフの外の数では Python が 0 で例外を出すので、IEEE 754 の ±inf にする。"""
    return 1 / y if y.__class__ not in (float, int, bool) or y else copysign(inf, y)
