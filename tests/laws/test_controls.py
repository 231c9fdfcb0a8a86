"""対照 (negative control): どの法則のファイルにも、誤りに戻せば法則が破れると示すテストがある。"""

import ast
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.glob("test_*.py"))


def controls(source):
    """The names of the tests with the marker that expect something to be found."""
    for f in ast.walk(ast.parse(source)):
        if isinstance(f, ast.FunctionDef) and f.name.startswith("test_"):
            marked = any("mark.control" in ast.unparse(d) for d in f.decorator_list)
            expects = any(
                isinstance(x, ast.Assert) or "raises" in ast.unparse(x)
                for x in ast.walk(f) if isinstance(x, ast.Assert | ast.With)
            )  # fmt: skip
            if marked and expects:
                yield f.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_law_has_a_control(path):
    assert [*controls(path.read_text(encoding="utf-8"))]


@pytest.mark.control
@pytest.mark.parametrize("source", [
    "def test_law(): assert law() == []",
    "def control(): assert not law()",
    "@pytest.mark.control\ndef test_control(): law()",
    "@pytest.mark.slow\ndef test_control(): assert law()",
])  # fmt: skip
def test_a_law_without_one_is_noticed(source, tmp_path):
    path = tmp_path / "test_law.py"
    path.write_text(source)
    with pytest.raises(AssertionError):
        test_every_law_has_a_control(path)
