"""いくつもの上流の勾配を 1 度に: ヤコビ行列の行を、はじめの軸に積んで逆伝播する (batched VJP)。

規則は上流の勾配について線形なので、積んだもの (`Rows`) にも、同じ規則がそのまま使える。積む軸を
知っている関数だけが `on_rows` にある。ほかの関数に出会った規則は、1 行ずつ計算する (`OneByOne`)。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.graph.shares import of_arrays, of_numbers
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import arrays, norm
from micrograd_jp.ops.linalg import transposed

Shape = tuple[int, ...]


class OneByOne(Exception):
    """この関数は、積んだ軸を知らない。"""


class Rows:
    """同じ形の配列を、はじめの軸に積んだもの。形は 1 つ分の形である。

    Attributes:
        tensor: 形 (行の数, *shape) の `Tensor`。
    """

    __slots__ = ("tensor",)
    __array_ufunc__ = None  # an array on the left leaves it to us

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    @property
    def shape(self) -> Shape:
        """1 行の形。"""
        return tuple(self.tensor.shape[1:])

    @property
    def dtype(self) -> Any:
        """型。"""
        return self.tensor.dtype

    def to_value(self) -> Rows:
        """`Value` の勾配の行: 形は () である。"""
        return self

    def beside(self, x: Any) -> Any:
        """The tensor, so that x is broadcast against each of the rows and not against the stack."""
        missing = len(getattr(x, "shape", ())) - len(self.shape)
        if missing <= 0:
            return self.tensor
        return self.tensor.reshape((len(self.tensor), *(1,) * missing, *self.shape))

    def __add__(self, x: Any) -> Rows:
        return Rows(self.beside(x) + (x.beside(self) if isinstance(x, Rows) else x))

    def __mul__(self, x: Any) -> Rows:
        return Rows(self.beside(x) * _constant(x))

    def __truediv__(self, x: Any) -> Rows:
        return Rows(self.beside(x) / _constant(x))

    def __sub__(self, x: Any) -> Rows:
        return self.__add__(-x)

    def __neg__(self) -> Rows:
        return Rows(-self.tensor)

    __radd__, __rmul__ = __add__, __mul__


def _constant(x: Any) -> Any:
    if x.__class__ is Rows:  # no rule is a square of the upstream gradient
        raise OneByOne
    return x


def _later(axis: Any) -> Any:
    """Axes counted from the first of a row, counted from the first of the stack."""
    if isinstance(axis, tuple):
        return tuple(map(_later, axis))
    return axis + 1 if axis >= 0 else axis


def _key(key: Any) -> tuple[Any, ...]:
    """An index into each of the rows."""
    plain = [k is None or k is ... or isinstance(k, slice) for k in key]
    chosen = [i for i, p in enumerate(plain) if not p]
    arrays = any(not isinstance(key[i], int) for i in chosen)
    if arrays and chosen[-1] - chosen[0] >= len(chosen):
        raise OneByOne  # what arrays apart from each other choose comes before the rows
    return (slice(None), *key)


class OnRows:
    """`on_graph` の関数のうち、上流の勾配に使われるものを、行ごとに。"""

    # Their formulas, by the functions below.
    softmax_back, log_softmax_back = arrays.softmax_back, arrays.log_softmax_back
    standardized_back = norm.standardized_back
    layer_normalized_back = norm.layer_normalized_back

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(on_graph, name)

        def of_constants(*xs: Any, **how: Any) -> Any:
            each = [y for x in xs for y in (x if isinstance(x, list | tuple) else (x,))]
            if any(y.__class__ is Rows for y in each):  # also in a list that is put together
                raise OneByOne
            return function(*xs, **how)

        return of_constants

    def times(self, g: Any, d: Any) -> Any:
        """上流の勾配と局所微分の積。"""
        if g.__class__ is not Rows:
            return on_graph.times(g, d)
        return Rows(on_graph.times(g.beside(d), d))

    def sum(self, g: Any, axis: Any, keepdims: bool = False) -> Any:
        """軸に沿った和。"""
        if g.__class__ is not Rows:
            return on_graph.sum(g, axis=axis, keepdims=keepdims)
        return Rows(on_graph.sum(g.tensor, axis=_later(axis), keepdims=keepdims))

    def reshape(self, g: Any, shape: Shape) -> Any:
        """形を変える。"""
        if g.__class__ is not Rows:
            return on_graph.reshape(g, shape)
        return Rows(g.tensor.reshape((len(g.tensor), *shape)))

    def broadcast_to(self, g: Any, shape: Shape) -> Any:
        """広げる。"""
        if g.__class__ is not Rows:
            return on_graph.broadcast_to(g, shape)
        stack = g.tensor.reshape((len(g.tensor), *(1,) * (len(shape) - len(g.shape)), *g.shape))
        return Rows(on_graph.broadcast_to(stack, (len(stack), *shape)))

    def transpose(self, g: Any, axes: Shape) -> Any:
        """軸の入れ替え。"""
        if g.__class__ is not Rows:
            return on_graph.transpose(g, axes)
        return Rows(on_graph.transpose(g.tensor, (0, *_later(axes))))

    def flip(self, g: Any, axis: Any) -> Any:
        """逆順。"""
        return self._along("flip", g, axis)

    def cumsum(self, g: Any, axis: Any) -> Any:
        """累積和。"""
        return self._along("cumsum", g, axis)

    def _along(self, name: str, g: Any, axis: Any) -> Any:
        function = getattr(on_graph, name)
        if g.__class__ is not Rows:
            return function(g, axis=axis)
        return Rows(function(g.tensor, axis=_later(axis)))

    def getitem(self, g: Any, key: Any) -> Any:
        """添字で選ぶ。"""
        if g.__class__ is not Rows:
            return on_graph.getitem(g, key)
        return Rows(on_graph.getitem(g.tensor, _key(key)))

    def scattered(self, g: Any, key: Any, shape: Shape) -> Any:
        """添字の場所に足し込む。"""
        if g.__class__ is not Rows:
            return on_graph.scattered(g, key, shape)
        return Rows(on_graph.scattered(g.tensor, _key(key), (len(g.tensor), *shape)))

    def astype(self, g: Any, dtype: Any) -> Any:
        """型の変換。"""
        if g.__class__ is not Rows:
            return on_graph.astype(g, dtype)
        return Rows(on_graph.astype(g.tensor, dtype))

    def matmul(self, a: Any, b: Any) -> Any:
        """行列の積。"""
        rows = [x for x in (a, b) if x.__class__ is Rows]
        if not rows:
            return on_graph.matmul(a, b)
        if len(rows) == 2:
            raise OneByOne
        return Rows(
            on_graph.matmul(*[x.beside(y) if x is rows[0] else x for x, y in ((a, b), (b, a))])
        )

    def weight_gradient(self, g: Rows, x: Any, w: Any) -> Rows:
        """`linear` の重みの勾配 gᵀx。"""
        out: Rows = self.matmul(transposed(self, g), x)
        return out

    def bias_gradient(self, g: Rows) -> Rows:
        """`linear` のバイアスの勾配。"""
        out: Rows = self.sum(g, axis=(0,))
        return out

    def einsum(self, spec: str, g: Any, *xs: Any) -> Any:
        """縮約。上流の勾配は、はじめにある。"""
        if g.__class__ is not Rows or any(x.__class__ is Rows for x in xs):
            raise OneByOne
        row = next(c for c in "zyxwvutsrqponmlkjihgfedcbaZYX" if c not in spec)
        given, out = spec.split("->")
        return Rows(on_graph.einsum(f"{row}{given}->{row}{out}", g.tensor, *xs))


on_rows = OnRows()


def shares_of_rows(node: Any, upstream: Rows) -> list[Rows]:
    """各親の勾配 (`shares`) を、すべての行について。"""
    rule: Any = of_arrays if node.is_array_op else of_numbers
    try:
        parts = rule(node, upstream, on_rows)
        if all(part.__class__ is Rows for part in parts):
            return list(parts)
    except OneByOne:
        pass
    rows = [on_graph.getitem(upstream.tensor, (i,)) for i in range(len(upstream.tensor))]
    columns = zip(*[rule(node, row, on_graph) for row in rows], strict=True)
    return [Rows(on_graph.stack(column, axis=0)) for column in columns]
