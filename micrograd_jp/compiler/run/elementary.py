"""要素ごとの規則を、NumPy の関数を `out=` つきで呼ぶ行に書き下す。

規則を記号 (`ops/symbols.py`) に対して 1 度だけ動かし、式の木を 1 行ずつにする。
途中の結果は使い回す作業用の配列に入るので、実行中に新しいメモリは要らない。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from micrograd_jp.ops.gates import Gate, literally
from micrograd_jp.ops.primitive import Elementwise
from micrograd_jp.ops.symbols import Symbol, Writing

_UFUNCS = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "pow": "power",
    "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal", "==": "equal",
    "negative": "negative", "abs": "absolute", "asin": "arcsin", "acos": "arccos",
    "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
}  # fmt: skip
_BOOLEAN = {"<", "<=", ">", ">=", "=="}
_POWERS = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}  # as NumPy's own ** does
_TROUBLE = (TypeError, ArithmeticError, ValueError)


class Writer:
    """1 つの手順の行を書く。

    Args:
        emit: 1 行を書き足す関数。
        scratch: 作業用の配列の名前を作る関数。引数は、真偽値の配列か。
    """

    def __init__(self, emit: Callable[[str], None], scratch: Callable[[bool], str]) -> None:
        self._emit, self._scratch = emit, scratch
        self._known: dict[Any, str] = {}

    def remember(self, tree: Any, name: str) -> None:
        """この式は、もう `name` にある。"""
        if isinstance(tree, Symbol) and tree.kind != "name":
            self._known[tree.key] = name

    def write(self, tree: Any, out: str = "") -> str:
        """式を計算する行を書き、結果の名前（か数）を返す。`out` があれば、必ずそこに入れる。"""
        name = self._value(tree, out)
        if out and name != out:
            self._emit(f"copyto({out}, {name})")
            return out
        return name

    def product(self, g: str, partial: Any, out: str = "") -> str:
        """上流の勾配 × 局所微分。"""
        if isinstance(partial, Gate):
            opened, shut = self.product(g, partial.slope), self._value(partial.shut, "")
            target = out or self._scratch(False)
            self._emit(f"closed({opened}, {shut}, {target})")
            return target
        if literally(partial, 0):
            target = out or self._scratch(False)
            self._emit(f"copyto({target}, 0)")
            return target
        upstream = Symbol("name", g)
        if not isinstance(partial, Symbol) and partial in (1, -1):
            return self.write(upstream if partial == 1 else Symbol("negative", upstream), out)
        return self.write(Symbol("*", upstream, partial), out)

    def _value(self, tree: Any, out: str) -> str:
        if not isinstance(tree, Symbol):
            return _number(tree)
        if tree.kind == "name":
            return str(tree.args[0])
        key = tree.key
        if key not in self._known:
            self._known[key] = self._computed(tree, out)
        return self._known[key]

    def _computed(self, tree: Symbol, out: str) -> str:
        kind, args = tree.kind, tree.args
        if kind == "where":
            condition, x, y = args
            return self._chosen(condition, x, y, out)
        if kind == "pow" and not isinstance(args[1], Symbol) and args[1] == 1:
            return self._value(args[0], "")
        if kind == "pow" and not isinstance(args[1], Symbol) and float(args[1]) in _POWERS:
            kind, args = _POWERS[float(args[1])], args[:1]
        xs = [self._value(a, "") for a in args]
        target = self._scratch(True) if kind in _BOOLEAN else out or self._scratch(False)
        if kind == "erf":  # the one function that is not NumPy's own
            self._emit(f"copyto({target}, erf({xs[0]}))")
        else:
            self._emit(f"{_UFUNCS.get(kind, kind)}({', '.join(xs)}, out={target})")
        return target

    def _chosen(self, condition: Any, x: Any, y: Any, out: str) -> str:
        if not isinstance(condition, Symbol):
            return self._value(x if condition else y, out)
        mask = self._value(condition, "")
        if condition.kind not in _BOOLEAN:
            test = self._scratch(True)
            self._emit(f"not_equal({mask}, 0, out={test})")
            mask = test
        first, second = self._value(x, ""), self._value(y, "")
        boolean = _is_boolean(x) and _is_boolean(y)
        usable = out and not boolean and out not in (first, second, mask)
        target = out if usable else self._scratch(boolean)
        self._emit(f"copyto({target}, {second})")
        self._emit(f"copyto({target}, {first}, where={mask})")
        return target


def _number(x: Any) -> str:
    # inf and nan are names that the generated code knows.
    return repr(x if x.__class__ is bool else float(x))


def _is_boolean(tree: Any) -> bool:
    if not isinstance(tree, Symbol):
        return tree.__class__ is bool
    if tree.kind == "where":
        return all(map(_is_boolean, tree.args[1:]))
    return tree.kind in _BOOLEAN


def trees(
    op: Elementwise, operands: Sequence[Any], names: Sequence[str], z: str
) -> tuple[Any, list[Any]]:
    """演算の値と局所微分の式。

    Args:
        op: 演算。
        operands: 引数の名前か、定数の値 (float)。
        names: 引数の名前（定数のものも、配列の名前）。定数のままでは規則が動かないとき使う。
        z: 値の名前。
    """
    try:
        return _run(op, [x if isinstance(x, float) else Symbol("name", x) for x in operands], z)
    except _TROUBLE:  # plain numbers raise where IEEE 754 has an answer
        return _run(op, [Symbol("name", name) for name in names], z)


def _run(op: Elementwise, xs: list[Any], z: str) -> tuple[Any, list[Any]]:
    m, result = Writing(), Symbol("name", z)
    value = op.value(m, *xs)
    return value, [None if rule is None else rule(m, result, *xs) for rule in op.partials]
