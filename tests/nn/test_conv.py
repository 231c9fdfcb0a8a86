"""畳み込みと転置畳み込み: でたらめな設定で PyTorch と、値も 1 階・2 階の微分も同じ。"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from window_oracle import numbers, require_same

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from micrograd_jp.namespace.numpy_kernels import conv, depthwise
from tests.reference import like_pytorch, torch

SIDES = st.tuples(st.integers(1, 8), st.integers(1, 8))
KERNELS = st.tuples(st.integers(1, 4), st.integers(1, 4))
STEPS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.fixture(params=[(1, 1), (1, 4 << 20), (4, 4 << 20)], ids=str, scope="module", autouse=True)
def _ways_to_arrange_windows(request):
    """Side by side or tap by tap, one image at a time or all."""
    before = conv.FEW_CHANNELS, conv.CHUNK_BYTES, depthwise.CHUNK
    conv.FEW_CHANNELS, conv.CHUNK_BYTES = request.param
    depthwise.CHUNK = request.param[1]
    yield
    conv.FEW_CHANNELS, conv.CHUNK_BYTES, depthwise.CHUNK = before


@st.composite
def layers(draw):
    """(batch, channels, size, weights' shape, the settings of a convolution)."""
    groups = draw(st.integers(1, 3))
    # Often one channel in a group: the depthwise convolution has kernels of its own.
    c, o = (groups * draw(st.sampled_from([1, 1, 2, 3])) for _ in range(2))
    kernel = draw(KERNELS)
    settings = {"dilation": draw(STEPS), "groups": groups}
    padding = draw(st.sampled_from(["same", "valid", "numbers"]))
    settings["padding"] = (
        padding if padding != "numbers" else draw(st.tuples(*[st.integers(0, 3)] * 2))
    )
    settings["stride"] = (1, 1) if padding == "same" else draw(STEPS)
    return draw(st.integers(0, 3)), c, o, draw(SIDES), kernel, settings


def fits(size, kernel, settings):
    if settings["padding"] == "same":
        return True
    margin = (0, 0) if settings["padding"] == "valid" else settings["padding"]
    return all(
        n + 2 * p >= d * (k - 1) + 1
        for n, p, d, k in zip(size, margin, settings["dilation"], kernel)
    )


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@like_pytorch(layers(), st.booleans(), max_examples=60, kept=30)
def test_conv2d_is_pytorchs(layer, biased):
    n, c, o, size, kernel, how = layer
    assume(fits(size, kernel, how))
    shapes = [(n, c, *size), (o, c // how["groups"], *kernel), *[(o,)] * biased]
    require_same(
        lambda *xs: F.conv2d(*xs, **how),
        lambda *xs: torch.nn.functional.conv2d(*xs, **how),
        numbers(*shapes),
    )


@st.composite
def transposed_layers(draw):
    *rest, how = draw(layers())
    if isinstance(how["padding"], str):
        how["padding"] = (0, 1)
    larger = [max(pair) - 1 for pair in zip(how["stride"], how["dilation"])]
    how["output_padding"] = tuple(draw(st.integers(0, limit)) for limit in larger)
    return *rest, how


@like_pytorch(transposed_layers(), st.booleans(), max_examples=60, kept=30)
def test_conv_transpose2d_is_pytorchs(layer, biased):
    n, c, o, size, kernel, how = layer
    assume(all(
        (side - 1) * s - 2 * p + d * (k - 1) + extra + 1 > 0
        for side, s, p, d, k, extra in zip(
            size, how["stride"], how["padding"], how["dilation"], kernel, how["output_padding"]
        )
    ))  # fmt: skip
    shapes = [(n, c, *size), (c, o // how["groups"], *kernel), *[(o,)] * biased]
    require_same(
        lambda *xs: F.conv_transpose2d(*xs, **how),
        lambda *xs: torch.nn.functional.conv_transpose2d(*xs, **how),
        numbers(*shapes),
    )


def by_definition(x, w, stride, padding, dilation):
    """The sum of the docstring, written as loops over the window."""
    kh, kw = w.shape[2:]
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    oh, ow = ((n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], (kh, kw)))
    z = np.zeros((x.shape[0], w.shape[0], oh, ow))
    for i in range(oh):
        for j in range(ow):
            for p in range(kh):
                for q in range(kw):
                    pixel = x[:, :, i * stride + p * dilation, j * stride + q * dilation]
                    z[:, :, i, j] += pixel @ w[:, :, p, q].T
    return z


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 0, 1), (3, 2, 2)])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_conv2d_is_its_definition(channels, stride, padding, dilation):
    x, w = numbers((2, channels, 7, 6), (4, channels, 3, 2))
    got = F.conv2d(x, w, None, stride, padding, dilation)
    np.testing.assert_allclose(
        got.numpy(), by_definition(x, w, stride, padding, dilation), atol=1e-12
    )


@given(layers())
@settings(max_examples=30)
def test_the_transposed_convolution_is_the_transpose(layer):
    n, c, o, size, kernel, how = layer
    assume(fits(size, kernel, how) and how["padding"] not in ("same", "valid"))
    x, w = numbers((n, c, *size), (o, c // how["groups"], *kernel))
    z = F.conv2d(x, w, **how)
    (g,) = numbers(z.shape)
    rest = tuple(
        side - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for side, m, s, p, d, k in zip(
            size, z.shape[2:], how["stride"], how["padding"], how["dilation"], kernel
        )
    )
    back = F.conv_transpose2d(g, w, None, output_padding=rest, **how)
    assert back.shape == x.shape
    np.testing.assert_allclose((g * z.numpy()).sum(), (back.numpy() * x).sum(), atol=1e-9)


def test_third_derivatives():
    x, w = (mg.tensor(a, requires_grad=True) for a in numbers((1, 1, 3, 3), (1, 1, 2, 2)))
    f = lambda x: (F.conv2d(x, w, padding=1) ** 3).sum()
    third = mg.grad(lambda x: (mg.grad(lambda x: mg.grad(f)(x).sum())(x) ** 2).sum())(x)
    ones = np.ones((1, 1, 3, 3))
    # f = Σ z³ with z = x ∗ w; along the ones, f'' = 6 wᵀ(z·(1 ∗ w)), squared and differentiated.
    z, u = (by_definition(a, w.detach().numpy(), 1, 1, 1) for a in (x.detach().numpy(), ones))
    spread = lambda g: F.conv_transpose2d(g, w.detach(), padding=1).numpy()
    second = spread(6 * z * u)
    want = spread(6 * u * by_definition(2 * second, w.detach().numpy(), 1, 1, 1))
    np.testing.assert_allclose(third.detach().numpy(), want, rtol=1e-10)


# ---- 型とメモリ --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_type_is_kept_and_halves_are_summed_in_single_precision(dtype, stride):
    arrays = numbers((2, 8, 6, 6), (3, 8, 3, 3), (3,))
    rounded = [a.astype(dtype) for a in arrays]
    xs = [mg.tensor(a, requires_grad=True) for a in rounded]
    exact = [mg.tensor(a.astype(np.float64), requires_grad=True) for a in rounded]
    z, want = (F.conv2d(*a, stride=stride, padding=1) for a in (xs, exact))
    z.backward(np.ones(z.shape))
    want.backward(np.ones(z.shape))
    eps = 4 * np.finfo(dtype).eps
    for a, b in [(z, want), *((x.grad, y.grad) for x, y in zip(xs, exact))]:
        assert a.dtype == dtype
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=eps, atol=8 * eps)


def test_inputs_are_left_as_they_are():
    x, w, b = (a.astype(np.float32) for a in numbers((2, 4, 6, 5), (4, 4, 3, 3), (4,)))
    x, w = x[:, :, ::-1, ::2], w.transpose(1, 0, 3, 2)
    copies = [a.copy() for a in (x, w, b)]
    for a in (x, w, b):
        a.setflags(write=False)
    xs = [mg.Tensor(a, requires_grad=True) for a in (x, w, b)]
    z = F.conv2d(*xs, padding=1)
    z.backward(np.ones(z.shape, np.float32))
    for a, copy, t in zip((x, w, b), copies, xs):
        np.testing.assert_array_equal(a, copy)
        assert not np.shares_memory(t.grad.numpy(), a)
        assert t.grad.numpy().flags.writeable


def test_one_image_without_a_batch():
    x, w = numbers((3, 5, 4), (6, 3, 2, 2))
    np.testing.assert_array_equal(F.conv2d(x, w).numpy(), F.conv2d(x[None], w).numpy()[0])
    v = w.transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(
        F.conv_transpose2d(x, v).numpy(), F.conv_transpose2d(x[None], v).numpy()[0]
    )


# ---- 断り --------------------------------------------------------------------------------------

X, W = np.zeros((1, 4, 28, 28)), np.zeros((6, 4, 5, 5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2d(X[:, :, :3], W), ValueError, r"高さ.*⌊\(3 \+ 2·0 − 5\)/1⌋ \+ 1 = -1"),
        (lambda: F.conv2d(X[..., :8], W, None, 2, 0, 2), ValueError,
         r"幅.*\(8 \+ 2·0 − \(2·\(5 − 1\) \+ 1\)\)/2⌋ \+ 1 = 0"),
        (lambda: F.conv2d(X, W, groups=3), ValueError, r"4 = 3·1 \+ 1"),
        (lambda: F.conv2d(X, W, groups=4), ValueError, r"6 = 4·1 \+ 2"),
        (lambda: F.conv2d(X, W[:, :3]), ValueError, r"4 チャネル.*3·1 \(groups\) = 3"),
        (lambda: F.conv2d(X, W, np.zeros(4)), ValueError, r"\(6,\)"),
        (lambda: F.conv2d(X[0, 0], W), ValueError, "expected 3 or 4 dimensions"),
        (lambda: F.conv2d(X, W[0]), ValueError, "4-dimensional weights"),
        (lambda: F.conv2d(X, W, None, 0), ValueError, "invalid stride"),
        (lambda: F.conv2d(X, W, None, 1, -1), ValueError, "invalid padding"),
        (lambda: F.conv2d(X, W, None, (1, 1, 1)), ValueError, "invalid stride"),
        (lambda: F.conv2d(X, W, None, 1.5), TypeError, "expected integers"),
        (lambda: F.conv2d(X, W, None, 2, "same"), ValueError, "same padding needs stride 1"),
        (lambda: F.conv2d(X, W, None, 1, "full"), ValueError, "unknown padding"),
        (lambda: F.conv2d(X, W, groups=0), ValueError, "invalid groups"),
        (lambda: F.conv_transpose2d(X, W), ValueError, "channel mismatch"),
        (lambda: F.conv_transpose2d(X, W[:4], output_padding=1), ValueError, "output_padding"),
        (lambda: F.conv_transpose2d(X[..., :1, :1], W[:4], padding=3), ValueError, "empty"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, r"3 = 2·1 \+ 1"),
        (lambda: nn.Conv2d(0, 4, 3), ValueError, "in_channels"),
        (lambda: nn.Conv2d(1, 4, 3, stride=2, padding="same"), ValueError, "stride 1"),
        (lambda: nn.Dropout2d()(np.zeros((2, 2))), ValueError, "expected 3 or 4"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 3))), ValueError, "shape mismatch"),
    ],
)  # fmt: skip
def test_what_cannot_be_done(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- 層 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_layers_have_pytorchs_parameters_and_answers(kind):
    how = {"kernel_size": (3, 2), "stride": 2, "padding": 1, "groups": 2, "dilation": (1, 2)}
    ours, theirs = getattr(nn, kind)(4, 6, **how), getattr(torch.nn, kind)(4, 6, **how)
    shapes = {name: a.shape for name, a in ours.state_dict().items()}
    assert shapes == {name: a.shape for name, a in theirs.state_dict().items()}
    state = dict(zip(shapes, (a.astype(np.float32) for a in numbers(*shapes.values()))))
    ours.load_state_dict(state)
    theirs.load_state_dict({name: torch.tensor(a) for name, a in state.items()})
    (x,) = (a.astype(np.float32) for a in numbers((2, 4, 6, 7)))
    with torch.no_grad():
        want = theirs(torch.tensor(x)).numpy()
    np.testing.assert_allclose(ours(x).detach().numpy(), want, rtol=1e-5, atol=1e-5)
    assert repr(ours) == repr(theirs)


def test_initial_values_and_multiply_adds():
    layer = nn.Conv2d(8, 16, 5, padding="same", groups=2)
    bound = 1 / np.sqrt(4 * 25)
    for p in layer.parameters():
        assert np.abs(p.detach().numpy()).max() <= bound
    assert layer.weight.detach().numpy().std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
    summary = nn.Sequential(layer, nn.ConvTranspose2d(16, 3, 2, 2, bias=False)).summary(
        (1, 8, 6, 6)
    )
    assert summary.parameters == 16 * 4 * 25 + 16 + 16 * 3 * 4
    assert summary.multiply_adds == 36 * 16 * 4 * 25 + 36 * 16 * 3 * 4


def test_batch_norm_and_dropout_of_channels():
    (x,) = (a.astype(np.float32) for a in numbers((4, 3, 5, 5)))
    ours, theirs = nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    np.testing.assert_allclose(
        ours(x).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(ours.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-5)
    mg.manual_seed(0)
    dropped = nn.Dropout2d(0.25)(np.ones((50, 40, 2, 3), np.float32)).numpy()
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert (dropped == dropped[:, :, :1, :1]).all()
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.05)
    assert nn.Dropout2d().eval()(x).numpy() is x or (nn.Dropout2d().eval()(x).numpy() == x).all()
