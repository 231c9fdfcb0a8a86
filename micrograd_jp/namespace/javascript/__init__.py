"""JavaScript を書く名前空間: 演算の宣言から、ページの中で動く関数を書く。

規則を記号 (`ops/symbols.py`) に対して 1 度だけ動かし、式の木を JavaScript に綴る。公式は宣言にしか
なく、ここには綴り方だけがある。できた関数が呼ぶ `m.exp` などは `library.js` にあり、どれも
IEEE 754 のとおり、例外を出さずに inf や nan を返す。

>>> from micrograd_jp.ops.elementwise import tanh
>>> elementwise(tanh)
'{value: (x) => m.tanh(x), partials: [(z, x) => 1 - z * z]}'

`Tensor` の演算は `arrays.py` が、形の決まった配列のプログラムとして書く。
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from micrograd_jp.ops import erf
from micrograd_jp.ops.primitive import Elementwise, Reduction
from micrograd_jp.ops.symbols import COMPARISONS, Symbol, Writer, Writing, shown


class JavaScript(Writer):
    """式の木を JavaScript に綴る。"""

    def number(self, x: float) -> str:
        """数。整数は小数点なしで、無限大は名前で。"""
        if math.isfinite(x):
            whole = x.is_integer() and abs(x) < 1e15 and str(x) != "-0.0"
            return repr(int(x)) if whole else repr(x)
        return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"

    def sign(self, kind: str) -> str:
        """演算子。"""
        return "===" if kind == "==" else kind

    def choice(self, condition: Any, test: str, x: str, y: str) -> str:
        """条件演算子。条件が数なら、0 でなければ真（nan も）。"""
        compared = isinstance(condition, Symbol) and condition.kind in COMPARISONS
        return f"({test if compared else f'{test} != 0'} ? {x} : {y})"

    def call(self, kind: str, parts: Sequence[tuple[str, int]]) -> tuple[str, int]:
        """`m` の関数。リストは配列になる。"""
        text, strength = super().call(kind, parts)
        return (f"[{text[5:-1]}]" if kind == "list" else f"m.{text}"), strength


class _WithLists(Writing):
    """リストを受け取る関数も書き留める。"""

    def __getattr__(self, name: str) -> Any:
        return lambda *xs: Symbol(name, *[_list(x) if isinstance(x, list) else x for x in xs])


def _list(xs: Sequence[Any]) -> Symbol:
    return Symbol("list", *xs)


def function(arguments: Sequence[str], expression: Any) -> str:
    """式を計算する、JavaScript のアロー関数。"""
    *before, (_, result) = JavaScript([("", expression)]).lines
    lines = "".join(f"const {name} = {text}; " for name, text in before)
    body = f"{{ {lines}return {result}; }}" if before else result
    return f"({', '.join(arguments)}) => {body}"


def elementwise(op: Elementwise) -> str:
    """要素ごとの演算の `{value, partials}`。

    `value(x, …)` は値、`partials[i](z, x, …)` は i 番目の引数の局所微分（つながっていなければ
    `SHUT`）を返す。
    """
    m, names = Writing(), [*"xyw"[: op.arity]]
    xs, z = [Symbol("name", name) for name in names], Symbol("name", "z")
    rules = [
        function(["z", *names], shown(0 if rule is None else rule(m, z, *xs)))
        for rule in op.partials
    ]
    return f"{{value: {function(names, op.value(m, *xs))}, partials: [{', '.join(rules)}]}}"


def reduction(op: Reduction, count: int) -> str:
    """`count` 個の数をまとめる演算の `{value, partials}`。`partials(z, xs)` は局所微分の配列。"""
    m, z = _WithLists(), Symbol("name", "z")
    xs = [Symbol("name", f"xs[{i}]") for i in range(count)]
    partials = function(["z", "xs"], _list([shown(d) for d in op.partials(m, z, xs)]))
    return f"{{value: {function(['xs'], op.value(m, xs))}, partials: {partials}}}"


def library() -> str:
    """書かれた関数が使う `m`、`SHUT`、`times` などを定義する JavaScript。"""
    text = (Path(__file__).parent / "library.js").read_text(encoding="utf-8")
    written = function(["x"], erf.formula(Writing(), Symbol("name", "x")))
    return f"{text}m.erf = {written};\n"


def with_rules(rules: Mapping[str, str]) -> str:
    """`library` と、名前から書かれた演算への表 `RULES`。"""
    written = ",\n".join(f"  {json.dumps(name)}: {text}" for name, text in rules.items())
    return f"{library()}\nconst RULES = {{\n{written}\n}};"
