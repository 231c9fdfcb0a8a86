"""再開: どの瞬間に止まっても、中断しなかったときと同じビットになる。"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from problem import Task, points

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import DataLoader
from micrograd_jp.training import Checkpoint, fitting
from micrograd_jp.training.checkpoint import Session

FORMATS = [".npz", ".safetensors"]


class Stopped(Exception):
    """The machine is switched off."""


def stop_after(count):
    """A loss that works so many times."""
    left = [count]

    def loss(y, t):
        if left[0] == 0:
            raise Stopped
        left[0] -= 1
        return mg.cross_entropy(y, t)

    return loss


def run(task, loss, path, epochs=3, updates=2, **options):
    options = {"scheduler": task.scheduler, "development": task.development, **options}
    checkpoint = None if path is None else Checkpoint(path, seconds=None, updates=updates)
    return mg.fit(
        task.model, task.data, loss, task.optimizer, epochs, checkpoint=checkpoint,
        progress=False, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "state.npz"
    task = Task()
    return task.outcome(run(task, mg.cross_entropy, path, early_stopping=2, clip_norm=1.0))


@pytest.mark.parametrize(
    ("when", "prefetch"),
    [
        pytest.param(when, ahead, marks=[] if (when // 6) % 2 == ahead // 2 else [pytest.mark.slow])
        for when in range(1, 27, 3)
        for ahead in (0, 2)
    ],
)
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bits(
    when, prefetch, tmp_path, uninterrupted
):
    """Updates and evaluations alike may be cut; each life starts from another seed."""
    path = tmp_path / f"state{FORMATS[when % 2]}"
    lives = 0
    while True:
        task = Task(seed=lives if path.exists() else 0, prefetch=prefetch)
        loss = stop_after(when) if lives < 4 else mg.cross_entropy
        lives += 1
        try:
            history = run(task, loss, path, early_stopping=2, clip_norm=1.0)
        except Stopped:
            continue
        break
    assert task.outcome(history) == uninterrupted


def test_more_epochs_go_on_from_a_finished_run(tmp_path):
    path = tmp_path / "state.npz"
    whole, task = Task(), Task()
    expected = whole.outcome(run(whole, mg.cross_entropy, tmp_path / "whole.npz", 4))
    task = Task()
    run(task, mg.cross_entropy, path, 2)
    again = Task(seed=9)
    history = run(again, mg.cross_entropy, path, 4)
    assert again.outcome(history) == expected
    stamp = path.stat().st_mtime_ns
    assert run(Task(seed=9), mg.cross_entropy, path, 4).updates == history.updates
    assert path.stat().st_mtime_ns == stamp, "nothing was left to do"


def test_resume_false_starts_anew(tmp_path):
    path = tmp_path / "state.npz"
    run(Task(), mg.cross_entropy, path, 1)
    assert run(Task(), mg.cross_entropy, path, 1, resume=False).updates == 7


def test_batches_in_a_list_and_a_scalar_model_resume_too(tmp_path):
    x, t = points(30, 1)[:]
    batches = [(x[i : i + 5], t[i : i + 5]) for i in range(0, 30, 5)]
    ends = []
    for count in (None, 4, 11):
        path = tmp_path / f"{count}.npz"
        for loss in (stop_after(-1 if count is None else count), mg.cross_entropy):
            mg.manual_seed(0)
            model = nn.MLP(2, [3, 2])
            optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
            checkpoint = Checkpoint(path, seconds=1e-9)
            try:
                mg.fit(model, batches, loss, optimizer, 3, checkpoint=checkpoint, progress=False)
            except Stopped:
                continue
        ends.append([p.data for p in model.parameters()])
    assert ends[0] == ends[1] == ends[2]


# ---- 合わないチェックポイント --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: setattr(t, "model", nn.Linear(2, 2)), None),
        (lambda t: setattr(t, "optimizer", mg.optim.SGD(t.model.parameters())), "missing options"),
        (lambda t: setattr(t, "scheduler", None), "scheduler mismatch"),
        (lambda t: setattr(t, "data", DataLoader(points(9, 0), 3)), "state mismatch"),
    ],
)
def test_a_checkpoint_of_something_else_changes_nothing(change, match, tmp_path):
    path = tmp_path / "state.npz"
    run(Task(), mg.cross_entropy, path, 1)
    task = Task(seed=5)
    change(task)
    weights = {k: x.numpy().copy() for k, x in task.model.state_dict().items()}
    rng = mg.get_rng_state()
    with pytest.raises(ValueError, match=match):
        run(task, mg.cross_entropy, path, 2)
    for name, x in task.model.state_dict().items():
        np.testing.assert_array_equal(x.data, weights[name])
    assert mg.get_rng_state() == rng


def test_what_is_no_checkpoint_is_refused(tmp_path):
    mg.save({"a": mg.ones(1)}, tmp_path / "model.npz")
    with pytest.raises(ValueError, match="not a checkpoint"):
        run(Task(), mg.cross_entropy, tmp_path / "model.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK")
    with pytest.raises(mg.LoadError, match="corrupt"):
        run(Task(), mg.cross_entropy, tmp_path / "cut.npz")
    with pytest.raises(ValueError, match="early_stopping mismatch"):
        run(Task(), mg.cross_entropy, tmp_path / "x.npz", 1)
        run(Task(), mg.cross_entropy, tmp_path / "x.npz", 2, early_stopping=3)


# ---- Ctrl-C --------------------------------------------------------------------------------


def press(times, after):
    """A loss that presses Ctrl-C so many times within one update."""
    left = [after]

    def loss(y, t):
        left[0] -= 1
        if left[0] == 0:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return mg.cross_entropy(y, t)

    return loss


@pytest.mark.parametrize("after", [1, 5, 7, 8, 10])
def test_ctrl_c_stops_cleanly_and_the_run_can_go_on(after, tmp_path, uninterrupted):
    path, before = tmp_path / "state.npz", signal.getsignal(signal.SIGINT)
    task = Task()
    history = run(task, press(1, after), path, early_stopping=2, clip_norm=1.0)
    assert history.stopped == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before
    assert not any(name.endswith(".tmp") for name in os.listdir(tmp_path))
    again = Task(seed=3)
    history = run(again, mg.cross_entropy, path, early_stopping=2, clip_norm=1.0)
    assert again.outcome(history) == uninterrupted


def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(Task(), press(2, 3), tmp_path / "state.npz")
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_the_handler_is_left_alone(tmp_path):
    histories = []
    thread = threading.Thread(
        target=lambda: histories.append(run(Task(), mg.cross_entropy, tmp_path / "s.npz", 1))
    )
    thread.start()
    thread.join()
    assert histories[0].stopped == "finished"


# ---- 本物のプロセスを kill -9 で止める -----------------------------------------------------------


def killed(folder, how):
    """Each life begins with another seed; in the end all is compared to the bit."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed.py"), folder, str(how)],
        capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(mg.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="この OS に fork はない")


@pytest.mark.slow
@posix
@pytest.mark.parametrize("kills", [20, 200])
def test_kill_minus_nine_at_random_moments(kills, tmp_path):
    """In the midst of updates, evaluations and saves."""
    assert killed(tmp_path, kills) > kills * 0.7  # a life may have ended before


@posix
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_within_a_save_the_old_or_the_new_file_is_whole(moment, tmp_path):
    killed(tmp_path, moment)


# ---- エポックの終わりに例外が出ても --------------------------------------------------------------


def at_the_end(what, raises):
    """Options of `fit` with which the end of the second epoch raises, or does nothing of note."""
    calls = [0]

    def called(*_):
        calls[0] += 1
        if raises and calls[0] == (1 if what == "loss" else 2):
            raise Stopped

    def loss(y, t):
        if not mg.is_grad_enabled() and len(y) == 40:
            called()
        return mg.cross_entropy(y, t)

    def metric(y, t):
        if what == "metric":
            called()
        return float((y.argmax(1) == t).mean())

    class Scheduler(mg.optim.lr_scheduler.CosineAnnealingLR):
        def step(self):
            super().step()
            if what == "scheduler":
                called()

    task = Task()
    if what == "scheduler":
        task.scheduler = Scheduler(task.optimizer, T_max=6)
    callbacks = [called] if what == "callback" else []
    options = {"metric": metric, "callbacks": callbacks, "scheduler": task.scheduler}
    return task, loss if what == "loss" else mg.cross_entropy, options


def failing(what, path):
    """Fail at the end of the second epoch; go on with what does not. What is trained twice?"""
    task, loss, options = at_the_end(what, raises=True)
    with pytest.raises(Stopped):
        run(task, loss, path, updates=4, **options)
    saved = len(mg.load(path)["history"]["losses"])
    task, loss, options = at_the_end(what, raises=False)
    history = run(task, loss, path, **options)
    return saved, task.outcome(history)


ENDS = ["metric", "loss", "scheduler", "callback"]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("what", ENDS)
def test_what_raises_at_the_end_of_an_epoch_loses_nothing_of_it(what, format, tmp_path):
    task, loss, options = at_the_end(what, raises=False)
    whole = task.outcome(run(task, loss, None, **options))
    saved, outcome = failing(what, tmp_path / f"state{format}")
    assert saved == (7 if what == "loss" else 14)
    assert outcome == whole


@pytest.mark.parametrize("what", ENDS)
def test_an_end_that_is_not_guarded_loses_the_epoch(what, tmp_path, monkeypatch):
    """The negative control."""
    monkeypatch.setattr(Session, "end_of_epoch", lambda self: contextlib.nullcontext())
    monkeypatch.setattr(fitting, "_call_back", _call_all)
    assert failing(what, tmp_path / "state.npz")[0] == (4 if what == "loss" else 12)


def _call_all(session, callbacks):
    for callback in callbacks:
        callback(session.history)
    return ""
