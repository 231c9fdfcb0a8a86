"""HTML のページ 1 つ: 枠に部品を入れ、CSP を付け、保存し、ノートブックで見せる。"""

from __future__ import annotations

import hashlib
import json
import os
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.files import write_atomically

SHARED = Path(__file__).parent


class Page:
    """ブラウザで動くページ。Jupyter のセルの最後に置けば、そこで動く。

    ページは 1 つの HTML で、ほかのファイルもネットワークも要らない。
    """

    _what, _example = "ページ (page)", "page.html"
    _formats: tuple[str, ...] = ("html",)

    def __init__(self, html: str, title: str) -> None:
        self.html, self._title = html, title

    def save(self, filename: str | os.PathLike[str]) -> Path:
        """拡張子に合った形式で保存する。どのページも .html になる。

        途中で失敗しても、前からあるファイルは元のまま残る。

        Returns:
            保存したファイルのパス。

        Raises:
            ValueError: このページの知らない拡張子。
            ImportError: .png や .gif などで、描くために必要なプログラムがない。
        """
        path = Path(filename)
        format = path.suffix.lower().removeprefix(".")
        format = "html" if format == "htm" else format
        if format not in self._formats:
            known = "、".join(f".{known}" for known in self._formats)
            which = " のどれか" if len(self._formats) > 1 else " "
            raise ValueError(
                f"{path.name!r} には保存できません (unknown file type): "
                f'拡張子を {known}{which}にして、.save("{self._example}") のように書いてください。'
            )
        write_atomically(path, self._written(format))
        return path

    def _written(self, format: str) -> bytes:
        return self.html.encode()

    def _repr_html_(self) -> str:
        # Without allow-same-origin the page can do nothing to the notebook around it.
        return (
            f'<iframe sandbox="allow-scripts" title="{escape(self._title)}" width="100%" '
            f'height="760" style="border:0" srcdoc="{escape(self.html)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f'<{self._what}: .save("{self._example}") で保存できます>'


def framed(
    template: Path, parts: Mapping[str, str], styles: Sequence[Path], script: str,
    images: bool = False,
) -> str:  # fmt: skip
    """ページの HTML。動くのは `script` だけで、どこにもつながらない (CSP)。

    Args:
        template: `<main>` の中身。`{{名前}}` に `parts` が入る。
        parts: 入れるもの。HTML として入るので、文字は先にエスケープする。`title` は題にもなる。
        styles: 共通のもの (`frame.css`) に続ける CSS。
        script: JavaScript。
        images: ページの中に書いてある画像 (data:) を見せるか。
    """
    style = "".join(map(read, [SHARED / "frame.css", *styles]))
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        f"{'img-src data:; ' if images else ''}base-uri 'none'; form-action 'none'"
    )
    frame = {"title": parts["title"], "style": style, "script": script, "policy": policy}
    return _filled(SHARED / "frame.html", {**frame, "body": _filled(template, parts)})


def constant(name: str, value: Any) -> str:
    """JavaScript の定数。nan と inf は NaN と Infinity になり、文字の中の `<` は何も始めない。"""
    return f"const {name} = {json.dumps(value)};".replace("<", "\\u003c")


def bar(step: str) -> str:
    """番号の付いた歩を進むボタンとスクラバー。動かすのは `timeline.js`。

    Args:
        step: 1 歩の名前。
    """
    return _filled(SHARED / "timeline.html", {"step": escape(step)})


def _filled(template: Path, parts: Mapping[str, str]) -> str:
    # One pass: nothing that is put in is looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read(template))


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def read(path: Path) -> str:
    """部品の 1 つのファイル。"""
    return path.read_text(encoding="utf-8")


explain_all(globals())
