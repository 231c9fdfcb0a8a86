"""計算グラフの 1 点 `Node` と、そのトポロジカル順序 (topological order)。

親は子を知らず、ノードは自分の出力を捕まえない。だから使われなくなったグラフは、
循環参照の回収を待たずに、参照カウントだけで即座に消える。
"""

from __future__ import annotations

from typing import Any, TypeVar

from micrograd_jp.graph.copying import Copied
from micrograd_jp.locks import Lock
from micrograd_jp.ops.primitive import Primitive

N = TypeVar("N", bound="Node")

# Marks and the running sums of a backward pass live in nodes that threads may share
# (parameters): one traversal at a time. Under the interpreter lock this costs no parallelism.
lock = Lock()


class Node(Copied):
    """計算グラフの 1 点。`Value` と `Tensor` に共通の部分。

    親の持ち方は 2 通りある。1・2 引数の演算は `_a, _b` に親を、`_da, _db` にその局所微分を
    直接持つ（Python の回収器が見る物の数を 1 ノード 1 個に抑えるため。親が定数なら親は `None` で
    定数は `_da` か `_db` に入る）。それ以上の演算は `_a` に親の組、`_da` に局所微分の組を持つ。
    配列の演算は局所微分を持たず (`_da` は `None`)、逆伝播のときに積 (VJP) を計算する。
    """

    __slots__ = ("_a", "_b", "_da", "_data", "_db", "_grad", "_label", "_mark", "op")

    _data: Any  # read and written without a detour; `data` looks at what it is given
    data: Any
    requires_grad: Any = True
    no_gradient: Any = None  # what `_grad` is before anything was added to it
    spent: Any = False  # gone through a backward pass that kept nothing (only operations on arrays)
    accumulate: Any  # (share, fresh) adds what one child gives to the gradient
    pull: Any  # hands the gradient on to the parents (only operations on arrays)
    op: Primitive | None
    _a: Any
    _b: Any
    _da: Any
    _db: Any
    _grad: Any
    _label: str
    _mark: object

    @property
    def operands(self) -> tuple[Any, ...]:
        """演算の引数を順に。計算グラフにない定数は数のまま入る。"""
        if self.op is None:
            return ()
        if self._a.__class__ is tuple:
            return self._a if self._db is None else self._db
        first = self._da if self._a is None else self._a
        if self._b is not None:
            return (first, self._b)
        return (first,) if self._db is None else (first, self._db)

    @property
    def parents(self) -> tuple[Node, ...]:
        """親ノードを順に（同じ親が 2 度現れることもある）。"""
        a = self._a  # what was tracked when it was recorded
        return a if a.__class__ is tuple else tuple(x for x in (a, self._b) if x is not None)

    @property
    def partials(self) -> tuple[float, ...]:
        """`parents` と同じ順の局所微分 ∂self/∂parent（配列の演算では空）。"""
        if self.op is None:
            return ()
        if self._a.__class__ is tuple:
            return tuple(map(float, self._da or ()))
        pairs = ((self._a, self._da), (self._b, self._db))
        return tuple(float(d) for parent, d in pairs if parent is not None)

    @property
    def is_array_op(self) -> bool:
        """配列の演算の結果か。局所微分の代わりに、積 (VJP) を持つ。"""
        return self.op is not None and self._da is None

    @property
    def is_leaf(self) -> bool:
        """演算の結果ではないノードか。"""
        return self.op is None

    @property
    def label(self) -> str:
        """計算グラフに描く名前。"""
        return str(getattr(self, "_label", ""))  # operations leave the slot empty

    @label.setter
    def label(self, label: str) -> None:
        self._label = label

    @property
    def has_grad(self) -> bool:
        """勾配が計算済みか。`grad` が 0 なのか未計算なのかを区別する。"""
        return getattr(self, "_grad", None) is not None


def topological_order(*roots: N) -> list[N]:
    """`roots` に至るすべてのノードを、親が子より先に来る順に返す。

    再帰しないので、深さ 1,000,000 の鎖でも動く。順序はグラフだけで決まる。
    """
    # Marks live in the nodes: a set of a million nodes would cost more than the arithmetic.
    # They are fresh objects each time, so nothing has to be cleaned up, even after Ctrl-C.
    entered, finished = object(), object()
    order: list[Any] = []
    stack: list[Any] = [*reversed(roots)]
    with lock:
        while stack:
            node = stack.pop()
            while node._mark is not finished:
                a, b = node._a, node._b
                if a.__class__ is tuple:
                    if node._mark is not entered:
                        node._mark = entered
                        stack += [node, *a[::-1]]
                        break
                elif a is not None and a._mark is not finished:
                    stack.append(node)  # looked at again once its parent is done
                    node = a
                    continue
                elif b is not None and b._mark is not finished:
                    stack.append(node)
                    node = b
                    continue
                node._mark = finished
                order.append(node)
    return order


def data_of(x: Any) -> Any:
    """ノードなら配列か数、そうでなければそのまま。"""
    return x._data if isinstance(x, Node) else x
