"""進み具合の表示: 棒は 1 本で毎秒 5 回まで、tqdm がなければ行、消せば何も出ない。"""

import sys
import time
import types

import pytest
from problem import Task

import micrograd_jp as mg
from micrograd_jp.environment import progress_bar
from micrograd_jp.training.progress import shown


def fit(**options):
    task = Task()
    return mg.fit(
        task.model, task.data, mg.cross_entropy, task.optimizer, 2,
        development=task.development, **options,
    )  # fmt: skip


def test_silent(capfd):
    fit(progress=False)
    assert capfd.readouterr() == ("", "")


def test_one_bar_with_loss_and_accuracy(capfd):
    pytest.importorskip("tqdm", reason="tqdm がありません")
    fit()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, "one line, drawn over and over"
    last = err.rstrip("\n").split("\r")[-1]
    for part in ("学習中: 100%", "14/14", "エポック 2/2", "損失", "正解率"):
        assert part in last


def test_at_most_five_drawings_a_second(capfd):
    pytest.importorskip("tqdm", reason="tqdm がありません")
    bar = shown(True, 1000, 0)
    end = time.perf_counter() + 0.7
    asked = 0
    while (now := time.perf_counter()) < end:
        asked += 1
        if now >= bar.due:
            bar.show(asked, 1.0)
    bar.close()
    assert asked > 100
    assert capfd.readouterr().err.count("\r") <= 4 + 3  # 0.0, 0.2, 0.4, 0.6 and the ends


def test_in_a_notebook_the_bar_is_not_red_text(capfd, monkeypatch):
    pytest.importorskip("tqdm", reason="tqdm がありません")
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", types.ModuleType("zmqshell"))
    for name in ("ipywidgets", "IPython"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "tqdm.auto", raising=False)
    monkeypatch.delitem(sys.modules, "tqdm.autonotebook", raising=False)
    fit()  # without ipywidgets, and without a warning (an error in the tests)
    out, err = capfd.readouterr()
    assert err == "" and "学習中: 100%" in out
    tqdm = pytest.importorskip("tqdm")
    widget = type("tqdm_notebook", (tqdm.tqdm,), {})
    monkeypatch.setattr(sys.modules["tqdm.auto"], "tqdm", widget)
    assert progress_bar() is widget
    monkeypatch.delitem(sys.modules, "ipykernel.zmqshell")
    assert progress_bar() is tqdm.tqdm


def test_a_resumed_bar_starts_where_it_stopped(capfd, tmp_path):
    pytest.importorskip("tqdm", reason="tqdm がありません")
    fit(progress=False, checkpoint=tmp_path / "s.npz")
    task = Task()
    mg.fit(
        task.model, task.data, mg.cross_entropy, task.optimizer, 3,
        development=task.development, checkpoint=tmp_path / "s.npz",
    )  # fmt: skip
    err = capfd.readouterr().err
    assert "14/21" in err and "21/21" in err


def test_without_tqdm_a_line_an_epoch_and_what_to_install(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fit()
    lines = capfd.readouterr().err.splitlines()
    assert 'pip install "micrograd_jp[data]"' in lines[0]
    assert [line[:8] for line in lines[1:]] == ["エポック 1/2", "エポック 2/2"]
