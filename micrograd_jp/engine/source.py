"""規則を Python のソースコードに書き下す。

演算の規則を記号 (`ops/symbols.py`) に対して 1 度だけ実行し、できた式の木を、値と局所微分を計算する
代入文にする。規則を毎回呼ぶより速く、しかも公式は宣言にしかない。

    >>> from micrograd_jp.ops.elementwise import tanh
    >>> for line in statements(tanh, ["x"], {0: "dx"}): print(line)
    z = tanh(x)
    dx = 1.0 - z * z
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from micrograd_jp.ops.gates import Gate, literally
from micrograd_jp.ops.primitive import Elementwise
from micrograd_jp.ops.symbols import Symbol, Writing

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
_ATOM = 9


def statements(op: Elementwise, inputs: Sequence[str], outputs: Mapping[int, str]) -> list[str]:
    """`z` と、求められた局所微分を計算する代入文。

    Args:
        op: 要素ごとの演算。
        inputs: 引数の変数名。
        outputs: 引数の番号から、その局所微分を入れる変数名への対応。

    Returns:
        1 行に 1 つの代入文。2 度以上使う部分式は先に変数へ入れる。
    """
    m, xs, z = Writing(), [Symbol("name", name) for name in inputs], Symbol("name", "z")
    results: list[tuple[str, Any]] = [("z", op.value(m, *xs))]
    for i, name in outputs.items():
        rule = op.partials[i]
        results.append((name, _shown(0 if rule is None else rule(m, z, *xs))))
    return _Writer(results).lines


def _shown(d: Any) -> Any:
    """A partial derivative, with the name SHUT for what is not connected."""
    if isinstance(d, Gate):
        return Symbol("where", d.shut, Symbol("name", "SHUT"), d.slope)
    return Symbol("name", "SHUT") if literally(d, 0) else d


class _Writer:
    """Turns recorded expressions into lines, naming what is used more than once."""

    def __init__(self, results: list[tuple[str, Any]]) -> None:
        self.lines: list[str] = []
        self.names: dict[Any, str] = {}
        self.uses: Counter[Any] = Counter()
        for _, expression in results:
            self._count(expression)
        for name, expression in results:
            # The value itself often is a subexpression of its derivative: call it z there.
            text, _ = self._write(expression)
            self.lines.append(f"{name} = {text}")
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
            return repr(number), _ATOM if number >= 0 else 3
        if expression.kind == "name":
            return expression.args[0], _ATOM
        key = expression.key
        if key not in self.names and self.uses[key] > 1:
            text, _ = self._spell(expression)
            if key not in self.names:
                self.names[key] = f"t{len(self.names)}"
                self.lines.append(f"{self.names[key]} = {text}")
        if key in self.names:
            return self.names[key], _ATOM
        return self._spell(expression)

    def _spell(self, expression: Symbol) -> tuple[str, int]:
        kind, parts = expression.kind, [self._write(a) for a in expression.args]
        texts = [text for text, _ in parts]
        if kind in _PRECEDENCE:
            mine = _PRECEDENCE[kind]
            (left, l), (right, r) = parts
            left = left if l >= mine else f"({left})"
            right = right if r > mine else f"({right})"
            return f"{left} {kind} {right}", mine
        if kind == "negative":
            return f"-{texts[0] if parts[0][1] == _ATOM else f'({texts[0]})'}", 3
        if kind in ("<", "<=", ">", ">=", "=="):
            return f"({texts[0]} {kind} {texts[1]})", _ATOM
        if kind == "where":
            return f"({texts[1]} if {texts[0]} else {texts[2]})", _ATOM
        return f"{kind}({', '.join(texts)})", _ATOM
