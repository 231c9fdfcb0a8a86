"""深さのデモ: 同じ初期値、層ごとの勾配の法則、学習の続き。"""

import depth as demo
import digit_data
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn

pytest.importorskip("sklearn", reason="手元に MNIST がないときの数字")


@pytest.fixture(scope="module")
def data():
    return demo.halved(digit_data.load(quick=True).as_images().first(200, 50, 50))


def noise(n=50, side=14):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 1, side, side)).astype(np.float32)
    return mg.tensor(x), mg.tensor(rng.integers(0, 10, n))


def network(depth, residual, width=4):
    mg.manual_seed(0)
    return demo.recipe(depth, residual, width=width).model()


@given(st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=10)
def test_the_two_kinds_start_from_the_same_weights(blocks, width):
    plain, residual = (network(6 * blocks + 2, kind, width).state_dict() for kind in demo.KINDS)
    assert plain.keys() == residual.keys()
    for name, x in plain.items():
        np.testing.assert_array_equal(x.detach().numpy(), residual[name].detach().numpy())


def test_the_images_are_halved_as_by_average_pooling(data):
    whole = digit_data.load(quick=True).as_images().first(200, 50, 50)
    for part, large in zip(data[1:], whole[1:], strict=True):
        (x, t), (images, labels) = part[:], large[:]
        np.testing.assert_allclose(x.numpy(), nn.AvgPool2d(2)(images).numpy(), atol=1e-6)
        np.testing.assert_array_equal(t.numpy(), labels.numpy())
        assert x.shape[1:] == (1, 14, 14)


@pytest.mark.parametrize("residual", demo.KINDS)
def test_the_norms_are_those_of_gradients_with_respect_to_what_is_added(residual):
    """∂L/∂h = ∂L/∂δ at δ = 0, where h + δ goes on in place of h."""
    model, (x, t) = network(8, residual), noise(8)
    norms = demo.gradient_norms(model, x, t)
    added = []

    def add(layer, inputs, output):
        added.append(mg.zeros(*output.shape, requires_grad=True))
        return output + added[-1]

    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(add)
    mg.cross_entropy(model(x), t).backward()
    assert len(norms) == 7
    assert norms == pytest.approx([np.linalg.norm(d.grad.numpy()) for d in added], rel=1e-5)


def test_measuring_leaves_the_model_as_it_was():
    model, (x, t) = network(8, True), noise(8)
    demo.gradient_norms(model, x, t)
    assert all(p.grad is None or not p.grad.numpy().any() for p in model.parameters())
    assert not any("_forward_hooks" in vars(layer) for layer in model.modules())


def test_plain_gradients_grow_by_the_power_the_docstring_gives_and_residual_ones_do_not():
    x, t = noise()
    plain, residual = (demo.gradient_norms(network(32, kind, 8), x, t) for kind in demo.KINDS)
    rate = (plain[0] / plain[-1]) ** (1 / (len(plain) - 1))
    assert rate == pytest.approx(demo.PER_LAYER, rel=0.07)
    assert (residual[0] / residual[-1]) ** (1 / (len(residual) - 1)) < 1.11
    assert residual[0] / residual[-1] < 0.2 * plain[0] / plain[-1]
    assert pytest.approx((1 / (1 - 1 / np.pi)) ** 0.5) == demo.PER_LAYER


def test_the_variance_after_relu_is_the_one_in_the_docstring():
    z = np.random.default_rng(0).standard_normal(1_000_000)
    assert np.maximum(z, 0).var() == pytest.approx(1 / 2 - 1 / (2 * np.pi), rel=5e-3)


def test_through_closed_branches_the_gradient_passes_unchanged():
    """A block whose branch gives 0 is the identity: the same gradient all along a stage."""
    mg.manual_seed(0)
    model = nn.models.resnet_small(20, width=4, zero_init_residual=True)
    ends = np.reshape(demo.gradient_norms(model, *noise())[1:], (3, 3, 2))
    np.testing.assert_array_equal(ends[:, :, 0], 0)  # nothing reaches into a closed branch
    assert ends[:, :, 1] == pytest.approx(np.repeat(ends[:, -1:, 1], 3, axis=1))
    assert ends[:, :, 1].min() > 0


@pytest.mark.slow
def test_it_goes_on_from_what_is_finished(data, tmp_path):
    first = demo.compare(data, tmp_path, (8,), epochs=1)
    written = (tmp_path / "plain_8.weights.npz").read_bytes()
    again = demo.compare(data, tmp_path, (8, 14), epochs=1)
    assert [(run.depth, run.residual) for run in again] == [
        (8, False), (8, True), (14, False), (14, True),
    ]  # fmt: skip
    for old, new in zip(first, again, strict=False):
        assert old.trained.history.losses == new.trained.history.losses
        assert (old.before, old.after) == (new.before, new.after)
        assert old.trained.test == new.trained.test
    assert (tmp_path / "plain_8.weights.npz").read_bytes() == written


@pytest.mark.slow
def test_a_deep_net_learns_sooner_with_skip_connections(tmp_path):
    data = demo.halved(digit_data.load(quick=True).as_images().first(600, 50, 50))
    plain, residual = demo.compare(data, tmp_path, (20,), epochs=5)
    losses = [run.trained.history.column("loss")[-1] for run in (plain, residual)]
    assert losses[1] < 0.8 * losses[0]


def test_it_runs_and_draws(run):
    written, printed = run(demo)
    assert written == ["depth.png"]
    for kind in demo.KINDS.values():
        assert f"{kind} 8 層" in printed and f"{kind} 20 層" in printed
    assert f"種 (seed) {demo.SEED}" in printed
