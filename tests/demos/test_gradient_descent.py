"""勾配降下法: 講義の数列、勾配、発散の境目。"""

import gradient_descent as demo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_jp.testing import gradcheck


def test_the_sequence_of_the_lecture():
    path = [s for (s,) in demo.descend(demo.square, (2.0,), 0.2, 20)]
    assert path[:5] == pytest.approx([2, 1.2, 0.72, 0.432, 0.2592])
    assert path == pytest.approx([2 * 0.6**k for k in range(21)])


@pytest.mark.parametrize("f", [demo.bowl, demo.valley])
def test_the_gradients_are_right(f):
    assert gradcheck(f, [1.3, -0.7])


def test_the_arrows_are_the_gradients_at_their_points():
    x1, x2 = np.meshgrid(np.linspace(-2, 2, 5), np.linspace(-1, 1, 3))
    along, across = demo.gradient_field(demo.bowl, x1, x2)
    assert along == pytest.approx(2 * x1)
    assert across == pytest.approx(2 * x2)
    along, across = demo.gradient_field(demo.valley, x1, x2)
    assert along == pytest.approx(x1)
    assert across == pytest.approx(10 * x2)


@given(st.floats(0.01, 0.3), st.integers(0, 40))
@settings(max_examples=25)
def test_every_step_in_the_valley_shrinks_each_coordinate(learning_rate, steps):
    end = demo.descend(demo.valley, (4.0, 1.5), learning_rate, steps)[-1]
    expected = (4 * (1 - learning_rate) ** steps, 1.5 * (1 - 10 * learning_rate) ** steps)
    assert end == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_learning_rate_at_which_it_diverges_is_found():
    found = demo.critical_learning_rate(demo.valley, demo.VALLEY_START)
    assert found == pytest.approx(2 / 10, abs=2e-6)
    assert not demo.diverges(demo.valley, demo.VALLEY_START, 0.1999)
    assert demo.diverges(demo.valley, demo.VALLEY_START, 0.2001)
    assert max(demo.LEARNING_RATES) > found > sorted(demo.LEARNING_RATES)[-2]


@given(st.floats(0.5, 50.0))
@settings(max_examples=10)
def test_the_border_is_two_over_the_largest_curvature(curvature):
    def f(x1, x2):
        return 0.25 * x1**2 + 0.5 * curvature * x2**2  # the curvature of x1 is 0.5

    found = demo.critical_learning_rate(f, (1.0, 1.0), tolerance=1e-3)
    assert found == pytest.approx(2 / curvature, abs=2e-3)


def test_the_loss_landscape_has_its_minimum_where_least_squares_says():
    x, t = np.array(demo.DATA).T
    (w,) = demo.descend(demo.loss_of_weight, (0.0,), 0.1, 200)[-1]
    assert w == pytest.approx(np.linalg.lstsq(x[:, None], t, rcond=None)[0][0])
    assert w == pytest.approx(29 / 14)
    assert demo.loss_of_weight(2.0) == pytest.approx(0.5 * (0 + 1 + 1))


def test_the_demo_runs(run):
    figures, printed = run(demo)
    assert figures == ["descent.png", "divergence.png", "gradient.png", "learning_rates.png"]
    assert "s = 2, 1.2, 0.72, 0.432" in printed
