"""文書の表「PyTorch と違うところ」: 1 行ずつ両方で動かし、ファザーの約束と 1 対 1 に揃える。"""

import re
import warnings
from math import inf, nan
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")

from fuzz_conventions import NAMES  # noqa: E402 - it needs torch

import micrograd_jp as mg  # noqa: E402

SITE = Path(__file__).parents[2] / "demos" / "site"
SECTION = (SITE / "differences.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|`]+) \| `([^`]+)` \| (\S.*?) \| (\S.*?) \| ([^|]+) \|$", SECTION, re.M)


def answer(m, text):
    def derivative(f, n):
        at = m.tensor(2.0, dtype=m.float64, requires_grad=True)
        out = f(at)
        for _ in range(n):
            at.grad = None
            out.backward(create_graph=True)
            out = at.grad
        return round(out.item(), 4)

    names = {
        "m": m, "F": m.nn.functional, "D": derivative, "nan": nan, "inf": inf,
        "x": m.tensor([1.0, 2.0, 3.0]), "i": m.tensor([1, 2]), "mask": m.tensor([True, False]),
        "w": m.tensor([1.0, 2.0], dtype=m.float64, requires_grad=True),
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f"`{eval(text, names)!r}`"
    except Exception:
        return "エラー"


def test_every_line_of_the_table_is_a_row():
    assert len(ROWS) == sum(line.startswith("| ") for line in SECTION.splitlines()) - 1 > 15


@pytest.mark.parametrize(("name", "text", "ours", "theirs", "why"), ROWS)
def test_both_say_what_the_table_says(name, text, ours, theirs, why):
    assert answer(mg, text) == ours
    assert answer(torch, text) in theirs.split(" か ")  # what depends on the CPU has more than one
    assert ours != theirs


def test_the_fuzzers_conventions_are_those_of_the_table():
    assert {row[0] for row in ROWS} - {"NumPy の名前"} == NAMES
