"""`fit(accumulate=k)`: k 個のミニバッチの 1 更新は、どう分けても、まとめた 1 つの更新と同じ。"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problem import Task, points

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import DataLoader
from micrograd_jp.training import Checkpoint, NonFiniteError, update

X = np.random.default_rng(0).normal(size=(10, 3))
T = np.random.default_rng(1).integers(0, 2, 10)


def trained(sizes, accumulate, *, dtype="f8", epochs=1, **options):
    """A network after training on the rows, cut into batches of these sizes."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(np.dtype(dtype))
    ends = np.cumsum([0, *sizes])
    batches = [(mg.tensor(X[a:b].astype(dtype)), mg.tensor(T[a:b])) for a, b in pairwise(ends)]
    optimizer = mg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    history = mg.fit(
        model, batches, mg.cross_entropy, optimizer, epochs, accumulate=accumulate,
        progress=False, **options,
    )  # fmt: skip
    return [p.detach().numpy() for p in model.parameters()], history


def assert_close(one, other, tolerance):
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one[1].losses, other[1].losses, rtol=0, atol=tolerance)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 9), max_size=5), st.booleans())
def test_any_split_equals_the_big_batch(cuts, clipped):
    ends = sorted({0, 10, *cuts})
    sizes = np.diff(ends).tolist()
    options = {"epochs": 3, "clip_norm": 0.1 if clipped else None}
    assert_close(trained(sizes, len(sizes), **options), trained([10], 1, **options), 1e-12)


@pytest.mark.parametrize("jit", [False, True])
def test_parts_of_4_4_and_2_rows(jit):
    if jit:
        pytest.importorskip("jax.numpy", reason="jax がありません")
    options = {"dtype": "f4", "epochs": 3, "jit": jit}
    assert_close(trained([4, 4, 2], 3, **options), trained([10], 1, **options), 2e-6)


def test_the_last_window_is_applied_though_it_is_not_full():
    """10 rows in batches of 4, 2, 2, 1, 1: updates of 6, 3 and 1 rows, in each epoch."""
    found = trained([4, 2, 2, 1, 1], 2, epochs=2)
    assert found[1].updates == 6
    assert_close(found, trained([6, 3, 1], 1, epochs=2), 1e-12)


def test_a_planted_fault_is_noticed(monkeypatch):
    """The mean of the means is another number."""
    monkeypatch.setattr(update, "shares", lambda window: [(b, 1 / len(window)) for b in window])
    with pytest.raises(AssertionError):
        assert_close(trained([4, 4, 2], 3), trained([10], 1), 1e-3)
    assert_close(trained([5, 5], 2), trained([10], 1), 1e-12)


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_stopped_and_resumed_it_ends_with_the_same_bits(jit, tmp_path):
    if jit:
        pytest.importorskip("jax.numpy", reason="jax がありません")
    options = {"accumulate": 2, "jit": jit}

    def run(path, epochs):
        task = Task()
        task.data = DataLoader(points(64, 1), 10, shuffle=True)
        checkpoint = Checkpoint(path, seconds=None, updates=3)
        return task.outcome(task.fit(epochs, checkpoint=checkpoint, **options))

    whole = run(tmp_path / "whole.npz", 2)
    assert len(whole[1]) == 8, "7 batches in an epoch"
    run(tmp_path / "cut.npz", 1)
    assert run(tmp_path / "cut.npz", 2) == whole


def test_values_too():
    def run(sizes, accumulate):
        mg.manual_seed(0)
        model = nn.Neuron(3, nonlin=False)
        ends = np.cumsum([0, *sizes])
        batches = [(mg.tensor(X[a:b]), mg.tensor(X[a:b, 0])) for a, b in pairwise(ends)]
        optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
        mg.fit(
            model, batches, mg.mse_loss, optimizer, 2, metric=None, accumulate=accumulate,
            progress=False,
        )  # fmt: skip
        return [p.data for p in model.parameters()]

    np.testing.assert_allclose(run([4, 4, 2], 3), run([10], 1), rtol=1e-9)


def test_a_nan_in_a_later_batch_of_the_window():
    mg.manual_seed(0)
    model = nn.Linear(1, 1)
    before = model.weight.detach().numpy().copy()
    good, bad = ((mg.tensor([[x]]), mg.tensor([[1.0]])) for x in (1.0, np.nan))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(NonFiniteError, match="1 回目の更新で、損失が nan"):
        mg.fit(
            model, [good, bad], mg.mse_loss, optimizer, 1, metric=None, accumulate=2,
            progress=False,
        )  # fmt: skip
    np.testing.assert_array_equal(model.weight.data, before)
    assert not model.weight.has_grad


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2", None])
def test_accumulate_is_a_positive_whole_number(bad):
    with pytest.raises(ValueError, match="accumulate は 1 以上の整数"):
        trained([10], bad)
