"""モデルの構造: 数、形、学習できること、エラー。"""

from collections import Counter

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.nn import models

COUNTS = {  # from torchvision's documentation
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


@pytest.fixture
def without_memory(monkeypatch):
    """パラメータを、メモリを使わない 0 の配列にし、初期値を入れない。"""

    def empty(*shape, dtype=None):
        parameter = nn.Parameter(0.0)
        parameter.data = np.broadcast_to(np.float32(0), shape)
        return parameter

    for module in ("layers.linear", "layers.conv", "layers.norm"):
        monkeypatch.setattr(f"micrograd_jp.nn.{module}.empty_parameter", empty)
    for name in ("uniform_", "normal_", "constant_", "kaiming_uniform_", "kaiming_normal_"):
        monkeypatch.setattr(f"micrograd_jp.nn.init.{name}", lambda x, *_, **__: x)


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_the_number_of_parameters_is_torchvisions(name, without_memory):
    assert count(getattr(models, name)()) == COUNTS[name]


def test_the_number_of_parameters_of_googlenet(without_memory):
    assert count(models.googlenet(aux_logits=False)) == 6_624_904
    assert count(models.googlenet()) == 13_004_888


GIGA_MULTIPLY_ADDS = {"resnet18": 1.81, "googlenet": 1.50, "resnet50": 4.09, "vgg16": 15.47}
"""torchvision の説明にある、224 × 224 の画像 1 枚の積和 (GFLOPS と書かれている)。"""


@pytest.mark.parametrize("name", GIGA_MULTIPLY_ADDS)
def test_the_multiply_adds_are_torchvisions(name, without_memory):
    counted = getattr(models, name)().summary((1, 3, 224, 224)).multiply_adds
    assert round(counted / 1e9, 2) == GIGA_MULTIPLY_ADDS[name]


def test_the_book_and_the_papers_give_these_numbers():
    assert count(models.LeNet()) == 61_706  # 1998 の表にない最後の全結合 84 × 10 + 10 を含む
    assert count(models.resnet_small(20, in_channels=3)) == 269_722  # He et al. 表 6: 0.27M
    weights = [9 * a * b for a, b in ((1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64))]
    biases = 2 * (16 + 32 + 64)
    affine = 64 * 4 * 4 * 50 + 50 + 50 * 10 + 10
    assert count(models.DeepConvNet()) == sum(weights) + biases + affine


SMALL = {
    "LeNet": lambda **o: models.LeNet(width=3, **o),
    "DeepConvNet": lambda **o: models.DeepConvNet(width=2, dropout=0.0, **o),
    "DeepConvNet + BN": lambda **o: models.DeepConvNet(width=2, batch_norm=True, dropout=0.0, **o),
    "vgg": lambda **o: models.vgg11_bn(width=2, hidden=8, pooled=1, dropout=0.0, **o),
    "googlenet": lambda **o: models.googlenet(width=4, aux_logits=False, dropout=0.0, **o),
    "resnet18": lambda **o: models.resnet18(width=2, **o),
    "resnet50": lambda **o: models.resnet50(width=1, **o),
    "resnet_small": lambda **o: models.resnet_small(8, width=2, **o),
    "plain": lambda **o: models.resnet_small(8, width=2, residual=False, **o),
}


LONG = {"DeepConvNet + BN", "resnet50", "plain"}
"""Of blocks that others have, too."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in SMALL]
)
def test_a_narrow_one_learns_on_mnist_sized_images(name):
    mg.manual_seed(0)
    model = SMALL[name](num_classes=3, in_channels=1)
    x, t = mg.randn(6, 1, 28, 28), [0, 1, 2, 0, 1, 2]
    optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(8):
        loss = mg.nn.functional.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert model(x).shape == (6, 3)
    assert min(losses[4:]) < losses[0]


def test_two_input_channels_and_wider():
    assert models.resnet_small(8, in_channels=2, width=3)(mg.zeros(1, 2, 8, 8)).shape == (1, 10)
    assert count(models.LeNet(width=12)) > 3 * count(models.LeNet())


def test_plain_and_residual_nets_have_the_same_parameters():
    plain, residual = (models.resnet_small(14, width=2, residual=r) for r in (False, True))
    residual.load_state_dict(plain.state_dict())
    x = mg.randn(2, 1, 8, 8)
    assert not np.allclose(plain(x).data, residual(x).data)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_depth_of_a_small_resnet_counts_its_weights(n):
    kinds = Counter(type(m).__name__ for m in models.resnet_small(6 * n + 2, width=1).modules())
    assert kinds["Conv2d"] + kinds["Linear"] == 6 * n + 2


def test_the_shortcut_without_parameters():
    x = np.arange(2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)
    out = models.small_resnet.PaddedShortcut(2, 3)(mg.tensor(x)).data
    assert out.shape == (2, 5, 2, 2)
    np.testing.assert_array_equal(out[:, 1:3], x[:, :, ::2, ::2])
    assert not out[:, [0, 3, 4]].any()


def test_zero_init_residual_blocks_start_as_the_identity():
    model = models.resnet_small(8, width=2, zero_init_residual=True).layer1
    x = abs(mg.randn(2, 2, 5, 5))
    np.testing.assert_array_equal(model(x).data, x.data)


def test_halving_leaves_one_pixel_alone():
    pool = models.vgg.Halving()
    assert [pool(mg.zeros(1, 1, n, n)).shape[2] for n in (5, 4, 2, 1)] == [2, 2, 1, 1]


def test_he_initialization_of_deepconvnet():
    mg.manual_seed(0)
    layers = [m for m in models.DeepConvNet(width=32).modules() if isinstance(m, nn.Conv2d)]
    for layer in layers[1:]:
        fan_in = np.prod(layer.weight.shape[1:])
        assert layer.weight.data.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)
        assert not layer.bias.data.any()


def test_googlenet_has_heads_only_while_training():
    model = models.googlenet(width=4, num_classes=5)
    x = mg.randn(2, 3, 32, 32)
    out = model(x)
    assert [z.shape for z in out] == [(2, 5)] * 3
    sum(z.sum() for z in out).backward()
    assert all(p.grad is not None for p in model.aux2.parameters())
    assert model.eval()(x).shape == (2, 5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: models.resnet_small(9), "6n"),
        (lambda: models.resnet_small(2), "6n"),
        (lambda: models.resnet_small(8, residual=False, zero_init_residual=True), "residual=True"),
        (lambda: models.VGG(12), "12"),
        (lambda: models.vgg11(width=0), "width"),
        (lambda: models.LeNet(num_classes=0), "num_classes"),
        (lambda: models.ResNet(models.resnet.BasicBlock, (1, 1, 1)), "4"),
        (lambda: models.googlenet(in_channels=1, transform_input=True), "in_channels=1"),
        (lambda: models.DeepConvNet(in_channels=True), "in_channels"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
