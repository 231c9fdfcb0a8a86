"""手で計算できる直線: 講義の数が、計算グラフからそのまま出てくること。"""

import line_by_hand as demo
import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.testing import gradcheck


def test_the_numbers_of_the_lecture_come_out_exactly():
    error, w, b = demo.first_graph()
    assert (error.data, w.grad, b.grad) == (36.0, 36.0, 0.0)


def test_the_two_paths_back_to_w_are_drawn_with_their_gradients():
    error, _, _ = demo.first_graph()
    drawn = mg.draw(error, style="textbook").pipe("svg", encoding="utf-8")
    for text in (">-18<", ">54<", ">36<", ">y1 = 1<", ">y2 = 19<", ">E<"):
        assert text in drawn


def test_the_gradient_is_right_elsewhere_too():
    assert gradcheck(demo.squared_error, [2.5, -1.0])


def test_the_first_updates_by_hand():
    steps = demo.learn(small=30)
    assert steps[0] == (3.0, -8.0, 36.0)
    assert steps[1][:2] == pytest.approx((2.28, -8.0))
    # The second: y = -1.16 and 12.52, so y − t = -8.16 and -0.48.
    assert steps[2][:2] == pytest.approx((2.28 + 0.02 * (8.16 * 3 + 0.48 * 9), -8 + 0.02 * 8.64))


def test_every_step_is_the_linear_recursion_and_the_line_is_found():
    steps = demo.learn()
    curvature = np.array([[90.0, 12.0], [12.0, 2.0]])  # Σ x², Σ x; Σ x, n
    answer = np.array([1.0, 4.0])
    away = demo.START - answer
    for step in steps:
        assert step[:2] == pytest.approx(answer + away, abs=1e-9)
        assert step.error == pytest.approx(0.5 * away @ curvature @ away, rel=1e-6, abs=1e-15)
        away = away - demo.LEARNING_RATE * curvature @ away
    errors = [step.error for step in steps]
    assert errors == sorted(errors, reverse=True)
    assert (steps[-1].w, steps[-1].b) == pytest.approx(answer, abs=1e-4)
    # What the docstring says of E and the distance.
    assert np.linalg.eigvalsh(curvature)[0] == pytest.approx(0.39, abs=0.005)


def test_a_learning_rate_beyond_two_over_the_curvature_does_not_descend():
    largest = 2 / np.linalg.eigvalsh([[90.0, 12.0], [12.0, 2.0]])[-1]
    assert largest > demo.LEARNING_RATE
    w, b = mg.Value(3.0), mg.Value(-8.0)
    for _ in range(50):
        w.grad = b.grad = None
        demo.squared_error(w, b).backward()
        w.data, b.data = w.data - 1.1 * largest * w.grad, b.data - 1.1 * largest * b.grad
    assert demo.squared_error(w, b).data > 36


def test_the_demo_runs(run):
    figures, printed = run(demo)
    assert figures == ["line_by_hand.gif", "line_by_hand.png", "line_by_hand_graph.svg"]
    assert "E = 36,  ∂E/∂w = 36,  ∂E/∂b = 0" in printed
