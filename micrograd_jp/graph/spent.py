"""逆伝播を終えたグラフ (spent): 配列を手放し、形・演算・名前だけを残す。

損失を取っておいても、途中の配列は残らない（PyTorch が保存したバッファを放すのと同じ）。利用者が
持っている `Tensor` の値はそのままで、引数への参照だけが、値を持たない記録 (record) に置き換わる。
"""

from __future__ import annotations

from math import inf, prod
from typing import Any

from numpy import ndarray

from micrograd_jp.graph.node import Node, topological_order

FEW = 6
"""これ以下の要素の配列は、図に数が書けるように残す。"""

LITTLE = 256
"""使った配列がどれもこれ以下の要素のグラフは、何も手放さない（手放すほうが高くつく）。"""

LABEL = 2
"""記録の中の、名前の番号。"""

_NOTHING: dict[str, Any] = {}


def let_go(order: list[Any]) -> None:
    """親が先に来る順のノードに、逆伝播にだけ必要だった配列を手放させる。"""
    if _little(order):
        return
    constants: dict[int, Any] = {}
    for node in order:
        if node.op is None or node._da is not None:
            continue
        data, parents, operands = node._data, node._a, node._db
        if operands is not None:
            operands = [x if x.__class__ is float else _left_of(x, constants) for x in operands]
        elif len(parents) == 1:  # without a loop: this runs for every node of a training step
            operands = (parents[0].spent or parents[0],)
        elif len(parents) == 2:
            a, b = parents
            operands = (a.spent or a, b.spent or b)
        else:
            operands = [x.spent or x for x in parents]
        if data.__class__ is float:  # a Value made of a Tensor keeps nothing but the Tensor
            node._a = tuple(map(_node_of, operands))
            continue
        few = None if data.size > FEW else _own(data)
        grad = _left_of(node._grad, constants) if node._retained is not False else None
        # A list, because it is made for every node of every backward pass, and labels may change.
        node.spent = [node.op, operands, node._label, data.shape, data.dtype, few, grad]
        node._a, node._db, node._xs, node._params = (), None, (), _NOTHING


def _little(order: list[Any]) -> bool:
    """Whether every array is small: then no more is done than to mark the nodes."""
    for node in order:
        if node.op is not None and node._da is None and node._data.__class__ is not float:
            for x in node._xs:
                if x.__class__ is ndarray and x.base is None:  # the usual case, quickly
                    if x.size > LITTLE:
                        return False
                elif x.__class__ is not float and _keeps_much(x):
                    return False
            node.spent = True
    return True


def _keeps_much(x: Any) -> bool:
    base = getattr(x, "base", None)
    return max(getattr(x, "size", 0), 0 if base is None else getattr(base, "size", inf)) > LITTLE


def _left_of(x: Any, constants: dict[int, Any]) -> Any:
    """What stays of an operand: nodes with a gradient and small things do."""
    data, label = x, ""
    if isinstance(x, Node):
        if x.op is not None or x.requires_grad:
            return x.spent or x
        data, label = x._data, x._label
    elif not hasattr(x, "shape"):
        return x
    if data.size <= FEW:
        return _own(x) if x is data else x
    if id(x) not in constants:
        constants[id(x)] = [None, (), label, data.shape, data.dtype, None, None]
    return constants[id(x)]


def _own(x: Any) -> Any:
    """The array, but not a view that keeps another alive."""
    return x if getattr(x, "base", None) is None else x.copy()


class Outline:
    """手放した配列の、形と型。"""

    def __init__(self, shape: Any, dtype: Any) -> None:
        self.shape, self.dtype, self.size = shape, dtype, prod(shape)

    def __repr__(self) -> str:
        return f"{self.shape} の配列"


class Shown(Node):
    """描くためだけのノード。計算にはつながらない。"""

    def __init__(self, op: Any, label: str, data: Any, grad: Any) -> None:
        self.op, self._label, self._data = op, label, data
        self.grad = self._grad = grad
        self._a, self._b, self._da, self._db, self._mark = (), None, None, None, None

    @property
    def data(self) -> Any:
        """値か、手放した配列の形と型。"""
        return self._data


class Spent(Shown):
    """記録だけが残っているノード。"""

    def __init__(self, record: list[Any]) -> None:
        op, _, label, self.shape, self.dtype, few, grad = self.spent = record
        data = Outline(self.shape, self.dtype) if few is None else few
        super().__init__(op, label, data, Outline(*grad[3:5]) if isinstance(grad, list) else grad)
        self.requires_grad = op is not None

    def pull(self) -> None:
        """もう 1 度は逆伝播できない。"""
        raise spent_graph()


def _node_of(x: Any) -> Any:
    return Spent(x) if x.__class__ is list else x


def history(*roots: Node) -> dict[Any, tuple[Any, ...]]:
    """計算グラフのノードと定数の配列から、その引数への対応。親が子より先に来る。

    逆伝播を終えたところは、残された記録から作る。
    """
    known = {id(node.spent): node for node in topological_order(*roots)}

    def node_of(x: Any) -> Any:
        if x.__class__ is not list:
            return x
        if id(x) not in known:
            known[id(x)] = Spent(x)
        return known[id(x)]

    found: dict[Any, tuple[Any, ...]] = {}
    out: dict[Any, tuple[Any, ...]] = {}
    stack: list[Any] = [*reversed(roots)]
    while stack:
        node = stack.pop()
        if node in out:
            continue
        if node in found:
            out[node] = found[node]
            continue
        found[node] = tuple(
            map(node_of, node.spent[1] if node.spent.__class__ is list else node.operands)
        )
        stack += [node, *(x for x in reversed(found[node]) if isinstance(x, Node))]
    return out


def require_unspent(order: list[Any]) -> None:
    """逆伝播を終えたグラフは、勾配を変える前に断る。"""
    for node in order:
        if node.spent:  # a Value never is
            raise spent_graph()


def spent_graph() -> RuntimeError:
    """`retain_graph=True` なしに 2 度目の逆伝播をしたときのエラー。"""
    return RuntimeError(
        "このグラフは既に逆伝播しました (backward through the graph a second time): "
        "もう一度使うなら、最初の backward に retain_graph=True を渡してください。"
    )
