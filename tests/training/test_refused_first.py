"""断られる引数は、何も始まらないうちに断られる: 1 つのミニバッチも読まれず、何も変わらない。"""

import copy
import os

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.data import DataLoader, TensorDataset
from micrograd_jp.optim import lr_scheduler


class Watched:
    """Batches that know whether somebody has asked for them."""

    def __init__(self, batches):
        self.batches, self.asked = batches, 0

    def __iter__(self):
        self.asked += 1
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


class Situation:
    """A model, its optimizer and data; what training would change of them."""

    def __init__(self):
        mg.manual_seed(0)
        self.model = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.Dropout(0.5)).eval()
        self.optimizer = mg.optim.Adam(self.model.parameters(), lr=0.1)
        x, t = mg.randn(4, 2), mg.tensor([0, 1, 2, 0])
        self.data, self.development = Watched([(x, t)]), Watched([(x, t)])

    def state(self):
        state = self.model.state_dict(), self.optimizer.state_dict(), mg.get_rng_state()
        grads = [p.grad for p in self.model.parameters()]
        modes = [m.training for m in self.model.modules()]
        return copy.deepcopy((state, grads, modes, self.data.asked, self.development.asked))


def plateau(s):
    return lr_scheduler.ReduceLROnPlateau(s.optimizer, mode="max")


REFUSED = {
    "epochs": [-1, 1.5, "3", True, None],
    "schedule": ["day", None],
    "metric": ["f1", 3],
    "loss": [None, "cross_entropy", 3],
    "optimizer": [None, mg.optim.SGD, "adam"],
    "scheduler": [3, lr_scheduler.StepLR, plateau],
    "clip_norm": [-1.0, float("nan"), "1"],
    "callbacks": [print, [3], (print, None), "ab", [lambda: None], [lambda a, b: None]],
    "record": [3, "movie", lambda: None, lambda a, b: None],
    "early_stopping": [0, -2, 1.5, "2"],
    "development": [3, [], iter([1])],
    "model": [None, 3],
    "data": [3, iter([1]), None, [], DataLoader(TensorDataset(np.ones((3, 2))), 4, drop_last=True)],
    "checkpoint": ["run.pt", "run", "missing/run.npz", "missing/run.safetensors", "taken/run.npz"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("option", "number"), [(name, i) for name, wrong in REFUSED.items() for i in range(len(wrong))]
)
def test_nothing_has_begun(option, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    s, wrong = Situation(), REFUSED[option][number]
    wrong = plateau(s) if wrong is plateau else wrong
    given = {
        "model": s.model, "data": s.data, "loss": mg.cross_entropy, "optimizer": s.optimizer,
        "epochs": 1, "checkpoint": "run.npz", "progress": False,
    }  # fmt: skip
    if option not in ("development", "scheduler"):
        given["development"] = s.development
    before = s.state()
    with pytest.raises((TypeError, ValueError, OSError)) as refused:
        mg.fit(**{**given, option: wrong})
    assert any("ぁ" <= c <= "鿿" for c in str(refused.value))
    assert_same(s.state(), before)
    assert os.listdir(tmp_path) == ["taken"]


def assert_same(now, before):
    if isinstance(now, dict):
        assert now.keys() == before.keys()
        now, before = list(now.values()), list(before.values())
    if isinstance(now, list | tuple):
        assert len(now) == len(before)
        for a, b in zip(now, before):
            assert_same(a, b)
    elif hasattr(now, "shape"):
        np.testing.assert_array_equal(np.asarray(now), np.asarray(before))
    else:
        assert now == before


class Touched:
    """A dataset that knows whether somebody has taken something out of it."""

    def __init__(self):
        self.taken = 0

    def __len__(self):
        return 6

    def __getitem__(self, i):
        self.taken += 1
        return np.ones(2), 0


LOADERS = {
    "dataset": [None, 3, mg.data.DataLoader, iter([1]), {1, 2}],
    "batch_size": [0, -1, 1.5, "3", True, None, np.nan],
    "shuffle": ["no", 2, 1.0, [True]],
    "seed": [-1, 1.5, "0", False],
    "drop_last": ["yes", 2, None],
    "prefetch": [-1, 0.5, "1", True, None],
    "transform": [3, "flip", [len]],
}


@pytest.mark.parametrize(
    ("option", "number"), [(name, i) for name, wrong in LOADERS.items() for i in range(len(wrong))]
)
def test_a_loader_refuses_before_it_reads(option, number):
    dataset, rng = Touched(), mg.get_rng_state()
    with pytest.raises((TypeError, ValueError)) as refused:
        DataLoader(**{"dataset": dataset, option: LOADERS[option][number]})
    assert any("ぁ" <= c <= "鿿" for c in str(refused.value)) and option in str(refused.value)
    assert dataset.taken == 0 and mg.get_rng_state() == rng


class Unsavable(mg.nn.Module):
    """A model whose state no file can hold."""

    def __init__(self):
        self.layer = mg.nn.Linear(2, 3)

    def state_dict(self):
        return {"layer": {1, 2}}

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("kind", ["unsavable", "a function"])
def test_what_cannot_be_saved_is_not_trained(kind, tmp_path):
    s = Situation()
    model = Unsavable() if kind == "unsavable" else lambda x: s.model(x)
    where = tmp_path / "run.npz"
    where.write_bytes(b"the last run")
    with pytest.raises(TypeError, match=r"cannot (be )?save"):
        mg.fit(
            model, s.data, mg.cross_entropy, s.optimizer, 1, checkpoint=where, resume=False,
            progress=False,
        )  # fmt: skip
    assert s.data.asked == 0 and os.listdir(tmp_path) == ["run.npz"]
    assert where.read_bytes() == b"the last run"


def test_the_situation_notices_training():
    """The negative control."""
    s = Situation()
    before = s.state()
    mg.fit(s.model, s.data, mg.cross_entropy, s.optimizer, 1, progress=False)
    with pytest.raises(AssertionError):
        assert_same(s.state(), before)
    assert s.data.asked == 1


@pytest.mark.parametrize(
    "path", ["w.pkl", "w", "missing/w.npz", "taken/w.npz", "missing/w.pt", "taken/w.pt"]
)
def test_save_leaves_no_trace_of_what_it_refuses(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises((ValueError, OSError)):
        mg.save({"a": mg.zeros(2)}, path)
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize(
    "options",
    [{"metric": "f1"}, {"metric": 3}, {"loss": 3}, {"loss": "mse"}, {"model": None}, {"model": 3}],
)
def test_evaluate_reads_nothing_before_it_refuses(options):
    s = Situation()
    with pytest.raises((TypeError, ValueError)):
        mg.training.evaluate(**{"model": s.model, "data": s.data, **options})
    assert s.data.asked == 0
