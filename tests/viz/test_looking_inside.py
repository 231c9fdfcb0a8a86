"""途中の層の出力と Grad-CAM: PyTorch と、CAM の法則と、モデルを変えないこと。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.tensor.generator import generator
from micrograd_jp.viz import feature_maps, grad_cam
from tests.reference import pytorch_answers


def network(classes=4, dropout=0.5):
    """Every kind of layer whose state or random numbers could change."""
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 4 * 3, classes),
    )


def images(n=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 1, 8, 6)).astype(np.float32)


def everything(model):
    """What looking inside could change."""
    rng = generator().bit_generator.state
    return (
        {name: x.numpy().tobytes() for name, x in model.state_dict().items()},
        [module.training for module in model.modules()],
        ["_forward_hooks" in vars(module) for module in model.modules()],
        [None if p.grad is None else p.grad.numpy().tobytes() for p in model.parameters()],
        repr(rng),
    )


# ---- 途中の層の出力 ---------------------------------------------------------------------------


def test_feature_maps_are_the_outputs_of_the_layers():
    model, x = network(), images()
    found = feature_maps(model, x, ["6", "2", ""])
    assert list(found) == ["6", "2", ""]
    model.eval()
    np.testing.assert_array_equal(found["2"].numpy(), model[:3](mg.tensor(x)).detach().numpy())
    np.testing.assert_array_equal(found["6"].numpy(), model[:7](mg.tensor(x)).detach().numpy())
    np.testing.assert_array_equal(found[""].numpy(), model(mg.tensor(x)).detach().numpy())
    assert not any(maps.requires_grad for maps in found.values())
    (only,) = feature_maps(model, x, "0").values()
    assert only.shape == (3, 3, 8, 6)


def test_a_layer_inside_a_block_and_one_that_is_called_twice():
    model = nn.models.resnet_small(8, in_channels=1, width=2, num_classes=3)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.ReLU)]
    found = feature_maps(model, mg.rand(2, 1, 8, 8), names)
    assert len(found) == len(names) > 2

    relu = nn.ReLU()
    twice = nn.Sequential(relu, nn.Conv2d(1, 1, 1), relu)
    out = feature_maps(twice, mg.rand(1, 1, 2, 2), ["0", "2", ""])
    np.testing.assert_array_equal(out["0"].numpy(), out[""].numpy())  # of the last call
    np.testing.assert_array_equal(out["2"].numpy(), out[""].numpy())  # by its other name


def looked_at(model):
    return [
        lambda x: feature_maps(model, x, ["2", "5"]),
        lambda x: grad_cam(model, x, "6"),
        lambda x: mg.viz.effective_receptive_field(model, x, "5"),
    ]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("grads", [False, True])
def test_looking_changes_nothing(which, grads):
    model = network()
    model[4].eval()  # not all layers in the same mode
    if grads:
        model(mg.tensor(images())).sum().backward()
    before = everything(model)
    looked_at(model)[which](images())
    assert everything(model) == before


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("途中で止まる")


@pytest.mark.parametrize("which", range(3))
def test_a_forward_that_raises_leaves_nothing_behind(which):
    model = network()
    model[7] = Broken()
    before = everything(model)
    with pytest.raises(RuntimeError, match="途中で止まる"):
        looked_at(model)[which](images())
    assert everything(model) == before


def test_negative_control_an_ordinary_call_changes_the_model():
    model = network()
    before = everything(model)
    handle = model[0].register_forward_hook(lambda *_: None)
    model(mg.tensor(images())).sum().backward()
    assert all(a != b for a, b in zip(everything(model)[2:], before[2:], strict=True))
    assert everything(model)[0] != before[0]  # the running mean of the batches
    handle.remove()
    assert everything(model)[2] == before[2]


# ---- Grad-CAM ---------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
def test_it_is_cam_where_the_layer_ends_in_an_average_and_a_linear_layer(seed, n, h, w):
    # Zhou et al. (2016): CAM = Σ_k W_ck A_k. Here ∂y_c/∂A_kij = W_ck / (h w) everywhere.
    mg.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    ).double()  # fmt: skip
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(n, 2, h, w)), rng.integers(0, 3, n)
    maps = model[:2](mg.tensor(x)).detach().numpy()
    cam = np.einsum("nk,nkhw->nhw", model[4].weight.detach().numpy()[t], maps)
    np.testing.assert_allclose(
        grad_cam(model, x, "1", t, normalize=False).numpy(),  # as large as the image: no resizing
        np.maximum(cam, 0) / (h * w),
        atol=1e-12,
    )


def test_the_target_is_the_predicted_class_unless_told():
    model, x = network(), images()
    logits = feature_maps(model, x, "")[""].numpy()
    np.testing.assert_array_equal(
        grad_cam(model, x, "6").numpy(), grad_cam(model, x, "6", logits.argmax(1)).numpy()
    )
    each = [grad_cam(model, x, "6", c, normalize=False).numpy() for c in (0, 1, 2)]
    together = grad_cam(model, x, "6", [0, 1, 2], normalize=False).numpy()
    np.testing.assert_allclose(together, [each[i][i] for i in range(3)], rtol=1e-5)
    assert np.abs(each[0] - each[1]).max() > 1e-4


def test_normalized_to_one():
    model, x = network(), images(8)
    raw = grad_cam(model, x, "6", 0, normalize=False).numpy()
    cam = grad_cam(model, x, "6", 0).numpy()
    assert raw.min() >= 0 and cam.dtype == np.float32 and cam.shape == (8, 8, 6)
    np.testing.assert_allclose(cam.max((1, 2)), (raw.max((1, 2)) > 0).astype(float))
    np.testing.assert_allclose(cam * raw.max((1, 2), keepdims=True), raw, rtol=1e-5, atol=1e-9)


def test_an_image_without_evidence_is_zero_everywhere():
    model, x = network(), images()
    nn.init.zeros_(model[8].weight)
    np.testing.assert_array_equal(grad_cam(model, x, "6", 1).numpy(), np.zeros((3, 8, 6)))


def test_no_images():
    model = network()
    assert grad_cam(model, images(0), "6").shape == (0, 8, 6)
    assert feature_maps(model, images(0), "6")["6"].shape == (0, 5, 4, 3)


def test_frozen_parameters_and_no_grad():
    model, x = network(), images()
    wanted = grad_cam(model, x, "6", 1).numpy()
    model.requires_grad_(False)
    with mg.no_grad():
        np.testing.assert_array_equal(grad_cam(model, x, "6", 1).numpy(), wanted)


def test_on_jax():
    jax = pytest.importorskip("jax", reason="extra の accel")
    model, x = network(), images()
    wanted = grad_cam(model, x, "6", 1).numpy()
    for p in (*model.parameters(), *model.buffers()):
        p.data = jax.numpy.asarray(p._data)
    found = grad_cam(model, jax.numpy.asarray(x), "6", 1)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)
    maps = feature_maps(model, jax.numpy.asarray(x), "6")["6"]
    assert isinstance(maps._data, jax.Array)


def of_either(lib, size):
    pooled = [n // 2 for n in size]
    return lib.Sequential(
        lib.Conv2d(2, 3, 3, padding=1), lib.BatchNorm2d(3), lib.ReLU(), lib.MaxPool2d(2),
        lib.Dropout(0.5), lib.Conv2d(3, 5, 3, padding=1), lib.ReLU(), lib.Flatten(),
        lib.Linear(5 * pooled[0] * pooled[1], 4),
    )  # fmt: skip


@pytorch_answers
def grad_cam_of_pytorch(torch, state, layer, x, t):
    model, size = of_either(torch.nn, x.shape[2:]).double().eval(), x.shape[2:]
    model.load_state_dict({name: torch.tensor(p) for name, p in state.items()})
    kept = []
    model[int(layer)].register_forward_hook(lambda module, inputs, out: kept.append(out))
    logits = model(torch.tensor(x))
    (slopes,) = torch.autograd.grad(logits[range(len(t)), t].sum(), kept)
    small = (slopes.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).relu()
    large = torch.nn.functional.interpolate(small, size, mode="bilinear", align_corners=False)
    return large[:, 0]


@pytest.mark.parametrize("layer", ["2", "5", "6"])
@pytest.mark.parametrize("size", [(8, 6), (9, 7), (4, 10)])
def test_grad_cam_is_pytorchs(layer, size):
    mg.manual_seed(1)
    model = of_either(nn, size).double()
    rng = np.random.default_rng(2)
    model[1].running_mean.data = rng.normal(size=3)
    model[1].running_var.data = rng.uniform(0.5, 2, 3)
    x, t = rng.normal(size=(5, 2, *size)), rng.integers(0, 4, 5)
    state = {name: p.numpy() for name, p in model.state_dict().items()}
    wanted = grad_cam_of_pytorch(state, layer, x, t)
    assert wanted.max() > 0
    found = grad_cam(model, x, layer, t, normalize=False).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


# ---- エラー -----------------------------------------------------------------------------------


class Aside(nn.Module):
    """One layer is never called, another does not matter, a third gives no Tensor."""

    def __init__(self):
        self.used, self.aside = nn.Conv2d(1, 2, 8), nn.Conv2d(1, 2, 3)
        self.unused, self.pair = nn.Conv2d(1, 2, 3), Pair()

    def forward(self, x):
        self.aside(x)
        self.pair(x)
        return self.used(x).flatten(1)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: feature_maps(m, x, "feature"), ValueError, "'feature'.*used、aside"),
        (lambda m, x: feature_maps(m, x, ["used", "aside.weight"]), ValueError, "aside.weight"),
        (lambda m, x: feature_maps(m, x, "unused"), ValueError, "was not called"),
        (lambda m, x: feature_maps(m, x, "pair"), TypeError, "Pair.*tuple"),
        (lambda m, x: feature_maps(m, x, 3), TypeError, "名前.*int"),
        (lambda m, x: feature_maps(m, x, m.used), TypeError, "名前.*Conv2d"),
        (lambda m, x: grad_cam(m, x, "unsed"), ValueError, "no such layer.*unused"),
        (lambda m, x: grad_cam(m, x, "unused"), ValueError, "was not called"),
        (lambda m, x: grad_cam(m, x, "aside"), ValueError, "no path"),
        (lambda m, x: grad_cam(m, x[0], "used"), ValueError, r"\(N, C, H, W\).*\(1, 8, 8\)"),
        (lambda m, x: grad_cam(m, x, "used", 2), ValueError, "0 から 1 まで"),
        (lambda m, x: grad_cam(m, x, "used", -1), ValueError, "-1"),
        (lambda m, x: grad_cam(m, x, "used", [0, 1, 1]), ValueError, r"\(2,\).*\(3,\)"),
        (lambda m, x: grad_cam(m, x, "used", 0.5), TypeError, "整数"),
        (lambda m, x: grad_cam(m, x, ""), ValueError, r"\(N, C, h, w\).*\(2, 2\)"),
        (lambda m, x: grad_cam(nn.Sequential(m.aside), x, "0"), ValueError, r"\(N, クラス\)"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(Aside(), mg.rand(2, 1, 8, 8))
