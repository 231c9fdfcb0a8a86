"""宣言から `Value` の演算を作る: `run.py` と同じことをする、速い写し。

1・2 引数の演算は、`source.py` が書いた代入文をひな形に入れた Python の関数になる。
利用者が `inspect.getsource(Value.tanh)` で読めるように、生成したソースは linecache に置く。
"""

from __future__ import annotations

import functools
import linecache
import textwrap
from collections.abc import Callable
from itertools import compress
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import (
    NUMBER_TYPES,
    as_number,
    is_number,
    not_a_number,
    refuses,
    require_numbers,
)
from micrograd_jp.engine.run import evaluate, finish, made, run
from micrograd_jp.engine.source import statements
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.modes import unusual
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.on_demand import about_arguments
from micrograd_jp.ops import elementwise
from micrograd_jp.ops.arguments import bound
from micrograd_jp.ops.primitive import (
    OPERATOR_METHODS,
    UNARY_METHODS,
    Elementwise,
    Reduction,
    elementwise_primitives,
)

# Plain Python arithmetic raises where IEEE 754 has an answer (1/0, exp(1000)). Only then is the
# rule itself evaluated, carefully and slowly.
_TROUBLE = (ArithmeticError, ValueError, TypeError)


def as_operand(x: Any, op: str) -> Any:
    """演算の相手を `Value` か数にする。他の型に任せるべきものは `NotImplemented`。"""
    if isinstance(x, Value) or x.__class__ is float:
        return x
    if is_number(x):
        return as_number(x)
    if refuses(x):
        raise not_a_number(x, f"Value の演算 {op}")
    return NotImplemented


def _value_or_number(x: Any, op: str) -> Any:
    operand = as_operand(x, op)
    if operand is NotImplemented:
        raise not_a_number(x, op)
    return operand


# ---- 生成されるコード ------------------------------------------------------------------------

_RECORD = """
out = new(Value)
out._data = z
out.op = OP
out._a = {a}
out._da = {da}
out._b = {b}
out._db = {db}
out._mark = None
return finish(out) if unusual.contexts else out"""
_UNARY = """
def {name}(self):
    {doc}
    x = self._data
{body_x}
"""
_BINARY = """
def {name}(self, {argument}):
    {doc}
    x = self._data
    if {argument}.__class__ is Value:
        y = {argument}._data
{body_xy}
    if {argument}.__class__ in NUMBER_TYPES:
        y = {argument} if {argument}.__class__ is float else as_number({argument})
{body_x}
    return apply_or_defer(OP, self, {argument})
"""
_REFLECTED = """
def {name}(self, other):
    {doc}
    if other.__class__ in NUMBER_TYPES:
        x = other if other.__class__ is float else as_number(other)
        y = self._data
{body_y}
    return apply_or_defer(OP, other, self)
"""


_NAMES = "xyw"  # of the arguments


@functools.cache
def formulas(op: Elementwise, wanted: tuple[int, ...]) -> str:
    """宣言から書いた、値 z と `wanted` 番目の局所微分 (dx, dy, dw) の代入文。引数は x, y, w。"""
    outputs = {i: f"d{_NAMES[i]}" for i in wanted}
    return "\n".join(statements(op, _NAMES[: op.arity], outputs))


def _targets(wanted: tuple[int, ...]) -> str:
    return ", ".join(["z", *(f"d{_NAMES[i]}" for i in wanted)])


def _compute(op: Elementwise, wanted: tuple[int, ...]) -> str:
    """Source that sets z and the wanted partials, falling back on the rule itself."""
    lines = textwrap.indent(formulas(op, wanted), "    ")
    targets, xs = _targets(wanted) + ("" if wanted else ","), ", ".join(_NAMES[: op.arity])
    careful = f"evaluate(OP, [{xs}], {[*wanted]})"
    return f"try:\n{lines}\nexcept TROUBLE:\n    {targets} = {careful}"


def _body(op: Elementwise, wanted: tuple[int, ...], depth: int, **record: str) -> str:
    return textwrap.indent(_compute(op, wanted) + _RECORD.format(**record), "    " * depth)


def _define(name: str, source: str, op: Elementwise) -> Callable[..., Any]:
    """Compile generated source so that inspect.getsource and tracebacks can show it."""
    source = source.strip("\n") + "\n"
    filename = f"<micrograd_jp {op.name}.{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    scope: dict[str, Any] = {
        **vars(namespace.scalar), "OP": op, "TROUBLE": _TROUBLE, "NUMBER_TYPES": NUMBER_TYPES,
        "Value": Value, "new": object.__new__, "unusual": unusual, "evaluate": evaluate,
        "finish": finish, "apply_or_defer": apply_or_defer,
        "as_number": as_number,
    }  # fmt: skip
    defined: dict[str, Any] = {}  # apart from the globals, where the same name is math's
    exec(compile(source, filename, "exec"), scope, defined)
    function: Callable[..., Any] = defined[name]
    function.__module__ = Value.__module__
    function.__qualname__ = f"Value.{name}"
    return function


def method(op: Elementwise, name: str = "") -> Callable[..., Value]:
    """1・2 引数の演算を、最初の引数を self とするメソッドにする。"""
    name, doc = name or op.name, repr(op.summary)
    body_x = _body(op, (0,), 1 if op.arity == 1 else 2, a="self", da="dx", b="None",
                   db="None" if op.arity == 1 else "y")  # fmt: skip
    if op.arity == 1:
        return _define(name, _UNARY.format(name=name, doc=doc, body_x=body_x), op)
    argument = "other" if op.arguments[1] == "y" else op.arguments[1]
    body_xy = _body(op, (0, 1), 2, a="self", da="dx", b=argument, db="dy")
    source = _BINARY.format(name=name, doc=doc, argument=argument, body_x=body_x, body_xy=body_xy)
    function = _define(name, source, op)
    function.__defaults__ = op.defaults or None
    return function


def reflected_method(op: Elementwise, name: str) -> Callable[..., Value]:
    """数が左に来る演算 (`2 - v`)。"""
    body_y = _body(op, (1,), 2, a="None", da="x", b="self", db="dy")
    return _define(name, _REFLECTED.format(name=name, doc=repr(op.summary), body_y=body_y), op)


# ---- どの演算も通れる道 -----------------------------------------------------------------------


@functools.cache
def _kernel(op: Elementwise, wanted: tuple[int, ...]) -> Callable[..., Any]:
    """`(*xs) -> (z, *partials)` for the arguments that are in the graph."""
    body = textwrap.indent(_compute(op, wanted), "    ")
    xs = ", ".join(_NAMES[: op.arity])
    return _define("kernel", f"def kernel({xs}):\n{body}\n    return ({_targets(wanted)},)", op)


def apply(op: Elementwise, *operands: Any) -> Value:
    """要素ごとの演算を、引数の数や種類によらず実行する。

    Args:
        op: 演算の宣言（登録されていないものでもよい）。
        *operands: `Value` か数。

    Raises:
        TypeError: 数でも `Value` でもない引数。
    """
    operands = tuple([_value_or_number(x, op.name) for x in operands])
    for x in operands:
        if x.__class__ not in _VALUES_AND_FLOATS and hasattr(x, "record"):
            return x.record(op, operands)  # type: ignore[no-any-return]
    return run(op, *operands, by=_computed)


def _computed(op: Elementwise, xs: list[Any], wanted: tuple[int, ...]) -> Any:
    return _kernel(op, wanted)(*xs)


def function(op: Elementwise) -> Callable[..., Value]:
    """要素ごとの演算を、既定値とキーワード引数をもつ関数にする。

    Args:
        op: 演算の宣言（登録されていないものでもよい）。
    """

    def call(*args: Any, **kwargs: Any) -> Value:
        return apply(op, *bound(op, args, kwargs, about_arguments))

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = f"{op.summary}。`Value` か数を受け取り、`Value` を返す。"
    return call


def apply_or_defer(op: Elementwise, left: Any, right: Any) -> Any:
    """2 引数の演算の遅い方の道。相手の型に任せるときは `NotImplemented` を返す。"""
    left, right = as_operand(left, op.name), as_operand(right, op.name)
    if left is NotImplemented or right is NotImplemented:
        return NotImplemented
    return apply(op, left, right)


def reduce(op: Reduction, *lists: Any) -> Value:
    """並びをまとめる演算を 1 つのノードとして実行する。

    Args:
        op: 演算の宣言。
        *lists: `Value` や数の並び（`dot` は長さの同じ 2 つ）。

    Raises:
        TypeError: 並びでない、または数でも `Value` でもない要素がある。
        ValueError: 2 つの並びの長さが違う。
    """
    parts = [xs if xs.__class__ is tuple else _elements(op, xs) for xs in lists]
    operands = parts[0]
    if len(parts) == 2:
        if len(parts[0]) != len(parts[1]):
            raise ValueError(
                f"{op.name} の 2 つの並びの長さが違います (length mismatch): "
                f"{len(parts[0])} と {len(parts[1])}。同じ長さに揃えてください。"
            )
        operands += parts[1]
    kinds = set(map(type, operands))  # one look at all types instead of a test per element
    if kinds == _VALUES:
        z, partials = _reduced(op, [x._data for x in operands])
        return made(op, operands, z, operands, partials)
    if not kinds <= _VALUES_AND_FLOATS:
        operands = tuple(_value_or_number(x, op.name) for x in operands)
        for x in operands:
            if x.__class__ not in _VALUES_AND_FLOATS and hasattr(x, "record"):
                return x.record(op, operands)  # type: ignore[no-any-return]
    tracked = [x.__class__ is not float for x in operands]
    z, partials = _reduced(op, [x._data if t else x for x, t in zip(operands, tracked)])
    parents = tuple(compress(operands, tracked))
    return made(op, operands, z, parents, tuple(compress(partials, tracked)))


_VALUES = {Value}
_VALUES_AND_FLOATS = {Value, float}


def _elements(op: Reduction, xs: Any) -> tuple[Any, ...]:
    """The elements of one list argument."""
    if isinstance(xs, Value | str | dict) or not hasattr(xs, "__iter__"):
        raise TypeError(
            f"{op.name} は Value や数の並びを受け取ります (expected a list): "
            f"{type(xs).__name__} が渡されました。{op.name}([a, b, c]) のように書いてください。"
        )
    return tuple(xs)


def _reduced(op: Reduction, xs: list[Any]) -> tuple[Any, list[Any]]:
    try:
        z = op.value(namespace.scalar, xs)
    except _TROUBLE:
        require_numbers(xs, f"{op.name} の引数の data")
        raise
    return float(z), op.partials(namespace.scalar, z, xs)


# ---- Value に取り付ける ----------------------------------------------------------------------


def _where(self: Value, condition: Any, other: Any) -> Value:
    """`condition` が真なら self、偽なら other。"""
    return apply(elementwise.where, condition, self, other)


class _Unwritten:
    """A method that is written when it is first asked for: a program uses a few of them."""

    def __init__(self, write: Callable[..., Any], op: Elementwise, *names: str) -> None:
        self._write, self._op, self._names = write, op, names

    def __get__(self, value: Value | None, owner: type[Value]) -> Any:
        function = self._write(self._op, self._names[0])
        for name in self._names:
            setattr(Value, name, function)
        return function if value is None else function.__get__(value)


def _promise(write: Callable[..., Any], op: Elementwise, *names: str) -> None:
    unwritten = _Unwritten(write, op, *names)
    for name in names:
        setattr(Value, name, unwritten)


def _attach() -> None:
    for op in elementwise_primitives():
        if op is not elementwise.where:  # the graph has a choice of its own
            on_graph.fill({op.name: function(op)})
        if op.arity > 2:
            if op.arguments[0] == "x":
                setattr(Value, op.name, function(op))
            continue
        unary = [dunder for dunder, name in UNARY_METHODS.items() if name == op.name]
        _promise(method, op, op.name, *unary)
        if op.numpy_name:
            _promise(method, op, op.numpy_name)
        if op.operator:
            dunder = OPERATOR_METHODS[op.operator]
            _promise(method, op, f"__{dunder}__")
            _promise(reflected_method, op, f"__r{dunder}__")
    setattr(Value, "where", _where)  # noqa: B010


_attach()
