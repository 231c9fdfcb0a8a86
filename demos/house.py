"""部屋の図: 文書 (`site/how.md`) の表と、実際の import から、どの部屋がどの部屋を使うかを描く。

    python demos/house.py [保存先.svg]

矢印は、使う部屋から使われる部屋へ。ほかの矢印をたどって着ける矢印は省く。
"""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import command

import micrograd_jp
from micrograd_jp import names
from micrograd_jp.viz import Drawing, text

FIGURE = Path(__file__).parent / "figures" / "house.svg"
PAGE = Path(__file__).parent / "site" / "how.md"
PACKAGE = Path(micrograd_jp.__file__).parent
_ROW = re.compile(r"\| (\d+) \| `([\w.]+(?:/[\w.]+)?)/?` \| ([^:|]+): .*\|")


@cache
def rooms() -> dict[str, tuple[int, str]]:
    """部屋の名前から、階と見出しへ: 文書 (`site/how.md`) の表の行。"""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {room: (int(floor), title) for floor, room, title in rows}


@cache
def room_of(module: str) -> str:
    """`micrograd_jp.a.b` のある部屋。"""
    first, second = [*module.split("."), "", ""][1:3]
    for inner in (f"{first}/{second}", f"{first}/{second}.py"):
        if inner in rooms():
            return inner
    if (PACKAGE / first).is_dir() and first:
        return first
    return f"{first}.py" if (PACKAGE / f"{first}.py").is_file() else "__init__.py"


@cache
def used() -> dict[str, set[str]]:
    """部屋ごとの、そこから読み込まれる部屋。"""
    arrows: dict[str, set[str]] = {room: set() for room in rooms()}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        here = "/".join(parts[:2]) if "/".join(parts[:2]) in arrows else parts[0]
        if here in arrows:
            arrows[here] |= {room_of(module) for module in imported(path)}
    handed_out = [*names.MODULES, *names.WHOLE, *(where for where, _ in names.SINGLE.values())]
    arrows["__init__.py"] |= {room_of(f"micrograd_jp.{where}") for where in handed_out}
    return {here: there - {here} for here, there in arrows.items()}


def imported(path: Path) -> list[str]:
    """ファイルが読み込む、このパッケージのモジュール。"""
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [m for m in modules if m.split(".")[0] == "micrograd_jp"]
    if path.name == "__init__.py":  # the face of a folder hands out a higher room, by its name
        inner = {room for room in rooms() if room.startswith(f"{path.parent.name}/")}
        ours = [m for m in ours if room_of(m) not in inner]
    return [m for m in ours if m.split(".")[1:2] != ["_surface"]]  # only mypy reads it


def reduced(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """ほかの矢印をたどって着ける矢印を省いたもの。輪はないとする。"""

    def below(room: str) -> set[str]:
        return arrows[room].union(*map(below, arrows[room]))

    return {room: there - set().union(*map(below, there)) for room, there in arrows.items()}


def draw() -> Drawing:
    """階ごとに 1 段の図。"""
    drawing = Drawing()
    drawing.attr(rankdir="TB", bgcolor="white", nodesep="0.18", ranksep="0.32")
    drawing.attr("node", fontname="Helvetica,Arial", fontsize="12", shape="box",
                 style="rounded,filled", fillcolor="#eef4fb", color="#0072B2")  # fmt: skip
    drawing.attr("edge", color="#555555", arrowsize="0.6")
    floors: dict[int, list[str]] = {}
    for room, (floor, _) in rooms().items():
        floors.setdefault(floor, []).append(room)
    for above, under in pairwise(floors):  # before the rooms, so that the numbers stand on the left
        drawing.edge(f"floor {above}", f"floor {under}", style="invis")
    for floor, here in floors.items():
        with drawing.subgraph() as level:
            level.attr(rank="same")
            level.node(f"floor {floor}", text.label(f"{floor} 階"), shape="plain", style="")
            for room in here:
                lines = room.removesuffix(".py"), rooms()[room][1]
                level.node(room, "\\n".join(map(text.label, lines)))
    for room, there in reduced(used()).items():
        for other in sorted(there):
            drawing.edge(room, other)
    return drawing


if __name__ == "__main__":
    command.save(draw(), command.destination(__doc__, FIGURE))
