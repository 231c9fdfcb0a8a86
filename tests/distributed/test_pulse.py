"""ハートビート: 止まったプロセスを見つけ、プロセス 0 が、見つけたことをほかに知らせる。"""

import threading

import pytest

from micrograd_jp.distributed import pulse


class Table:
    """The coordinator's table of keys, in this process."""

    def __init__(self):
        self.rows, self.changed = {}, threading.Condition()

    def key_value_set(self, key, value, allow_overwrite):
        with self.changed:
            self.rows[key] = value
            self.changed.notify_all()

    def key_value_dir_get(self, prefix):
        with self.changed:
            return [(key, x) for key, x in self.rows.items() if key.startswith(prefix)]

    def wait_for(self, key):
        with self.changed:
            assert self.changed.wait_for(lambda: key in self.rows, timeout=30)
            return self.rows[key]


@pytest.fixture
def table(monkeypatch):
    """Nobody is ended, and what is waited for is short."""
    monkeypatch.setattr(pulse.Pulse, "_end", lambda self: None)
    monkeypatch.setattr(pulse, "_TICK", 0.02)
    return Table()


def test_process_0_tells_all_who_does_not_respond(table):
    first = pulse.Pulse(table, 0, 3, patience=0.4)
    third = pulse.Pulse(table, 2, 3, patience=60)
    assert "process 1 does not respond" in table.wait_for("micrograd_jp/head/failure")
    assert "process 1" in first.failure
    for _ in range(200):
        third._hear_head()
        if third.failure:
            break
    assert "process 1" in third.failure
    third.leave()


def test_who_has_left_is_not_taken_for_stopped(table):
    first, second = (pulse.Pulse(table, rank, 2, patience=60) for rank in (0, 1))
    second.leave()
    assert table.wait_for("micrograd_jp/all/1") == "left"
    first._hear_all()
    assert "process 1 has already exited" in first.gone and not first.failure
    assert "process 1" in table.wait_for("micrograd_jp/head/gone")
    first.leave()
