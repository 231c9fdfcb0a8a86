"""1 次元と 3 次元の畳み込みとプーリング、窓、補間、埋め方、正規化: PyTorch と比べる。"""

import re
from functools import partial

import numpy as np
import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from tests.reference import pytorch_answers

SIGNAL, IMAGE, VOLUME = (2, 4, 9), (2, 4, 5, 6), (2, 4, 3, 4, 5)


def functions(text, *shapes):
    """A line of a program with F and the arrays x, w, b, and its gradients."""
    return text, shapes


CALLS = [
    functions("F.conv1d(x, w, b, 2, 1, 2)", SIGNAL, (3, 4, 3), (3,)),
    functions("F.conv1d(x, w, None, padding='same', groups=2)", SIGNAL, (2, 2, 3)),
    functions("F.conv1d(x[0], w)", SIGNAL, (2, 4, 2)),
    functions("F.conv_transpose1d(x, w, b, 2, 1, 1, 2, 2)", SIGNAL, (4, 2, 3), (4,)),
    functions("F.max_pool1d(x, 3, 2, 1, 1, ceil_mode=True)", SIGNAL),
    functions("F.max_pool1d(x[0], 2, dilation=2)", SIGNAL),
    functions("F.avg_pool1d(x, 3, 2, 1, True, False)", SIGNAL),
    *[
        functions(f"F.max_unpool{n}d(*F.max_pool{n}d({given}, return_indices=True), {same})", shape)
        for n, shape in ((1, SIGNAL), (2, IMAGE), (3, VOLUME))
        for given, same in (
            ("x, 2", f"2, output_size={shape[2:]}"), ("x, 3, 2, 1", f"3, 2, 1, {shape}"),
            ("x[0], 2, 3, 0, 1, True", f"2, 3, 0, {shape[2:]}"),
        )
    ],
    functions("F.max_unpool2d(*F.max_pool2d(x, (1, 2), return_indices=True), (1, 2))", IMAGE),
    functions("F.max_pool3d(x, (2, 3, 2), (1, 2, 2), (1, 1, 0), 1, return_indices=True)[1] + "
              "0 * x.sum()", VOLUME),
    functions("F.avg_pool1d(x, 2)", SIGNAL),
    functions("F.adaptive_avg_pool1d(x, 4)", SIGNAL),
    functions("F.adaptive_max_pool1d(x, 4)", SIGNAL),
    functions("F.conv3d(x, w, b, (1, 2, 1), (1, 0, 2), (1, 1, 2))", VOLUME, (3, 4, 2, 3, 2), (3,)),
    functions("F.conv3d(x[0], w, None, padding='same', groups=2)", VOLUME, (2, 2, 2, 3, 4)),
    functions("F.max_pool3d(x, (2, 3, 2), (1, 2, 2), (1, 1, 0), 1, ceil_mode=True)", VOLUME),
    functions("F.max_pool3d(x[0], 2, 1, 0, (2, 1, 3))", VOLUME),
    functions("F.avg_pool3d(x, (2, 3, 2), 2, (1, 1, 0), True, False)", VOLUME),
    functions("F.avg_pool3d(x, (2, 1, 2), divisor_override=3)", VOLUME),
    functions("F.avg_pool3d(x[0], 2, padding=1)", VOLUME),
    functions("F.adaptive_avg_pool3d(x, (2, None, 4))", VOLUME),
    functions("F.adaptive_avg_pool3d(x[0], 3)", VOLUME),
    functions("F.adaptive_max_pool3d(x, (3, 5, 2))", VOLUME),
    functions("F.unfold(x, (2, 3), (2, 1), (1, 0), (1, 2))", IMAGE),
    functions("F.unfold(x[0], 2)", IMAGE),
    functions("F.fold(x, (5, 6), (2, 2), 1, (1, 0), 2)", (2, 8, 9)),
    functions("F.fold(x[0], 4, 2, stride=2)", (2, 8, 4)),
    functions("F.pad(x, (1, 2, 0, 3), value=0.5)", IMAGE),
    functions("F.pad(x, (-1, 2, 1, -2))", IMAGE),
    *[
        functions(f"F.pad(x, {widths}, mode='{mode}')", shape)
        for mode in ("reflect", "replicate", "circular")
        for widths, shape in (((2, 1), SIGNAL), ((1, 0, 2, 3), IMAGE), ((1, 2, 0, 1, 2, 1), VOLUME))
    ],
    functions("F.interpolate(x, 5)", SIGNAL),
    functions("F.interpolate(x, scale_factor=2.5, mode='linear')", SIGNAL),
    functions("F.interpolate(x, (7, 3))", IMAGE),
    functions("F.interpolate(x, scale_factor=(2, 0.7), mode='bilinear')", IMAGE),
    functions("F.interpolate(x, (7, 9), mode='bilinear', align_corners=True)", IMAGE),
    functions("F.interpolate(x, scale_factor=1.4, mode='bilinear', "
              "recompute_scale_factor=True)", IMAGE),
    functions("F.interpolate(x, (3, 8, 2), mode='nearest-exact')", VOLUME),
    functions("F.interpolate(x, scale_factor=1.5, mode='trilinear')", VOLUME),
    functions("F.pixel_shuffle(x, 2)", IMAGE),
    functions("F.pixel_unshuffle(x, 2)", (2, 1, 4, 6)),
    functions("F.channel_shuffle(x, 2)", IMAGE),
    functions("F.pdist(x, 3.0)", (5, 4)),
    functions("F.pdist(x)", (1, 4)),
    functions("F.group_norm(x, 2, w, b, 0.1)", IMAGE, (4,), (4,)),
    functions("F.group_norm(x, 4)", (2, 4)),
    functions("F.instance_norm(x, None, None, w, b)", SIGNAL, (4,), (4,)),
    functions("F.rms_norm(x, (5, 6), w)", IMAGE, (5, 6)),
    functions("F.rms_norm(x, [6], None, 0.1)", IMAGE),
    functions("F.bilinear(x, w, b, None)", (2, 3, 2), (2, 3, 4), (5, 2, 4)),
]  # fmt: skip


def run(m, text, shapes):
    """The result, and the gradients of the arrays."""
    rng = np.random.default_rng(len(text))
    leaves = [m.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]
    y = eval(text, {"F": m.nn.functional, **dict(zip("xwb", leaves))})
    (y * y * y).sum().backward()
    return [y.detach().numpy(), *[p.grad.numpy() for p in leaves]]


@pytorch_answers
def of_pytorch(torch, text, shapes):
    return run(torch, text, shapes)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize(("text", "shapes"), CALLS, ids=[text for text, _ in CALLS])
def test_functions(text, shapes):
    for a, b in zip(run(mg, text, shapes), of_pytorch(text, shapes), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


LAYERS = [
    ("Conv1d(4, 2, 3, 2, 1, padding_mode='circular')", SIGNAL),
    ("Conv1d(4, 4, 3, padding='same', dilation=2, groups=2, bias=False)", SIGNAL),
    ("Conv2d(4, 2, (3, 4), padding='same', padding_mode='reflect')", IMAGE),
    ("Conv3d(4, 2, (2, 1, 3), padding=1)", VOLUME),
    ("ConvTranspose1d(4, 2, 3, 2, 1, 1)", SIGNAL),
    ("MaxPool1d(2)", SIGNAL), ("AvgPool1d(3, 1)", SIGNAL), ("MaxPool3d(2)", VOLUME),
    ("AvgPool3d(2, 1)", VOLUME), ("AdaptiveAvgPool1d(2)", SIGNAL),
    ("AdaptiveMaxPool1d(2)", SIGNAL),
    ("GroupNorm(2, 4)", IMAGE), ("GroupNorm(4, 4, affine=False)", SIGNAL),
    ("InstanceNorm1d(4)", SIGNAL), ("InstanceNorm2d(4, affine=True)", IMAGE),
    ("InstanceNorm2d(4, track_running_stats=True)", IMAGE),
    ("InstanceNorm3d(2, affine=True, track_running_stats=True)", (2, 3, 4, 2)),
    ("BatchNorm3d(4)", VOLUME), ("RMSNorm(6)", IMAGE), ("RMSNorm((5, 6), 0.1)", IMAGE),
    ("Upsample(scale_factor=2)", IMAGE), ("Upsample(size=(3, 4), mode='bilinear')", IMAGE),
    ("UpsamplingNearest2d(scale_factor=2)", IMAGE), ("UpsamplingBilinear2d((7, 8))", IMAGE),
    ("PixelShuffle(2)", IMAGE), ("PixelUnshuffle(1)", IMAGE), ("Unfold(2, padding=1)", IMAGE),
    ("Fold((4, 5), 2)", (2, 8, 12)),
    ("ZeroPad1d(2)", SIGNAL), ("ZeroPad2d((1, 2, 0, 1))", IMAGE), ("ZeroPad3d(1)", VOLUME),
    ("ConstantPad1d(1, 2.0)", SIGNAL), ("ConstantPad2d(1, 2.0)", IMAGE),
    ("ConstantPad3d(1, 2.0)", VOLUME), ("ReflectionPad1d(2)", SIGNAL),
    ("ReflectionPad2d((1, 2, 0, 1))", IMAGE), ("ReflectionPad3d(1)", VOLUME),
    ("ReplicationPad1d(2)", SIGNAL), ("ReplicationPad2d(1)", IMAGE),
    ("ReplicationPad3d(1)", VOLUME),
    ("CircularPad1d(2)", SIGNAL), ("CircularPad2d(1)", IMAGE), ("CircularPad3d(1)", VOLUME),
]  # fmt: skip


def trained(m, text, shape):
    """What a layer makes in training and after it, its gradients, its state and its name."""
    layer, rng = eval(f"nn.{text}", {"nn": m.nn}).double(), np.random.default_rng(0)
    state = {
        k: m.tensor(rng.uniform(0.5, 1.5, v.shape)) if "num" not in k else v
        for k, v in layer.state_dict().items()
    }
    layer.load_state_dict(state)
    x = m.tensor(rng.normal(size=shape), requires_grad=True)
    y = layer(x)
    (y * y * y).sum().backward()
    layer.eval()
    with m.no_grad():
        later = layer(x)
    slopes = [p.grad for p in (x, *layer.parameters())]
    arrays = [y, later, *slopes, *layer.state_dict().values()]
    text = re.sub(", bias=(True|False)", "", repr(layer)) if "Norm" in text else repr(layer)
    return [a.detach().numpy() for a in arrays], [*state, text]


@pytorch_answers
def trained_in_pytorch(torch, text, shape):
    return trained(torch, text, shape)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize(("text", "shape"), LAYERS, ids=[text for text, _ in LAYERS])
def test_layers(text, shape):
    (ours, names), (theirs, wanted) = trained(mg, text, shape), trained_in_pytorch(text, shape)
    assert names == list(wanted)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytorch_answers
def layers_of_unpooling(torch):
    return [repr(torch.nn.MaxUnpool1d(2)), repr(torch.nn.MaxUnpool3d((1, 2, 3), 2, 0))]


def test_a_layer_puts_back_what_another_took():
    for text in layers_of_unpooling():
        assert repr(eval(text, {n: getattr(nn, n) for n in dir(nn)})) == text
    x = mg.tensor(np.random.default_rng(0).normal(size=(2, 4, 5, 7)))
    for pool, unpool in (("MaxPool2d", "MaxUnpool2d"), ("MaxPool1d", "MaxUnpool1d")):
        t = x if pool == "MaxPool2d" else x[0]
        values, places = getattr(nn, pool)(2, return_indices=True)(t)
        back = getattr(nn, unpool)(2)(values, places, output_size=t.size())
        assert places.dtype == mg.int64 and back.shape == t.shape
        chosen = back.data != 0
        np.testing.assert_array_equal(back.data[chosen], t.data[chosen])
        assert chosen.sum() == values.numel()
    with pytest.raises(IndexError):
        F.max_unpool2d(values.unsqueeze(0), places.unsqueeze(0) + 99, 2)


@pytest.mark.parametrize("text", ["group_norm(x, 2)", "instance_norm(x)", "rms_norm(x, 8)",
                                  "conv1d(x, x[:, :, :3])", "interpolate(x, 3)",
                                  "pad(x, (1, 1), mode='reflect')"])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_dtype_stays(text, dtype):
    assert eval(f"F.{text}", {"F": F, "x": mg.ones(2, 2, 8).to(dtype)}).dtype == getattr(mg, dtype)


def test_inside_jit():
    pytest.importorskip("jax", reason="jax がありません")
    x = mg.randn(1, 4, 4, 4)

    def step(x):
        y = F.pad(F.interpolate(F.group_norm(x, 2), scale_factor=2.0), (1, 1), mode="circular")
        y = F.fold(F.unfold(y, 2, stride=2), (8, 10), 2, stride=2)
        y = F.max_unpool2d(*F.max_pool2d(y, 2, return_indices=True), 2)
        y = F.max_pool3d(F.conv3d(F.rms_norm(y, 10), mg.ones(2, 4, 2, 2, 2)[:, :1]), 2)
        return F.avg_pool1d(F.conv1d(y.flatten(1), mg.ones(1, 2, 3)), 3)

    np.testing.assert_allclose(np.asarray(mg.jit(step)(x).data), step(x).data, rtol=1e-4, atol=1e-5)


x1, x2, x3 = mg.ones(2, 4, 9), mg.ones(2, 4, 5, 6), mg.ones(2, 4, 3, 4, 5)
# Norms, and what has to have a shape of its own: something smaller would broadcast.
NORMS = [
    (partial(F.batch_norm, x1, running_mean=None, running_var=None, training=True),
     "weight bias running_mean running_var"),
    (partial(F.instance_norm, x1), "weight bias running_mean running_var"),
    (partial(F.group_norm, x1, 2), "weight bias"),
    (partial(F.layer_norm, x1, 9), "weight bias"),
    (partial(F.rms_norm, x1, 9), "weight"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: F.conv1d(x2, mg.ones(1, 4, 2)), "2 or 3 dimensions"),
        (lambda: F.conv1d(x1, mg.ones(1, 4)), "3-dimensional"),
        (lambda: F.conv1d(x1, mg.ones(1, 4, 2), stride=(1, 2)), "stride"),
        (lambda: F.conv3d(x1, mg.ones(1, 4, 2, 2, 2)), "4 or 5 dimensions"),
        (lambda: F.conv3d(x3, mg.ones(1, 3, 2, 2, 2)), "channel mismatch"),
        (lambda: F.conv3d(x3, mg.ones(1, 4, 5, 2, 2)), "奥行き"),
        (lambda: F.conv3d(x3, mg.ones(1, 4, 0, 2, 2)), r"\(1, 4, 0, 2, 2\)"),
        (lambda: F.conv3d(x3, mg.ones(1, 4, 1, 1, 1), stride=(1, 2)), "奥行き, 縦, 横"),
        (lambda: F.conv3d(x3, mg.ones(1, 4, 1, 1, 1), stride=2, padding="same"), "same"),
        (lambda: nn.Conv1d(1, 1, 1, padding_mode="mirror"), "padding_mode"),
        (lambda: F.max_unpool1d(x1, x1[:1].long(), 2), "shape mismatch"),
        (lambda: F.max_unpool2d(x2, x2.long(), 2, output_size=(12, 12)), "invalid output_size"),
        (lambda: F.max_unpool2d(x2, x2.long(), 2, output_size=(10,)), "invalid output_size"),
        (lambda: nn.MaxUnpool3d(0), "kernel_size"),
        (lambda: F.pad(x1, (1, 2, 3)), "pad length"),
        (lambda: F.pad(x1, (-5, -5)), "negative pad"),
        (lambda: F.pad(x1, (9, 0), mode="reflect"), "too large"),
        (lambda: F.pad(x1, (1, 1), mode="mirror"), "mode"),
        (lambda: nn.ZeroPad2d((1, 2)), "4 個"),
        (lambda: nn.ZeroPad2d(1)(x3), "3 次元か 4 次元"),
        (lambda: F.interpolate(x1, 3, mode="bilinear"), "wrong mode"),
        (lambda: F.interpolate(x1), "どちらか 1 つ"),
        (lambda: F.interpolate(x2, (1, 2, 3)), "2 個"),
        (lambda: F.interpolate(x2, scale_factor=0.1), "empty"),
        (lambda: F.interpolate(x2, 3, align_corners=True), "align_corners"),
        (lambda: F.pixel_shuffle(x2, 3), "r²"),
        (lambda: F.pixel_unshuffle(x2, 4), "割り切れ|divisible"),
        (lambda: F.channel_shuffle(x1, 3), "割り切り"),
        (lambda: F.pdist(x1), "expected 2 dimensions"),
        (lambda: F.adaptive_avg_pool3d(x3, (1, 2)), "奥行き, 縦, 横"),
        (lambda: F.adaptive_max_pool3d(x2[0], 2), "4 or 5 dimensions"),
        (lambda: F.unfold(x1[0, 0], 2), "3 or 4 dimensions"),
        (lambda: F.fold(x1, 5, 2), "fold の入力"),
        (lambda: F.group_norm(x1, 3), "groups"),
        (lambda: F.instance_norm(x1[0]), "spatial"),
        (lambda: F.instance_norm(x1, use_input_stats=False), "running_mean"),
        (lambda: F.rms_norm(x1, 8), "最後の次元"),
        *[
            (lambda call=call, name=name: call(**{name: mg.ones(1)}), f"{name} の形")
            for call, names in NORMS
            for name in names.split()
        ],
        (lambda: F.bilinear(x1, x1, mg.ones(1, 2, 2)), "bilinear"),
        (lambda: nn.GroupNorm(3, 4), "num_groups"),
        (lambda: nn.GroupNorm(2, 4)(x1[:, :2]), "shape mismatch"),
        (lambda: nn.InstanceNorm1d(3)(x1), "shape mismatch"),
        (lambda: nn.RMSNorm(0), "normalized_shape"),
        (lambda: nn.Bilinear(0, 1, 1), "in1_features"),
    ],
)
def test_what_is_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        wrong()


def test_the_size_to_go_back_to_is_of_whole_numbers():
    values, places = F.max_pool1d(mg.arange(8.0).reshape(1, 8), 2, return_indices=True)
    assert F.max_unpool1d(values, places, 2, output_size=9).shape == (1, 9)
    for wrong in ((8.5,), "8", (None,)):
        with pytest.raises(TypeError, match="max_unpool1d の output_size は整数"):
            F.max_unpool1d(values, places, 2, output_size=wrong)
