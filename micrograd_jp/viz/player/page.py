"""再生するページの HTML: 部品（同じフォルダの html、css、js）を 1 つにし、CSP を付ける。"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from html import escape
from pathlib import Path

from micrograd_jp.namespace import javascript
from micrograd_jp.viz.player.program import Program

_SCRIPTS = """engine.js words.js steps.js curve.js tables.js view.js leaves.js learning.js
    paper.js start.js""".split()


def player(found: Program, svg: str, title: str, rate: float) -> str:
    """再生するページ。

    Args:
        found: 計算グラフ。
        svg: その図。
        title: ページの題。
        rate: 学習率のはじめの値。
    """
    rules = ",\n".join(f"  {json.dumps(name)}: {text}" for name, text in found.rules.items())
    data = json.dumps({"nodes": found.nodes, "rate": rate}).replace("<", "\\u003c")
    script = "\n".join([
        javascript.library(), f"const RULES = {{\n{rules}\n}};", f"const GRAPH = {data};",
        *map(_read, _SCRIPTS),
    ])  # fmt: skip
    return _page("page.html", {"title": escape(title), "svg": svg}, script)


def collapsed(svg: str, title: str, count: int, most: int) -> str:
    """大きすぎて再生しない計算グラフの、まとめた図だけのページ。"""
    parts = {"title": escape(title), "svg": svg, "count": f"{count:,}", "most": str(most)}
    return _page("collapsed.html", parts, "")


def _page(template: str, parts: dict[str, str], script: str) -> str:
    style = _read("page.css")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    body = _filled(template, parts)
    frame = {"title": parts["title"], "style": style, "script": script, "policy": policy}
    return _filled("frame.html", {**frame, "body": body})


def _filled(template: str, parts: dict[str, str]) -> str:
    # One pass: nothing that is put in is looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read(template))


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
