"""`mg.viz.network(model, x)`: 円と線の図。静かな図 (SVG、PNG、PDF) にも、触れるページにもなる。"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.module.module import Module
from micrograd_jp.viz import raster
from micrograd_jp.viz.network import layers, units
from micrograd_jp.viz.network.columns import Column, Linked, columns, is_connected
from micrograd_jp.viz.pages.page import SHARED, Page, constant, framed, read
from micrograd_jp.viz.text import clean

SHOWN = ("weight", "grad")
_HERE = Path(__file__).parent
_SCRIPTS = [SHARED / "numbers.js", SHARED / "elements.js", _HERE / "network.js"]


class Network(Page):
    """ネットワークの図。Jupyter のセルの最後に置けば、触れるページになる。

    `save` は .html（触れるページ）.svg .png .pdf に保存する。

    Attributes:
        svg: 静かな図の SVG。
    """

    _what, _example = "ネットワークの図 (network diagram)", "net.html"
    _formats = ("html", "svg", "png", "pdf")

    def __init__(self, html: str, title: str, svg: str) -> None:
        super().__init__(html, title)
        self.svg = svg

    def pipe(self, format: str) -> bytes:
        """図を bytes で返す。

        Args:
            format: "html", "svg", "png", "pdf" のどれか。

        Raises:
            ValueError: 知らない形式。
            ImportError: png と pdf で、matplotlib か matplotlib_fontja がない。
        """
        if format not in self._formats:
            raise ValueError(
                f"format は {', '.join(map(repr, self._formats))} のどれかです "
                f"(unknown format): {format!r} が渡されました。"
            )
        if format in ("png", "pdf"):
            return raster.render(self.svg, format)
        return (self.html if format == "html" else self.svg).encode()

    _written = pipe


def network(
    model: Module, x: Any = None, *, show: str = "weight", names: tuple[Any, Any] | None = None
) -> Network:
    """ネットワークを描く。全結合のモデルは円（ユニット）と線（重み）、ほかのモデルは層の箱で。

    線の太さは |w|、正の重みは青い実線、負の重みは橙の破線。1 つの見本 `x` を渡すと、そのときの出力
    （活性化関数のあと）が円の濃さと数になる。12 個より多い層は間を ⋮ で略す。ページでは、円や線に
    触れると名前、重み、出力、勾配が出て、線を勾配に切り替えられる。層の箱は、実際にデータが流れた道で
    つながり、特徴マップの形とパラメータの数を書く。

    Args:
        model: `Value` でできた `mg.nn.MLP`、`Linear` と活性化関数の `Sequential`、またはほかの
            `Module`（畳み込みや、自分で書いた `forward` のあるもの）。
        x: 1 つの入力。全結合なら、形は (入力の数,) か (1, 入力の数) で、省略すると円は白い。ほかの
            モデルでは、画像、数の並び、標本の軸のある入力、その形 `(1, 1, 28, 28)` のどれか。
        show: 線にするもの。`"weight"`（重み）か `"grad"`（重みの勾配。`backward` のあと）。
        names: (入力の名前のリスト, 出力の名前のリスト)。

    Returns:
        `.save("net.html")`、`.svg`、`.png`、`.pdf` で保存できる図。

    Raises:
        TypeError: モデルでない、層の箱を描くのに `x` がない。
        ValueError: 知らない `show`、入力や名前の数が合わない、勾配がまだない。
        ImportError: 層の箱を配置するプログラムがない。
    """
    if show not in SHOWN:
        raise ValueError(
            f"show は {', '.join(map(repr, SHOWN))} のどれかです (unknown show): {show!r}。"
        )
    if not isinstance(model, Module):
        raise TypeError(
            f"model は Module です (expected a Module): {type(model).__name__} が渡されました。"
        )
    title = f"ネットワーク: {type(model).__name__}"
    if not is_connected(model):
        return _boxes(model, x, title)
    found = columns(model, x)
    for given, column in zip(names or (), (found[0], found[-1]), strict=False):
        if given is not None and len(given) != column.size:
            raise ValueError(f"names は {column.size} 個の名前です (length mismatch): {given!r}。")
    missing = [c.edges.name for c in found[1:] if c.edges is not None and c.edges.grads is None]
    if show == "grad" and missing:
        name = missing[0].partition("[")[0]
        raise ValueError(f"{name} の勾配がまだありません (no gradient): loss.backward() のあとに。")
    svg = units.svg(found, names or (None, None), show == "grad")
    data = {
        "columns": [_told(column) for column in found], "widest": units.WIDEST,
        "dashes": units.DASHES, "show": show, "hasGrad": not missing,
        "names": [given and [clean(str(n)) for n in given] for given in names or (None, None)],
    }  # fmt: skip
    script = "\n".join([constant("DATA", data), *map(read, _SCRIPTS)])
    return _page("page.html", svg, title, script)


def _boxes(model: Any, x: Any, title: str) -> Network:
    if x is None:
        raise TypeError(
            "層の箱を描くには、入力が要ります (expected an input for these layers): "
            "network(model, x) か、形で network(model, (1, 1, 28, 28)) のように書いてください。"
        )
    svg = layers.drawing(model, layers.example(model, x)).pipe("svg", encoding="utf-8")
    return _page("layers.html", svg, title, "")


def _page(template: str, svg: str, title: str, script: str) -> Network:
    parts = {"title": escape(title), "svg": svg}
    return Network(framed(_HERE / template, parts, [_HERE / "page.css"], script), title, svg)


def _told(column: Column) -> dict[str, Any]:
    """Of a column what its page can say: only of the units that are drawn."""
    chosen, _ = units.drawn(column.size)
    told: dict[str, Any] = {
        "title": column.title.split("\n"), "count": column.size, "units": chosen,
        "values": None if column.values is None else column.values[chosen].tolist(),
        "largest": None if column.values is None else units.largest(column.values),
    }  # fmt: skip
    for key, linked in (("edges", column.edges), ("bias", column.bias)):
        told[key] = linked and _linked(linked, chosen)
    return told


def _linked(linked: Linked, chosen: list[int]) -> dict[str, Any]:
    out: dict[str, Any] = {"name": linked.name}
    for key, numbers in (("weight", linked.values), ("grad", linked.grads)):
        if numbers is None:
            continue
        out[f"{key}Largest"] = units.largest(numbers)
        shown = numbers[chosen]
        if shown.ndim == 2:
            shown = shown[:, units.drawn(shown.shape[1])[0]]
        out[key] = shown.tolist()
    return out


explain_all(globals())
