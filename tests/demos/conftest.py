"""デモは、置いてあるフォルダから読み込む。"""

import sys
from pathlib import Path

import pytest

DEMOS = Path(__file__).parents[2] / "demos"
LARGEST_FIGURE = 150_000  # bytes: the figures are kept in the repository

sys.path.insert(0, str(DEMOS))


def pytest_collection_modifyitems(items):
    """A whole demo takes seconds; what it is made of is tested one by one."""
    for item in items:
        if "run" in item.fixturenames and item.path.parent == Path(__file__).parent:
            item.add_marker("slow")


@pytest.fixture
def run(tmp_path, capsys):
    """デモを手早い設定で最後まで動かし、書かれた図の名前と、印字されたものを返す。"""

    def run(demo):
        demo.main(["--quick", "--out", str(tmp_path / "図")])
        written = sorted((tmp_path / "図").iterdir())
        for path in written:
            assert path.stat().st_size > 1000
            kept = DEMOS / "figures" / path.name
            assert kept.stat().st_size < LARGEST_FIGURE
        return [path.name for path in written], capsys.readouterr().out

    return run
