"""でたらめな式 (random expression) を、人が書くような Python のコードとして組み立てる。

組み立ての手順 (`Move`) は何でもよい。引数が演算の定義域に入るように足したり割ったりし、
折れ点から離し、最後に残った項をすべて足すので、どんな手順からも、その入力のまわりで滑らかで、
すべての入力の微分が小さすぎも大きすぎもしない式ができる。
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from micrograd_jp import functions
from micrograd_jp.engine.value import Value
from micrograd_jp.ops.primitive import Elementwise, Primitive, Reduction
from micrograd_jp.testing.faults import run

MARGIN = 0.1
"""折れ点からこれだけ離す（`Primitive.kink` の値で測る）。"""

_LARGEST = 32.0  # values and slopes beyond this are divided
_SMALLEST = 0.05  # an input with a smaller slope is added once more


@dataclass(unsafe_hash=True, repr=False)
class Expression:
    """呼び出せる式と、それを滑らかに試せる入力。`repr` はそのまま実行できる Python。

        >>> e = Expression("lambda x, y: mg.sin((t1 := x * y)) + t1", (0.5, 2.0))
        >>> round(e(*e.inputs).data, 4)
        1.8415

    Args:
        source: lambda 式のソースコード。`mg` は micrograd_jp（の関数, `micrograd_jp.functions`）。
        inputs: 引数の値。
    """

    source: str
    inputs: Sequence[float]

    def __post_init__(self) -> None:
        self.inputs = tuple(self.inputs)
        self._function = eval(self.source, {"mg": functions})

    def __call__(self, *xs: Any) -> Any:
        """`Value` か数を引数に、式を計算する。"""
        return self._function(*xs)

    def __repr__(self) -> str:
        return f"Expression({self.source!r}, {self.inputs!r})"


@dataclass(frozen=True)
class Move:
    """演算を 1 つ加える手順。

    Attributes:
        primitive: 演算。
        arguments: 引数（並びをまとめる演算では、その要素）。整数は「何個前の項か」、
            浮動小数点数は定数。
    """

    primitive: Primitive
    arguments: tuple[int | float, ...]


def build(inputs: Sequence[float], steps: Sequence[Move]) -> Expression:
    """手順どおりに式を組み立てる。

    Args:
        inputs: 入力の値。
        steps: 演算を加える手順。
    """
    names = list("xyz") if len(inputs) <= 3 else [f"x{i + 1}" for i in range(len(inputs))]
    names = names[: len(inputs)]
    variables = [
        _Term(name, (), x, tuple(float(i == j) for j in range(len(inputs))))
        for i, (name, x) in enumerate(zip(names, inputs, strict=True))
    ]
    terms, unused = list(variables), list[_Term]()
    for step in steps:
        picked = [
            terms[-1 - a % len(terms)] if isinstance(a, int) else _constant(a, len(inputs))
            for a in step.arguments
        ]
        unused = [term for term in unused if not any(term is other for other in picked)]
        terms.append(_moderate(_applied(step, picked)))
        unused.append(terms[-1])
    total = unused[0]
    for term in unused[1:]:
        total = _moderate(_sum(total, term))
    for i, variable in enumerate(variables):
        if abs(total.slopes[i]) < _SMALLEST:
            total = _sum(total, variable)
    return Expression(f"lambda {', '.join(names)}: {_written(total)}", inputs)


# ---- 項 --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Term:
    """A piece of the expression with its value and its slope in every input."""

    template: str
    parts: tuple[_Term, ...]
    value: float
    slopes: tuple[float, ...]

    def scaled(self, by: float) -> _Term:
        slopes = tuple(slope / by for slope in self.slopes)
        return _Term(f"({{0}}) / {by!r}", (self,), self.value / by, slopes)

    def shifted(self, by: float) -> _Term:
        if not self.parts and not any(self.slopes):
            return _constant(self.value + by, len(self.slopes))
        sign = "+" if by >= 0 else "-"
        return _Term(f"({{0}}) {sign} {abs(by)!r}", (self,), self.value + by, self.slopes)


def _constant(c: float, inputs: int) -> _Term:
    return _Term(repr(c), (), c, (0.0,) * inputs)


def _sum(a: _Term, b: _Term) -> _Term:
    slopes = tuple(p + q for p, q in zip(a.slopes, b.slopes, strict=True))
    return _Term("({0}) + ({1})", (a, b), a.value + b.value, slopes)


def _moderate(term: _Term) -> _Term:
    size, by = max(map(abs, (term.value, *term.slopes))), 1.0
    while size / by > _LARGEST:
        by *= 2
    return term if by == 1 else term.scaled(by)


def _applied(step: Move, picked: Sequence[_Term]) -> _Term:
    op = step.primitive
    if isinstance(op, Reduction):
        fitted = [_fitted(term, *op.domain) for term in picked]
        n = len(fitted) // op.lists
        lists = [fitted[k * n : (k + 1) * n] for k in range(op.lists)]
        places = iter(range(len(fitted)))
        texts = [", ".join(f"{{{next(places)}}}" for _ in xs) for xs in lists]
        template = f"mg.{op.name}({', '.join(f'[{text}]' for text in texts)})"
        return _result(op, template, fitted, [[Value(t.value) for t in xs] for xs in lists])
    assert isinstance(op, Elementwise)
    fitted = [
        _condition(term) if rule is None else _fitted(term, *domain)
        for term, domain, rule in zip(picked, op.domain, op.partials, strict=True)
    ]
    i, by = away_from_kink(op, [term.value for term in fitted])
    if by:
        fitted[i] = fitted[i].shifted(by)
    return _result(op, _template(op), fitted, [Value(t.value) for t in fitted])


def _template(op: Elementwise) -> str:
    if op.name == "neg":
        return "-({0})"
    if op.name == "abs":
        return "abs({0})"
    if op.operator:
        return f"({{0}}) {op.operator} ({{1}})"
    return f"mg.{op.name}({', '.join(f'{{{i}}}' for i in range(op.arity))})"


def _result(op: Primitive, template: str, parts: Sequence[_Term], args: list[Any]) -> _Term:
    out = run(op, *args)
    slopes = tuple(
        sum(d * part.slopes[i] for d, part in zip(out.partials, parts, strict=True))
        for i in range(len(parts[0].slopes))
    )
    return _Term(template, tuple(parts), out.data, slopes)


def _condition(term: _Term) -> _Term:
    """A comparison that no small change of the term can turn over."""
    bound = round(2 * term.value) / 2 - 0.5
    if round(term.value) % 2:  # either answer should occur
        bound += 1.0
    flat = (0.0,) * len(term.slopes)
    return _Term(f"({{0}}) > {bound!r}", (term,), float(term.value > bound), flat)


def _fitted(term: _Term, low: float, high: float) -> _Term:
    """The term divided and shifted by round numbers until it lies in the domain."""
    by, unit = 1.0, 0.5
    while abs(term.value) / by > max(abs(low), abs(high)):
        by *= 2
    if by > 1:
        term = term.scaled(by)
    while unit > (high - low) / 2:
        unit /= 2
    if term.value < low:
        return term.shifted(unit * -((term.value - low) // unit))
    if term.value > high:
        return term.shifted(-unit * -((high - term.value) // unit))
    return term


def away_from_kink(op: Elementwise, xs: Sequence[float]) -> tuple[int, float]:
    """引数 `xs` が折れ点に近すぎるとき、何番目にいくつ足せば離れるか。近くなければ 0 を足す。

    Args:
        op: 演算。
        xs: 引数の値。
    """
    if op.kink is None or abs(op.kink(*xs)) > MARGIN:
        return 0, 0.0
    for by in (0.25, -0.25, 0.5, -0.5, 0.75, -0.75, 1.0, -1.0):
        for i, (low, high) in enumerate(op.domain):
            moved = [*xs[:i], xs[i] + by, *xs[i + 1 :]]
            if low <= moved[i] <= high and abs(op.kink(*moved)) > MARGIN:
                return i, by
    return 0, 0.0


# ---- コードにする -----------------------------------------------------------------------------


def _written(root: _Term) -> str:
    """Python source in which every shared term is computed once."""
    uses = Counter(id(part) for term in _all(root) for part in term.parts)
    names: dict[int, str] = {}

    def write(term: _Term) -> str:
        if id(term) in names:
            return names[id(term)]
        text = term.template.format(*map(write, term.parts))
        if term.parts and uses[id(term)] > 1:
            names[id(term)] = f"t{len(names) + 1}"
            return f"({names[id(term)]} := {text})"
        return text

    # A round trip through the syntax tree drops the parentheses that are not needed.
    return ast.unparse(ast.parse(write(root), mode="eval"))


def _all(root: _Term) -> Iterator[_Term]:
    """Every term once."""
    seen, stack = {id(root)}, [root]
    while stack:
        term = stack.pop()
        yield term
        for part in term.parts:
            if id(part) not in seen:
                seen.add(id(part))
                stack.append(part)
