"""デモは、置いてあるフォルダから読み込む。"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "demos"))


@pytest.fixture
def run(tmp_path, capsys):
    """デモを手早い設定で最後まで動かし、書かれた図の名前と、印字されたものを返す。"""

    def run(demo):
        demo.main(["--quick", "--out", str(tmp_path / "図")])
        written = sorted((tmp_path / "図").iterdir())
        assert all(path.stat().st_size > 1000 for path in written)
        return [path.name for path in written], capsys.readouterr().out

    return run
