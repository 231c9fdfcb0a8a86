"""畳み込み・プーリングなどの機械語は NumPy の計算と同じ答えになる。間違った機械語は見つかる。"""

import ctypes
import itertools
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import micrograd_jp.namespace.numpy_kernels.conv as conv_numpy
import micrograd_jp.namespace.numpy_kernels.norm as norm_numpy
import micrograd_jp.namespace.numpy_kernels.pool as pool_numpy
import micrograd_jp.native.conv as conv_native
import micrograd_jp.native.norm as norm_native
import micrograd_jp.native.pool as pool_native
from micrograd_jp import native
from micrograd_jp.namespace import ieee
from micrograd_jp.native import allocator, call, machine_code, pointwise, threads
from micrograd_jp.native.ir import Function
from micrograd_jp.ops.windows import Windows

pytestmark = pytest.mark.skipif(
    not native.available(), reason="machine code needs llvmlite (extra fast)"
)
MODULES = (conv_native, norm_native, pointwise, pool_native)
WIDTHS = [n for n in (16, 32, 64) if native.available() and n <= machine_code.vector_bytes()]
varied = settings(max_examples=40)


@pytest.fixture(params=WIDTHS or [16])
def width(request, monkeypatch):
    """Every length of the registers that this machine has, and machine code for any size."""
    monkeypatch.setattr(machine_code, "vector_bytes", lambda: request.param)
    for module in MODULES:
        monkeypatch.setattr(module, "SMALL", 0)
    call.kernel.cache_clear()
    yield request.param
    call.kernel.cache_clear()


def in_layout(x, layout):
    """The same array in memory that looks different."""
    if layout == "last":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == "part":
        whole = np.full((x.shape[0], x.shape[2] + 2, x.shape[3] + 3, x.shape[1]), 9, x.dtype)
        part = whole[:, 1:-1, 1:-2].transpose(0, 3, 1, 2)
        part[...] = x
        return part
    if layout == "turned":
        return np.ascontiguousarray(x[:, :, ::-1, ::-1])[:, :, ::-1, ::-1]
    if layout == "shifted":  # not aligned
        raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        raw[...] = x
        return raw
    return x


LAYOUTS = ("first", "last", "part", "turned", "shifted")
pairs = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def layers(draw, channels=40):
    """(images, weights, bias, upstream gradient, windows)."""
    windows = Windows(
        draw(pairs(1, 4)), draw(pairs(1, 3)), (draw(pairs(-1, 3)), draw(pairs(-1, 3))),
        draw(pairs(1, 3)),
    )  # fmt: skip
    n, c, o = draw(st.integers(1, 5)), draw(st.integers(1, channels)), draw(st.integers(1, 40))
    size = draw(pairs(1, 12))
    oh, ow = windows.outputs(size)
    assume(oh > 0 and ow > 0)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    shapes = (n, c, *size), (o, c, *windows.kernel), (o,), (n, o, oh, ow)
    x, w, b, g = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    x, w, g = (in_layout(a, draw(st.sampled_from(LAYOUTS))) for a in (x, w, g))
    return x, w, b, g, windows


def require_close(got, want, **tolerance):
    assert got.dtype == want.dtype and got.shape == want.shape
    bound = 2e-4 if got.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, want, **{"rtol": bound, "atol": 10 * bound, **tolerance})


def require_numpys(x, w, b, g, windows):
    how = {"windows": windows, "groups": 1}
    size = x.shape[2:]
    ours = conv_native if g.size and w.size else ieee
    theirs = conv_numpy
    require_close(ours.convolved(x, w, b, **how), theirs.convolved(x, w, b, **how))
    require_close(ours.correlated(x, g, **how), theirs.correlated(x, g, **how))
    require_close(
        ieee.convolved_back(g, w, **how, size=size), theirs.convolved_back(g, w, **how, size=size)
    )


@varied
@given(layers())
def test_convolution_and_its_gradients_are_numpys(width, layer):
    require_numpys(*layer)


@varied
@given(layers(channels=8))
def test_images_and_sums_in_many_pieces(width, layer):
    whole = conv_native.correlated(layer[0], layer[3], windows=layer[4], groups=1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CHUNK_BYTES", "CHUNK_WORK", "BLOCK_BYTES"):
            patch.setattr(conv_native, name, 1)
        require_numpys(*layer)
        patch.setattr(conv_native, "SUM_BYTES", 0)
        x, _, _, g, windows = layer
        pieces = conv_native.correlated(x, g, windows=windows, groups=1)
    require_close(pieces, whole)


@varied
@given(layers(channels=6), st.integers(0, 2), st.sampled_from([np.inf, -np.inf, np.nan]))
def test_infinities_go_where_the_sums_say(width, layer, which, value):
    """Against sums over the padded images, where 0·∞ is nan."""
    x, w, b, g, windows = layer
    changed = [a.copy() for a in (x, w, g)]
    changed[which].flat[len(changed[which].flat) // 2] = value
    x, w, g = changed
    padding = windows.padding
    assume(min(min(p) for p in padding) >= 0)
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    z, slope = np.zeros(g.shape, x.dtype), np.zeros(w.shape, x.dtype)
    with np.errstate(invalid="ignore"):
        for i, j in itertools.product(*map(range, windows.kernel)):
            at = [
                slice(tap * d, tap * d + (n - 1) * s + 1, s)
                for tap, d, s, n in zip((i, j), windows.dilation, windows.stride, g.shape[2:])
            ]
            pixels = padded[:, :, at[0], at[1]]
            z += np.einsum("nchw,oc->nohw", pixels, w[:, :, i, j])
            slope[:, :, i, j] = np.einsum("nohw,nchw->oc", g, pixels)
        z += b[:, None, None]
    require_close(conv_native.convolved(x, w, b, windows=windows, groups=1), z)
    require_close(conv_native.correlated(x, g, windows=windows, groups=1), slope)


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_compute(width, shape):
    windows = Windows((3, 3))
    x, w, g = np.ones(shape, "f"), np.ones((4, shape[1], 3, 3), "f"), np.ones((shape[0], 4, 3, 3))
    require_numpys(x, w, np.ones(4, "f"), g.astype("f"), windows)


FAULTS = {
    "subtracts": (r"fadd contract", "fsub contract"),
    "stores one pixel of a tile": (r"icmp sle", "icmp sge"),
    "forgets the steps": (r"(getelementptr i64, ptr %a3, i64) %phi\d+", r"\1 0"),
    "begins with nothing": (r"(align 4\n  store <\d+ x float>) %\d+", r"\1 zeroinitializer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_machine_code_is_noticed(width, monkeypatch, fault):
    rng = np.random.default_rng(0)
    layer = [
        rng.standard_normal(s).astype("f")
        for s in ((3, 5, 7, 6), (20, 5, 3, 3), (20,), (3, 20, 7, 6))
    ]
    windows = Windows((3, 3), padding=((1, 1), (1, 1)))
    require_numpys(*layer, windows)
    right = Function.module

    def wrong(function, vector):
        text, count = re.subn(*FAULTS[fault], right(function, vector))
        assert count
        return text

    monkeypatch.setattr(Function, "module", wrong)
    call.kernel.cache_clear()
    with pytest.raises(AssertionError, match="Not equal"):
        require_numpys(*layer, windows)
    call.kernel.cache_clear()


# ---- 最大値プーリング --------------------------------------------------------------------------


@varied
@given(layers(), st.booleans())
def test_max_pooling_is_numpys(width, layer, unusual):
    x, *_, windows = layer
    x = np.round(in_layout(x, "last"))  # equal pixels: the first of them is chosen
    if unusual:
        x.flat[::5], x.flat[::7], x.flat[::11] = np.nan, np.inf, -np.inf
    z = pool_native.window_max(x, windows)
    np.testing.assert_array_equal(z, pool_numpy.window_max(x, windows))
    places = pool_native.window_places(x, z, windows)
    np.testing.assert_array_equal(places, pool_numpy.window_places(x, z, windows))
    g = np.arange(z.size, dtype=x.dtype).reshape(z.shape)
    for upstream in (g, in_layout(g, "last")):
        np.testing.assert_array_equal(
            pool_native.window_drop(upstream, places, windows, x.shape[2:]),
            pool_numpy.window_drop(upstream, places, windows, x.shape[2:]),
        )


# ---- 行列の積と、要素ごとの計算 ----------------------------------------------------------------


SPECIAL = np.array([0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_relu_and_bias_gradient_are_numpys(width, dtype, layout, monkeypatch):
    monkeypatch.setattr(pointwise, "JOB", 100)
    x = in_layout(np.resize(SPECIAL, (3, 48, 5, 3)).astype(dtype), layout)
    g = in_layout(np.resize(SPECIAL[::-1], (3, 48, 5, 3)).astype(dtype), layout)
    used = layout in ("first", "last")
    assert (pointwise.positive_part(x) is not None) == used
    assert (pointwise.gated(g, x > 0) is not None) == used
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(ieee.maximum(x, 0), np.maximum(x, 0))
        np.testing.assert_array_equal(ieee.times(g, x > 0), g * (x > 0))
        np.testing.assert_array_equal(ieee.sum(x, axis=(0, 2, 3)), np.add.reduce(x, axis=(0, 2, 3)))
    x = in_layout(np.random.default_rng(0).standard_normal(x.shape).astype(dtype), layout)
    require_close(ieee.sum(x, axis=(0, 2, 3)), np.add.reduce(x, axis=(0, 2, 3)))


# ---- バッチ正規化 ------------------------------------------------------------------------------


@varied
@given(st.data(), st.booleans(), st.sampled_from([1, 40, 1 << 16]))
def test_batch_normalization_is_numpys(width, data, batch, job):
    shape = data.draw(st.tuples(*[st.integers(1, n) for n in (9, 40, 7, 5)]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(0)
    x, g = (rng.normal(3, 2, shape).astype(dtype) for _ in range(2))
    x, g = (in_layout(a, data.draw(st.sampled_from(["first", "last"]))) for a in (x, g))
    w, b = (rng.normal(size=shape[1]).astype(dtype) for _ in range(2))
    rows = np.moveaxis(x, 1, -1)
    ours, theirs = norm_native if rows.flags.c_contiguous else ieee, norm_numpy
    mean, var = theirs.batch_statistics(x)
    how = {"mean": mean, "var": var, "eps": 0.01, "batch": batch}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(norm_native, "JOB", job)
        for got, want in zip(ours.batch_statistics(x), (mean, var)):
            require_close(got, want)
        require_close(
            ours.batch_normalized(x, w, b, mean, var, 0.01),
            theirs.batch_normalized(x, w, b, mean, var, 0.01),
        )
        for got, want in zip(
            ours.batch_normalized_back(g, x, w, **how), theirs.batch_normalized_back(g, x, w, **how)
        ):
            require_close(got, want)


def test_batch_statistics_of_numbers_far_from_zero(width):
    """No squares of large means; and what is infinite stays in its channel."""
    x = 1e4 + np.random.default_rng(0).standard_normal((50, 16, 8, 8))
    x = in_layout(x.astype(np.float32), "last")
    for got, exact in zip(
        norm_native.batch_statistics(x), (x.mean((0, 2, 3), float), x.var((0, 2, 3), float))
    ):
        np.testing.assert_allclose(got, exact, rtol=1e-5)
    x[0, 3, 2, 1] = np.inf
    with np.errstate(invalid="ignore"):
        mean, var = norm_native.batch_statistics(x)
        z = norm_native.batch_normalized(x, *np.ones((4, 16), "f"), 0.01)
    others = np.arange(16) != 3
    assert (
        mean[3] == np.inf and np.isnan(var[3]) and np.isfinite([*mean[others], *var[others]]).all()
    )
    assert z[0, 3, 2, 1] == np.inf and np.isfinite(z).sum() == z.size - 1


# ---- スレッドとプロセス ------------------------------------------------------------------------


def step(seed=0):
    """Everything that is computed in parts."""
    rng = np.random.default_rng(seed)
    windows = Windows((3, 3), padding=((1, 1), (1, 1)))
    x, w, g = (
        in_layout(rng.standard_normal(s, dtype=np.float32), "last")
        for s in ((40, 16, 12, 12), (16, 16, 3, 3), (40, 16, 12, 12))
    )
    how = {"windows": windows, "groups": 1}
    z = conv_native.convolved(x, w, **how)
    return (
        z, conv_native.correlated(x, g, **how),
        ieee.convolved_back(g, w, **how, size=(12, 12)),
        ieee.sum(g, axis=(0, 2, 3)), pool_native.window_max(z, Windows((2, 2), (2, 2))),
    )  # fmt: skip


@pytest.fixture
def many_pieces(monkeypatch):
    monkeypatch.setattr(conv_native, "CHUNK_BYTES", 50_000)
    monkeypatch.setattr(conv_native, "CHUNK_WORK", 1)
    monkeypatch.setattr(pointwise, "JOB", 1000)
    monkeypatch.setattr(pool_native, "JOB_BYTES", 20_000)


def test_the_number_of_threads_changes_no_bit(many_pieces, monkeypatch):
    answers = []
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "threads", lambda count=count: count)
        monkeypatch.setattr(threads, "_pool", None)
        answers += [step(), step()]
    for answer in answers[1:]:
        for a, b in zip(answers[0], answer):
            assert a.tobytes() == b.tobytes()


def test_several_threads_at_once(many_pieces):
    alone, together = [step(i) for i in range(4)], [None] * 4

    def work(i):
        for _ in range(5):
            together[i] = step(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for want, got in zip(alone, together):
        for a, b in zip(want, got):
            np.testing.assert_array_equal(a, b)


def test_errors_come_out_of_the_threads(monkeypatch):
    monkeypatch.setattr(threads, "threads", lambda: 3)
    monkeypatch.setattr(threads, "_pool", None)
    done = []

    def work(i):
        if i == 2:
            raise ZeroDivisionError
        done.append(i)

    with pytest.raises(ZeroDivisionError):
        threads.run(work, 5)
    threads.run(done.append, 5)
    assert set(range(5)) <= set(done)


_PROGRAM = """
import os, sys
import numpy as np
import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import native
from micrograd_jp.native import threads
threads.threads = lambda: 3
x, w = np.ones((64, 8, 16, 16), np.float32), np.ones((16, 8, 3, 3), np.float32)
answer = F.conv2d(x, w).data
assert ("llvmlite" in sys.modules) == (threads._pool is not None) == (sys.argv[1] == "1"), sys.argv
if hasattr(os, "fork"):
    child = os.fork()
    if not child:
        os._exit(0 if (F.conv2d(x, w).data == answer).all() else 3)
    assert os.waitpid(child, 0)[1] == 0
print(float(answer.sum()))
"""


@pytest.mark.parametrize("wanted", ["0", "1"])
def test_a_forked_process_has_threads_of_its_own_and_machine_code_can_be_switched_off(wanted):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _PROGRAM, wanted],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "MICROGRAD_JP_NATIVE": wanted},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 64 * 16 * 14 * 14 * 8 * 9


def test_disabled_means_numpy(width):
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype("f") for s in ((2, 5, 6, 6), (4, 5, 3, 3)))
    how = {"windows": Windows((3, 3)), "groups": 1}
    assert native.enabled()
    with native.disabled():
        assert not native.enabled()
        assert conv_native.convolved(x, w, **how) is None
        got = ieee.convolved(x, w, **how)
    assert native.enabled()
    assert got.tobytes() == conv_numpy.convolved(x, w, **how).tobytes()


# ---- メモリ ------------------------------------------------------------------------------------


def test_the_users_choice_of_memory_is_respected(monkeypatch):
    calls = []
    fake = type("Library", (), {"mallopt": lambda self, *how: calls.append(how) or 1})
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: fake())
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    assert allocator.keep.__wrapped__()
    assert calls == [(-3, 1 << 25), (-1, 1 << 29)]
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    assert not allocator.keep.__wrapped__()
    assert len(calls) == 2
