"""詰めたネットワーク: 隠れ層も出力も、もとの小数のネットワークとビットまで同じ。"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import native, nn
from micrograd_jp.nn.packed import fold, stages
from micrograd_jp.nn.packed.bits import Bits, Weights, patches
from micrograd_jp.ops.windows import Windows

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=20)


def trained(model, seed):
    """What training leaves: statistics of the size of the sums, slopes of either sign, or 0."""
    rng = np.random.default_rng(seed)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            c = m.num_features
            # Whole and half numbers: the sums meet their thresholds exactly, now and then.
            m.running_mean.data[...] = rng.integers(-6, 7, c) / 2
            m.running_var.data[...] = rng.uniform(0.1, 40, c)
            m.weight.data[...] = rng.normal(size=c) * (rng.random(c) > 0.1)
            m.bias.data[...] = rng.normal(size=c) * (rng.random(c) > 0.5)
    for p in model.parameters():
        p.data[...] = np.where(rng.random(p.shape) < 0.02, 0, p.data)
    return model.eval()


def same(model, x, packed=None):
    """Whether both give the same bits, with native kernels and without."""
    packed = packed or nn.PackedNetwork(model)
    with mg.no_grad():
        wanted = model(mg.tensor(x)).data
        found = packed(mg.tensor(x)).data
        with native.disabled():
            slow = packed(mg.tensor(x)).data
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    return np.array_equal(found, wanted) and np.array_equal(slow, wanted)


@st.composite
def rows(draw):
    sizes = draw(st.lists(st.integers(1, 140), min_size=2, max_size=4))
    layers = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.BinaryLinear(n, m, draw(st.booleans())), nn.BatchNorm1d(m)]
        layers += [nn.Dropout(0.5)] * draw(st.integers(0, 1)) + [nn.Binarize(draw(st.booleans()))]
    ending = draw(st.sampled_from(["logits", "normalized", "signs"]))
    if ending != "signs":
        layers.append(nn.BinaryLinear(sizes[-1], 3))
    if ending == "normalized":
        layers.append(nn.BatchNorm1d(3))
    return nn.Sequential(*layers), (draw(st.integers(0, 12)), sizes[0])


@few
@given(rows(), seeds, st.booleans(), st.booleans())
def test_rows(drawn, seed, double, signs):
    model, shape = drawn
    model = trained(model.double() if double else model, seed)
    x = np.random.default_rng(seed).normal(size=shape).astype(model[0].weight.dtype)
    if signs:
        model = nn.Sequential(nn.Binarize(), model)
    assert same(model, x)


@st.composite
def images(draw):
    channels, size, layers = [draw(st.integers(1, 3))], draw(st.integers(7, 10)), []
    for _ in range(draw(st.integers(1, 3))):
        channels.append(draw(st.sampled_from([1, 5, 64, 70])))
        window = draw(st.sampled_from([
            {"kernel_size": 3, "padding": 1}, {"kernel_size": 3, "padding": "same", "dilation": 2},
            {"kernel_size": 2, "padding": "same"}, {"kernel_size": (1, 3), "padding": (1, 1)},
            {"kernel_size": 3, "padding": 2, "stride": (2, 1)},
        ]))  # fmt: skip
        norm, pool = nn.BatchNorm2d(channels[-1]), nn.MaxPool2d(3, stride=1, padding=1)
        layers += [nn.BinaryConv2d(*channels[-2:], **window)]
        layers += draw(st.sampled_from([
            [norm], [pool, norm], [norm, pool], [norm, pool, nn.BatchNorm2d(channels[-1])],
        ]))  # fmt: skip
        layers += [nn.Binarize()]
        if draw(st.booleans()):
            layers += [nn.MaxPool2d(2, padding=draw(st.integers(0, 1)))]
            if size < 8 or len(channels) > 2:
                layers.pop()
    model = nn.Sequential(*layers, nn.Flatten())
    shape = (draw(st.integers(1, 3)), channels[0], size, size)
    features = model.eval()(mg.zeros(shape)).shape[1]
    return nn.Sequential(model, nn.BinaryLinear(features, 4), nn.BatchNorm1d(4)), shape


@few
@given(images(), seeds)
def test_images(drawn, seed):
    model, shape = drawn
    trained(model, seed)
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    assert same(model, x)


def image_network():
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.BinaryConv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Binarize(),
        nn.BinaryConv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Binarize(),
        nn.Flatten(), nn.BinaryLinear(128, 4), nn.BatchNorm1d(4),
    )  # fmt: skip
    return trained(model, 3), np.random.default_rng(0).normal(size=(20, 1, 8, 8)).astype("f")


@pytest.mark.parametrize("fault", ["threshold", "border", "flipped", "pad bits"])
def test_a_fault_would_be_noticed(fault, monkeypatch):
    model, x = image_network()
    packed = nn.PackedNetwork(model)
    assert same(model, x, packed)
    if fault == "threshold":
        packed._stages[3].at += 2  # sums of as many numbers are all even, or all odd
    elif fault == "border":
        monkeypatch.setattr(stages.Conv2d, "_missing", lambda *_: 0)
    elif fault == "flipped":
        # The normalization after the maximum decreases in some channels.
        later = trained(nn.Sequential(
            nn.BinaryConv2d(1, 8, 3), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.Binarize(),
            nn.Flatten(), nn.BinaryLinear(72, 4),
        ), 3)  # fmt: skip
        model, packed = later, nn.PackedNetwork(later)
        assert same(model, x, packed)
        packed._stages[2].flipped = None
    else:
        old = Bits.of
        monkeypatch.setattr(Bits, "of", lambda up: Bits(~old(up).words, up.shape[-1]))
    assert not same(model, x, packed)


def test_saved_and_loaded(tmp_path):
    model, x = image_network()
    packed = nn.PackedNetwork(model)
    for name in ("net.safetensors", "net.npz"):
        mg.save(packed.state_dict(), tmp_path / name)
        again = nn.PackedNetwork.from_state_dict(mg.load(tmp_path / name))
        assert same(model, x, again)
        assert again.nbytes == packed.nbytes
        assert repr(again) == repr(packed)


def test_other_states_are_refused():
    model, _ = image_network()
    with pytest.raises(ValueError, match="PackedNetwork"):
        nn.PackedNetwork.from_state_dict(model.state_dict())
    with pytest.raises(TypeError, match="dict"):
        nn.PackedNetwork.from_state_dict("net.npz")
    with pytest.raises(RuntimeError, match="from_state_dict"):
        nn.PackedNetwork(model).load_state_dict({})
    good = nn.PackedNetwork(model).state_dict()
    part = {"kind": "Linear", "weight": np.zeros((2, 1), np.uint8), "features": 9,
            "dtype": "float32", "reals": True, "bias": None}  # fmt: skip
    for stages_ in ([part], [{**part, "kind": "os"}], [{"kind": "Linear"}], 3, [3]):
        with pytest.raises(ValueError, match="corrupt"):
            nn.PackedNetwork.from_state_dict({**good, "stages": stages_})


def test_the_file_is_31_times_smaller(tmp_path):
    model = nn.Sequential(
        nn.BinaryLinear(784, 1024), nn.BatchNorm1d(1024), nn.Binarize(),
        nn.BinaryLinear(1024, 1024), nn.BatchNorm1d(1024), nn.Binarize(),
        nn.BinaryLinear(1024, 10), nn.BatchNorm1d(10),
    )  # fmt: skip
    packed = nn.PackedNetwork(trained(model, 0))
    mg.save(packed.state_dict(), tmp_path / "bits.safetensors")
    mg.save(model.state_dict(), tmp_path / "floats.safetensors")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("floats", "bits")]
    assert sizes[0] / sizes[1] > 31
    assert packed.nbytes < sizes[1] < packed.nbytes + 2500


@given(st.floats(width=32, allow_nan=False), st.sampled_from([np.float32, np.float64]))
def test_the_least_float_is_found(a, dtype):
    a = dtype(a)
    (found,) = fold.least_float(lambda x: x >= a, 1, dtype)
    most = np.finfo(dtype).max
    if a > most:
        assert np.isnan(found)
    else:
        assert found >= a
        assert found == (max(a, -most))
        assert found.dtype == dtype
    (never,) = fold.least_float(lambda x: x > np.inf, 1, dtype)
    assert np.isnan(never)


@given(st.integers(1, 40_000), st.integers(-50_000, 50_000))
def test_the_least_integer_is_found(most, a):
    (found,) = fold.least_integer(lambda x: x >= a, 1, most)
    assert found == (most + 1 if a > most else max(a, -most))


@few
@given(st.integers(0, 20), st.integers(1, 200), st.integers(1, 40), seeds)
def test_dots_are_those_of_the_signs(n, features, outputs, seed):
    rng = np.random.default_rng(seed)
    x, w = rng.random((n, features)) > 0.5, rng.random((outputs, features)) > 0.5
    wanted = (x * 2 - 1) @ (w * 2 - 1).T
    weights = Weights(Bits.of(w).words, features)
    np.testing.assert_array_equal(Bits.of(x).up(), x)
    np.testing.assert_array_equal(weights.dots(Bits.of(x).words), wanted)
    with native.disabled():
        np.testing.assert_array_equal(weights.dots(Bits.of(x).words), wanted)


@pytest.mark.skipif(not native.available(), reason="machine code needs llvmlite (extra fast)")
@pytest.mark.parametrize("width", [16, 32, 64])
def test_dots_for_every_length_of_the_registers(width, monkeypatch):
    from micrograd_jp.native import binary, call, machine_code

    if width > machine_code.vector_bytes():
        pytest.skip("this machine has no such registers")
    monkeypatch.setattr(machine_code, "vector_bytes", lambda: width)
    monkeypatch.setattr(binary, "GROUPS", 3)
    for cache in (call.kernel, binary._tile):
        cache.cache_clear()
    rng = np.random.default_rng(width)
    for features in (63, 64, 65, 128, 192, 700):  # one word, an even number of them, an odd one
        x, w = rng.random((19, features)) > 0.5, rng.random((61, features)) > 0.5
        wanted = (x * 2 - 1) @ (w * 2 - 1).T
        found = Weights(Bits.of(w).words, features).dots(Bits.of(x).words)
        np.testing.assert_array_equal(found, wanted)
    # Had the carry another rule, the test would fall.
    monkeypatch.setattr(binary, "_carry", lambda f, old, new, a: old ^ a)
    for cache in (call.kernel, binary._tile):
        cache.cache_clear()
    found = Weights(Bits.of(w).words, features).dots(Bits.of(x).words)
    for cache in (call.kernel, binary._tile):
        cache.cache_clear()
    assert not np.array_equal(found, wanted)


def test_large_products_are_shared_among_threads(monkeypatch):
    from micrograd_jp.native import binary, threads

    monkeypatch.setattr(binary, "JOB", 1)
    monkeypatch.setattr(threads, "threads", lambda: 3)
    rng = np.random.default_rng(0)
    x, w = rng.random((21, 130)) > 0.5, rng.random((70, 130)) > 0.5
    weights = Weights(Bits.of(w).words, 130)
    np.testing.assert_array_equal(weights.dots(Bits.of(x).words), (x * 2 - 1) @ (w * 2 - 1).T)


def test_patches_are_the_pixels_of_the_windows():
    x = np.arange(2 * 5 * 6).reshape(2, 5, 6, 1)
    seen = patches(x, Windows((2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2)))
    padded = np.pad(x, [(0, 0), (1, 0), (0, 2), (0, 0)])
    assert seen.shape == (2, 3, 4, 6, 1)
    for i in range(3):
        for j in range(4):
            wanted = padded[:, 2 * i : 2 * i + 2, j : j + 5 : 2, 0].reshape(2, -1)
            np.testing.assert_array_equal(seen[:, i, j, :, 0], wanted)


def test_training_and_what_cannot_be_packed_get_their_sentences():
    model, x = image_network()
    packed = nn.PackedNetwork(model)
    with pytest.raises(RuntimeError, match="詰め直し"):
        packed.train()
    with pytest.raises(RuntimeError, match="inference only"):
        packed(mg.tensor(x, requires_grad=True))
    with pytest.raises(ValueError, match="shape mismatch"):
        packed(mg.tensor(x[:, :, :6]))
    assert packed.eval() is packed
    binary = nn.BinaryLinear(4, 4)
    for wrong, error, word in [
        (nn.Sequential(nn.Linear(4, 4)), TypeError, "no binary layers"),
        (nn.Sequential(binary, nn.ReLU()), TypeError, "1 の ReLU"),
        (nn.Sequential(nn.Sequential(binary), nn.Binarize(), nn.Linear(4, 4)), TypeError, "Linear"),
        (nn.Sequential(binary, nn.BatchNorm1d(4, track_running_stats=False)), ValueError,
         "移動平均"),
        (nn.Sequential(nn.BinaryLinear(4, 4).half()), ValueError, "float16"),
        (nn.Sequential(nn.BinaryConv2d(4, 4, 1, groups=2)), ValueError, "groups"),
        (nn.Sequential(nn.BinaryConv2d(1, 4, 1, bias=True)), ValueError, "bias"),
        (nn.Sequential(nn.BinaryConv2d(1, 4, 1), nn.MaxPool2d(2, ceil_mode=True), nn.Binarize()),
         ValueError, "ceil_mode"),
        (nn.Sequential(nn.BinaryConv2d(1, 4, 1), nn.MaxPool2d(2, return_indices=True),
                       nn.Binarize()), ValueError, "return_indices"),
    ]:  # fmt: skip
        with pytest.raises(error, match=word):
            nn.PackedNetwork(wrong)
