"""全結合のモデルを、ユニットの列として読む: 列ごとの重み、勾配、バイアス、出力と、その名前。"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.graph.modes import no_grad
from micrograd_jp.nn.layers.containers import Sequential
from micrograd_jp.nn.layers.scalar import MLP
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.calling import array_of
from micrograd_jp.nn.module.evaluating import undisturbed
from micrograd_jp.tensor.array import as_tensor

_SILENT = ("Dropout", "Flatten", "Identity")


class Linked(NamedTuple):
    """ユニットへの線か、ユニットのバイアス: 名前、値、勾配。

    Attributes:
        name: `0.weight[{i}, {j}]` のような形。
        values: 値。
        grads: 勾配（まだなければ `None`）。
    """

    name: str
    values: np.ndarray
    grads: np.ndarray | None


class Column(NamedTuple):
    """1 つの層のユニット。

    Attributes:
        title: 層の名前と、活性化関数。
        size: ユニットの数。
        edges: 前の列のユニットからの重み (size, 前の数)。入力では `None`。
        bias: バイアス (size,)。
        values: 出力 (size,)。
    """

    title: str
    size: int
    edges: Linked | None = None
    bias: Linked | None = None
    values: np.ndarray | None = None


def is_connected(model: Any) -> bool:
    """全結合の層と活性化関数を、順に通るだけのモデルか。"""
    if isinstance(model, MLP):
        return True
    layers = [m for _, m in _layers(model)]
    kinds = [type(m).__name__ for m in layers]
    wide = any(getattr(getattr(m, "weight", None), "ndim", 0) > 2 for m in layers)
    # What a module does between parts of its own (x + f(x), a function) is not seen from here.
    whole = not any(m.children() for m in layers)
    return whole and not wide and "Linear" in kinds and kinds[0] in ("Linear", *_SILENT)


def _layers(model: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The layers in the order of the data: one that is passed twice comes twice."""
    if not isinstance(model, Sequential):
        yield name, model
        return
    for own, child in tree.children(model):
        yield from _layers(child, tree.joined(name, own))


def columns(model: Any, x: Any) -> list[Column]:
    """入力の列から、出力の列まで。

    Args:
        model: `is_connected` のモデル。
        x: 1 つの入力。省略すると出力はない。

    Raises:
        ValueError: 入力の数が合わない。
    """
    read = _of_values if isinstance(model, MLP) else _of_arrays
    start = None if x is None else array_of(x).reshape(-1).astype(float)
    first = _inputs(model)
    if start is not None and start.size != first:
        raise ValueError(f"入力は {first} 個の数です (length mismatch): {start.size} 個です。")
    return [Column("入力", first, values=start), *read(model, x)]


def _inputs(model: Any) -> int:
    if isinstance(model, MLP):
        return len(model.layers[0].neurons[0].w)
    first = next(m for _, m in _layers(model) if type(m).__name__ == "Linear")
    return int(first.weight.shape[1])


def _linked(name: str, parameters: Any) -> Linked:
    """Of one Tensor, or of nested lists of Values."""
    known = np.array(array_of(parameters), dtype=float)
    if hasattr(parameters, "shape"):
        grads = np.array(array_of(parameters.grad), dtype=float) if parameters.has_grad else None
        return Linked(name, known, grads)
    flat = np.array(parameters, dtype=object).ravel()
    computed = all(p.has_grad for p in flat)
    grads = np.array([float(p.grad) for p in flat]) if computed else None
    return Linked(name, known, None if grads is None else grads.reshape(known.shape))


def _of_values(model: MLP, x: Any) -> Iterator[Column]:
    values: Any = None if x is None else array_of(x).reshape(-1).tolist()
    for k, layer in enumerate(model.layers):
        if values is not None:
            with no_grad():
                values = layer(values)
                values = values if isinstance(values, list) else [values]
        found = None if values is None else np.reshape(array_of(values), -1).astype(float)
        kind = "ReLU" if layer.neurons[0].nonlin else "出力"
        name = f"layers.{k}.neurons.{{i}}"
        yield Column(
            f"layers.{k}\n{kind}", len(layer.neurons),
            _linked(f"{name}.w.{{j}}", [n.w for n in layer.neurons]),
            _linked(f"{name}.b", [n.b for n in layer.neurons]), found,
        )  # fmt: skip


def _of_arrays(model: Any, x: Any) -> Iterator[Column]:
    layers = list(_layers(model))
    kinds = [type(m).__name__ for _, m in layers]
    outputs: list[Any] = []
    if x is not None:
        value = as_tensor(x).reshape(1, -1)
        with undisturbed(model), no_grad():
            for _, layer in layers:
                value = layer(value)
                outputs.append(value)
    k = 0
    while k < len(layers):
        name, layer = layers[k]
        k += 1
        if type(layer).__name__ != "Linear":
            continue
        place = f"{name}." if name else ""
        title = f"{place}weight"
        last = k - 1
        while k < len(layers) and type(layers[k][1]).__name__ != "Linear":  # what acts on its units
            if kinds[k] not in _SILENT:
                title += f"\n{kinds[k]}"
            last, k = k, k + 1
        values = None if x is None else np.reshape(array_of(outputs[last]), -1).astype(float)
        bias = None if layer.bias is None else _linked(f"{place}bias[{{i}}]", layer.bias)
        edges = _linked(f"{place}weight[{{i}}, {{j}}]", layer.weight)
        yield Column(title, len(edges.values), edges, bias, values)
