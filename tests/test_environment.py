"""この機械にあるもの: 任意の依存、キャッシュのフォルダ。"""

import sys
from pathlib import Path

import numpy as np
import pytest

from micrograd_jp.data.datasets import mnist
from micrograd_jp.environment import cache_folder, expanded, require


def test_a_missing_extra_is_one_sentence():
    with pytest.raises(ImportError, match=r'pip install "micrograd_jp\[data\]"'):
        require("no_such_module_at_all", "data")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "~/.cache/micrograd_jp"),
        ("darwin", {}, "~/Library/Caches/micrograd_jp"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/micrograd_jp"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/micrograd_jp"),
        ("win32", {"XDG_CACHE_HOME": "/xdg", "LOCALAPPDATA": "/local"}, "/xdg/micrograd_jp"),
    ],
)
def test_where_the_cache_lies(platform, variables, expected, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected).expanduser()


@pytest.mark.skipif(sys.platform == "win32", reason="pwd")
def test_a_user_without_a_home_has_no_cache(monkeypatch):
    """As in a container that runs under a number of its own."""
    import pwd

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("XDG_CACHE_HOME", "HOME", "MICROGRAD_JP_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() is None and expanded("~/x") is None and expanded("/x") == Path("/x")
    with pytest.raises(FileNotFoundError, match="MICROGRAD_JP_DATA のフォルダに置くか"):
        mnist(download=False)


def test_loading_a_dependency_leaves_the_users_random_numbers_alone(tmp_path, monkeypatch):
    """JAX draws from NumPy's global stream when it is loaded."""
    (tmp_path / "drawing_when_loaded.py").write_text("import numpy as np\nnp.random.rand(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    state = np.random.get_state()[2]
    assert require("drawing_when_loaded", "accel").np is np
    assert np.random.get_state()[2] == state
