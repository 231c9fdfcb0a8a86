"""いつ保存され、何秒と記録されるか: 時計は、手で進める。"""

import pytest
from problem import Task

import micrograd_jp as mg
from micrograd_jp.training import Checkpoint, checkpoint

PER_EPOCH = 7  # updates: 64 points, 10 at a time


@pytest.fixture
def clock(monkeypatch):
    """The time, which goes on only where a test says so."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: Clock.now)
    return Clock


@pytest.fixture
def saved(monkeypatch):
    """The number of updates at every save."""
    found, save = [], checkpoint.save

    def recorded(state, path):
        found.append(len(state["history"]["losses"]))
        save(state, path)

    monkeypatch.setattr(checkpoint, "save", recorded)
    return found


@pytest.mark.parametrize("every", [1, 2, 3, 7, 10, None])
def test_after_so_many_updates_and_at_every_end(every, saved, tmp_path):
    Task().fit(epochs=2, checkpoint=Checkpoint(tmp_path / "a.npz", seconds=None, updates=every))
    ends = {PER_EPOCH, 2 * PER_EPOCH}
    due = {n for n in range(1, 2 * PER_EPOCH + 1) if every and n % every == 0}
    assert sorted(set(saved)) == sorted(ends | due)


@pytest.mark.parametrize("seconds", [2.5, 4.0, None])
def test_after_so_many_seconds_since_the_last_save(seconds, saved, clock, tmp_path):
    def loss(y, t):
        clock.now += 1.0
        return mg.cross_entropy(y, t)

    task = Task()
    mg.fit(
        task.model, task.data, loss, task.optimizer, 1, progress=False,
        checkpoint=Checkpoint(tmp_path / "a.npz", seconds=seconds),
    )  # fmt: skip
    within = {2.5: [3, 6], 4.0: [4], None: []}[seconds]
    assert sorted(set(saved)) == [*within, PER_EPOCH]


def test_the_seconds_add_up_over_a_resumed_run(clock, tmp_path):
    def loss(y, t):
        clock.now += 0.5
        return mg.cross_entropy(y, t)

    def run(epochs):
        task = Task()
        return mg.fit(
            task.model, task.data, loss, task.optimizer, epochs, progress=False,
            checkpoint=Checkpoint(tmp_path / "a.npz", seconds=None),
        )  # fmt: skip

    first = run(2)
    assert first.column("seconds") == [3.5, 7.0] and first.seconds == 7.0
    clock.now += 1e6  # between the two nothing is learned
    again = run(3)
    assert again.column("seconds") == [3.5, 7.0, 10.5] and again.seconds == 10.5
