"""nan と inf の画素・重み・勾配: NumPy でも機械語でも、定義の和と、PyTorch と同じところだけが nan。

ふち (padding) は 0 の画素で、0·∞ は nan。しかし、窓のないところに 0 を掛けることはない。PyTorch は
float64 でこのとおり。float32 では、使うライブラリによってふちを計算から除くので、float64 で比べる。
XLA も、転置では窓のないところに 0 を掛ける: JAX の上では、画素の inf だけがこのとおりになる。
"""

import functools
import itertools

import numpy as np
import pytest

from micrograd_jp import namespace
from micrograd_jp.namespace.numpy_kernels import conv, depthwise
from micrograd_jp.native import conv as native
from micrograd_jp.ops.windows import Windows
from tests.reference import pytorch_answers

CHANNELS = [(1, 2, 1), (4, 8, 1), (4, 4, 4), (8, 4, 2)]  # inputs, outputs, groups
KERNELS, SIZE = [(3, 3), (2, 3), (3, 1), (1, 1)], (7, 6)
GRID = [
    (*which, Windows(kernel, stride, ((p, p), (q, q)), dilation))
    for which, kernel, stride, (p, q), dilation in itertools.product(
        CHANNELS, KERNELS, [(1, 1), (1, 2), (3, 3)], [(0, 0), (1, 1), (0, 2)], [(1, 1), (2, 1)]
    )
]
PLACES = ["x corners", "x edge", "x inside", "w", "g corners", "g inside"]


def arrays(c, o, groups, windows, place, value, dtype=np.float64):
    """Images, weights and a gradient, with a few numbers that are not finite."""
    rng = np.random.default_rng(c + o)
    outputs = windows.outputs(SIZE)
    shapes = (2, c, *SIZE), (o, c // groups, *windows.kernel), (2, o, *outputs)
    x, w, g = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    a = {"x": x, "w": w, "g": g}[place[0]]
    if "corners" in place:
        a[0, 0, 0, 0] = a[1, -1, -1, -1] = value
    else:
        a[0, 0, a.shape[2] // 2, -1 if "edge" in place else a.shape[3] // 2] = value
    return x, w, g


def by_definition(x, w, g, windows, groups):
    """The convolution and its gradients, tap by tap over the windows that there are."""
    n, c, o = len(x), x.shape[1], len(w)
    (top, bottom), (left, right) = windows.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    pixels = padded.reshape(n, groups, c // groups, *padded.shape[2:])
    weights = w.reshape(groups, o // groups, *w.shape[1:])
    upstream = g.reshape(n, groups, o // groups, *g.shape[2:])
    z, slope, back = np.zeros_like(upstream), np.zeros_like(weights), np.zeros_like(pixels)
    for i, j in itertools.product(*map(range, windows.kernel)):
        y, x_ = (
            slice(tap * d, tap * d + (count - 1) * s + 1, s)
            for tap, d, s, count in zip((i, j), windows.dilation, windows.stride, g.shape[2:])
        )
        seen = pixels[..., y, x_]
        z += np.einsum("ngchw,goc->ngohw", seen, weights[..., i, j])
        slope[..., i, j] += np.einsum("ngohw,ngchw->goc", upstream, seen)
        back[..., y, x_] += np.einsum("ngohw,goc->ngchw", upstream, weights[..., i, j])
    back = back.reshape(padded.shape)[:, :, top : top + SIZE[0], left : left + SIZE[1]]
    return z.reshape(g.shape), back, slope.reshape(w.shape)


def require_equal(got, want, case, tolerance=1e-9):
    for name, a, b in zip(("z", "dx", "dw"), got, want):
        np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=f"{name} {case}")


def cases(*places):
    for (c, o, groups, windows), place, value in itertools.product(GRID, places, (np.inf, np.nan)):
        case = (c, o, groups, windows, place, value)
        yield case, arrays(*case)


@functools.cache
def wanted(place, first, step):
    """Every case of so many, its arrays and what the sums say."""
    return [
        (case, xwg, by_definition(*xwg, case[3], case[2]))
        for case, xwg in itertools.islice(cases(place), first, None, step)
    ]


@pytest.fixture(params=["numpy", "side by side", "native"])
def kernels(request, monkeypatch):
    """The convolution and its gradients, as the namespace computes them."""
    if request.param == "native":
        pytest.importorskip("llvmlite", reason="llvmlite がないので機械語を調べない")
        monkeypatch.setattr(native, "SMALL", 0)
    else:
        monkeypatch.setattr(native, "_suits", lambda *_: False)
    if request.param == "side by side":
        monkeypatch.setattr(conv, "FEW_CHANNELS", 1)
        monkeypatch.setattr(conv, "CHUNK_BYTES", 1)
        monkeypatch.setattr(depthwise, "CHUNK", 1)
    m = namespace.of(np.zeros(1))

    def all_three(x, w, g, windows, groups):
        how = {"windows": windows, "groups": groups}
        return (
            m.convolved(x, w, **how),
            m.convolved_back(g, w, size=x.shape[2:], **how),
            m.correlated(x, g, **how),
        )

    return all_three


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_not_finite_goes_where_the_sums_say(kernels, place, step):
    for case, (x, w, g), want in wanted(place, PLACES.index(place) % step, step):
        groups, windows = case[2:4]
        require_equal(kernels(x, w, g, windows, groups), want, case)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("place", PLACES)
def test_the_sums_are_pytorchs(place):
    for case, (x, w, g), sums in wanted(place, 0, 7):
        groups, windows = case[2:4]
        got = [in_short(a) for a in sums]
        margins = tuple(p[0] for p in windows.padding)
        want = by_pytorch(x, w, g, windows.stride, margins, windows.dilation, groups)
        for name, (odd, totals), (places, sums_there) in zip(("z", "dx", "dw"), got, want):
            assert odd == places, f"{name} {case}"
            np.testing.assert_allclose(totals, sums_there, 1e-9, 1e-9, err_msg=f"{name} {case}")


@pytorch_answers
def by_pytorch(torch, x, w, g, *how):
    x, w = (torch.tensor(a, requires_grad=True) for a in (x, w))
    z = torch.nn.functional.conv2d(x, w, None, *how)
    slopes = torch.autograd.grad(z, (x, w), torch.tensor(g))
    return [in_short(t.detach().numpy()) for t in (z, *slopes)]


def in_short(a):
    """Where nan, inf and −inf are, and the sums over the rest of each channel, weighted."""
    odd = [np.packbits(test(a)).tobytes() for test in (np.isnan, np.isposinf, np.isneginf)]
    finite = np.where(np.isfinite(a), a, 0) * np.cos(np.arange(a[0, 0].size)).reshape(a[0, 0].shape)
    return odd, finite.sum((0, 2, 3))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_pixels_that_are_not_finite_are_the_same_on_jax():
    jax = pytest.importorskip("jax", reason="JAX がないので調べない")
    m = namespace.of(jax.numpy.zeros(1))
    for number, (case, _) in enumerate(cases("x corners", "x edge")):
        if number % 389:  # XLA compiles every configuration
            continue
        groups, windows = case[2:4]
        x, w, g = arrays(*case, dtype=np.float32)
        how = {"windows": windows, "groups": groups}
        got = (
            m.convolved(x, w, **how),
            m.convolved_back(g, w, size=SIZE, **how),
            m.correlated(x, g, **how),
        )
        require_equal(got, by_definition(x, w, g, windows, groups), case, 1e-3)
