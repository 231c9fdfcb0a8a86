"""中を見るデモ: 数える量の定義と、短く学習したネットワークで分かること。"""

import re

import looking_inside as demo
import numpy as np
import pytest

from micrograd_jp import nn
from micrograd_jp.data import TensorDataset
from micrograd_jp.viz import feature_maps, grad_cam

pytest.importorskip("matplotlib", reason="extra の viz")


@pytest.fixture(scope="module")
def strokes():
    """線の向き（横、縦）を当てる画像: 0 と 1 の 2 クラスだけを使う。"""
    rng = np.random.default_rng(0)
    t = rng.integers(0, 2, 400)
    x = np.zeros((400, 1, 28, 28), dtype=np.float32)
    for image, upright in zip(x[:, 0], t):
        place, start = rng.integers(6, 22), rng.integers(4, 12)
        line = image.T if upright else image
        line[place : place + 2, start : start + 12] = 1
    parts = [TensorDataset(x[i : i + n], t[i : i + n]) for i, n in ((0, 300), (300, 50), (350, 50))]
    return demo.Digits("線", *parts)


@pytest.fixture(scope="module")
def trained(strokes):
    return demo.learn(strokes, width=4, batch=10)


def test_the_network_is_seen_where_the_demo_looks():
    model = demo.network(2)
    kinds = [type(dict(model.named_modules())[name]) for name in demo.LAYERS]
    assert kinds == [nn.ReLU] * 3
    assert list(demo.LAYERS)[-1] == demo.LAST
    maps = feature_maps(model, np.zeros((1, 1, 28, 28), dtype=np.float32), demo.LAYERS)
    assert [m.shape[1:] for m in maps.values()] == [(2, 28, 28), (4, 14, 14), (8, 7, 7)]
    # What follows the last of them is an average and one linear layer: Grad-CAM is CAM.
    assert [type(layer) for layer in model["head"]] == [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]


def test_noise_has_no_correlation_and_a_slope_has_all():
    noise = np.random.default_rng(0).normal(size=(100, 7, 7))
    assert abs(demo.neighbour_correlation(noise)) < 0.05
    slope = np.add.outer(np.arange(7.0), np.arange(7.0))[None]
    assert demo.neighbour_correlation(slope) > 0.85
    board = np.indices((7, 7)).sum(0)[None] % 2
    assert demo.neighbour_correlation(board) == pytest.approx(-1, abs=0.01)


def test_learning_makes_the_filters_smooth(trained, strokes):
    assert abs(demo.neighbour_correlation(trained.before)) < 0.3
    assert demo.neighbour_correlation(trained.after) > 0.4
    np.testing.assert_array_equal(trained.after, demo.filters(trained.model))
    assert demo.accuracy(trained.model, strokes.test) > 0.9


def test_a_square_is_hidden():
    rng = np.random.default_rng(0)
    images = rng.random((3, 1, 28, 28), dtype=np.float32) + 1
    side = demo.HIDDEN_SIDE
    hidden = demo.without(images, np.array([14 * 28 + 10, 0, 27]))
    row, column = 14 - side // 2, 10 - side // 2
    assert not hidden[0, 0, row : row + side, column : column + side].any()
    assert (hidden == 0).sum((1, 2, 3)).tolist() == [side**2, *[(side // 2 + 1) ** 2] * 2]
    np.testing.assert_array_equal(hidden[hidden != 0], images[hidden != 0])


def test_what_is_hidden_is_the_evidence(trained, strokes, monkeypatch):
    x, t = strokes.test[:]
    seen = []
    monkeypatch.setattr(demo, "without", lambda images, places: seen.append(places) or images)
    same = demo.hide(trained.model, strokes.test)
    assert len(set(same)) == 1  # nothing was hidden
    cam = grad_cam(trained.model, x, demo.LAST, t).numpy().reshape(len(t), -1)
    ink = x.numpy().reshape(len(t), -1) > 0.5
    everyone = np.arange(len(t))
    for places in seen:
        assert ink[everyone, places].all()
    weakest, anywhere, strongest = (cam[everyone, places] for places in seen)
    np.testing.assert_array_equal(strongest, np.where(ink, cam, -1).max(1))
    np.testing.assert_array_equal(weakest, np.where(ink, cam, 2).min(1))
    assert weakest.mean() < anywhere.mean() < strongest.mean()


def test_maps_in_a_square():
    maps = np.arange(5 * 2 * 3, dtype=float).reshape(5, 2, 3)
    page = demo.tiled(maps)
    assert page.shape == (2 * 3 - 1, 3 * 4 - 1)
    np.testing.assert_array_equal(page[:2, :3], maps[0])
    np.testing.assert_array_equal(page[3:, 4:7], maps[4])
    assert np.isnan(page[2]).all() and np.isnan(page[:, 3]).all() and np.isnan(page[3:, 8:]).all()


@pytest.mark.slow
def test_no_misread_digit_and_a_digit_that_is_never_read(trained, strokes):
    answers = np.eye(10)[strokes.test[:][1].numpy()]
    page = demo.draw_grad_cam(trained.model, strokes.test, answers)
    assert sum(len(axes.images) for axes in page.axes) == 2  # one upright, one level stroke


def test_it_runs_and_draws(run):
    pytest.importorskip("sklearn", reason="手元に MNIST がないときの数字")
    written, printed = run(demo)
    names = ("feature_maps", "filters", "grad_cam", "receptive_field")
    assert written == [f"looking_inside_{name}.png" for name in names]
    assert f"種 (seed) {demo.SEED}" in printed
    rows = re.findall(r"(\d) × (\d) +([\d,]+) +([\d.]+) +(\d × \d を \d つ)", printed)
    # The arithmetic of VGG (§2.3): 2·9 C² against 25 C², 3·9 C² against 49 C².
    assert rows == [
        ("5", "5", f"{25 * 64**2:,}", "1.00", "5 × 5 を 1 つ"),
        ("5", "5", f"{18 * 64**2:,}", "0.72", "3 × 3 を 2 つ"),
        ("7", "7", f"{49 * 64**2:,}", "1.00", "7 × 7 を 1 つ"),
        ("7", "7", f"{27 * 64**2:,}", "0.55", "3 × 3 を 3 つ"),
    ]
