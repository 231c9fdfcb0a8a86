"""ユニットの円と重みの線の SVG。図にもページにもなるように、Graphviz が書く図形だけで描く。"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from micrograd_jp.viz import figures
from micrograd_jp.viz.layout import FONTS
from micrograd_jp.viz.network.columns import Column
from micrograd_jp.viz.text import clean, formula_number

MOST = 12
"""これより多いユニットの層は、両端だけを描き、間を ⋮ にする。"""

WIDEST = 4.0
"""いちばん大きな重みの線の太さ。"""

DASHES = "5,3"
POSITIVE, NEGATIVE = figures.COLORS[0], figures.COLORS[1]
_STEP, _GAP, _RADIUS, _MARGIN = 46.0, 170.0, 19.0, 24.0


def drawn(count: int) -> tuple[list[int], int | None]:
    """描くユニットの番号と、⋮ の場所（すべて描くなら `None`）。"""
    if count <= MOST:
        return list(range(count)), None
    half = (MOST - 1) // 2
    return [*range(half), *range(count - half, count)], half


def svg(columns: list[Column], names: tuple[Any, Any], grads: bool) -> str:
    """図。

    Args:
        columns: 列。
        names: (入力の名前, 出力の名前)。なければ `None`。
        grads: 線を勾配にするか。
    """
    inputs, outputs = ([clean(str(x)) for x in given or ()] for given in names)
    places = [_heights(column.size) for column in columns]
    low = max(max(heights.values()) for heights in places)
    left = _MARGIN + _RADIUS + 9.0 * max(map(len, inputs), default=0)
    right = _MARGIN + _RADIUS + 9.0 * max(map(len, outputs), default=0)
    xs = [left + 20 + k * _GAP for k in range(len(columns))]
    middle = _MARGIN + _RADIUS + 34 + low
    parts: list[str] = []
    for k, column in enumerate(columns[1:], start=1):
        parts += _edges(column, k, xs, places, middle, grads)
    for k, (column, x) in enumerate(zip(columns, xs, strict=True)):
        called = {0: inputs, len(columns) - 1: outputs}.get(k, [])
        for i, height in places[k].items():
            parts.append(
                _unit(column, k, i, x, middle + height, called[i] if called else "", k == 0)
            )
        if len(places[k]) < column.size:
            parts.append(_text(x, middle + 6, "⋮", 20))
        for row, line in enumerate([*column.title.split("\n"), f"{column.size} 個"]):
            parts.append(_text(x, middle + low + _RADIUS + 24 + 16 * row, line, 12))
    rows = max(len(column.title.split("\n")) for column in columns) + 1
    width, height = xs[-1] + 20 + right, middle + low + _RADIUS + 24 + 16 * rows
    parts += _legend(columns, grads)
    width = max(width, 400.0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="{escape(FONTS)}" role="img" '
        f'aria-label="ネットワークの図">\n<g transform="translate(0 0)">\n'
        + "\n".join(parts) + "\n</g>\n</svg>"
    )  # fmt: skip


def _heights(count: int) -> dict[int, float]:
    """The height of every unit that is drawn, from the middle downwards."""
    chosen, gap = drawn(count)
    rows = len(chosen) + (gap is not None)
    heights = [_STEP * (k - (rows - 1) / 2) for k in range(rows) if k != gap]
    return dict(zip(chosen, heights, strict=True))


def largest(numbers: Any) -> float:
    """線の太さと円の濃さの単位。"""
    known = np.abs(numbers[np.isfinite(numbers)])
    return float(known.max(initial=0.0)) or 1.0


def _edges(
    column: Column, k: int, xs: list[float], places: list[Any], middle: float, grads: bool
) -> list[str]:
    assert column.edges is not None
    numbers = column.edges.grads if grads else column.edges.values
    assert numbers is not None
    most, found = largest(numbers), []
    for i, below in places[k].items():
        for j, above in places[k - 1].items():
            w = float(numbers[i, j])
            sign, color = ("negative", NEGATIVE) if w < 0 else ("positive", POSITIVE)
            dashes = f' stroke-dasharray="{DASHES}"' if w < 0 else ""
            points = f"{xs[k - 1]:g},{middle + above:g} {xs[k]:g},{middle + below:g}"
            found.append(
                f'<polyline class="edge {sign}" data-edge="{k}.{i}.{j}" points="{points}" '
                f'fill="none" stroke="{color}" stroke-width="{_width(w, most):.3g}"{dashes}/>'
            )
    return found


def _width(w: float, most: float) -> float:
    return WIDEST * abs(w) / most if np.isfinite(w) else 0.0


def _unit(
    column: Column, k: int, i: int, x: float, y: float, name: str, at_left: bool
) -> str:  # fmt: skip
    values, inside, fill, sign = column.values, "", "#ffffff", ""
    if values is not None:
        inside = _text(x, y + 4, formula_number(float(f"{values[i]:.2g}")), 11)
        sign = "negative" if values[i] < 0 else "positive"
        shade = 0.75 * min(1.0, abs(values[i]) / largest(values)) if np.isfinite(values[i]) else 0.0
        fill = _mixed(NEGATIVE if values[i] < 0 else POSITIVE, shade)
    beside = ""
    if name:
        anchor, away = ("end", -_RADIUS - 6) if at_left else ("start", _RADIUS + 6)
        beside = _text(x + away, y + 4, name, 12, anchor)
    return (
        f'<g class="unit" data-unit="{k}.{i}"><ellipse class="{sign}" cx="{x:g}" cy="{y:g}" '
        f'rx="{_RADIUS:g}" ry="{_RADIUS:g}" fill="{fill}" stroke="#1b1d22"/>{inside}{beside}</g>'
    )


def _mixed(color: str, shade: float) -> str:
    """The colour over white."""
    parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - shade * (255 - p)):02x}" for p in parts)


def _text(
    x: float, y: float, text: str, size: int, anchor: str = "middle", kind: str = ""
) -> str:  # fmt: skip
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="#1b1d22">{escape(text)}</text>'
    )


def _legend(columns: list[Column], grads: bool) -> list[str]:
    what, parts, x = " ∂L/∂w" if grads else "重み", [], 8.0
    for sign, color, dashes in (
        ("正", POSITIVE, ""), ("負", NEGATIVE, f' stroke-dasharray="{DASHES}"'),
    ):  # fmt: skip
        kind = "positive" if sign == "正" else "negative"
        parts.append(
            f'<polyline class="key {kind}" points="{x:g},14 {x + 28:g},14" fill="none" '
            f'stroke="{color}" stroke-width="3"{dashes}/>'
        )
        parts.append(_text(x + 34, 18, f"{sign}の{what}", 12, "start", "key"))
        x += 110
    told = "太さは大きさ" + ("、円は出力" if columns[0].values is not None else "")
    return [*parts, _text(x, 18, f"（{told}）", 12, "start")]
