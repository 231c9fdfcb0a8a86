"""torch.nn で書いた参照のモデルと、名前、形、ロジット、勾配を比べる。"""

import io
import zlib

import numpy as np
import pytest
from safetensors.numpy import load, save_file

import micrograd_jp as mg
from micrograd_jp.nn import models
from tests.reference import pytorch_answers

CLASSES = 7


def resnet(depth, block, layers):
    return (
        lambda: getattr(models, f"resnet{depth}")(width=4, num_classes=CLASSES),
        lambda reference: reference.ResNet(getattr(reference, block), layers, 4, CLASSES),
    )


def vgg(depth, repeats, batch_norm):
    name = f"vgg{depth}" + "_bn" * batch_norm
    options = {"width": 4, "hidden": 16, "pooled": 2, "num_classes": CLASSES}
    return (
        lambda: getattr(models, name)(dropout=0.0, **options),
        lambda reference: reference.vgg(repeats, 4, 16, CLASSES, batch_norm, 2),
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
        lambda reference: reference.GoogLeNet(8, CLASSES, transform_input),
    )


PAIRS = {
    "resnet18": resnet(18, "BasicBlock", (2, 2, 2, 2)),
    "resnet34": resnet(34, "BasicBlock", (3, 4, 6, 3)),
    "resnet50": resnet(50, "Bottleneck", (3, 4, 6, 3)),
    "resnet101": resnet(101, "Bottleneck", (3, 4, 23, 3)),
    "resnet152": resnet(152, "Bottleneck", (3, 8, 36, 3)),
    "vgg11": vgg(11, (1, 1, 2, 2, 2), False),
    "vgg13_bn": vgg(13, (2, 2, 2, 2, 2), True),
    "vgg16": vgg(16, (2, 2, 3, 3, 3), False),
    "vgg19_bn": vgg(19, (2, 2, 4, 4, 4), True),
    "googlenet": googlenet(False),
    "googlenet, transform_input": googlenet(True),
}


LONG = {"resnet101", "resnet152", "vgg19_bn"}


def shapes_of(model):
    return {name: tuple(x.shape) for name, x in model.state_dict().items()}


def weights(shapes, dtype="f8"):
    """Numbers for every name and shape, buffers too: none is as it was at the beginning."""
    state = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if name.endswith("num_batches_tracked"):
            state[name] = np.array(0)
        elif len(shape) > 1:
            state[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(dtype)
        elif name.endswith("var") or ("bn" in name and name.endswith("weight")):
            state[name] = rng.uniform(0.5, 1.5, shape).astype(dtype)
        else:
            state[name] = rng.normal(0, 0.2, shape).astype(dtype)
    return state


def images(size=64, n=2):
    return np.random.default_rng(0).standard_normal((n, 3, size, size))


def loaded(name):
    ours = PAIRS[name][0]().double()
    ours.load_state_dict(weights(shapes_of(ours)))
    return ours


# ---- PyTorch の側 -------------------------------------------------------------------------------


def of_pytorch(torch, name, dtype="f8"):
    """The reference, which has no dropout, with the same numbers."""
    import torch_models

    model = PAIRS[name][1](torch_models)
    model = model.double() if dtype == "f8" else model
    state = weights(shapes_of(model), dtype)
    model.load_state_dict({key: torch.tensor(x) for key, x in state.items()})
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@pytorch_answers
def shapes_of_pytorch(torch, name):
    return shapes_of(of_pytorch(torch, name))


@pytorch_answers
def logits_of_pytorch(torch, name, x):
    with torch.no_grad():
        return of_pytorch(torch, name, x.dtype.str[1:]).eval()(torch.from_numpy(x))


@pytorch_answers
def logits_of_a_file(torch, name, file, arrays, x):
    """The question is of the arrays in the file: what else we write there is not PyTorch's."""
    import safetensors.torch
    import torch_models

    state = safetensors.torch.load(file.read())
    for key, a in arrays.items():
        np.testing.assert_array_equal(state[key].numpy(), a)
    model = PAIRS[name][1](torch_models).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        return model(torch.from_numpy(x))


@pytorch_answers
def training_step_of_pytorch(torch, name, x):
    model = of_pytorch(torch, name)
    out = model(torch.from_numpy(x))
    out = out if isinstance(out, tuple) else (out,)
    sum((z * z).sum() for z in out).backward()
    slopes = {key: in_short(p.grad.numpy()) for key, p in model.named_parameters()}
    return [z.detach() for z in out], slopes


@pytorch_answers
def operations_of_pytorch(torch, name):
    import torch_models
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        PAIRS[name][1](torch_models).eval()(torch.empty(2, 3, 50, 50))
    return counter.get_total_flops()


@pytorch_answers
def shapes_of_the_full_model(torch):
    import torch_models

    with torch.device("meta"):
        return shapes_of(torch_models.ResNet(torch_models.BasicBlock, (2, 2, 2, 2), 64, 1000))


def in_short(a):
    """Weighted sums of an array, which another array does not have, beside its largest number."""
    places = np.arange(a.size).reshape(a.shape)
    return np.array([(a * np.cos(places)).sum(), (a * np.sin(places)).sum(), np.abs(a).max()])


# ---- 同じか -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",  # of the deepest with the slow tests: they are more of the same
    [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in PAIRS],
)
def test_the_names_the_shapes_and_the_logits(name):
    ours = loaded(name)
    assert shapes_of(ours) == shapes_of_pytorch(name)
    y = logits_of_pytorch(name, images())
    with mg.no_grad():
        found = ours.eval()(mg.tensor(images())).data
    np.testing.assert_allclose(found, y, rtol=1e-6, atol=1e-8 * np.abs(y).max())
    assert (np.ptp(y, axis=1) > 1e-3 * np.abs(y).max()).all()  # the classes can be told apart


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet50", "vgg13_bn")), "resnet34",
     "googlenet"],
)  # fmt: skip
def test_the_multiply_adds_are_half_the_operations_pytorch_counts(name):
    summary = PAIRS[name][0]().summary((2, 3, 50, 50))
    assert 2 * summary.multiply_adds == operations_of_pytorch(name)


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "googlenet"])
def test_the_gradients_of_a_training_step(name):
    ours, x = loaded(name), images(n=4)
    wanted, slopes = training_step_of_pytorch(name, x)
    out = ours(mg.tensor(x))
    out = out if isinstance(out, tuple) else (out,)
    for mine, yours in zip(out, wanted, strict=True):
        np.testing.assert_allclose(mine.data, yours, rtol=1e-6, atol=1e-8)
    sum((z * z).sum() for z in out).backward()
    found = dict(ours.named_parameters())
    for key, short in slopes.items():
        got, scale = found[key].grad.data, short[2] + 1e-6
        np.testing.assert_allclose(
            in_short(got) / scale, short / scale, atol=1e-7 * np.sqrt(got.size)
        )


@pytest.mark.parametrize("name", ["resnet50", "vgg13_bn", "googlenet"])
def test_a_published_file_gives_its_logits(name, tmp_path):
    ours = PAIRS[name][0]().eval()
    save_file(weights(shapes_of(ours), "f4"), tmp_path / "weights.safetensors")
    ours.load_state_dict(mg.load(tmp_path / "weights.safetensors"))
    x = images(32).astype(np.float32)
    y = logits_of_pytorch(name, x)
    with mg.no_grad():
        np.testing.assert_allclose(ours(x).data, y, atol=1e-4 * np.abs(y).max())


def test_and_the_other_way(tmp_path):
    ours = PAIRS["resnet18"][0]().eval()
    ours.load_state_dict(weights(shapes_of(ours), "f4"))
    mg.save(ours.state_dict(), tmp_path / "weights.safetensors")
    x = images(32).astype(np.float32)
    data = (tmp_path / "weights.safetensors").read_bytes()
    y = logits_of_a_file("resnet18", io.BytesIO(data), dict(sorted(load(data).items())), x)
    with mg.no_grad():
        np.testing.assert_allclose(ours(x).data, y, atol=1e-4 * np.abs(y).max())


def test_a_block_in_another_order_is_noticed():
    """植えた誤り: スキップ接続のないモデルは、同じ重みでも違うロジットになる。"""
    ours, y = loaded("resnet18"), logits_of_pytorch("resnet18", images())
    for module in ours.modules():
        if isinstance(module, models.resnet.BasicBlock):
            module.__class__ = models.small_resnet.PlainBlock
    with mg.no_grad():
        assert not np.allclose(ours.eval()(mg.tensor(images())).data, y, rtol=1e-6)


def test_the_full_models_have_the_shapes_of_the_reference_without_memory():
    assert shapes_of(models.resnet18()) == shapes_of_the_full_model()
