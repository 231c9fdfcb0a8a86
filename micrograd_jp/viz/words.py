"""宣言から書く、人が読む式: `{0} × {1}`、`1 − {z} × {z}`。

`{0}` は 0 番目の引数、`{z}` は結果を表し、ページが名前か数に置き換える。
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from micrograd_jp.graph.shares import local_derivative, parameters
from micrograd_jp.namespace.javascript.arrays import Arrays, Unsupported
from micrograd_jp.namespace.javascript.ways import VJP, way
from micrograd_jp.ops.primitive import Elementwise, Reduction
from micrograd_jp.ops.symbols import ATOM, PRECEDENCE, Symbol, Writer, Writing, shown
from micrograd_jp.viz.text import formula_number, span_text, superscript

LONGEST = 48
"""これより長い式は書かない。"""

_MOST = 8
_SIGNS = {"*": "×", "/": "÷", "-": "−", "<=": "≤", ">=": "≥", "==": "="}
_SHORT = {"maximum": "max", "minimum": "min"}
_AFTER = {"transposed": "ᵀ", "chosen": "[…]"}
_OF_ARRAYS: dict[str, Callable[..., Any]] = {
    "tensor.matmul": lambda x, y: Symbol("@", x, y),
    "tensor.linear": lambda x, w, *b: reduce(
        lambda z, b: Symbol("+", z, b), b, Symbol("@", x, Symbol("transposed", w))
    ),
    "tensor.transpose": lambda x: Symbol("transposed", x),
    "tensor.getitem": lambda x, *_: Symbol("chosen", x),
    "tensor.current": lambda x, *_: x, "tensor.item": lambda x, *_: x,
}  # fmt: skip
_TROUBLE = (TypeError, ArithmeticError, ValueError)


class Words(Writer):
    """式の木を、教科書のような式に綴る。"""

    names_what_is_shared = False

    def _spell(self, expression: Symbol) -> tuple[str, int]:
        if expression.kind == "*":
            for one, other in (expression.args, expression.args[::-1]):
                if not isinstance(one, Symbol) and one == 1:
                    return self._write(other)
        if expression.kind in PRECEDENCE:
            left, right = expression.args
            if not isinstance(right, Symbol) and right < 0:  # x + (−8)
                bracketed = Symbol("name", f"({self.number(right)})")
                return super()._spell(Symbol(expression.kind, left, bracketed))
        return super()._spell(expression)

    def number(self, x: float) -> str:
        """図と同じ桁数で。"""
        return formula_number(x)

    def sign(self, kind: str) -> str:
        """× や − などの記号。"""
        return _SIGNS.get(kind, kind)

    def choice(self, condition: Any, test: str, x: str, y: str) -> str:
        """場合分け。"""
        return f"({test.strip('()')} なら {x}、ほかは {y})"

    def call(self, kind: str, parts: Sequence[tuple[str, int]]) -> tuple[str, int]:
        """関数。べき乗は肩に、根号と絶対値は記号で。"""
        texts = [written for written, _ in parts]
        base = texts[0] if parts and parts[0][1] == ATOM else f"({', '.join(texts[:1])})"
        if kind in _AFTER:
            return base + _AFTER[kind], ATOM
        if kind == "pow":
            if texts[1] == "1":
                return base, ATOM
            return base + (superscript(texts[1]) or f"^({texts[1]})"), ATOM
        if kind == "abs":
            return f"|{texts[0]}|", ATOM
        return f"{_SHORT.get(kind, kind)}({', '.join(texts)})", ATOM


class _Folding(Writing):
    """条件がただの数なら、そこで選ぶ。"""

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return Symbol("where", condition, x, y) if isinstance(condition, Symbol) else (
            x if condition else y
        )  # fmt: skip


def text(tree: Any) -> str:
    """木を綴る。"""
    return Words([("", tree)]).lines[-1][1]


def _short(written: str) -> str:
    written = written.replace("SHUT", "0")
    return written if len(written) <= LONGEST else ""


def value(op: Any, operands: Sequence[Any]) -> str:
    """値の式。長い式は、記号と引数で書く。

    Args:
        op: 演算。
        operands: 引数。計算グラフにない定数は数のまま、ほかは何でもよい。
    """
    known = operands if isinstance(op, Elementwise) else [None] * len(operands)
    return text(tree(op, operands, _arguments(known)))


def tree(op: Any, operands: Sequence[Any], xs: Sequence[Any]) -> Any:
    """値の式の木。

    Args:
        op: 演算。
        operands: 引数。
        xs: 引数の式（`Symbol` か数）。
    """
    if isinstance(op, Reduction):
        return _of_list(op, xs)
    if isinstance(op, Elementwise):
        written = text(op.value(_Folding(), *_arguments(operands)))
        if len(written) <= LONGEST // 2 and "なら" not in written:
            return op.value(_Folding(), *xs)
    return _OF_ARRAYS[op.name](*xs) if op.name in _OF_ARRAYS else Symbol(op.symbol, *xs)


def slopes(op: Any, operands: Sequence[Any]) -> list[str]:
    """引数ごとの局所微分の式。書けないものは空。"""
    m, z = _Folding(), Symbol("name", "{z}")
    if isinstance(op, Reduction):
        if len(operands) > _MOST:
            return [""] * len(operands)
        return [
            _short(text(shown(d))) for d in op.partials(m, z, _arguments([None] * len(operands)))
        ]
    if not isinstance(op, Elementwise):
        return [""] * len(operands)
    try:
        return _slopes(op, m, z, _arguments(operands))
    except _TROUBLE:  # plain numbers raise where IEEE 754 has an answer
        return _slopes(op, m, z, _arguments([None] * len(operands)))


def edge(node: Any, i: int, names: Mapping[int, str]) -> str:
    """配列の演算の i 番目の引数の辺に書く短い式: 要素ごとの演算なら局所微分の数、行列の積なら
    相手の行列 (`Xᵀ`)。値や名前がなければ `⟨vjp⟩`。

    Args:
        node: 配列の演算の結果。
        i: 引数の番号。
        names: 引数の番号から、その名前へ。
    """
    try:
        if isinstance(node.op, Elementwise):
            return span_text(local_derivative(node, i, np.ones(node.shape)))
        label = way(Arrays(), node.op, node.operands, i, parameters(node), node).label
        known = [names.get(k, "") for k in range(len(node.operands))]
        nameless = any(f"{{{k}}}" in label for k, name in enumerate(known) if not name)
        return VJP if nameless else label.format(*known)
    except (Unsupported, *_TROUBLE, RuntimeError, AttributeError):  # no numbers, or no longer
        return VJP


def _slopes(op: Elementwise, m: Any, z: Any, xs: list[Any]) -> list[str]:
    return [_short(text(shown(0 if rule is None else rule(m, z, *xs)))) for rule in op.partials]


def _arguments(operands: Sequence[Any]) -> list[Any]:
    return [
        x if isinstance(x, int | float) else Symbol("name", f"{{{i}}}")
        for i, x in enumerate(operands)
    ]


def _of_list(op: Reduction, xs: Sequence[Any]) -> Any:
    if op.lists == 2:
        half = len(xs) // 2
        xs = [Symbol("*", w, x) for w, x in zip(xs[:half], xs[half:], strict=True)]
    if len(xs) > _MOST:
        xs = [*xs[:3], Symbol("name", "…"), xs[-1]]
    join = {"sum": "+", "dot": "+", "prod": "*"}.get(op.name)
    if join is None or not xs:
        return Symbol(op.symbol, *xs)
    return reduce(lambda left, right: Symbol(join, left, right), xs)
