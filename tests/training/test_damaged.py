"""壊れているが形の整ったチェックポイント: ValueError だけを出し、その前に何も変えない。"""

import contextlib
import copy
import random

import numpy as np
import pytest
from problem import Task

import micrograd_jp as mg
from micrograd_jp.training import Checkpoint, EarlyStopping, checkpoint


def task(kind, seed=0):
    made = Task(seed=seed)
    if kind == "plateau":
        made.optimizer = mg.optim.SGD(
            [{"params": [p], "lr": 0.1} for p in made.model.parameters()], momentum=0.9
        )
        made.scheduler = mg.optim.lr_scheduler.ReduceLROnPlateau(made.optimizer)
    if kind == "sequential":
        lrs = mg.optim.lr_scheduler
        parts = [lrs.StepLR(made.optimizer, 1), lrs.StepLR(made.optimizer, 2)]
        made.scheduler = lrs.SequentialLR(made.optimizer, parts, [2])
    if kind == "list":
        made.data = [made.data.dataset[i : i + 8] for i in range(0, 64, 8)]
    return made


KINDS = ["cosine", "plateau", "sequential", "list"]


def fit(task, path, epochs):
    return task.fit(
        epochs, checkpoint=Checkpoint(path, updates=3), early_stopping=EarlyStopping(9, "loss")
    )


JUNK = [
    None, True, 0, -1, 3, 2**70, 0.5, float("nan"), float("inf"), "", "x", [], [1], (), {},
    {"a": 1}, np.zeros(2), np.zeros((3, 1)), np.array(1), np.array([], "i8"), mg.ones(2),
]  # fmt: skip


def places(x, path=()):
    """Where something can be put into a nested state."""
    yield path
    if isinstance(x, dict):
        pairs = x.items()
    else:
        pairs = enumerate(x) if isinstance(x, list | tuple) and len(x) < 50 else ()
    for key, item in pairs:
        yield from places(item, (*path, key))


def changed(x, path, rng):
    """The state with junk at that place, or without it, or with one thing more beside it."""
    if not path:
        return rng.choice(JUNK)
    key, rest = path[0], path[1:]
    kind = rng.randrange(8) if not rest else 7
    items = dict(x) if isinstance(x, dict) else dict(enumerate(x))
    if kind == 0:
        del items[key]
    elif kind == 1:
        items[f"{key}?"] = rng.choice(JUNK)
    else:
        items[key] = changed(items[key], rest, rng)
    return items if isinstance(x, dict) else type(x)(items.values())


def everything(task):
    """The very arrays of the model, so that no write is overlooked, and all else by value."""
    states = [task.optimizer.state_dict(), task.scheduler.state_dict(), mg.get_rng_state()]
    if hasattr(task.data, "state_dict"):
        states.append(task.data.state_dict())
    return [id(x._data) for x in arrays(task)], repr(copy.deepcopy(states))


def arrays(task):
    return [*task.model.parameters(), *task.model.buffers()]


def damage(kind, folder, seeds):
    path = folder / "state.npz"
    fit(task(kind), path, 2)
    good = mg.load(path)
    found = list(places(good))
    refused = 0
    for seed in seeds:
        rng = random.Random(seed)
        mg.save(changed(good, rng.choice(found), rng), path)
        new = task(kind, seed=5)
        for x in arrays(new):
            x._data.flags.writeable = False  # a write, even one undone, makes another array
        before = everything(new)
        try:
            fit(new, path, 2)  # nothing is left to do
        except ValueError:
            assert everything(new) == before, seed
            refused += 1
            continue
        # What was taken can be worked with: its numbers may be wrong, but they are numbers.
        with contextlib.suppress(ValueError, ArithmeticError, RuntimeWarning):
            fit(new, path, 3)
    assert refused > len(seeds) / 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_checkpoint_changes_nothing(kind, tmp_path):
    damage(kind, tmp_path, range(12))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_checkpoints(kind, tmp_path):
    damage(kind, tmp_path, range(12, 1_000))


def test_a_part_that_loads_before_all_is_checked_is_noticed(tmp_path, monkeypatch):
    """The negative control: the order of old, in which each part was loaded when it was read."""

    def at_once(part, state):
        part.load_state_dict(state)
        return lambda: None

    monkeypatch.setattr(checkpoint, "_loading", at_once)
    with pytest.raises(AssertionError):
        damage("cosine", tmp_path, range(100))
