"""プーリングと局所応答正規化: でたらめな設定で PyTorch と、値も 1 階・2 階の微分も同じ。"""

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from window_oracle import numbers, require_same

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from tests.reference import like_pytorch, torch

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))
KERNELS = st.tuples(st.integers(1, 4), st.integers(1, 4))
STEPS = st.tuples(st.integers(1, 4), st.integers(1, 4))
BATCHES = st.tuples(st.integers(0, 2), st.integers(1, 3))


@st.composite
def poolings(draw, dilated=False):
    """(shape, kernel, stride, padding, dilation, ceil_mode), with a pixel in every window."""
    shape = (*draw(BATCHES), *draw(SIDES))
    kernel, stride = draw(KERNELS), draw(STEPS)
    dilation = draw(STEPS) if dilated else (1, 1)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    for n, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation):
        assume(n + 2 * p >= d * (k - 1) + 1)
        starts = range(-p, n, s)
        assume(all(any(0 <= start + i * d < n for i in range(k)) for start in starts))
    return shape, kernel, stride, padding, dilation, draw(st.booleans())


@like_pytorch(poolings(dilated=True), st.booleans(), max_examples=80, kept=25)
def test_max_pool2d_is_pytorchs(pooling, ties):
    shape, *how = pooling
    (x,) = numbers(shape)
    x = np.round(x) if ties else x  # equal pixels: one of them gets the gradient
    require_same(
        lambda x: F.max_pool2d(x, *how), lambda x: torch.nn.functional.max_pool2d(x, *how), [x]
    )


@like_pytorch(poolings(), st.booleans(), st.sampled_from([None, 3]), max_examples=80, kept=25)
def test_avg_pool2d_is_pytorchs(pooling, with_padding, divisor):
    shape, kernel, stride, padding, _, ceil = pooling
    how = (kernel, stride, padding, ceil, with_padding, divisor)
    require_same(
        lambda x: F.avg_pool2d(x, *how),
        lambda x: torch.nn.functional.avg_pool2d(x, *how),
        numbers(shape),
    )


@like_pytorch(
    BATCHES, SIDES, st.tuples(st.integers(1, 7), st.integers(1, 7)), st.booleans(),
    max_examples=50, kept=25,
)  # fmt: skip
def test_adaptive_pooling_is_pytorchs(batch, sides, wanted, largest):
    name = "adaptive_max_pool2d" if largest else "adaptive_avg_pool2d"
    (x,) = numbers((*batch, *sides))
    assume(not largest or x.size)
    theirs = getattr(torch.nn.functional, name)
    require_same(lambda x: getattr(F, name)(x, wanted), lambda x: theirs(x, wanted), [np.round(x)])


@like_pytorch(
    st.tuples(st.integers(1, 2), st.integers(1, 6), *[st.integers(1, 3)] * 2), st.integers(1, 6),
    max_examples=30,
)  # fmt: skip
def test_local_response_norm_is_pytorchs(shape, size):
    how = (size, 0.4, 0.6, 1.5)
    require_same(
        lambda x: F.local_response_norm(x, *how),
        lambda x: torch.nn.functional.local_response_norm(x, *how),
        numbers(shape),
    )


def test_a_window_larger_than_the_image_hangs_over_its_edge_in_ceil_mode():
    x = mg.tensor([[[[3.0]]]])
    for pool in (F.max_pool2d, F.avg_pool2d):
        assert pool(x, 2, 2, ceil_mode=True).tolist() == [[[[3.0]]]]
        with pytest.raises(ValueError, match="larger than the image"):
            pool(x, 2, 2)
        with pytest.raises(ValueError, match="larger than the image"):
            pool(x, 3, 1, ceil_mode=True)


def test_third_derivatives_of_max_pooling():
    (x,) = numbers((1, 1, 4, 4))
    f = lambda x: (F.max_pool2d(x, 2) ** 4).sum()
    third = mg.grad(lambda x: mg.grad(lambda x: mg.grad(f)(x).sum())(x).sum())(mg.tensor(x))
    top = np.repeat(np.repeat(F.max_pool2d(x, 2).numpy(), 2, axis=2), 2, axis=3)
    np.testing.assert_allclose(third.data, np.where(x == top, 24 * x, 0))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_nan_and_infinity(layout):
    x = np.zeros((1, 2, 4, 4), np.float32)
    x[0, 0, 0, 1], x[0, 0, 2, 3], x[0, 1] = np.nan, np.inf, -np.inf
    if layout == "NHWC":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    t = mg.Tensor(x, requires_grad=True)
    z = F.max_pool2d(t, 2)
    np.testing.assert_array_equal(z.detach().numpy()[0, 0], [[np.nan, 0], [0, np.inf]])
    np.testing.assert_array_equal(z.detach().numpy()[0, 1], -np.inf)
    z.backward(np.ones(z.shape, np.float32))
    assert t.grad.numpy()[0, 0, 0, 1] == 1  # to the nan that won
    assert t.grad.numpy()[0, 0, 2, 3] == 1
    np.testing.assert_array_equal(t.grad.numpy().sum(axis=(2, 3)), [[4, 4]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.max_pool2d(x, 3, 2, 1), lambda x: F.avg_pool2d(x, 3, 2, 1, True, False),
        lambda x: F.adaptive_avg_pool2d(x, 4), lambda x: F.adaptive_max_pool2d(x, (4, None)),
        lambda x: F.local_response_norm(x, 3),
    ],
)  # fmt: skip
def test_the_type_is_kept_and_inputs_are_left_alone(f, dtype):
    x = numbers((2, 3, 6, 6))[0].astype(dtype)[:, ::-1]
    before = x.copy()
    x.setflags(write=False)
    t = mg.Tensor(x, requires_grad=True)
    z = f(t)
    z.backward(np.ones(z.shape, dtype))
    assert (z.dtype, t.grad.dtype, t.grad.shape) == (dtype, dtype, x.shape)
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(t.grad.numpy(), x)
    want = f(mg.tensor(before.astype(np.float64))).numpy()
    np.testing.assert_allclose(
        z.detach().numpy(), want, rtol=8 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps
    )


def test_one_image_without_a_batch():
    (x,) = numbers((3, 6, 5))
    for f in (
        lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2),
        lambda x: F.adaptive_avg_pool2d(x, 4), lambda x: F.adaptive_max_pool2d(x, 4),
    ):  # fmt: skip
        np.testing.assert_array_equal(f(x).numpy(), f(x[None]).numpy()[0])


X = np.zeros((1, 1, 4, 6))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.max_pool2d(X, 5), ValueError, r"高さ.*⌊\(4 \+ 2·0 − 5\)/5⌋ \+ 1 = 0"),
        (lambda: F.avg_pool2d(X, (2, 9), padding=(0, 1)), ValueError,
         r"幅.*⌊\(6 \+ 2·1 − 9\)/[0-9]⌋ \+ 1 = 0"),
        (lambda: F.max_pool2d(X, 2, padding=2), ValueError, "larger than half"),
        (lambda: F.max_pool2d(X[0, 0], 2), ValueError, "expected 3 or 4 dimensions"),
        (lambda: F.avg_pool2d(X, 0), ValueError, "invalid kernel_size"),
        (lambda: F.avg_pool2d(X, 2, divisor_override=0), ValueError, "divide by zero"),
        (lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)), ValueError, "invalid output_size"),
        (lambda: F.adaptive_avg_pool2d(X, 0), ValueError, "invalid output_size"),
        (lambda: F.adaptive_avg_pool2d(X[..., :0], 1), ValueError, "empty image"),
        (lambda: F.adaptive_max_pool2d(X, 2.5), TypeError, "expected integers"),
        (lambda: F.local_response_norm(X[0, 0], 2), ValueError, "at least 3"),
        (lambda: F.local_response_norm(X, 0), ValueError, "invalid size"),
    ],
)  # fmt: skip
def test_what_cannot_be_done(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_layers_are_the_functions():
    (x,) = numbers((2, 3, 7, 7))
    for name, how in {
        "MaxPool2d": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        "AvgPool2d": {"kernel_size": 3, "padding": 1, "count_include_pad": False},
        "AdaptiveAvgPool2d": {"output_size": (3, None)},
        "AdaptiveMaxPool2d": {"output_size": 2},
        "LocalResponseNorm": {"size": 2, "k": 2.0},
    }.items():
        ours, theirs = getattr(nn, name)(**how), getattr(torch.nn, name)(**how)
        np.testing.assert_allclose(ours(x).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-12)
        assert repr(ours) == repr(theirs)
