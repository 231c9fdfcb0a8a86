"""`Module.summary`: 層ごとの出力の形、パラメータの数、積和の数を、揃った表にする。

層 (layer)                 出力の形 (output)  パラメータ (params)  積和 (multiply-adds)
Sequential                           (1, 10)                    0                     0
├─ 0: Linear(784, 100)              (1, 100)               78,500                78,400
…
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.columns import display_width, left_aligned
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.graph.node import Node
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.describe import neighbours, times
from micrograd_jp.nn.module.evaluating import undisturbed, watching
from micrograd_jp.nn.module.parameter import is_parameter
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import get_default_dtype

_HEADER = (
    "層 (layer)", "出力の形 (output shape)", "パラメータ (params)", "積和 (multiply-adds)",
)  # fmt: skip
_NOT_CALLED = "—"
_SHARED = "共有"

Row = tuple[str, ...]


@dataclass(frozen=True)
class LayerSummary:
    """1 つの部品の要約。

    Attributes:
        name: 外側の部品の中での名前（全体は空）。
        kind: 部品の種類。
        output: 出力の形（最後に呼ばれたとき。呼ばれなければ `None`）。
        parameters: この部品が直接持つパラメータの要素の数。
        multiply_adds: この部品だけの積和の数（呼ばれた回数の分）。
        shared: 既に現れた部品か（パラメータと積和はそこで数えた）。
        layers: 中の部品。
    """

    name: str = field(compare=False)  # equal neighbours are shown as one row
    kind: str
    output: Any
    parameters: int
    multiply_adds: int
    shared: bool
    layers: tuple[LayerSummary, ...]

    def __iter__(self) -> Iterator[LayerSummary]:
        """自分と、中のすべての部品。"""
        yield self
        for layer in self.layers:
            yield from layer


@dataclass(frozen=True)
class Summary:
    """モデルの要約。`print` すると表になる。続けて並ぶ同じ部品は 1 行にまとめ、合計を書く。

    Attributes:
        model: 全体の要約。`for layer in summary.model` で、すべての部品を順に。
        parameters: パラメータの要素の数（共有されたものは 1 度だけ）。
        trainable: そのうち、勾配を求めるもの。
        binary: そのうち、順伝播では符号だけを使う、2 値の層の重み。
        multiply_adds: 行列積と畳み込みの積和の数。
    """

    model: LayerSummary
    parameters: int
    trainable: int
    multiply_adds: int
    binary: int = 0

    def __str__(self) -> str:
        rows = [_HEADER, *_table(self.model)]
        widths = [max(display_width(row[i]) for row in rows) for i in range(len(_HEADER))]
        lines = [_line(row, widths) for row in rows]
        rule = "─" * max(map(display_width, lines))
        return "\n".join([
            lines[0], rule, *lines[1:], rule,
            f"パラメータ (parameters): {self.parameters:,}"
            f"（うち学習する (trainable): {self.trainable:,}）",
            f"積和 (multiply-adds): {self.multiply_adds:,}",
            *([f"1 ビットの重み (binary): {self.binary:,}"
               f"（詰めると {-(-self.binary // 8):,} バイト (bytes)）"] if self.binary else []),
        ])  # fmt: skip

    __repr__ = __str__


def _table(layer: LayerSummary, title: str = "", depth: int = 0, copies: int = 1) -> Iterator[Row]:
    output = _NOT_CALLED if layer.output is None else _shape_text(layer.output)
    counts = (copies * layer.parameters, copies * layer.multiply_adds)
    numbers = [_SHARED if layer.shared else f"{n:,}" if n else _NOT_CALLED for n in counts]
    indent = "  " * (depth - 1) + "└ " if depth else ""
    yield (f"{indent}{title}{layer.kind}", output, *numbers)
    for name, inner, n in neighbours([(inner.name, inner) for inner in layer.layers]):
        yield from _table(inner, f"{name}: {times(n)}", depth + 1, copies * n)


def _shape_text(shape: Any) -> str:
    if isinstance(shape, list):
        return ", ".join(map(_shape_text, shape))
    return str(shape)


def _line(cells: Row, widths: list[int]) -> str:
    right = [" " * (w - display_width(c)) + c for c, w in zip(cells[1:], widths[1:])]
    return "  ".join([left_aligned(cells[0], widths[0]), *right])


@dataclass
class _Record:
    output: Any = None
    multiply_adds: int = 0


def summarize(model: Any, inputs: tuple[Any, ...]) -> Summary:
    """`Module.summary` の中身。"""
    if not inputs:
        raise TypeError(
            "summary には入力の形か例が必要です (expected an input shape): "
            "model.summary((1, 784)) のように書いてください。"
        )
    parameters = model.parameters()
    records = {id(module): _Record() for module in model.modules()}
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        stack.enter_context(no_grad())
        for module in model.modules():
            stack.enter_context(watching(module, _recorder(records[id(module)])))
        model(*[example(x, parameters) for x in inputs])
    layers = _summary_of(model, records)
    return Summary(
        layers,
        sum(map(_size, parameters)),
        sum(_size(p) for p in parameters if p.requires_grad),
        sum(layer.multiply_adds for layer in layers),
        _binary_weights(model),
    )


def _recorder(record: _Record) -> Any:
    def hook(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        record.output = _shape(output)
        record.multiply_adds += module.multiply_adds(inputs, output)

    return hook


def example(x: Any, parameters: list[Any]) -> Any:
    """An input of the wanted shape, or the example that was given."""
    is_shape = isinstance(x, tuple) and all(isinstance(n, int) for n in x)
    if not is_shape:
        return x
    tensors = [p for p in parameters if isinstance(p, Tensor)]
    if not tensors and parameters and len(x) == 1:  # a model made of Values takes a list
        return [0.0] * x[0]
    dtype = tensors[0].dtype if tensors else get_default_dtype()
    return Tensor(np.zeros(x, dtype=dtype))


def _shape(output: Any) -> Any:
    """The shape of an output; of a list of numbers its length, of other lists each one's."""
    if hasattr(output, "shape"):
        return tuple(output.shape)
    if isinstance(output, Node):
        return ()
    if isinstance(output, list | tuple):
        shapes = [_shape(x) for x in output]
        return (len(shapes),) if all(shape == () for shape in shapes) else shapes
    return type(output).__name__


def _size(parameter: Any) -> int:
    return prod(getattr(parameter, "shape", ()))


def _binary_weights(model: Any) -> int:
    found = {id(m.weight): m.weight for m in model.modules() if getattr(m, "binary_weights", False)}
    return sum(map(_size, found.values()))


def _summary_of(model: Any, records: dict[int, _Record]) -> LayerSummary:
    counted: set[int] = set()
    shown: set[int] = set()

    def own_size(module: Any) -> int:
        total = 0
        for _, x in tree.members(module):
            if is_parameter(x) and id(x) not in counted:
                counted.add(id(x))
                total += _size(x)
        return total

    def summary(name: str, module: Any) -> LayerSummary:
        record, shared = records[id(module)], id(module) in shown
        shown.add(id(module))
        own, count = (0, 0) if shared else (own_size(module), record.multiply_adds)
        inner = () if shared else tuple(summary(*pair) for pair in tree.children(module))
        return LayerSummary(name, type(module).__name__, record.output, own, count, shared, inner)

    return summary("", model)


explain_all(globals())
