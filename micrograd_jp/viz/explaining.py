"""勾配の説明 (explain): 葉から出力への道を数え、道ごとの寄与とその和を、文と表にする。

>>> from micrograd_jp import Value
>>> w = Value(3.0, label="w")
>>> print(explain(w, w * w))
∂(出力)/∂w = 6。w は 2 か所で使われ、寄与の和が勾配になります: 3 + 3 = 6
  1. w × w = 9: 上流の勾配 1 × 局所微分 w = 3 → 3
  2. w × w = 9: 上流の勾配 1 × 局所微分 w = 3 → 3
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.higher_order import pulled_back
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.graph.node import Node, data_of, topological_order
from micrograd_jp.graph.shares import shares, tracked
from micrograd_jp.graph.writes import latest
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.viz import figures, words
from micrograd_jp.viz.naming import names_of
from micrograd_jp.viz.text import clean, formula_number

_MOST = 6
"""これより多い道は、はじめのこの数だけ書く。"""

_SIDE = 8
"""これより大きな表には、数を書かない。"""


class _Table(NamedTuple):
    sign: str  # before it: "", "×", "＝"
    title: str
    array: np.ndarray


class Explanation:
    """`explain` の結果。`print` で文になり、Jupyter では表の図も並ぶ。

    Attributes:
        text: 説明の文。
        share_sum: 寄与の和（= 勾配）。数か ndarray。
    """

    def __init__(self, text: str, share_sum: Any, rows: list[list[_Table]]) -> None:
        self.text, self.share_sum, self._rows = text, share_sum, rows

    def picture(self) -> Any:
        """道ごとの表の図。`savefig("w.png")` で保存できる。

        Raises:
            ImportError: matplotlib か matplotlib_fontja がない。
        """
        rows = self._tables()
        columns = max(map(len, rows))
        figure, axes = figures.subplots(
            len(rows), columns, size=(2.3 * columns, 2.3 * len(rows)), squeeze=False
        )
        for line, tables in zip(axes, rows, strict=True):
            for axis in line[len(tables) :]:
                axis.set_axis_off()
            for axis, table in zip(line, tables, strict=False):
                _draw_table(axis, table)
        return figure

    def _tables(self) -> list[list[_Table]]:
        return self._rows or [[_Table("", "勾配", _flat(self.share_sum))]]

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if all(table.array.size == 1 for row in self._tables() for table in row):
            return f"<pre>{html.escape(self.text)}</pre>"  # of single numbers, all is said
        png = base64.b64encode(self.picture()._repr_png_()).decode()
        return f'<pre>{html.escape(self.text)}</pre><img src="data:image/png;base64,{png}">'


def explain(x: Node, root: Node, *, parameters: Any = None) -> Explanation:
    """`x` の勾配 ∂root/∂x が、なぜその値なのかを説明する。

    `x` を使ったすべての演算について、上流の勾配と局所微分から寄与を求め、足し合わせる。`grad` には
    触れない。`Tensor` のグラフでは、`backward` の前か、`retain_graph=True` のあとに呼ぶ。

    Args:
        x: 葉か途中の `Value`・`Tensor`。
        root: 微分される出力。要素は 1 つ。
        parameters: 葉の名前。`model` か、`dict(model.named_parameters())` のような辞書。

    Returns:
        `Explanation`。`print` するか、Jupyter のセルの最後に置く。

    Raises:
        TypeError: `Value` か `Tensor` でない、`parameters` から名前が分からない。
        ValueError: 出力の要素が 1 つでない、`x` が出力の計算に使われていない。
        RuntimeError: グラフが、逆伝播を終えて途中の値を手放している。
    """
    for node in (x, root):
        if not isinstance(node, Node):
            raise TypeError(
                "explain(w, loss) のように、葉と出力の Value か Tensor を渡します "
                f"(expected nodes): {type(node).__name__} が渡されました。"
            )
    if isinstance(root, Tensor) and root.size != 1:
        raise ValueError(
            "出力は 1 つの数です (expected a scalar output): "
            f"形 {root.shape} が渡されました。loss.sum() のように 1 つにまとめてください。"
        )
    called = names_of(parameters)
    end = latest(root)
    with no_grad():
        one = Tensor(np.ones_like(root._data)) if isinstance(root, Tensor) else Value(1.0)
        upstream: dict[Any, Any] = pulled_back([(end, one)])
        uses = [
            (node, i, data_of(share))
            for node in topological_order(end)
            if node in upstream and any(parent is x for parent in node.parents)
            for i, parent, share in zip(
                tracked(node), node.parents, shares(node, upstream[node]), strict=True
            )
            if parent is x
        ]
    name, of = _name(x, called) or "x", _name(root, called) or "(出力)"
    if not uses:
        raise ValueError(
            f"{name} は {of} の計算に使われていないので、勾配はありません (not used): "
            "requires_grad と、計算に使った変数かを確かめてください。"
        )
    total = sum(share for *_, share in uses)
    lines, rows = [], []
    for k, (node, i, share) in enumerate(uses[:_MOST], 1):
        sentence, tables = _use(x, node, i, data_of(upstream[node]), share, called)
        lines.append(f"  {k}. {sentence}")
        rows.append(tables)
    if len(uses) > _MOST:
        lines.append(f"  … 他 {len(uses) - _MOST} か所")
    head = f"∂{of}/∂{name} = {formula_number(total)}。"
    if len(uses) > 1:
        added = " + ".join(_bracketed(formula_number(share)) for *_, share in uses[:_MOST])
        added += " + …" if len(uses) > _MOST else ""
        head += f"{name} は {len(uses)} か所で使われ、寄与の和が勾配になります"
        head += f": {added} = {formula_number(total)}" if np.ndim(total) == 0 else "。"
    if all(table.array.size == 1 for tables in rows for table in tables):
        columns = zip(*rows, strict=True)  # numbers: one path a row of one table
        merged = [c[0]._replace(array=np.vstack([t.array for t in c])) for c in columns]
        rows = [[*merged, _Table("Σ", "勾配", _flat(total))]]
    return Explanation("\n".join([head, *lines]), total, rows)


def _use(
    x: Node, node: Any, i: int, g: Any, share: Any, called: Mapping[Node, str]
) -> tuple[str, list[_Table]]:
    """One use: its sentence, and its tables."""
    operands = node.operands
    names = [_called(o, k, x, called) for k, o in enumerate(operands)]
    shape = np.shape(data_of(node))
    written = words.value(node.op, operands).format(*names, z="z")
    result = f"{written} = {formula_number(data_of(node))}"
    if not shape and node.partials:
        d = node.partials[tracked(node).index(i)]
        rule = words.slopes(node.op, operands)[i].format(*names, z="z")
        slope = formula_number(d)
        rule = f"{rule} = " if rule and rule not in (slope, _bracketed(slope)) else ""
        sentence = (
            f"{result}: 上流の勾配 {_bracketed(formula_number(g))} × 局所微分 {rule}{slope}"
            f" → {formula_number(share)}"
        )
        return sentence, [
            _Table("", "上流の勾配", _flat(g)), _Table("×", "局所微分", _flat(d)),
            _Table("＝", "寄与", _flat(share)),
        ]  # fmt: skip
    product = _product(node.op.name, i, [data_of(o) for o in operands], g, names)
    if product is not None:
        formula, left, right = product
        a, b, c = (np.shape(t.array) for t in (left, right, _Table("", "", _flat(share))))
        sentence = (
            f"{written} の形は {shape}。{names[i]} の勾配は {formula}: "
            f"{a} @ {b} = {c} で、{names[i]} の形 {np.shape(share)} と合います"
        )
        return sentence, [left, right, _Table("＝", f"{names[i]} の勾配", _flat(share))]
    copies = int(np.prod(shape)) // max(1, np.size(share))
    if copies > 1 and (node.op.name == "tensor.linear" or not node.is_array_op or _spreads(node)):
        axes = _summed(shape, np.shape(share))
        sentence = (
            f"{written}: {names[i]} {np.shape(share)} は {shape} に広げて使われます "
            f"(broadcasting)。1 つの要素に {copies} 本の道があり、寄与は軸 {axes} に沿った和です"
        )
        return sentence, [
            _Table("", "上流の勾配", _flat(g)), _Table(f"Σ 軸 {axes}", "寄与", _flat(share)),
        ]  # fmt: skip
    sentence = (
        f"{written}（{node.op.summary}）: 上流の勾配 {np.shape(g)} から、{names[i]} と同じ形 "
        f"{np.shape(share)} の寄与を作ります"
    )
    return sentence, [_Table("", "上流の勾配", _flat(g)), _Table("→", "寄与", _flat(share))]


def _spreads(node: Any) -> bool:
    """Elementwise operations on arrays: they alone use one element several times by shape."""
    return not node.op.name.startswith("tensor.")


def _product(
    name: str, i: int, xs: list[Any], g: Any, names: list[str]
) -> tuple[str, _Table, _Table] | None:
    """The product of two matrices that is the gradient: whose rule is known by its shapes."""
    if any(np.ndim(x) != 2 for x in (*xs[:2], g)):
        return None
    upstream = ("G", np.asarray(g))
    if name == "tensor.matmul":
        a, b = xs
        pairs = [(upstream, (f"{names[1]}ᵀ", b.T)), ((f"{names[0]}ᵀ", a.T), upstream)]
    elif name == "tensor.linear" and i < 2:
        pairs = [(upstream, (names[1], xs[1])), (("Gᵀ", g.T), (names[0], xs[0]))]
    else:
        return None
    (first, left), (second, right) = pairs[i]
    formula = f"{first} {second} (G は上流の勾配 {np.shape(g)})"
    return formula, _Table("", first, np.asarray(left)), _Table("@", second, np.asarray(right))


def _summed(shape: tuple[int, ...], small: tuple[int, ...]) -> str:
    padded = (1,) * (len(shape) - len(small)) + tuple(small)
    axes = [k for k, (n, m) in enumerate(zip(shape, padded, strict=True)) if n > m]
    return str(axes[0]) if len(axes) == 1 else str(tuple(axes))


def _name(x: Any, called: Mapping[Node, str]) -> str:
    return clean(called.get(x) or x.label) if isinstance(x, Node) else ""


def _called(operand: Any, k: int, x: Node, called: Mapping[Node, str]) -> str:
    """What an operand is called in a sentence: its label, x, its number, or a letter."""
    if operand is x:
        return _name(x, called) or "x"
    return _name(operand, called) or (
        _bracketed(formula_number(operand)) if np.ndim(data_of(operand)) == 0 else "ABCD"[k % 4]
    )


def _bracketed(text: str) -> str:
    return f"({text})" if text.startswith("−") else text


def _flat(x: Any) -> np.ndarray:
    array = np.asarray(x, dtype=float)
    return np.atleast_2d(array if array.ndim <= 2 else array.reshape(-1, array.shape[-1]))


def _draw_table(axis: Any, table: _Table) -> None:
    array = table.array
    figures.show_images([axis], [array], signed=True, aspect="auto", alpha=0.6)
    axis.set_title(f"{table.sign}  {table.title}\n{array.shape[0]} × {array.shape[1]}", fontsize=10)
    if max(array.shape) <= _SIDE:
        for (row, column), number in np.ndenumerate(array):
            axis.text(column, row, formula_number(number), ha="center", va="center", fontsize=8)


explain_all(globals())
