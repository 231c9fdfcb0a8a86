"""しまってあるページは、いまのライブラリが作るものと同じ。"""

import shutil

import pytest
import step_by_step


def test_the_kept_pages_are_what_the_library_makes():
    if shutil.which("dot"):
        pytest.skip("システムの dot があると配置が少し変わるので比べない")
    pages = step_by_step.pages()
    assert sorted(pages) == sorted(path.name for path in step_by_step.FOLDER.iterdir())
    for name, page in pages.items():
        kept = (step_by_step.FOLDER / name).read_bytes() == page.html.encode()
        assert kept, f"{name}: python demos/step_by_step.py で作り直してください"


def test_the_layer_plays_what_it_says():
    loss = step_by_step.layer()
    loss.backward()
    assert loss.item() == pytest.approx(2.195, abs=1e-3)
