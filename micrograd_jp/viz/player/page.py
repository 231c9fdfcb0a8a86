"""再生するページの HTML: 部品（同じフォルダの html、css、js）を 1 つにする。"""

from __future__ import annotations

from html import escape
from pathlib import Path

from micrograd_jp.namespace import javascript
from micrograd_jp.viz.pages.page import SHARED, bar, constant, framed, read
from micrograd_jp.viz.player.program import Program

_HERE = Path(__file__).parent
_SHARED = "numbers elements curve".split()
_OWN = "engine words steps losses tables view".split()
_LAST = "leaves learning paper start".split()


def player(found: Program, svg: str, title: str, rate: float) -> str:
    """再生するページ。

    Args:
        found: 計算グラフ。
        svg: その図。
        title: ページの題。
        rate: 学習率のはじめの値。
    """
    script = "\n".join([
        javascript.with_rules(found.rules),
        constant("GRAPH", {"nodes": found.nodes, "rate": rate}),
        *(read(SHARED / f"{name}.js") for name in _SHARED),
        *(read(_HERE / f"{name}.js") for name in _OWN), read(SHARED / "timeline.js"),
        *(read(_HERE / f"{name}.js") for name in _LAST),
    ])  # fmt: skip
    return _page("page.html", {"title": escape(title), "svg": svg, "bar": bar("歩 (step)")}, script)


def collapsed(svg: str, title: str, count: int, most: int) -> str:
    """大きすぎて再生しない計算グラフの、まとめた図だけのページ。"""
    parts = {"title": escape(title), "svg": svg, "count": f"{count:,}", "most": str(most)}
    return _page("collapsed.html", parts, "")


def _page(template: str, parts: dict[str, str], script: str) -> str:
    return framed(_HERE / template, parts, [_HERE / "page.css"], script)
