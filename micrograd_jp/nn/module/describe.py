"""`Module` の表示: PyTorch と同じ入れ子。続けて並ぶ同じ部品は `(0-9): 10 x …` にまとめる。"""

from __future__ import annotations

from typing import Any, TypeVar

from micrograd_jp.nn.module import tree

T = TypeVar("T")


def described(module: Any) -> str:
    """部品とその中身の、何行かの説明。"""
    name, extra = type(module).__name__, module.extra_repr()
    tree.entered(module, "", ())
    lines = [f"({key}): {_indented(text)}" for key, text in _rows(module)]
    if not lines:
        return f"{name}({extra})"
    body = "\n".join("  " + line for line in ([extra] if extra else []) + lines)
    return f"{name}(\n{body}\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _rows(module: Any) -> list[tuple[str, str]]:
    """(name, description) of each child; equal neighbours are put together."""
    groups = neighbours([(name, repr(child)) for name, child in tree.children(module)])
    return [
        (first, text)
        if len(group) == 1
        else (f"{first}-{group[-1][0].rpartition('.')[2]}", f"{len(group)} x {text}")
        for group in groups
        for first, text in group[:1]
    ]


def neighbours(named: list[tuple[str, T]]) -> list[list[tuple[str, T]]]:
    """同じリストの中で続けて並ぶ、等しいものをまとめる。"""
    groups: list[list[tuple[str, T]]] = []
    for name, x in named:
        if groups and groups[-1][-1][1] == x and _follows(groups[-1][-1][0], name):
            groups[-1].append((name, x))
        else:
            groups.append([(name, x)])
    return groups


def _follows(before: str, after: str) -> bool:
    """Is `after` the next place of the same list?"""
    (a, _, i), (b, _, j) = before.rpartition("."), after.rpartition(".")
    return a == b and i.isdecimal() and j.isdecimal() and int(j) == int(i) + 1
