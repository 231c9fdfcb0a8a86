"""VGG、GoogLeNet、ResNet を並べるデモ: 数えたもの、続き、図。"""

from itertools import pairwise

import digit_data
import image_networks as demo
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn

pytest.importorskip("sklearn", reason="手元に MNIST がないときの数字")


@pytest.fixture(scope="module")
def data():
    return digit_data.load(quick=True).as_images().first(200, 50, 50)


def test_the_three_have_the_budget_the_docstring_gives():
    counted = {name: demo.counted(model()) for name, model in demo.NETWORKS.items()}
    for summary in counted.values():
        assert summary.multiply_adds == pytest.approx(5e6, rel=0.1)
    vgg, googlenet, resnet = (summary.parameters for summary in counted.values())
    assert vgg > 2 * googlenet > 10 * resnet
    fully = {
        name: sum(layer.parameters for layer in summary.model if layer.kind == "Linear")
        for name, summary in counted.items()
    }
    assert fully["VGG"] == pytest.approx(2 / 3 * vgg, rel=0.02)
    assert fully["GoogLeNet"] < 0.05 * googlenet and fully["ResNet"] < 0.05 * resnet


def test_the_numbers_of_vgg_by_hand():
    w, hidden = 13, 13 * 64
    widths = [1, w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w, 8 * w, 8 * w]
    sides = [28, 14, 7, 7, 3, 3, 1, 1]
    pairs = list(pairwise(widths))
    fully = [(8 * w, hidden), (hidden, hidden), (hidden, 10)]
    convolutions = sum(s * s * 9 * a * b for s, (a, b) in zip(sides, pairs, strict=True))
    summary = demo.counted(demo.NETWORKS["VGG"]())
    assert summary.multiply_adds == convolutions + sum(a * b for a, b in fully)
    # weight, bias, and the scale and shift of the normalization
    parameters = sum(9 * a * b + 3 * b for a, b in pairs) + sum(a * b + b for a, b in fully)
    assert summary.parameters == parameters


def test_the_layers_of_the_docstring():
    def weighted(model):
        return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    vgg, googlenet, resnet = (model() for model in demo.NETWORKS.values())
    assert len(weighted(vgg)) == 11
    assert len(weighted(resnet)) == 14
    # On the longest way: three convolutions, two in each of nine modules, one fully connected.
    modules = [m for m in googlenet.modules() if type(m).__name__ == "Inception"]
    assert 3 + 2 * len(modules) + 1 == 22
    x = mg.zeros(1, 1, 28, 28)
    for model, last in ((googlenet, 2), (nn.models.googlenet(width=16, **demo.DIGIT), 1)):
        shapes = []
        model.inception5b.register_forward_hook(lambda m, i, y, s=shapes: s.append(y.shape[-2:]))
        model.eval()(x)
        assert shapes == [(last, last)]


def test_timing_leaves_the_weights_and_the_gradients_alone():
    model = demo.NARROW["VGG"]()
    before = [p.detach().numpy().copy() for p in model.parameters()]
    assert demo.update_seconds(model, repeats=2) > 0
    for p, x in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), x)
        assert p.grad is None or not p.grad.numpy().any()


def test_it_goes_on_from_what_is_finished(data, tmp_path):
    small = {name: demo.NARROW[name] for name in ("VGG", "ResNet")}
    first = demo.compare(data, tmp_path, {"VGG": small["VGG"]}, epochs=1)
    again = demo.compare(data, tmp_path, small, epochs=1)
    assert list(again) == ["VGG", "ResNet"]
    assert first["VGG"].history.losses == again["VGG"].history.losses
    assert first["VGG"].test == again["VGG"].test


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60), st.integers(1, 20))
def test_smooth_curves_are_means_of_what_is_behind(losses, n):
    updates, means = digit_data.smooth(losses, n)
    width = updates[0]  # of the first mean, which is of everything so far
    assert 1 <= width <= n and updates[-1] == len(losses)
    assert width == n or width * 5 <= len(losses) or width == 1
    for update, mean in zip(updates, means, strict=True):
        assert mean == pytest.approx(np.mean(losses[update - width : update]), abs=1e-9)


def test_it_runs_and_draws(run):
    written, printed = run(demo)
    assert written == ["image_networks.png"]
    for name, model in demo.NARROW.items():
        summary = demo.counted(model())
        assert f"{summary.parameters:,}" in printed and f"{summary.multiply_adds:,}" in printed
        assert name in printed
    assert f"種 (seed) {demo.SEED}" in printed
