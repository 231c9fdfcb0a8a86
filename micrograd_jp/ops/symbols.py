"""式の木: 規則を記号 (symbol) に対して 1 度動かすと、その規則の式が木になる。

`Symbol` が引数の、`Writing` が名前空間 `m` の代わりをする。木からは Python の行も、NumPy を呼ぶ行も
書ける。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.ops.gates import gate


def _operation(kind: str) -> Callable[[Any, Any], Symbol]:
    return lambda left, right: Symbol(kind, left, right)


def _reflected(kind: str) -> Callable[[Any, Any], Symbol]:
    return lambda right, left: Symbol(kind, left, right)


class Symbol:
    """記録中の式。演算すると、新しい `Symbol` になる。

    Attributes:
        kind: 演算の名前か記号。変数は `"name"`。
        args: その引数（`Symbol` か数）。変数なら名前。
        key: 同じ式は同じ鍵を持つ（共通部分式をまとめるため）。
    """

    __slots__ = ("args", "key", "kind")

    def __init__(self, kind: str, *args: Any) -> None:
        self.kind, self.args = kind, args
        self.key: Any = (kind, *[a.key if isinstance(a, Symbol) else a for a in args])

    __add__, __radd__ = _operation("+"), _reflected("+")
    __sub__, __rsub__ = _operation("-"), _reflected("-")
    __mul__, __rmul__ = _operation("*"), _reflected("*")
    __truediv__, __rtruediv__ = _operation("/"), _reflected("/")
    __pow__ = _operation("pow")
    __lt__, __le__ = _operation("<"), _operation("<=")
    __gt__, __ge__ = _operation(">"), _operation(">=")
    __eq__ = _operation("==")  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Symbol:
        return Symbol("negative", self)

    def __bool__(self) -> bool:
        raise TypeError("規則の中で if は使えません。m.where を使ってください。")


class Writing:
    """呼ばれた関数を計算せず、書き留める名前空間。"""

    gate = gate

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        return lambda *args: Symbol(name, *args)
