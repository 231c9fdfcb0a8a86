"""宣言から `Tensor` の演算子とメソッドを作る。NumPy の関数もここで受ける。"""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import isfinite, isinf
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import not_a_number
from micrograd_jp.engine.operations import apply, formulas
from micrograd_jp.engine.run import evaluate
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.graph.writes import Overwritten
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.graph import OnGraph, on_graph
from micrograd_jp.on_demand import about_arguments
from micrograd_jp.ops import arrays as ops
from micrograd_jp.ops import elementwise as rules
from micrograd_jp.ops.arguments import bound
from micrograd_jp.ops.complex import only_for_real
from micrograd_jp.ops.gates import Gate, literally
from micrograd_jp.ops.primitive import (
    OPERATOR_METHODS,
    UNARY_METHODS,
    Elementwise,
    elementwise_primitives,
)
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import bool_, category, held, result_type
from micrograd_jp.tensor.run import (
    elementwise,
    of_one_dtype,
    operand,
    run,
    shapes_differ,
    too_large,
)

_WITHOUT_GRADIENT = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge, "and": operator.and_, "or": operator.or_,
    "xor": operator.xor,
}  # fmt: skip
_UFUNCS = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "power": "pow", "negative": "neg",
    "positive": "clone", "absolute": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "conjugate": "conj", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
}  # fmt: skip

_WHOLE = tuple(map(float, range(-3, 4)))
"""Where help() looks for kinks: the declared ones are whole numbers."""


def function(op: Elementwise) -> Callable[..., Any]:
    """要素ごとの演算を、`Value`、数、`Tensor`、配列のどれにも使える関数にする。

    Args:
        op: 演算の宣言（登録されていないものでもよい）。
    """
    name, few = op.name, op.arity < 3 and hasattr(Value, op.name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if (
            few
            and len(args) == op.arity
            and args[0].__class__ is Value
            and args[-1].__class__ in _SCALARS
            and not kwargs
        ):
            return getattr(Value, name)(*args)  # the usual case on scalars: nearly as fast
        option = _OPTIONS.get(name) if kwargs else None
        given = kwargs.pop(option, None) if option else None
        args = bound(op, args, kwargs, about_arguments)
        if given is not None:
            return _OPTION[option](call, *args, given)
        if any(map(_is_arrayed, args)):
            out = elementwise(op, *[as_tensor(x) if namespace.is_array(x) else x for x in args])
            if out is NotImplemented:
                raise next(not_a_number(x, op.name) for x in args if not _is_arrayed(x))
            return out
        return apply(op, *args)

    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = _described(op)
    return call


def _described(op: Elementwise) -> str:
    """What help() shows: the signature, the formula and the derivative, from the declaration."""
    required = op.arity - len(op.defaults)
    signature = ", ".join(
        name if i < required else f"{name}={op.defaults[i - required]!r}"
        for i, name in enumerate(op.arguments)
    )
    called = {"x": "x", **dict(zip("xyw", op.arguments, strict=False))}
    letters = "、".join(f"{a} は {b}" for a, b in called.items() if a != b)
    formula = formulas(op, (*range(op.arity),)).replace("\n", "\n    ")
    shut = "SHUT は 0（上流の勾配が inf でも 0 のまま）。" if "SHUT" in formula else ""
    edges = "".join(f"\n    {line}" for line in _edges(op))
    edges = f"\n折れ点と端:\n{edges}\n" if edges else ""
    return f"""{op.summary}。`Value` か数からは `Value`、`Tensor` か配列からは `Tensor`。

{op.name}({signature}) の値 z と局所微分 dx = ∂z/∂x{f"（{letters}）" if letters else ""}。{shut}

    {formula}
{edges}"""


def _edges(op: Elementwise) -> list[str]:
    """Where the slope jumps, or where the value or the slope is no number any more."""
    rest = [
        middle if default is None or isinf(default) else default
        for default, middle in zip(
            (*[None] * (op.arity - len(op.defaults)), *op.defaults),
            [(low + high) / 2 for low, high in op.domain],
            strict=False,
        )
    ][1:]
    if op.kink is not None and op.partials[0] is not None:
        places = [x for x in _WHOLE if op.kink(x, *rest) == 0]
        places = [0.0] if len(places) > 2 else places  # floor has one at every whole number
    elif op.arity == 1:
        ((low, high),) = op.domain
        places = [x for x in (-1.0, 0.0, 1.0) if not low < x < high]
    else:
        return []
    given = "".join(f"、{name} が {y:g}" for name, y in zip(op.arguments[1:], rest, strict=False))
    names, lines = ("z", *(f"d{name}" for name in "xyw"[: op.arity])), []
    for x in places:
        numbers = evaluate(op, [x, *rest], range(op.arity))
        if op.kink is not None or not all(map(isfinite, numbers)):
            told = [f"{name} = {y + 0.0:g}" for name, y in zip(names, numbers, strict=True)]
            lines.append(f"{op.arguments[0]} が {x:g}{given} のとき {'、'.join(told)}")
    return lines


def _scaled(call: Any, x: Any, other: Any, alpha: Any) -> Any:
    """`add` and `sub` with alpha."""
    return call(x, other if alpha == 1 else _multiple(other, alpha, x))


def _multiple(other: Any, alpha: Any, x: Any) -> Any:
    if not isinstance(x, Tensor):
        return other * alpha
    held(alpha, x.dtype)  # refused before anything is computed
    if isinstance(other, Tensor) and namespace.is_floating(x.dtype):
        other = other.astype(result_type([x._data, other._data]))  # in which they are added up, too
    product = other * alpha
    if x.dtype == bool_ and (other.__class__ is bool or getattr(other, "dtype", None) == bool_):
        return as_tensor(product).astype(bool_)  # alpha has no say in the dtype
    return product


def _rounded(call: Any, x: Any, other: Any, rounding_mode: Any) -> Any:
    """`div` with a rounding mode."""
    if rounding_mode == "floor":
        return on_graph.floor_divide(x, other)
    if rounding_mode != "trunc":
        raise ValueError(
            "div の rounding_mode は None、'floor'、'trunc' の 1 つです "
            f"(unknown rounding mode): {rounding_mode!r}。"
        )
    if all(category(getattr(t, "dtype", type(t))) < 2 for t in (x, other)):
        x, other = as_tensor(x), as_tensor(other)
        sign = on_graph.sign(x) * on_graph.sign(other)
        return sign * on_graph.floor_divide(on_graph.abs(x), on_graph.abs(other))
    return on_graph.trunc(call(x, other))


_OPTIONS = {"add": "alpha", "sub": "alpha", "div": "rounding_mode"}
_OPTION: dict[Any, Callable[..., Any]] = {"alpha": _scaled, "rounding_mode": _rounded}
"""PyTorch's options of elementwise functions, given by name."""

_SCALARS = frozenset({Value, float, int})
_ARRAYS = (Tensor, Overwritten)


def _is_arrayed(x: Any) -> bool:
    return x.__class__ not in _SCALARS and (isinstance(x, _ARRAYS) or namespace.is_array(x))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    op.name: function(op) for op in elementwise_primitives()
}
"""要素ごとの関数。名前は演算の名前。"""


def _where(self: Tensor, condition: Any, other: Any) -> Any:
    """`condition` が真の場所は self、偽の場所は other。"""
    return elementwise(rules.where, condition, self, other)


def _chosen(condition: Any, x: Any, y: Any) -> Any:
    """`m.where` on the graph."""
    if not hasattr(condition, "shape"):
        return OnGraph.where(condition, x, y)
    if not isinstance(x, Node) and not isinstance(y, Node):  # a constant, in no dtype's way
        condition = data_of(condition)
        return Tensor(namespace.of(condition).where(condition, x, y))
    return elementwise(rules.where, condition, x, y)


def _times(g: Any, d: Any) -> Any:
    """`m.times` on the graph."""
    if isinstance(d, Gate):
        through = elementwise(rules.where, d.shut, 0, g)
        return through if literally(d.slope, 1) else through * _chosen(d.shut, 1, d.slope)
    if literally(d, 0) and isinstance(g, Tensor):
        return Tensor(namespace.of(g._data).zeros_like(g._data))
    return OnGraph.times(g, d)


def _astype(x: Any, dtype: Any) -> Tensor:
    return run(ops.astype, as_tensor(x), dtype=namespace.of(data_of(x)).dtype(dtype))


def _operator(op: Elementwise) -> Any:
    return lambda self, other: elementwise(op, self, other)


def _reflected(op: Elementwise) -> Any:
    return lambda self, other: elementwise(op, other, self)


def _attach() -> None:
    on_graph.fill(FUNCTIONS)
    for op in elementwise_primitives():
        setattr(Tensor, op.name, FUNCTIONS[op.name])  # `where` becomes another one below
        if op.operator:
            name = OPERATOR_METHODS[op.operator]
            setattr(Tensor, f"__{name}__", _operator(op))
            setattr(Tensor, f"__r{name}__", _reflected(op))
    for dunder, name in UNARY_METHODS.items():
        setattr(Tensor, dunder, getattr(Tensor, name))
    for name, function_of_arrays in _WITHOUT_GRADIENT.items():
        setattr(Tensor, f"__{name}__", _constant(function_of_arrays))
        if name in ("and", "or", "xor"):
            setattr(Tensor, f"__r{name}__", _constant(function_of_arrays))
    on_graph.fill({"where": _chosen, "astype": _astype, "times": _times})
    setattr(Tensor, "where", _where)  # noqa: B010
    setattr(Tensor, "__array_ufunc__", _through_ufunc)  # noqa: B010
    setattr(Tensor, "__invert__", _inverted)  # noqa: B010


def _constant(function_of_arrays: Any) -> Any:
    """An operator whose result is a constant: comparisons, and logic on their results."""

    def method(self: Tensor, other: Any) -> Any:
        try:
            other = operand(other)
        except TypeError:  # t == None and t == "a" are False, and t != None is True
            if function_of_arrays in (operator.eq, operator.ne):
                return NotImplemented
            raise
        if other is NotImplemented:
            return NotImplemented
        try:
            xs = of_one_dtype(self._data, data_of(other))
            if xs[0].dtype.kind == "c" and function_of_arrays not in (operator.eq, operator.ne):
                raise only_for_real(function_of_arrays.__name__)
            with quiet.silence():
                return Tensor(function_of_arrays(*xs))
        except ValueError:
            raise shapes_differ(function_of_arrays.__name__, self, other) from None
        except OverflowError:
            raise too_large(function_of_arrays.__name__, (self, other)) from None
        except TypeError:
            if xs[0].dtype.kind == "c":
                raise
            raise _only_for_whole(function_of_arrays.__name__) from None

    return method


def _inverted(self: Tensor) -> Tensor:
    if self.dtype.kind not in "iub":
        raise _only_for_whole("invert")
    return Tensor(~self._data)


def _only_for_whole(name: str) -> TypeError:
    return TypeError(
        f"{name} は真偽値と整数の Tensor に使います (expected bool or integers): "
        "x > 0 のような比較の結果か、x.bool() に使ってください。"
    )


def _through_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy の関数を `Tensor` に使う: `ndarray ∘ Tensor` も 1 つの `Tensor` になる。

    `array += t` は、`t` が計算グラフになければ NumPy の計算である。

    Raises:
        TypeError: 同じ関数がこのパッケージにない、または計算グラフの値を配列に書き込もうとした。
    """
    if "out" in kwargs and not any(isinstance(x, Node) and x.requires_grad for x in inputs):
        return getattr(ufunc, method)(*map(data_of, inputs), **kwargs)

    name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
    if method == "__call__" and not kwargs:
        if ufunc.types and all(t.endswith("->?") for t in ufunc.types if "O" not in t):
            return Tensor(np.asarray(ufunc(*map(data_of, inputs))))  # comparisons and tests
        if hasattr(on_graph, name):
            return getattr(on_graph, name)(*inputs)
        if name.startswith("bitwise_"):  # of NumPy's numbers, as weak as Python's
            a, b = (x.item() if isinstance(x, np.generic) else as_tensor(x) for x in inputs)
            return _WITHOUT_GRADIENT[name.removeprefix("bitwise_")](a, b)
    raise TypeError(
        f"np.{ufunc.__name__} ({method}) は Tensor に使えません (unsupported ufunc): "
        "mg の関数か、t.detach().numpy() を使ってください。"
    )


_attach()
