"""SVG から PNG と PDF へ。Graphviz が書いた図形を、そのまま matplotlib で描く。

Graphviz の SVG に現れるのは polygon・polyline・path (M と C だけ)・ellipse・text だけなので、
SVG 全体を解釈する道具はいらない。日本語は matplotlib_fontja のフォントで描く。
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

from micrograd_jp.viz import fonts

DOTS_PER_INCH = 144
LONGEST_SIDE = 16_000
"""PNG の縦横の最大のピクセル数。これより大きな図は、解像度を下げて収める。"""

# The Latin letters of IPAexGothic are wider than those of Helvetica, which the layout assumed.
_FONT_SCALE = 0.9


def render(svg: str, format: str) -> bytes:
    """`layout.svg` の結果を "png" か "pdf" にする。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
    """
    has_glyph = fonts.register()
    with fonts.lock:
        from matplotlib import figure as figures

        root = ET.fromstring(svg)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        # A figure of its own, not pyplot's: nothing global changes.
        figure = figures.Figure(figsize=(width / 72, height / 72))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        _draw(root, axes, has_glyph)
        dpi = min(DOTS_PER_INCH, LONGEST_SIDE * 72 / max(width, height))
        # The same graph gives the same bytes: no dates, no version numbers.
        metadata = {"Software": None} if format == "png" else {"CreationDate": None}
        buffer = io.BytesIO()
        figure.savefig(buffer, format=format, dpi=dpi, metadata=metadata)
        return buffer.getvalue()


def _draw(root: ET.Element, axes: Any, has_glyph: Callable[[str], bool]) -> None:
    from matplotlib import patches
    from matplotlib.path import Path as Outline

    graph = next(x for x in root.iter() if _tag(x) == "g")
    offset = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", graph.get("transform", ""))
    dx, dy = map(float, offset.groups()) if offset else (0.0, 0.0)

    def points(text: str) -> list[tuple[float, float]]:
        numbers = list(map(float, re.findall(r"-?[\d.]+(?:e-?\d+)?", text)))
        return [(x + dx, y + dy) for x, y in zip(numbers[::2], numbers[1::2])]

    patch: patches.Patch
    for element in graph.iter():
        get, tag = element.attrib.get, _tag(element)
        if tag == "polygon":
            patch = patches.Polygon(points(get("points", "")), closed=True)
        elif tag == "polyline":
            patch = patches.PathPatch(Outline(points(get("points", ""))))
        elif tag == "path":
            curve = points(get("d", ""))
            codes = [Outline.MOVETO, *[Outline.CURVE4] * (len(curve) - 1)]
            patch = patches.PathPatch(Outline(curve, codes))
        elif tag == "ellipse":
            center = (float(get("cx", 0)) + dx, float(get("cy", 0)) + dy)
            patch = patches.Ellipse(center, 2 * float(get("rx", 0)), 2 * float(get("ry", 0)))
        elif tag == "text":
            _write(element, dx, dy, axes, has_glyph)
            continue
        else:
            continue
        width = float(get("stroke-width", 1))
        # In SVG a dash is as long as it says, in matplotlib in units of the width.
        dashes = [float(x) / width for x in get("stroke-dasharray", "").split(",") if x and width]
        patch.set(
            facecolor=_color(get("fill", "none")), edgecolor=_color(get("stroke", "none")),
            linewidth=width, linestyle=(0, dashes) if dashes else "-",
        )  # fmt: skip
        axes.add_patch(patch)


def _write(
    element: ET.Element, dx: float, dy: float, axes: Any, has_glyph: Callable[[str], bool]
) -> None:
    get = element.attrib.get
    axes.text(
        float(get("x", 0)) + dx, float(get("y", 0)) + dy,
        "".join(c if has_glyph(c) else "□" for c in element.text or ""),
        ha={"start": "left", "middle": "center", "end": "right"}[get("text-anchor", "start")],
        va="baseline", family=list(fonts.FAMILIES), color=_color(get("fill", "black")),
        size=float(get("font-size", 12)) * _FONT_SCALE,
        parse_math=False,  # "$x$" is a label, not a formula
    )  # fmt: skip


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _color(name: str) -> str:
    return "none" if name == "transparent" else name
