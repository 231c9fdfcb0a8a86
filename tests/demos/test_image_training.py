"""デモの長い学習: どこで止めても、続きは止めなかったときと同じになる。"""

import math
import signal
from functools import partial

import numpy as np
import pytest
from digit_data import Digits
from image_training import Recipe, cosine, folder_for, table, train, warm_cosine

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import TensorDataset
from micrograd_jp.data.transforms import GaussianNoise


def small_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 10))


RECIPE = Recipe(
    "小さな学習", small_model, partial(optim.Adam, lr=1e-2), epochs=3, batch_size=8,
    augmentation=GaussianNoise(0.1), seed=3,
)  # fmt: skip
UPDATES_AN_EPOCH = 5


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)

    def part(n):
        return TensorDataset(rng.random((n, 1, 4, 4), dtype=np.float32), rng.integers(0, 10, n))

    return Digits("でたらめ", part(40), part(20), part(30))


def stopping(at, how):
    """A loss that stops the training at the given update, and is otherwise cross_entropy."""
    calls = 0

    def loss(y, t):
        nonlocal calls
        calls += mg.is_grad_enabled()  # not in the evaluations
        if calls == at and mg.is_grad_enabled():
            how()
        return mg.cross_entropy(y, t)

    loss.__qualname__ = mg.cross_entropy.__qualname__
    return loss


def power_cut():
    raise OSError("停電")


def weights(run):
    return {name: x.numpy().tobytes() for name, x in run.model.state_dict().items()}


@pytest.mark.parametrize("at", [1, UPDATES_AN_EPOCH + 1, 2 * UPDATES_AN_EPOCH + 3])
def test_a_killed_training_goes_on_to_the_same_bits(data, tmp_path, at):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole = train(RECIPE, data, tmp_path / "a", progress=False)
    with pytest.raises(OSError, match="停電"):
        stopped = RECIPE._replace(loss=stopping(at, power_cut))
        train(stopped, data, tmp_path / "b", progress=False)
    continued = train(RECIPE, data, tmp_path / "b", progress=False)
    assert weights(continued) == weights(whole)
    assert continued.history.losses == whole.history.losses
    assert continued.test == whole.test
    assert len(whole.history.losses) == RECIPE.epochs * UPDATES_AN_EPOCH


def test_another_seed_gives_other_bits(data, tmp_path):
    one, other = (
        train(RECIPE._replace(name=str(seed), seed=seed), data, tmp_path, progress=False)
        for seed in (0, 1)
    )
    assert weights(one) != weights(other)


def test_ctrl_c_saves_and_ends_the_program(data, tmp_path):
    asked = stopping(7, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit, match="続きから"):
        train(RECIPE._replace(loss=asked), data, tmp_path, progress=False)
    assert not list(tmp_path.glob("*.weights.npz"))
    # Not from the end of the epoch: the update that Ctrl-C let finish is kept.
    left = RECIPE.epochs * UPDATES_AN_EPOCH - 7
    with pytest.raises(OSError, match="停電"):
        train(RECIPE._replace(loss=stopping(left, power_cut)), data, tmp_path, progress=False)
    run = train(RECIPE, data, tmp_path, progress=False)
    assert run.history.stopped == "finished"


def test_a_finished_training_is_not_repeated(data, tmp_path):
    first = train(RECIPE, data, tmp_path, progress=False)
    again = train(RECIPE._replace(loss=stopping(1, power_cut)), data, tmp_path, progress=False)
    assert weights(again) == weights(first)
    assert again.history.losses == first.history.losses
    assert abs(again.history.seconds - first.history.seconds) < 1


def test_the_saved_weights_are_the_models(data, tmp_path):
    run = train(RECIPE, data, tmp_path, progress=False)
    model = small_model()
    model.load_state_dict(mg.load(tmp_path / f"{RECIPE.name}.weights.npz"))
    x, t = data.test[:]
    with mg.no_grad():
        answers = model.eval()(x).numpy().argmax(1)
    assert run.test == (answers == t.numpy()).mean()
    assert not run.model.training


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"epochs": 4},
        {"optimizer": partial(optim.Adam, lr=2e-2)},
        {"schedule": warm_cosine},
        {"augmentation": None},
        {"model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 10))},
    ],
)
def test_another_recipe_under_the_same_name_is_refused(data, tmp_path, change):
    train(RECIPE, data, tmp_path, progress=False)
    with pytest.raises(ValueError, match="設定の違う学習"):
        train(RECIPE._replace(**change), data, tmp_path, progress=False)


def rates(schedule, updates):
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.5)
    scheduler = schedule(optimizer, updates)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*found, optimizer.param_groups[0]["lr"]]


def test_the_schedules():
    half = [0.25 * (1 + math.cos(math.pi * t / 20)) for t in range(21)]
    assert rates(cosine, 20) == pytest.approx(half, abs=1e-12)
    warm = rates(warm_cosine, 200)
    assert warm[:21] == pytest.approx(np.linspace(0.05, 0.5, 21))
    tail = [0.25 * (1 + math.cos(math.pi * t / 180)) for t in range(181)]
    assert warm[20:] == pytest.approx(tail, abs=1e-12)


def test_the_folder(tmp_path):
    with folder_for(tmp_path, quick=True) as folder:
        (folder / "x").touch()
    assert not folder.exists() and tmp_path not in folder.parents
    with folder_for(tmp_path, quick=False) as folder:
        (folder / "x").touch()
    assert (tmp_path / "runs" / "x").exists()


def test_the_table_has_a_row_a_run(data, tmp_path):
    run = train(RECIPE, data, tmp_path, progress=False)
    _, row, _ = table([run]).splitlines()
    assert row.split() == [
        f"{run.development:.2%}", f"{run.test:.2%}", "3", f"{run.history.seconds:.0f}", "3",
        "226", "小さな学習",
    ]  # fmt: skip


def test_a_function_follows_every_update(data, tmp_path):
    seen = []
    recipe = RECIPE._replace(after_step=lambda model: seen.append(type(model)), epochs=2)
    train(recipe, data, tmp_path, progress=False)
    assert seen == [nn.Sequential] * 2 * UPDATES_AN_EPOCH
