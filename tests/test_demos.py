"""demos/ の数と図。"""

import importlib.util
import shutil
from pathlib import Path

import pytest

import micrograd_jp as mg

DEMOS = Path(__file__).parent.parent / "demos"


def load(name):
    spec = importlib.util.spec_from_file_location(name, DEMOS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_apples():
    payment = load("apple").shopping()
    subtotal, tax = payment.parents
    apple, count = subtotal.parents
    assert payment.data == pytest.approx(220)
    assert [v.grad for v in (apple, count, tax)] == pytest.approx([2.2, 110, 200])


def test_the_figure_in_the_readme_is_what_the_library_draws():
    if shutil.which("dot"):
        pytest.skip("システムの dot があると配置が少し変わるので比べない")
    apple = load("apple")
    drawn = mg.draw(apple.shopping(), style="textbook").pipe("svg")
    assert apple.FIGURE.read_bytes() == drawn, "python demos/apple.py で描き直してください"
