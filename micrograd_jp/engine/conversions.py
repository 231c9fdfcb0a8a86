"""`Value` から、ふつうの数・文字・NumPy へ。勾配が黙って失われる変換は断る。"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from micrograd_jp.engine.attributes import Attributes
from micrograd_jp.engine.numbers import NUMBER_TYPES, as_number, is_number, not_a_number, refuses
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops.primitive import elementwise_primitives


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """A comparison of the numbers. It returns a bool: no gradient flows through it."""

    def method(self: Any, other: Any) -> Any:
        if isinstance(other, Conversions):
            other = other._data
        elif other.__class__ not in NUMBER_TYPES:
            if isinstance(other, np.ndarray) or not (refuses(other) or is_number(other)):
                return NotImplemented
            if refuses(other):
                if compare in (operator.eq, operator.ne):
                    return NotImplemented
                raise not_a_number(other, "Value との比較 (comparison)")
        return compare(self._data, other)

    return method


class Conversions(Attributes):
    """比較、表示、micrograd の名前、NumPy との出会い。"""

    __slots__ = ()

    _data: Any
    op: Any
    operands: Any
    has_grad: Any
    grad: Any
    label: Any
    __class__: Any

    @property
    def data(self) -> float:
        """値。代入できるのは実数で、ノードならその値になる（勾配は流れない）。"""
        number: float = self._data
        return number

    @data.setter
    def data(self, data: Any) -> None:
        self._data = data if data.__class__ is float else as_number(data_of(data))

    def item(self) -> float:
        """値を Python の float で返す（`v.data` と同じ）。"""
        number: float = self._data
        return number

    # ---- micrograd の名前 ----

    @property
    def _prev(self) -> set[Any]:
        """親ノードの集合 (micrograd)。定数は、その場で作った `Value` として入る。"""
        return {x if isinstance(x, Node) else self.__class__(x) for x in self.operands}

    @property
    def _op(self) -> str:
        """演算の記号 (micrograd の綴り)。"""
        if self.op is None:
            return ""
        if self.op.name == "pow" and not isinstance(self.operands[1], Node):
            return f"**{self.operands[1]:g}"
        if self.op.name == "relu":
            return "ReLU"
        return getattr(self.op, "operator", "") or self.op.name

    # ---- 比較と表示 ----

    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)

    # Compared by number but hashed by identity, like torch.Tensor: sets and dictionaries of
    # nodes, which graph algorithms need, tell equal numbers apart.
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return bool(self._data != 0)

    def __repr__(self) -> str:
        grad = f", grad={self.grad}" if self.has_grad else ""
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self.data}{grad}{label})"

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else str(self)

    # ---- 勾配を黙って失う変換は断る ----

    def __float__(self) -> NoReturn:
        raise _would_lose_the_gradient("float")

    def __int__(self) -> NoReturn:
        raise _would_lose_the_gradient("int")

    def __complex__(self) -> NoReturn:
        raise _would_lose_the_gradient("complex")

    def __round__(self, digits: int | None = None) -> NoReturn:
        raise _would_lose_the_gradient("round")

    def __trunc__(self) -> NoReturn:
        raise _would_lose_the_gradient("math.trunc")

    # ---- 演算子のないもの ----

    def __mod__(self, other: Any) -> NoReturn:
        raise _no_operator("%", "v - y * mg.floor(v / y)")

    def __floordiv__(self, other: Any) -> NoReturn:
        raise _no_operator("//", "mg.floor(v / y)")

    def __matmul__(self, other: Any) -> NoReturn:
        raise _no_operator("@", "掛け算は v * y、並びの内積は mg.dot(ws, xs)")

    __rmod__, __rfloordiv__, __rmatmul__ = __mod__, __floordiv__, __matmul__

    # ---- NumPy ----

    def conjugate(self) -> Any:
        """実数の共役は自分自身（NumPy の object 配列が np.var などで使う）。"""
        return self

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy の数や配列との演算。要素ごとに `Value` の演算になり、検査と比較の結果は真偽値。

        Raises:
            TypeError: 数の配列に書き込もうとした、または `Value` にない関数。
        """
        for out in kwargs.get("out", ()):
            if out is not None and out.dtype.kind != "O":
                raise TypeError(
                    "数の配列に Value を書き込むと勾配が失われます (in-place on a numeric array)。"
                    "array += v ではなく array = array + v と書いてください。"
                )
        with quiet.silence():
            if "O" not in "".join(ufunc.types) or ufunc.__name__ in _CHOICES:
                if method == "__call__" and not kwargs and all(t[-1] == "?" for t in ufunc.types):
                    return ufunc(*[_numbers(x) for x in inputs])
                # The graph may know more: functions of arrays, once they are imported.
                if ufunc.__name__ not in [op.name for op in elementwise_primitives()]:
                    raise _no_ufunc(ufunc, method)
                ufunc = np.frompyfunc(getattr(on_graph, ufunc.__name__), ufunc.nin, 1)
            try:
                return getattr(ufunc, method)(*map(_boxed, inputs), **kwargs)
            except (TypeError, AttributeError) as error:
                # NumPy looked for a method of the name.
                if re.search(f"loop of ufunc|attribute '{ufunc.__name__}'", str(error)):
                    raise _no_ufunc(ufunc, method) from None
                raise


_CHOICES = {"maximum", "minimum", "sign"}
"""NumPy's own loops over objects make these from comparisons: without a gradient, or with another
one at ties."""


def _numbers(x: Any) -> Any:
    if isinstance(x, np.ndarray) and x.dtype == object:
        return np.frompyfunc(_numbers, 1, 1)(x).astype(float)
    return x.data if isinstance(x, Conversions) else x


def _no_ufunc(ufunc: Any, method: str) -> TypeError:
    return TypeError(
        f"np.{ufunc.__name__} ({method}) は Value に使えません (unsupported ufunc): "
        "mg の関数か、数だけを計算するなら v.data を使ってください。"
    )


def _no_operator(operator: str, instead: str) -> TypeError:
    return TypeError(
        f"Value に演算子 {operator} はありません (unsupported operator): "
        f"{instead} と書いてください。"
    )


def _boxed(x: Any) -> Any:
    """An object array: its loops call the operators and methods of the elements."""
    if isinstance(x, np.ndarray):
        return x.astype(object)
    box = np.empty((), dtype=object)
    box[()] = x.item() if isinstance(x, np.generic) else x
    return box


def _would_lose_the_gradient(function: str) -> TypeError:
    return TypeError(
        f"{function}(v) は Value を計算グラフから切り離し、勾配を失わせます "
        f"({function}() would drop the gradient)。数だけが欲しいときは v.data、"
        "関数を使いたいときは math.sin(v) ではなく v.sin() か mg.sin(v) と書いてください。"
    )
