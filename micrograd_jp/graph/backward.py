"""計算グラフ: ノード、トポロジカル順序、逆伝播。

親は子を知らず、ノードは自分の出力を捕まえない。だから使われなくなったグラフは、
循環参照の回収を待たずに、参照カウントだけで即座に消える。
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from typing import Any, TypeVar

from micrograd_jp.graph.modes import observe_gradient, observe_shares, unusual
from micrograd_jp.namespace import quiet
from micrograd_jp.ops.primitive import Elementwise, Primitive, Reduction

N = TypeVar("N", bound="Node")


class Node:
    """計算グラフの 1 点。`Value` と（後に）`Tensor` に共通の部分。

    親の持ち方は 2 通りある。1・2 引数の演算は `_a, _b` に親を、`_da, _db` にその局所微分を
    直接持つ（Python の回収器が見る物の数を 1 ノード 1 個に抑えるため。親が定数なら親は `None` で
    定数は `_da` か `_db` に入る）。それ以上の演算は `_a` に親の組、`_da` に局所微分の組を持つ。
    配列の演算は局所微分を持たず (`_da` は `None`)、逆伝播のときに積 (VJP) を計算する。
    """

    __slots__ = ("_a", "_b", "_da", "_db", "_grad", "_label", "_mark", "data", "op")

    data: Any
    requires_grad: Any = True
    _spent: Any = False
    _params: Any = {}  # noqa: RUF012
    _no_gradient_yet: Any = None
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
        return tuple(x for x in self.operands if isinstance(x, Node) and x.requires_grad)

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
    def is_leaf(self) -> bool:
        """演算の結果ではないノードか。"""
        return self.op is None

    @property
    def label(self) -> str:
        """計算グラフに描く名前。"""
        try:
            return self._label
        except AttributeError:  # nodes made by operations leave the slot empty until named
            return ""

    @label.setter
    def label(self, label: str) -> None:
        self._label = str(label)

    @property
    def has_grad(self) -> bool:
        """勾配が計算済みか。`grad` が 0 なのか未計算なのかを区別する。"""
        return getattr(self, "_grad", None) is not None

    def _receive(self, share: Any, fresh: bool = False) -> None:
        """Add one child's part of the gradient. `fresh`: it is not the upstream gradient itself."""
        raise NotImplementedError

    def _pull(self, keep: bool) -> None:
        """Hand the gradient on to the parents, for operations on arrays."""
        upstream = self._grad
        shares = self._shares(upstream)
        if unusual.contexts:
            observe_shares(self, upstream, shares)
        for parent, share in zip(self._a, shares):
            # What a rule made anew need not be copied; the upstream gradient itself must be.
            parent._receive(share, share is not upstream)

    def _shares(self, upstream: Any) -> list[Any]:
        """Each parent's part of the gradient, from arrays, or from nodes as nodes."""
        raise NotImplementedError


def topological_order(*roots: N) -> list[N]:
    """`roots` に至るすべてのノードを、親が子より先に来る順に返す。

    再帰しないので、深さ 1,000,000 の鎖でも動く。順序はグラフだけで決まる。
    """
    # Marks live in the nodes: a set of a million nodes would cost more than the arithmetic.
    # They are fresh objects each time, so nothing has to be cleaned up, even after Ctrl-C.
    entered, finished = object(), object()
    order: list[Any] = []
    stack: list[Any] = [*reversed(roots)]
    with _lock:
        while stack:
            node = stack.pop()
            mark = node._mark
            if mark is finished:
                continue
            a, b = node._a, node._b
            if mark is entered or (a is None and b is None):
                node._mark = finished
                order.append(node)
                continue
            node._mark = entered
            stack.append(node)
            if b is not None and b._mark is not finished:
                stack.append(b)
            if a.__class__ is tuple:
                stack += a[::-1]
            elif a is not None and a._mark is not finished:
                stack.append(a)
    return order


# Marks and the running sums of a backward pass live in nodes that threads may share
# (parameters): one traversal at a time. Under the interpreter lock this costs no parallelism.
_lock = threading.RLock()


def backward(root: Node, seed: Any, keep: bool = True) -> None:
    """連鎖律で勾配を求める。葉には足し込み、途中のノードには今回の値を入れる。

    Args:
        root: 微分される出力。
        seed: 出力の勾配（ふつう 1）。
        keep: 偽なら、配列のノードはもう一度は逆伝播できなくなる。
    """
    with _lock:
        order = topological_order(root)
        if root._da is None:  # made by an operation on arrays
            _require_unspent(order)
        warnings = quiet.silenced()
        try:
            _run_backward(root, seed, order, keep)
        finally:
            quiet.restore(warnings)


def _require_unspent(order: list[Any]) -> None:
    """Refuse a graph that went through a backward pass, before any gradient changes."""
    for node in order:
        if node._spent:  # a Value never is
            raise spent_graph()


def spent_graph() -> RuntimeError:
    """`retain_graph=True` なしに 2 度目の逆伝播をしたときのエラー。"""
    return RuntimeError(
        "このグラフは既に逆伝播しました (backward through the graph a second time): "
        "もう一度使うなら、最初の backward に retain_graph=True を渡してください。"
    )


def _run_backward(root: Node, seed: Any, order: list[Node], keep: bool) -> None:
    for node in order:
        if node._da is not None:  # the result of an operation on numbers
            node._grad = 0.0
        elif node.op is not None or node._grad is None:
            node._grad = node._no_gradient_yet
    root._receive(seed)
    if unusual.contexts:
        _watch(order, keep)
        return
    for node in reversed(order):
        a = node._a
        if a.__class__ is tuple:
            if node._da is None:
                node._pull(keep)
                continue
            g = node._grad
            for parent, partial in zip(a, node._da, strict=True):
                parent._grad += g * partial
            continue
        if a is not None:
            a._grad += node._grad * node._da
        b = node._b
        if b is not None:
            b._grad += node._grad * node._db


def _watch(order: list[Node], keep: bool) -> None:
    """The loop of `backward` that also looks for the first nan or inf."""
    for node in reversed(order):
        g = node._grad
        if node._a.__class__ is tuple and node._da is None:
            node._pull(keep)
            continue
        for parent, partial in zip(node.parents, node.partials, strict=True):
            observe_gradient(node, g, partial)
            parent._grad += g * partial


def gradients(root: N, seed: N) -> dict[N, N]:
    """計算グラフ自身の演算で連鎖律をたどる。結果の勾配もまた微分できる。

    Args:
        root: 微分される出力。
        seed: 出力の勾配。

    Returns:
        `root` に至る各ノードの勾配。`grad` 属性には触れない。

    Raises:
        RuntimeError: 順伝播のあとで `data` が書き換えられていて、局所微分が合わない。
    """
    return pulled_back({root: seed})


def pulled_back(seeds: dict[N, N]) -> dict[N, N]:
    """`gradients` と同じことを、いくつもの出力から 1 度に行う。

    Args:
        seeds: 出力から、その勾配への対応。
    """
    total: dict[Any, Any] = dict(seeds)
    order = topological_order(*seeds)
    _require_unspent(order)
    for node in reversed(order):
        upstream = total.get(node)
        if upstream is None or node.op is None:
            continue
        for parent, share in zip(node.parents, node._shares(upstream), strict=True):
            total[parent] = total[parent] + share if parent in total else share
    return total


ONE = 1  # small ints are singletons: rules that say 1 give back the upstream gradient itself


def scaled_shares(node: Node, upstream: Any) -> list[Any]:
    """`Value` の各親の勾配: 上流の勾配 × 局所微分。どれも計算グラフの一部。"""
    shares = []
    for partial, recorded in zip(differentiable_partials(node), node.partials, strict=True):
        _check_unchanged(node, getattr(partial, "data", partial), recorded)
        shares.append(upstream if partial is ONE else upstream * partial)
    return shares


class Graph:
    """The namespace of the graph's own functions: rules run on nodes and give nodes."""

    def __getattr__(self, name: str) -> Any:
        from micrograd_jp import functions

        return getattr(functions, name)

    @staticmethod
    def times(g: Any, d: Any) -> Any:
        """The upstream gradient times a partial derivative."""
        return g * d

    @staticmethod
    def weight_gradient(g: Any, x: Any, w: Any) -> Any:
        """`linear` の重みの勾配 gᵀx。"""
        return g.T @ x

    @staticmethod
    def bias_gradient(g: Any) -> Any:
        """`linear` のバイアスの勾配: 行の和。"""
        return g.sum(axis=0)

    @staticmethod
    def where(condition: Any, x: Any, y: Any) -> Any:
        """条件で選ぶ。条件が数なら、選ばれない方は計算グラフに入らない。"""
        if not hasattr(condition, "shape"):
            # The branch not taken stays out of the graph: 0 · ∞ there would make nan here.
            return x if condition else y
        from micrograd_jp import functions, namespace
        from micrograd_jp.tensor.array import Tensor

        if not isinstance(x, Node) and not isinstance(y, Node):  # a constant, in no dtype's way
            return Tensor(namespace.of(condition.data).where(condition.data, x, y))
        return functions.where(condition, x, y)


graph = Graph()


def differentiable_partials(node: Node) -> list[Any]:
    """局所微分を、親と同じ順に、計算グラフの式（または数）として作り直す。"""
    xs, op = node.operands, node.op
    if isinstance(op, Reduction):
        partials: Iterable[Any] = op.partials(graph, node, xs)
        return [d for x, d in zip(xs, partials, strict=True) if isinstance(x, Node)]
    if isinstance(op, Elementwise):
        return [
            0 if rule is None else rule(graph, node, *xs)
            for x, rule in zip(xs, op.partials, strict=True)
            if isinstance(x, Node)
        ]
    return []


def _check_unchanged(node: Node, now: float, recorded: float) -> None:
    if now == recorded or math.isclose(now, recorded, rel_tol=1e-9):
        return
    if math.isnan(now) and math.isnan(recorded):
        return
    assert node.op is not None
    raise RuntimeError(
        f"順伝播のあとで data が書き換えられています (modified in place): {node.op.name} の"
        f"局所微分は順伝播のとき {recorded:.6g}、いまの data では {now:.6g} です。"
        "create_graph=True で微分するまでは、グラフの中の data を変えないでください。"
    )
