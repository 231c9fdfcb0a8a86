"""ネットワークを円と線で描く (network diagram): 円はユニット、線は重み。"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.nn.layers.scalar import MLP
from micrograd_jp.nn.module.calling import array_of
from micrograd_jp.nn.module.evaluating import undisturbed, watching
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import as_tensor
from micrograd_jp.viz import figures

_MOST = 12
"""これより多いユニットの層は、両端だけを描き、間を ⋮ にする。"""

SHOWN = ("weight", "grad")
_POSITIVE, _NEGATIVE = figures.COLORS[0], figures.COLORS[1]
_SILENT = ("Dropout", "Flatten", "Identity")


class _Column(NamedTuple):
    """One layer of units: what leads to it, and what it gave out."""

    title: str
    edges: np.ndarray  # (units, units before)
    values: np.ndarray | None


def network(
    model: Module, x: Any = None, *, show: str = "weight", names: tuple[Any, Any] | None = None
) -> Any:
    """全結合のネットワークを、ユニットの円と重みの線で描く。

    線の太さは |w|、正の重みは青い実線、負の重みは橙の破線。1 つの見本 `x` を渡すと、そのときの出力
    （活性化関数のあと）が円の濃さと数になる。12 個より多い層は間を ⋮ で略す。

    Args:
        model: `Value` でできた `mg.nn.MLP`、または `Linear` と活性化関数の `Sequential`。
        x: 1 つの入力。形は (入力の数,) か (1, 入力の数)。省略すると円は白い。
        show: 線にするもの。`"weight"`（重み）か `"grad"`（重みの勾配。`backward` のあと）。
        names: (入力の名前のリスト, 出力の名前のリスト)。

    Returns:
        matplotlib の図。`savefig("net.svg")` や `.png` で保存できる。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
        TypeError: 全結合の層でできたモデルでない（畳み込みなどは `model.summary(...)` を見る）。
        ValueError: 知らない `show`、入力や名前の数が合わない、勾配がまだない。
    """
    if show not in SHOWN:
        raise ValueError(
            f"show は {', '.join(map(repr, SHOWN))} のどれかです (unknown show): {show!r}。"
        )
    read: Any = _of_values if isinstance(model, MLP) else _of_arrays
    columns = list(read(model, x, show))
    first = columns[0].edges.shape[1]
    if x is not None:
        start = array_of(x).reshape(-1).astype(float)
    if x is not None and start.size != first:
        raise ValueError(f"入力は {first} 個の数です (length mismatch): {start.size} 個です。")
    inputs, outputs = names or (None, None)
    for given, count in ((inputs, first), (outputs, len(columns[-1].edges))):
        if given is not None and len(given) != count:
            raise ValueError(f"names は {count} 個の名前です (length mismatch): {given!r}。")
    columns.insert(0, _Column("入力", np.zeros((first, 0)), None if x is None else start))
    tallest = max(min(len(c.edges), _MOST) for c in columns)
    figure, axes = figures.subplots(size=(2.3 * len(columns), 1.4 + 0.55 * tallest))
    places = [_places(len(column.edges)) for column in columns]
    for k, column in enumerate(columns):
        if k:
            _draw_edges(axes, k, column.edges, places[k - 1], places[k])
        ends = {0: inputs, len(columns) - 1: outputs}.get(k)
        _draw_units(axes, k, column, places[k], ends)
    middle = max(max(p.values()) for p in places)
    for k, column in enumerate(columns):
        axes.text(k, -middle - 0.9, f"{column.title}\n{len(column.edges)}", ha="center", va="top")
    what = "重み" if show == "weight" else "∂L/∂w"
    for color, style, sign in ((_POSITIVE, "-", "正"), (_NEGATIVE, "--", "負")):
        axes.plot([], [], color=color, linestyle=style, label=f"{sign}の{what}（太さは大きさ）")
    if x is not None:
        axes.plot([], [], "o", color="0.7", label="円: 出力（濃さは大きさ）")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9, frameon=False)
    axes.set(xlim=(-0.6, len(columns) - 0.4), ylim=(-middle - 2.1, middle + 0.7))
    axes.set_axis_off()
    return figure


def _edges(parameter: Any, show: str, name: str) -> np.ndarray:
    if show == "grad" and not parameter.has_grad:
        raise ValueError(f"{name} の勾配がまだありません (no gradient): loss.backward() のあとに。")
    return np.asarray(array_of(parameter if show == "weight" else parameter.grad), dtype=float)


def _of_values(model: MLP, x: Any, show: str) -> Iterator[_Column]:
    values: Any = None if x is None else array_of(x).reshape(-1).tolist()
    for k, layer in enumerate(model.layers):
        edges = np.array([[_edges(w, show, f"layers.{k}") for w in n.w] for n in layer.neurons])
        if values is not None:
            with no_grad():
                values = layer(values)
        found = None if values is None else np.reshape(array_of(values), -1).astype(float)
        kind = "ReLU" if layer.neurons[0].nonlin else "出力"
        yield _Column(f"layers.{k}\n{kind}", edges, found)


def _of_arrays(model: Any, x: Any, show: str) -> Iterator[_Column]:
    if not isinstance(model, Module):
        raise TypeError(
            f"model は Module です (expected a Module): {type(model).__name__} が渡されました。"
        )
    layers: list[Any] = [(k, m) for k, m in model.named_modules() if not list(m.children())]
    wide = [name for name, m in layers if getattr(getattr(m, "weight", None), "ndim", 0) > 2]
    kinds = [type(m).__name__ for _, m in layers]
    if wide or "Linear" not in kinds or kinds[0] not in ("Linear", *_SILENT):
        raise TypeError(
            "Linear と活性化関数の Sequential か MLP を描きます (expected fully connected layers): "
            f"{wide[0] if wide else type(model).__name__} は描けません。"
            "畳み込みのモデルは model.summary(形) で表になります。"
        )
    seen: dict[int, np.ndarray] = {}
    if x is not None:
        batch = as_tensor(x)
        with ExitStack() as stack:
            stack.enter_context(undisturbed(model))
            stack.enter_context(no_grad())
            for k, (_, m) in enumerate(layers):
                stack.enter_context(watching(m, lambda _m, _i, out, k=k: seen.update({k: out})))
            model(batch.reshape(1, -1))
    k = 0
    while k < len(layers):
        name, layer = layers[k]
        k += 1
        if type(layer).__name__ != "Linear":
            continue
        title = f"{name}.weight"
        last = k - 1
        while k < len(layers) and type(layers[k][1]).__name__ != "Linear":  # what acts on its units
            if kinds[k] not in _SILENT:
                title += f"\n{kinds[k]}"
            last, k = k, k + 1
        values = None if x is None else np.reshape(array_of(seen[last]), -1).astype(float)
        yield _Column(title, _edges(layer.weight, show, f"{name}.weight"), values)


def _places(count: int) -> dict[int, float]:
    """The height of every unit that is drawn, from the top."""
    if count <= _MOST:
        chosen, gap = list(range(count)), None
    else:
        half = (_MOST - 1) // 2
        chosen, gap = [*range(half), *range(count - half, count)], half
    rows = len(chosen) + (gap is not None)
    heights = [(rows - 1) / 2 - k for k in range(rows) if k != gap]
    return dict(zip(chosen, heights, strict=True))


def _draw_edges(
    axes: Any, k: int, edges: np.ndarray, before: dict[int, float], after: dict[int, float]
) -> None:
    from matplotlib.collections import LineCollection

    largest = float(np.abs(edges).max()) or 1.0
    for sign, color, style in ((1, _POSITIVE, "-"), (-1, _NEGATIVE, (0, (4, 2)))):
        chosen = [(i, j) for i in after for j in before if sign * edges[i, j] > 0]
        lines = [[(k - 1, before[j]), (k, after[i])] for i, j in chosen]
        widths = [3.5 * abs(edges[i, j]) / largest for i, j in chosen]
        axes.add_collection(
            LineCollection(lines, linewidths=widths, colors=color, linestyles=[style], zorder=1)
        )


def _draw_units(axes: Any, k: int, column: _Column, places: dict[int, float], names: Any) -> None:
    from matplotlib.patches import Ellipse

    values = column.values
    largest = 1.0 if values is None else float(np.abs(values).max()) or 1.0
    for i, height in places.items():
        shade = 0.0 if values is None else 0.75 * min(1.0, abs(values[i]) / largest)
        color = _POSITIVE if values is None or values[i] >= 0 else _NEGATIVE
        axes.add_patch(Ellipse((k, height), 0.3, 0.72, facecolor="white", zorder=2))
        axes.add_patch(
            Ellipse((k, height), 0.3, 0.72, facecolor=(color, shade), edgecolor="black", zorder=3)
        )
        if values is not None:
            text = f"{values[i]:.2g}".replace("-", "−")
            axes.text(k, height, text, ha="center", va="center", fontsize=8, zorder=4)
        if names is not None:
            side = -1 if k == 0 else 1
            axes.text(
                k + side * 0.2, height, str(names[i]), ha="right" if k == 0 else "left", va="center"
            )
    if len(places) < len(column.edges):
        axes.text(k, 0, "⋮", ha="center", va="center", fontsize=16)


explain_all(globals())
