"""`Module` の表示: PyTorch と同じ入れ子。続けて並ぶ同じ部品は `(0-9): 10 x …` にまとめる。"""

from __future__ import annotations

from typing import Any, TypeVar

from micrograd_jp.nn.module import tree

T = TypeVar("T")


def described(module: Any) -> str:
    """部品とその中身の、何行かの説明。"""
    name, extra = type(module).__name__, module.extra_repr()
    tree.entered(module, "", ())
    children = [(name, repr(child)) for name, child in tree.children(module)]
    rows = [f"({key}): {times(n)}{text}" for key, text, n in neighbours(children)]
    if not rows:
        return f"{name}({extra})"
    lines = ([extra] if extra else []) + [row.replace("\n", "\n  ") for row in rows]
    return f"{name}(\n" + "".join(f"  {line}\n" for line in lines) + ")"


def times(n: int) -> str:
    """まとめたものの前に書く "10 x "。1 つなら何も書かない。"""
    return f"{n} x " if n > 1 else ""


def neighbours(named: list[tuple[str, T]]) -> list[tuple[str, T, int]]:
    """同じリストの中で続けて並ぶ、等しいものをまとめる: (名前か "0-9", もの, 数)。"""
    groups: list[tuple[list[str], T]] = []
    for name, x in named:
        if groups and groups[-1][1] == x and _follows(groups[-1][0][-1], name):
            groups[-1][0].append(name)
        else:
            groups.append(([name], x))
    return [(_span(names), x, len(names)) for names, x in groups]


def _span(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1].rpartition('.')[2]}"


def _follows(before: str, after: str) -> bool:
    """Is `after` the next place of the same list?"""
    (a, _, i), (b, _, j) = before.rpartition("."), after.rpartition(".")
    return a == b and i.isdecimal() and j.isdecimal() and int(j) == int(i) + 1
