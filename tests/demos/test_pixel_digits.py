"""4×3 画素の数字: 講義の「変えたい量」が、計算グラフからそのまま出てくること。"""

import numpy as np
import pixel_digits as demo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import micrograd_jp as mg
from micrograd_jp.testing import gradcheck

AMOUNTS = [4.2, -5.1, -6.5, -6.1, -4.1, -5.3, -5.8, -6.2, -4.0, -6.0]


@pytest.fixture(scope="module")
def changes():
    weights, x = demo.example()
    return demo.amounts_to_change(weights, x, demo.ideals(0))


def test_the_outputs_and_the_amounts_to_change_of_the_lecture(changes):
    assert changes.p == pytest.approx([0.8, 0.1, 1.5, 1.1, -0.9, 0.3, 0.8, 1.2, -1.0, 1.0])
    assert demo.ideals(0).tolist() == [5.0] + [-5.0] * 9
    assert changes.dp == pytest.approx(AMOUNTS)


def test_what_flows_on_to_bias_weights_and_input(changes):
    weights, x = demo.example()
    assert changes.db == pytest.approx(AMOUNTS)
    assert changes.dW.shape == (10, 12)
    for i, amount in enumerate(AMOUNTS):
        for j, pixel in enumerate(x):
            assert changes.dW[i, j] == pytest.approx(amount * pixel)
    backwards = [sum(weights.W[i, j] * AMOUNTS[i] for i in range(10)) for j in range(12)]
    assert changes.dx == pytest.approx(backwards)


def test_the_loss_and_its_gradients_against_finite_differences():
    weights, x = demo.example()

    def loss(W, b, x):
        return 0.5 * ((mg.tensor(demo.ideals(0)) - (W @ x + b)) ** 2).sum()

    assert gradcheck(loss, [*map(mg.tensor, (*weights, x + 0.1))])


def test_through_relu_with_zeros_where_it_is_off(changes):
    through = demo.through_relu(changes.p, changes.dp)
    expected = [0.0 if k in (4, 8) else amount for k, amount in enumerate(AMOUNTS)]
    assert through == pytest.approx(expected)


numbers = arrays(float, 12, elements=st.floats(-3, 3))


@given(numbers, numbers)
def test_relu_passes_the_change_exactly_where_it_is_on(below, change):
    through = demo.through_relu(below, change)
    assert np.array_equal(through[below > 0], change[below > 0])
    assert not through[below <= 0].any()


def test_the_ten_patterns_differ_clearly():
    digits = demo.digits()
    assert digits.shape == (10, 12)
    assert set(digits.ravel()) == {0.0, 1.0}
    different = [(a != b).sum() for i, a in enumerate(digits) for b in digits[:i]]
    assert min(different) >= 2


def test_one_step_moves_the_weights_by_the_mean_of_the_amounts():
    data = demo.with_noise(2, 0.3, seed=3)
    before = demo.initial()
    after, losses = demo.learn(data, steps=1)
    each = [
        demo.amounts_to_change(before, x, demo.ideals(label))
        for x, label in zip(data.images, data.labels, strict=True)
    ]
    for learnt, start, name in zip(after, before, ("dW", "db"), strict=True):
        mean = np.mean([getattr(change, name) for change in each], axis=0)
        assert learnt == pytest.approx(start + demo.LEARNING_RATE * mean)
    errors = [0.5 * (change.dp**2).sum() for change in each]
    assert losses == [pytest.approx(np.mean(errors))]


@pytest.mark.slow
def test_it_learns_all_ten_digits_and_noise_helps_against_noise():
    clean, losses = demo.learn(demo.with_noise(1, 0.0, seed=1), steps=1000)
    assert demo.accuracy(demo.initial(), demo.with_noise(1, 0.0, seed=1)) < 0.5
    assert demo.accuracy(clean, demo.with_noise(1, 0.0, seed=1)) == 1.0
    assert losses == sorted(losses, reverse=True)
    noisy, _ = demo.learn(demo.with_noise(30, demo.TRAINING_NOISE, seed=1), steps=1000)
    unseen = demo.with_noise(300, 0.3, seed=2)
    assert demo.accuracy(noisy, demo.with_noise(1, 0.0, seed=1)) == 1.0
    assert demo.accuracy(noisy, unseen) > max(0.95, demo.accuracy(clean, unseen) + 0.03)


def test_the_demo_runs(run):
    figures, printed = run(demo)
    assert figures == ["pixel_digits.png", "pixel_digits_amounts.png"]
    assert "4.2  -5.1  -6.5  -6.1  -4.1  -5.3  -5.8  -6.2  -4.0  -6.0" in printed
