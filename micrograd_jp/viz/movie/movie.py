"""撮ったコマ (PNG) を、ページか GIF にする。"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.viz.pages.page import SHARED, Page, bar, constant, framed, read
from micrograd_jp.viz.text import formula_number

_HERE = Path(__file__).parent
_SCRIPTS = [
    *(SHARED / f"{name}.js" for name in ("numbers", "elements", "curve")),
    _HERE / "movie.js", SHARED / "timeline.js", _HERE / "start.js",
]  # fmt: skip
_DOTS_PER_INCH = 90
_SECONDS = 0.25
_LAST = 2.0


class Movie(Page):
    """撮った学習の動画。Jupyter のセルの最後に置けば、そこで再生できる。

    `save` は .html（スクラバーの付いたページ）か .gif に保存する。

    Attributes:
        frames: (更新の回数, PNG) を順に。
    """

    _what, _example = "学習の動画 (movie)", "out.html"
    _formats = ("html", "gif")

    def __init__(self, html: str, title: str, frames: list[tuple[int, bytes]]) -> None:
        super().__init__(html, title)
        self.frames = frames

    def _written(self, format: str) -> bytes:
        if format == "gif":
            return _gif([png for _, png in self.frames])
        return super()._written(format)


def picture(drawn: Any) -> bytes:
    """1 コマの PNG。

    Args:
        drawn: matplotlib の図か、`pipe("png")` のある図（`mg.draw`、`mg.viz.network`）。

    Raises:
        TypeError: 図でない。
    """
    if hasattr(drawn, "savefig"):
        buffer = io.BytesIO()
        # The same training gives the same bytes: no version numbers.
        drawn.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        return buffer.getvalue()
    if hasattr(drawn, "pipe"):
        return bytes(drawn.pipe("png"))
    raise TypeError(
        "record の関数は図を返します (expected a figure): "
        f"{type(drawn).__name__} が返りました。mg.viz.templates(model) のような図か、"
        "mg.viz.figures.subplots() の figure を return してください。"
    )


def movie(
    frames: Sequence[tuple[int, bytes]], losses: Sequence[float], epochs: Sequence[int]
) -> Movie:
    """動画。

    Args:
        frames: (更新の回数, PNG) を順に。
        losses: 1 更新ごとの損失。
        epochs: エポックの終わりの、更新の回数。
    """
    captions = [_caption(update, losses, epochs) for update, _ in frames]
    data = {
        "frames": [b64encode(png).decode() for _, png in frames],
        "updates": [update for update, _ in frames],
        "captions": captions,
        "losses": list(map(float, losses)),
    }
    script = "\n".join([constant("DATA", data), *map(read, _SCRIPTS)])
    title = f"学習の動画: {frames[-1][0]} 更新"
    parts = {"title": escape(title), "bar": bar("コマ (frame)")}
    html = framed(_HERE / "page.html", parts, [_HERE / "page.css"], script, images=True)
    return Movie(html, title, list(frames))


def _caption(update: int, losses: Sequence[float], epochs: Sequence[int]) -> str:
    if update == 0:
        return "学習の前"
    epoch = 1 + sum(end < update for end in epochs)
    loss = formula_number(losses[update - 1])
    return f"{update:,} 更新（エポック {epoch}）: ミニバッチの損失 {loss}"


def _gif(pngs: Sequence[bytes]) -> bytes:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            'GIF には Pillow が要ります (no renderer): pip install "micrograd_jp[viz]" を'
            "実行してください。"
        ) from None
    images = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    width, height = (max(image.size[k] for image in images) for k in (0, 1))
    shown = []
    for image in images:  # of one size, as a GIF must be
        whole = Image.new("RGB", (width, height), "white")
        whole.paste(image)
        shown.append(whole.quantize(128))
    times = [round(1000 * _SECONDS)] * (len(shown) - 1) + [round(1000 * _LAST)]
    buffer = io.BytesIO()
    shown[0].save(
        buffer, format="GIF", save_all=True, append_images=shown[1:], duration=times, loop=0
    )
    return buffer.getvalue()


explain_all(globals())
