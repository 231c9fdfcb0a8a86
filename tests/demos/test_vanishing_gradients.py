"""勾配消失とスキップ接続: 倍率、勾配の和、1,000 層の学習。"""

import numpy as np
import pytest
import vanishing_gradients as demo
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg

SMALL, XAVIER, HE, LARGE = (sigma(demo.WIDTH) for sigma in demo.INITIALIZATIONS.values())


def factor(activation, sigma, depth=20):
    """倍率: 1 層戻るごとに勾配が何倍になるか。"""
    return demo.gradient_norms(depth, activation, sigma)[0] ** (1 / depth)


@pytest.mark.parametrize("sigma", [SMALL, XAVIER, HE, LARGE])
def test_relu_multiplies_the_gradient_as_the_docstring_says(sigma):
    assert factor(mg.relu, sigma) == pytest.approx((demo.WIDTH * sigma**2 / 2) ** 0.5, rel=0.1)


def test_the_initializations_are_those_of_their_papers():
    assert pytest.approx([0.1, 0.02**0.5]) == [XAVIER, HE]


def test_where_gradients_vanish_and_where_they_explode():
    def at_fifty(activation, sigma):
        return demo.gradient_norms(50, activation, sigma)[0]

    assert 0.1 < at_fifty(mg.relu, HE) < 10
    assert at_fifty(mg.relu, XAVIER) < 1e-6
    assert 1e-2 < at_fifty(mg.tanh, XAVIER) < 10
    assert at_fifty(mg.sigmoid, HE) < 1e-20
    assert at_fifty(mg.sigmoid, XAVIER) < 1e-25
    for activation in demo.ACTIVATIONS.values():
        assert at_fifty(activation, SMALL) < 1e-40
    assert at_fifty(mg.tanh, LARGE) > 1e10
    assert at_fifty(mg.relu, LARGE) > 1e30


def test_the_norms_are_those_of_the_product_of_the_jacobians():
    """By hand for the identity: the gradient of h_l is upstream · W_Lᵀ … W_{l+1}ᵀ."""
    norms = demo.gradient_norms(3, lambda h: h, 0.5, width=4, seed=7)
    rng = np.random.default_rng(7)
    rng.standard_normal((demo.BATCH, 4))
    weights = [0.5 * rng.standard_normal((4, 4)) for _ in range(3)]
    upstream = rng.standard_normal((demo.BATCH, 4))
    upstream /= np.linalg.norm(upstream)
    expected = [1.0]
    for W in reversed(weights):
        upstream = upstream @ W.T
        expected.insert(0, np.linalg.norm(upstream))
    assert norms == pytest.approx(expected)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=30)
def test_the_gradient_of_a_skip_connection_is_the_sum_of_two_paths(x, w, t):
    node = demo.skip_connection(x, w, t)
    of_branch = w * (1 - np.tanh(w * x) ** 2)
    upstream = np.tanh(w * x) + x - t
    assert node.H.grad == node.F.grad == pytest.approx(upstream)
    assert node.x.grad == pytest.approx(upstream * of_branch + upstream)


def test_both_paths_are_drawn_with_their_gradients():
    node = demo.skip_connection()
    drawn = mg.draw(node.loss, style="textbook").pipe("svg", encoding="utf-8")
    through = node.x.grad - node.H.grad
    for number in (node.x.grad, node.H.grad, through):
        assert f">{number:.4g}<" in drawn
    assert ">F = " in drawn
    assert ">H = " in drawn


def test_the_gradient_reaches_the_first_of_a_thousand_layers_only_with_skip_connections():
    plain, skipping = (demo.norms_in(demo.deep(1000, skip)) for skip in (False, True))
    assert len(plain) == len(skipping) == 1001
    assert plain[0] < 1e-30
    assert 0.1 < min(skipping) <= max(skipping) < 10


@pytest.mark.slow
def test_a_thousand_layers_learn_only_with_skip_connections():
    model = demo.deep(1000, skip=True)
    losses = demo.train(model, steps=30, learning_rate=0.05)
    assert losses[-1] < 0.1
    assert demo.accuracy(model) > 0.9
    for learning_rate in (1.0, 0.05):
        model = demo.deep(1000, skip=False)
        losses = demo.train(model, steps=5, learning_rate=learning_rate)
        assert losses == pytest.approx([np.log(2)] * 5, abs=1e-3)
        assert demo.accuracy(model) <= 0.5


def test_the_demo_runs(run):
    figures, printed = run(demo)
    assert figures == ["skip_connection.png", "skip_connection.svg", "vanishing_gradients.png"]
    assert "スキップ接続あり" in printed
