"""`Value`: 1 つの数と、それがどう計算されたか。

    >>> from micrograd_jp.engine import Value
    >>> x, w, b = Value(3.0), Value(2.0), Value(1.0)
    >>> y = w * x + b
    >>> y.backward()
    >>> x.grad, w.grad, b.grad
    (2.0, 3.0, 1.0)

演算のメソッド (`v.exp()`, `v * 2`, …) はここには書かれていない。`ops/` の宣言から
`methods.py` が作り、`print(inspect.getsource(Value.tanh))` で読める。
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from micrograd_jp.engine.numbers import NUMBER_TYPES, as_number, is_number, not_a_number, refuses
from micrograd_jp.graph.backward import Node, backward, gradients, scaled_shares
from micrograd_jp.graph.shares import array_shares
from micrograd_jp.ops import elementwise

if TYPE_CHECKING:
    from micrograd_jp._surface import Methods
else:
    Methods = object


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Value, Any], Any]:
    """A comparison of the numbers. It returns a bool: no gradient flows through it."""

    def method(self: Value, other: Any) -> Any:
        if isinstance(other, Value):
            other = other.data
        elif other.__class__ not in NUMBER_TYPES:
            if isinstance(other, np.ndarray) or not (refuses(other) or is_number(other)):
                return NotImplemented
            if refuses(other):
                if compare in (operator.eq, operator.ne):
                    return NotImplemented
                raise not_a_number(other, "Value との比較 (comparison)")
        x = self.data
        if isinstance(x, complex):  # only while micrograd_jp.testing takes complex steps
            return compare(x.real, other.real)
        return compare(x, other)

    return method


class Value(Node, Methods):
    """計算グラフの中の 1 つの数。

    Args:
        data: 実数。float に直される。nan と inf は IEEE 754 のとおり伝わる。
        label: 計算グラフに描く名前。

    Attributes:
        data: 値 (float)。
        grad: 勾配。`backward()` の前は 0.0（未計算かどうかは `has_grad` で分かる）。
        label: 名前。

    Raises:
        TypeError: `data` が実数でない。
    """

    __slots__ = ()

    def __init__(self, data: Any, label: str = "") -> None:
        if data.__class__ is not float:
            if isinstance(data, Node):
                raise TypeError(
                    "Value は既に Value です (already a Value)。同じ数の新しい葉は v.detach()、"
                    "グラフでつながった写しは v.clone() で作れます。"
                )
            data = as_number(data)
        if not isinstance(label, str):
            raise TypeError(
                f"label は文字列です (expected str): {type(label).__name__} が渡されました。"
                "演算の結果は Value(…, 親) ではなく、v.exp() や a * b のような演算で作ります。"
            )
        self.data = data
        self.op = None
        self._a = self._b = self._da = self._db = self._mark = self._grad = None
        self._label = label

    # ---- 勾配 ----

    @property
    def grad(self) -> Any:
        """勾配 ∂出力/∂self。`backward()` の前は 0.0。`create_graph=True` のあとは `Value`。"""
        try:
            grad = self._grad
        except AttributeError:  # results of operations leave the slot empty until backward
            return 0.0
        return 0.0 if grad is None else grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        if grad is not None and grad.__class__ not in (float, Value):
            grad = as_number(grad)
        self._grad = grad

    def backward(
        self, gradient: float | Value | None = None, *, create_graph: bool = False
    ) -> None:
        """誤差逆伝播法 (backpropagation): このノードに至るすべてのノードの `grad` を求める。

        葉の `grad` には足し込まれる（`zero_grad()` で 0 に戻す）。途中のノードの `grad` は、
        今回の値に置き換わる。2 度呼べば葉の勾配は 2 倍になる。

        Args:
            gradient: 出力の勾配。省略すると 1。
            create_graph: 真なら、勾配も計算グラフの一部になり、さらに微分できる。

        Raises:
            RuntimeError: このノードに計算グラフがない。
            TypeError: `gradient` が実数でない。
        """
        if self.op is None:
            raise RuntimeError(
                f"{self!r} には計算グラフがありません (no graph): 演算の結果ではないか、"
                "no_grad() の中で作られた値です。損失など、演算の結果に対して "
                "backward() を呼んでください。"
            )
        seed = 1.0 if gradient is None else gradient
        if not create_graph:
            backward(self, seed.data if isinstance(seed, Value) else as_number(seed))
            return
        start = seed if isinstance(seed, Value) else Value(as_number(seed))
        total = gradients(self, start)
        for node, grad in total.items():
            before = node._grad if node.op is None else None
            node._grad = grad if before is None else before + grad

    def detach(self) -> Value:
        """同じ数の新しい葉。勾配はここで止まる。"""
        return Value(self.data, self.label)

    def item(self) -> float:
        """値を Python の float で返す（`v.data` と同じ）。"""
        number: float = self.data
        return number

    def where(self, condition: Any, other: Any) -> Value:
        """`condition` が真なら self、偽なら other。"""
        return methods.apply(elementwise.where, condition, self, other)

    # ---- graph.py が使う ----

    _no_gradient_yet = 0.0

    # ---- methods.py が使う: 値がまだなく、演算を記録するだけの派生クラスのため ----

    _recorder: Any = None

    def _record(self, op: Any, operands: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    def _receive(self, share: Any, fresh: bool = False) -> None:
        self._grad += share if share.__class__ is float else float(share)

    @property
    def _xs(self) -> tuple[Any, ...]:
        return tuple([x.data for x in self._a])  # made of a Tensor

    def _shares(self, upstream: Any) -> list[Any]:
        if self._a.__class__ is tuple and self._da is None:  # made of a Tensor
            return array_shares(self, upstream)
        return scaled_shares(self, upstream)

    # ---- micrograd の名前 ----

    @property
    def _prev(self) -> set[Node]:
        """親ノードの集合 (micrograd)。定数は、その場で作った `Value` として入る。"""
        return {x if isinstance(x, Node) else Value(x) for x in self.operands}

    @property
    def _op(self) -> str:
        """演算の記号 (micrograd の綴り)。"""
        if self.op is None:
            return ""
        if self.op.name == "pow" and self._b is None:
            return f"**{self._db:g}"
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
        return bool(self.data != 0)

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

    # ---- NumPy ----

    def conjugate(self) -> Value:
        """実数の共役は自分自身（NumPy の object 配列が np.var などで使う）。"""
        return self

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy の数や配列との演算。要素ごとに `Value` の演算になる。"""
        for out in kwargs.get("out", ()):
            if out is not None and out.dtype.kind != "O":
                raise TypeError(
                    "数の配列に Value を書き込むと勾配が失われます (in-place on a numeric array)。"
                    "array += v ではなく array = array + v と書いてください。"
                )
        boxed = [_boxed(x) for x in inputs]
        return getattr(ufunc, method)(*boxed, **kwargs)


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


# The methods are made after the class exists; importing them here completes it.
from micrograd_jp.engine import operations as methods  # noqa: E402
