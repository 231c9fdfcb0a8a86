"""torch.nn で書いた参照の模型と、名前、形、ロジット、勾配を比べる。"""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.nn import models

torch = pytest.importorskip("torch", reason="PyTorch と比べる")
import torch_models as reference  # noqa: E402 - it needs torch

CLASSES = 7
BASIC, NECK = reference.BasicBlock, reference.Bottleneck


def resnet(depth, block, layers):
    return (
        lambda: getattr(models, f"resnet{depth}")(width=4, num_classes=CLASSES),
        lambda: reference.ResNet(block, layers, 4, CLASSES),
    )


def vgg(depth, repeats, batch_norm):
    name = f"vgg{depth}" + "_bn" * batch_norm
    options = {"width": 4, "hidden": 16, "pooled": 2, "num_classes": CLASSES}
    return (
        lambda: getattr(models, name)(dropout=0.0, **options),
        lambda: reference.vgg(repeats, 4, 16, CLASSES, batch_norm, 2),
    )


def googlenet(transform_input):
    return (
        lambda: models.googlenet(
            width=8,
            num_classes=CLASSES,
            transform_input=transform_input,
            dropout=0.0,
            dropout_aux=0.0,
        ),
        lambda: reference.GoogLeNet(8, CLASSES, transform_input),
    )


PAIRS = {
    "resnet18": resnet(18, BASIC, (2, 2, 2, 2)),
    "resnet34": resnet(34, BASIC, (3, 4, 6, 3)),
    "resnet50": resnet(50, NECK, (3, 4, 6, 3)),
    "resnet101": resnet(101, NECK, (3, 4, 23, 3)),
    "resnet152": resnet(152, NECK, (3, 8, 36, 3)),
    "vgg11": vgg(11, (1, 1, 2, 2, 2), False),
    "vgg13_bn": vgg(13, (2, 2, 2, 2, 2), True),
    "vgg16": vgg(16, (2, 2, 3, 3, 3), False),
    "vgg19_bn": vgg(19, (2, 2, 4, 4, 4), True),
    "googlenet": googlenet(False),
    "googlenet, transform_input": googlenet(True),
}


def randomized(theirs):
    """バッファも含めて、どの値も初期値と違う模型。"""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, x in theirs.named_buffers():
            if x.is_floating_point():
                x.uniform_(0.5, 1.5) if name.endswith("var") else x.normal_(0, 0.3)
        for name, x in theirs.named_parameters():
            if x.ndim == 1:
                x.uniform_(0.5, 1.5) if "bn" in name else x.normal_(0, 0.1)
    return theirs.double()


def images(size=64, n=2):
    return np.random.default_rng(0).standard_normal((n, 3, size, size))


def loaded(name):
    make, make_theirs = PAIRS[name]
    theirs = randomized(make_theirs())
    ours = make().double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("name", PAIRS)
def test_the_names_the_shapes_and_the_logits(name):
    ours, theirs = loaded(name)
    wanted = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: np.shape(v.data) for k, v in ours.state_dict().items()} == wanted
    x = images()
    with torch.no_grad(), mg.no_grad():
        y = theirs.eval()(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(ours.eval()(mg.tensor(x)).data, y, rtol=1e-6, atol=1e-8)
    assert np.ptp(y, axis=1).min() > 1e-6  # the classes can be told apart at all


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "vgg13_bn", "googlenet"])
def test_the_multiply_adds_are_half_the_operations_pytorch_counts(name):
    from torch.utils.flop_counter import FlopCounterMode

    make, make_theirs = PAIRS[name]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        make_theirs().eval()(torch.empty(2, 3, 50, 50))
    assert 2 * make().summary((2, 3, 50, 50)).multiply_adds == counter.get_total_flops()


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "googlenet"])
def test_the_gradients_of_a_training_step(name):
    ours, theirs = loaded(name)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    x = images(n=4)
    a, b = ours(mg.tensor(x)), theirs(torch.from_numpy(x))
    many = isinstance(a, tuple)
    for mine, yours in zip(a if many else [a], b if many else [b], strict=True):
        np.testing.assert_allclose(mine.data, yours.detach().numpy(), rtol=1e-6, atol=1e-8)
    sum((z * z).sum() for z in (a if many else [a])).backward()
    sum((z * z).sum() for z in (b if many else [b])).backward()
    found = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        wanted = parameter.grad.numpy()
        scale = np.abs(wanted).max() + 1e-6
        np.testing.assert_allclose(found[key].grad.data / scale, wanted / scale, atol=1e-7)


@pytest.mark.parametrize("name", ["resnet50", "vgg13_bn", "googlenet"])
def test_a_published_file_gives_its_logits(name, tmp_path):
    save = pytest.importorskip("safetensors.torch", reason="safetensors で書く").save_file
    make, make_theirs = PAIRS[name]
    theirs = randomized(make_theirs()).float().eval()
    save(theirs.state_dict(), tmp_path / "weights.safetensors")
    ours = make().eval()
    ours.load_state_dict(mg.load(tmp_path / "weights.safetensors"))
    x = images(32).astype(np.float32)
    with torch.no_grad(), mg.no_grad():
        y = theirs(torch.from_numpy(x)).numpy()
        scale = np.abs(y).max()
        np.testing.assert_allclose(ours(x).data / scale, y / scale, atol=1e-4)


def test_and_the_other_way(tmp_path):
    load = pytest.importorskip("safetensors.torch", reason="safetensors で読む").load_file
    make, make_theirs = PAIRS["resnet18"]
    ours, theirs = make().eval(), make_theirs().eval()
    mg.save(ours.state_dict(), tmp_path / "weights.safetensors")
    theirs.load_state_dict(load(tmp_path / "weights.safetensors"))
    x = images(32).astype(np.float32)
    with torch.no_grad(), mg.no_grad():
        y = theirs(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(ours(x).data, y, rtol=1e-4, atol=1e-5)


def test_a_block_in_another_order_is_noticed():
    """植えた誤り: スキップ接続のない模型は、同じ重みでも違うロジットになる。"""
    ours, theirs = loaded("resnet18")
    for module in ours.modules():
        if isinstance(module, models.resnet.BasicBlock):
            module.__class__ = models.small_resnet.PlainBlock
    x = images()
    with torch.no_grad(), mg.no_grad():
        y = theirs.eval()(torch.from_numpy(x)).numpy()
        assert not np.allclose(ours.eval()(mg.tensor(x)).data, y, rtol=1e-6)


def test_the_full_models_have_the_shapes_of_the_reference_without_memory():
    with torch.device("meta"):
        theirs = reference.ResNet(BASIC, (2, 2, 2, 2), 64, 1000)
    ours = models.resnet18()
    wanted = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: np.shape(v.data) for k, v in ours.state_dict().items()} == wanted
