"""式の木: 規則を記号 (symbol) に対して 1 度動かすと、その規則の式が木になる。

`Symbol` が引数の、`Writing` が名前空間 `m` の代わりをする。木からは、Python の行も、JavaScript の
関数も、NumPy を呼ぶ行も、人が読む式も書ける。はじめの 2 つと最後は `Writer` の派生クラスが綴る。
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from micrograd_jp.ops.gates import Gate, gate, literally


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
    dtype = None

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

    def astype(self, dtype: Any) -> Symbol:
        """式に型はない。"""
        return self

    def __bool__(self) -> bool:
        raise TypeError("規則の中で if は使えません。m.where を使ってください。")


class Writing:
    """呼ばれた関数を計算せず、書き留める名前空間。"""

    gate = gate

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """条件で選ぶ。条件がもう分かっていれば、選ばれた方そのもの。"""
        if condition.__class__ is bool:
            return x if condition else y
        return Symbol("where", condition, x, y)

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        return lambda *args: Symbol(name, *args)


def shown(d: Any) -> Any:
    """局所微分の式。閉じた門は `SHUT` という名前になる。"""
    if isinstance(d, Gate):
        return Symbol("where", d.shut, Symbol("name", "SHUT"), d.slope)
    return Symbol("name", "SHUT") if literally(d, 0) else d


COMPARISONS = ("<", "<=", ">", ">=", "==")
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "@": 2}
ATOM = 9


class Writer:
    """式の木を、代入の並びにする。2 度以上使う部分式は、先に名前を付ける。

    綴りは Python のもの。ほかの言葉の綴りは、派生クラスが 1 つずつ書く。

    Attributes:
        lines: `(名前, 式)` を順に。
    """

    names_what_is_shared = True

    def __init__(self, results: Sequence[tuple[str, Any]]) -> None:
        self.lines: list[tuple[str, str]] = []
        self.names: dict[Any, str] = {}
        self.uses: Counter[Any] = Counter()
        if self.names_what_is_shared:
            for _, expression in results:
                self._count(expression)
        for name, expression in results:
            # The value itself often is a subexpression of its derivative: call it z there.
            text, _ = self._write(expression)
            self.lines.append((name, text))
            if name == "z" and isinstance(expression, Symbol) and expression.kind != "name":
                self.names[expression.key] = "z"

    def _count(self, expression: Any) -> None:
        if isinstance(expression, Symbol) and expression.kind != "name":
            self.uses[expression.key] += 1
            if self.uses[expression.key] == 1:
                for argument in expression.args:
                    self._count(argument)

    def _write(self, expression: Any) -> tuple[str, int]:
        """Source text and its binding strength."""
        if not isinstance(expression, Symbol):
            number = float(expression)
            return self.number(number), ATOM if number >= 0 else 3
        if expression.kind == "name":
            return expression.args[0], ATOM
        key = expression.key
        if key not in self.names and self.uses[key] > 1:
            text, _ = self._spell(expression)
            if key not in self.names:
                self.names[key] = f"t{len(self.names)}"
                self.lines.append((self.names[key], text))
        if key in self.names:
            return self.names[key], ATOM
        return self._spell(expression)

    def _spell(self, expression: Symbol) -> tuple[str, int]:
        kind, parts = expression.kind, [self._write(a) for a in expression.args]
        texts = [text for text, _ in parts]
        if kind in PRECEDENCE:
            mine = PRECEDENCE[kind]
            (left, l), (right, r) = parts
            left = left if l >= mine else f"({left})"
            right = right if r > mine else f"({right})"
            return f"{left} {self.sign(kind)} {right}", mine
        if kind == "negative":
            text = texts[0] if parts[0][1] == ATOM else f"({texts[0]})"
            return f"{self.sign('-')}{text}", 3
        if kind in COMPARISONS:
            return f"({texts[0]} {self.sign(kind)} {texts[1]})", ATOM
        if kind == "where":
            return self.choice(expression.args[0], *texts), ATOM
        return self.call(kind, parts)

    def number(self, x: float) -> str:
        """数の綴り。"""
        return repr(x)

    def sign(self, kind: str) -> str:
        """演算子の綴り。"""
        return kind

    def choice(self, condition: Any, test: str, x: str, y: str) -> str:
        """条件 `condition`（綴りは `test`）が真なら x、でなければ y。"""
        return f"({x} if {test} else {y})"

    def call(self, kind: str, parts: Sequence[tuple[str, int]]) -> tuple[str, int]:
        """関数の呼び出しと、その結びつきの強さ。"""
        return f"{kind}({', '.join(text for text, _ in parts)})", ATOM
