"""`Value`: 1 つの数と、それがどう計算されたか。

    >>> from micrograd_jp.engine import Value
    >>> x, w, b = Value(3.0), Value(2.0), Value(1.0)
    >>> y = w * x + b
    >>> y.backward()
    >>> x.grad, w.grad, b.grad
    (2.0, 3.0, 1.0)

演算のメソッド (`v.exp()`, `v * 2`, …) はここには書かれていない。`ops/` の宣言から
`operations.py` が作り、`print(inspect.getsource(Value.tanh))` で読める。
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from micrograd_jp.arguments import explained
from micrograd_jp.engine.conversions import Conversions
from micrograd_jp.engine.numbers import as_number, not_a_label, number_of_a_leaf
from micrograd_jp.graph.backward import backward
from micrograd_jp.graph.higher_order import gradients
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.shares import hand_on

if TYPE_CHECKING:
    from micrograd_jp._surface import Methods
else:
    Methods = object


class Value(Conversions, Node, Methods):
    """計算グラフの中の 1 つの数。

    Args:
        data: 実数。float に直される。nan と inf は IEEE 754 のとおり伝わる。
        label: 計算グラフに描く名前。

    Raises:
        TypeError: `data` が実数でない。
    """

    __slots__ = ("__dict__",)  # kept by users: p.m = 0.0

    def __init__(self, data: Any, label: str = "") -> None:
        if data.__class__ is not float:
            data = number_of_a_leaf(data)
        if not isinstance(label, str):
            raise not_a_label(label)
        self._data, self.op, self._label = data, None, label
        self._a = self._b = self._da = self._db = self._mark = self._grad = None

    @property
    def grad(self) -> Any:
        """勾配 ∂出力/∂self。計算前は 0.0 (`has_grad` が偽)。create_graph=True のあとは `Value`。"""
        grad = getattr(self, "_grad", None)  # operations leave the slot empty until backward
        return 0.0 if grad is None else grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        if grad is not None and grad.__class__ not in (float, Value):
            grad = as_number(grad)
        self._grad = grad

    @explained
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
        number = seed.data if isinstance(seed, Value) else as_number(seed)
        if not create_graph:
            backward(self, number)
            return
        for node, grad in gradients(
            self, seed if isinstance(seed, Value) else Value(number)
        ).items():
            before = node._grad if node.op is None else None
            node._grad = grad if before is None else before + grad

    def detach(self) -> Value:
        """同じ数の新しい葉。勾配はここで止まる。"""
        return Value(self.data, self.label)

    no_gradient = 0.0

    def accumulate(self, share: Any, fresh: bool = False) -> None:
        """勾配に、子 1 つ分を足し込む。"""
        self._grad += share if share.__class__ is float else float(share)

    def pull(self) -> None:
        """`Tensor` から作られた `Value` の勾配を、その `Tensor` に渡す。"""
        hand_on(self)
