"""`Drawing`: 描いた図。Jupyter に表示し、ファイルに保存する。"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import graphviz

from micrograd_jp.arguments import explain_all
from micrograd_jp.files import write_atomically
from micrograd_jp.viz import layout, raster

FORMATS = ("svg", "html", "dot", "png", "pdf")
_PAGE = """\
<!doctype html>
<html lang="ja">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>計算グラフ (computational graph)</title>
<style>
html, body {{ height: 100%; margin: 0; background: white; }}
main {{ height: 100%; overflow: auto; }}
svg {{ display: block; margin: auto; }}
</style>
<main tabindex="0">{svg}</main>
</html>
"""


class Drawing(graphviz.Digraph):  # type: ignore[misc]  # graphviz has no type hints
    """計算グラフの図。Jupyter のセルの最後に置けば表示される。

    `graphviz.Digraph` でもあるので、`.source`、`.render("gout")`、`.pipe("svg")` が使え、
    ノードを書き足すこともできる。違いは、Graphviz の `dot` がなくても描けること。
    """

    default_format = "svg"

    def save(self, filename: str | os.PathLike[str]) -> Path:
        """拡張子に合った形式で保存する: .svg .html .dot .png .pdf。

        途中で失敗しても、前からあるファイルは元のまま残る。

        Returns:
            保存したファイルのパス。

        Raises:
            ValueError: 知らない拡張子。
            ImportError: 描くために必要なプログラムがない。
        """
        path = Path(filename)
        format = path.suffix.lower().removeprefix(".")
        if format not in FORMATS:
            raise ValueError(
                f"{path.name!r} の形式が分かりません (unknown file type): 拡張子は "
                f"{', '.join('.' + known for known in FORMATS)} のどれかにしてください。"
            )
        write_atomically(path, self.pipe(format))
        return path

    def pipe(self, format: str | None = None, *, encoding: str | None = None) -> Any:
        """図を bytes で返す。`encoding` を渡すと文字列で返す。

        Args:
            format: "svg", "html", "dot", "png", "pdf" のどれか。

        Raises:
            ValueError: 知らない形式。
            ImportError: 描くために必要なプログラムがない。
        """
        format = format or self.default_format
        if format in ("png", "pdf"):
            return self._raster(format)
        if format == "dot":
            text = str(self.source)
        elif format == "svg":
            text = layout.svg(self.source)
        elif format == "html":
            text = _PAGE.format(svg=layout.svg(self.source))
        else:
            raise ValueError(
                f"format は {', '.join(map(repr, FORMATS))} のどれかです "
                f"(unknown format): {format!r} が渡されました。"
            )
        return text if encoding else text.encode()

    def _raster(self, format: str) -> bytes:
        try:
            return raster.render(layout.svg(self.source), format)
        except ImportError:
            if not shutil.which("dot"):
                raise
            return layout.laid_out(self.source, format)

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,
        **_: Any,
    ) -> str:
        """graphviz と同じく、DOT を `filename` に、図を `filename.形式` に書く。

        Args:
            filename: DOT のソースを書くファイル。
            directory: ファイルを置くフォルダ。なければ作る。
            view: 書いた図を、ふだんのプログラムで開く。
            cleanup: 図ができたら、DOT のファイルを消す。
            format: 図の形式。省略すると `draw_dot` で選んだもの。

        Returns:
            図のファイルの名前。
        """
        format = format or self.default_format
        picture = self.pipe(format)
        source = Path(directory or self.directory) / (filename or self.filename)
        source.parent.mkdir(parents=True, exist_ok=True)
        path = source.with_name(f"{source.name}.{format}")
        write_atomically(path, picture)
        if not cleanup:
            write_atomically(source, self.pipe("dot"))
        if view:
            graphviz.view(path)
        return str(path)

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None, **_: Any
    ) -> dict[str, str]:
        # One rich form only: JupyterLab would choose between several in ways of its own.
        try:
            return {"image/svg+xml": layout.svg(self.source), "text/plain": repr(self)}
        except Exception as error:  # a cell must show something, not a traceback
            return {"text/plain": f"{error}\n\n{self.source}"}

    def __repr__(self) -> str:
        return '<計算グラフ (computational graph): .save("x.svg") で保存できます>'


explain_all(globals())
