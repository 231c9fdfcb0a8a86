"""バッチ法・ミニバッチ法・オンライン法と、損失関数の比較のデモ。"""

import batch_minibatch_online as demo
import digit_data
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="手元に MNIST がないときの数字")


@pytest.fixture(scope="module")
def data():
    return digit_data.load(quick=True)


@pytest.fixture(scope="module")
def runs(data):
    return demo.compare_methods(data, demo.QUICK_METHODS)


@pytest.mark.slow
def test_an_epoch_is_one_update_or_one_for_every_image(data, runs):
    n = len(data.training)
    batch, mini, online = (run.updates[-1] for run in runs)
    assert batch == demo.QUICK_METHODS[0].epochs
    assert mini == demo.QUICK_METHODS[1].epochs * -(-n // demo.MINI_BATCH)
    assert online == n


def test_by_updates_the_larger_batch_is_ahead(runs):
    batch, mini, online = (dict(zip(run.updates, run.losses, strict=True)) for run in runs)
    last = max(batch)
    later = min(update for update in online if update >= last)
    assert batch[last] < online[later] / 2
    assert mini[max(mini)] < online[min(update for update in online if update >= max(mini))] / 2


def test_by_images_seen_the_smaller_batch_is_ahead(data, runs):
    batch, mini, online = runs
    per_epoch = -(-len(data.training) // demo.MINI_BATCH)
    one_epoch = mini.losses[max(k for k, u in enumerate(mini.updates) if u <= per_epoch)]
    assert online.losses[-1] < one_epoch < batch.losses[0]


def test_all_three_learn_from_the_same_start(runs):
    for run in runs:
        assert run.test > 0.7 and run.losses[-1] < 0.8
        assert run.seconds == sorted(run.seconds)
    # After a single step none of them is far from the start.
    firsts = [run.losses[0] for run in runs]
    assert max(firsts) - min(firsts) < 0.5


@given(st.integers(1, 10**6))
def test_the_measuring_points_reach_from_the_first_update_to_the_last(last):
    points = demo._measuring_points(last)
    assert {1, last} <= points and min(points) == 1 and max(points) == last


def test_the_losses_are_the_functions_of_the_margin_in_the_text():
    m = np.linspace(-3, 3, 25)
    curves = demo.losses_of_margin(m)
    values, slopes = curves["交差エントロピー誤差"]
    np.testing.assert_allclose(values, np.log1p(np.exp(-m)), rtol=1e-9)
    np.testing.assert_allclose(slopes, -1 / (1 + np.exp(m)), rtol=1e-9)
    assert (slopes < 0).all()
    values, slopes = curves["ヒンジ損失"]
    np.testing.assert_allclose(values, np.maximum(0, 1 - m), atol=1e-12)
    away = m != 1
    np.testing.assert_array_equal(slopes[away], np.where(m < 1, -1.0, 0.0)[away])


def test_both_losses_learn(data):
    found = demo.compare_losses(data, epochs=4)
    assert list(found) == list(demo.LOSSES)
    for accuracies in found.values():
        assert len(accuracies.training) == len(accuracies.development) == 4
        assert accuracies.training[-1] > max(0.7, accuracies.training[0])
        assert accuracies.test > 0.65


def test_it_runs_and_draws(run):
    written, printed = run(demo)
    assert written == ["batch_minibatch_online.png", "cross_entropy_and_hinge.png"]
    assert all(method.name in printed for method in demo.METHODS)
    assert all(name in printed for name in demo.LOSSES)
