"""章: テキストとノートブックが揃い、出力が残っている。実行すると、演習はどれも正解になる。"""

import ast
import re
import sys
from pathlib import Path

import pytest

from micrograd_jp.exercises import exercises

for module in ("jupytext", "nbclient", "ipykernel"):
    pytest.importorskip(module, reason='pip install "micrograd_jp[docs]"')

CHAPTERS = Path(__file__).parents[2] / "demos" / "chapters"
sys.path.insert(0, str(CHAPTERS))
import jupytext  # noqa: E402
import write  # noqa: E402

PATHS = write.chapters()
BROUGHT = {"verify": "hypothesis"}
"""What a chapter whose first cell installs an extra may import besides micrograd_jp and numpy."""
each_chapter = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def outputs(cell):
    return "".join(
        str(out.get("text", "") or out.get("data", {}).get("text/plain", ""))
        for out in cell.outputs
    )


def corrections(notebook):
    return [
        (cell.source, outputs(cell))
        for cell in notebook.cells
        if cell.cell_type == "code" and ".check(" in cell.source
    ]


def check_outputs(notebook, path):
    """Every exercise is right, but for those that show what is said of a mistake."""
    said = corrections(notebook)
    shown_wrong = [source for source, out in said if out.startswith("×")]
    assert all(out.startswith(("○", "×")) for _, out in said)
    assert all("check(lambda" in source for source in shown_wrong)
    right = {re.search(r'exercise\("([\d-]+)"\)', s)[1] for s, out in said if out.startswith("○")}
    assert right == {e.number for e in exercises(int(path.name[:2]))}


@each_chapter
def test_text_and_notebook_are_the_same(path):
    text, kept = write.read(path), jupytext.read(path.with_suffix(".ipynb"))
    assert [(c.cell_type, c.source) for c in text.cells] == [
        (c.cell_type, c.source) for c in kept.cells
    ], "python demos/chapters/write.py"
    check_outputs(kept, path)
    kinds = [out.get("name", out.output_type) for c in kept.cells for out in c.get("outputs", ())]
    assert not {"error", "stderr"} & {*kinds}, "a warning is no output"


def test_a_chapter_opens_in_colab_where_the_project_is_public():
    path = Path("03_gradient_descent.py")
    for end in ("", "/"):
        assert write.badge(path, f"https://github.com/someone/micrograd_jp{end}").endswith(
            "(https://colab.research.google.com/github/someone/micrograd_jp/blob/main/"
            "demos/chapters/03_gradient_descent.ipynb)"
        )
    assert write.badge(path, "") == write.badge(path, "https://example.org/x") == ""


@each_chapter
def test_a_chapter_stands_alone(path):
    """It needs nothing beside it; where the package is missing, a cell installs it."""
    cells = [c for c in write.read(path).cells if c.cell_type == "code"]
    [extras] = re.findall(r'%pip install -q "micrograd_jp\[([\w,]+)\]"', cells[0].source)
    extras = set(extras.split(","))
    assert {"viz", "data"} <= extras <= {"viz", "data", *BROUGHT}
    plain = re.sub("%pip install.*", "pass", cells[0].source)
    imported = set()
    for source in (plain, *(c.source for c in cells[1:])):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported |= {a.name.split(".")[0] for a in node.names}
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    brought = {BROUGHT[extra] for extra in extras & {*BROUGHT}}
    assert imported - sys.stdlib_module_names <= {"micrograd_jp", "numpy"} | brought
    assert brought <= imported, "an extra that is not needed"


def test_the_answers_of_the_teacher_are_those_of_the_exercises():
    kept = (CHAPTERS / "answers.md").read_text(encoding="utf-8")
    assert kept == write.answers(), "python demos/chapters/write.py"
    assert all(e.answer() in kept and e.title in kept for e in exercises())


@pytest.mark.slow
@each_chapter
def test_it_runs_from_top_to_bottom(path):
    check_outputs(write.executed(write.read(path)), path)
