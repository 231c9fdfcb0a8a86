"""りんごの買い物: 数と、README の図。"""

import shutil

import apple
import pytest

import micrograd_jp as mg


def test_apples():
    payment = apple.shopping()
    subtotal, tax = payment.parents
    price, count = subtotal.parents
    assert payment.data == pytest.approx(220)
    assert [v.grad for v in (price, count, tax)] == pytest.approx([2.2, 110, 200])


def test_the_figure_in_the_readme_is_what_the_library_draws():
    if shutil.which("dot"):
        pytest.skip("システムの dot があると配置が少し変わるので比べない")
    drawn = mg.draw(apple.shopping(), style="textbook").pipe("svg")
    assert apple.FIGURE.read_bytes() == drawn, "python demos/apple.py で描き直してください"
