"""足し合わせるときの丸め誤差: n 個の和の誤差は C·log₂(n)·ε·Σ|x| を超えない。

半精度は単精度で足すので、n によらず、その型の ε がいくつか加わるだけ。

まとめる関数も、その勾配も、ブロードキャストの逆も、同じところに足し込む演算も。基準は float64。
同じ数ばかりの配列は、前から順に足す誤差がいつも同じ向きなので、最も厳しい。整数は int64 で足す。
"""

import inspect
import warnings

import ml_dtypes
import numpy as np
import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp.namespace import ieee
from micrograd_jp.namespace.numpy_kernels import sums
from micrograd_jp.tensor.registry import FUNCTIONS
from tests.tensor.composed_rows import composed

BFLOAT16 = ml_dtypes.bfloat16
C, EPS32 = 4, float(np.finfo(np.float32).eps)
REDUCTIONS = [
    name for name, f in FUNCTIONS.items()
    if {"axis", "keepdims"} <= {*inspect.signature(f).parameters}
    and name not in composed(FUNCTIONS)
]  # fmt: skip
EXACT = {"amax", "amin", "max", "min", "argmax", "argmin", "all", "any"}
"""Nothing is rounded in these."""

PRODUCT = {"prod"}
"""n factors are rounded n times, in whatever order."""


def excess(got, wanted, n, dtype, scale=None):
    """The error in units of what is allowed; `scale`: Σ|x| where it is more than the result."""
    got, wanted = np.asarray(got).astype(np.float64), np.asarray(wanted, np.float64)
    scale = np.abs(wanted) if scale is None else scale
    info, half = ml_dtypes.finfo(dtype), np.dtype(dtype).itemsize == 2
    allowed = C * np.log2(max(n, 2)) * min(float(info.eps), EPS32)
    allowed += 2 * half * float(info.eps)  # of a few roundings, whatever n is
    allowed = allowed * np.maximum(scale, 1e-300) + half * float(info.smallest_subnormal)
    error = np.abs(got - wanted) / allowed
    return float(np.max(error, initial=0.0, where=~(got == wanted)))


def layouts(x):
    """The same array in other memory."""
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    return {
        "rows": x, "columns": np.asfortranarray(x), "apart": wide, "backwards": x[::-1],
        "last axis first": np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1),
    }  # fmt: skip


SHAPES = [((20000, 3), (0,)), ((20000, 1), (0,)), ((3, 20000), (1,)), ((2, 20000, 3), (1,)),
          ((400, 50, 2), (0, 1)), ((3000, 2, 3, 2), (0, 2, 3)), ((200, 2, 60), (0, 2)),
          ((100, 100), (0, 1)), ((20000,), (0,))]  # fmt: skip


def worst_sum(dtype, f=None):
    """Over every shape, axis and layout."""
    found = {}
    for shape, axis in SHAPES:
        for name, x in layouts(np.full(shape, 0.1, dtype)).items():
            n = int(np.prod([shape[a] for a in axis]))
            got = ieee.sum(x, axis=axis) if f is None else f(x, axis=axis)
            found[shape, axis, name] = excess(got, x.astype(np.float64).sum(axis), n, dtype)
    return max(found.values()), max(found, key=found.get)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, BFLOAT16])
def test_the_sum_itself(dtype):
    if dtype is np.float64:  # there is nothing longer to compare with: whole numbers are exact
        for shape, axis in SHAPES:
            for x in layouts(np.arange(np.prod(shape), dtype=dtype).reshape(shape)).values():
                np.testing.assert_array_equal(ieee.sum(x, axis=axis), x.sum(axis=axis))
        return
    assert worst_sum(dtype)[0] < 1, worst_sum(dtype)


@pytest.mark.control
def test_numpys_own_sum_is_caught():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert worst_sum(np.float32, np.add.reduce)[0] > 10
        assert worst_sum(np.float16, np.add.reduce)[0] > 10
        assert worst_sum(BFLOAT16, np.add.reduce)[0] > 10


@pytest.mark.parametrize(
    "kind, dtype",
    [
        ("numpy", np.float32),
        ("numpy", np.float16),
        ("numpy", BFLOAT16),
        ("jax", np.float32),
        pytest.param("jax", np.float16, marks=pytest.mark.slow),
        pytest.param("jax", BFLOAT16, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", [n for n in REDUCTIONS if n not in EXACT | PRODUCT])
def test_reductions_and_their_gradients(name, dtype, kind):
    make = pytest.importorskip("jax").numpy.asarray if kind == "jax" else np.asarray
    f = FUNCTIONS[name]
    n = 20000
    numbers = np.where(np.arange(n) % 3 > 0, 0.1, 0.3)
    # On JAX every shape is compiled anew.
    for shape in [(n, 1), (n, 2), (1, n), (2, n)] if kind == "numpy" else [(n, 2)]:
        axis = int(np.argmax(shape))
        x = np.broadcast_to(np.expand_dims(numbers, 1 - axis), shape).astype(dtype)
        t = mg.tensor(make(x), requires_grad=True)
        exact = mg.tensor(x.astype(np.float64), requires_grad=True)
        out, wanted = f(t, axis=axis), f(exact, axis=axis)
        assert excess(out._data, wanted._data, n, dtype) < 1, shape
        (out * 0.7).sum().backward()
        (wanted * 0.7).sum().backward()
        scale = float(np.abs(exact.grad._data).max())
        assert excess(t.grad._data, exact.grad._data, n, dtype, scale) < 1, shape


# ---- ほかの道でも -------------------------------------------------------------------------------
# コンパイルした関数の長い和は `test_compiled.py` が、バッチの統計の機械語は下で調べる。


def worst_jitted(names, shape, dtype):
    """Of reductions and their gradients in one program, where XLA fuses what it likes."""
    jnp = pytest.importorskip("jax.numpy", reason="JAX がない")
    n, axis = max(shape), int(np.argmax(shape))
    numbers = np.where(np.arange(n) % 3 > 0, 0.1, 0.3)
    x = np.broadcast_to(np.expand_dims(numbers, 1 - axis), shape).astype(dtype)

    def program(t):
        found = []
        for name in names:
            own = t.clone().detach().requires_grad_()
            out = FUNCTIONS[name](own, axis=axis)
            (out * 0.7).sum().backward()
            found += [out, own.grad]
        return found

    got = mg.jit(program)(mg.tensor(jnp.asarray(x)))
    wanted = program(mg.tensor(x.astype(np.float64)))
    return max(
        excess(one._data, exact._data, n, dtype, float(np.abs(exact._data).max()))
        for one, exact in zip(got, wanted, strict=True)
    )


@pytest.mark.parametrize(
    "shape, dtype",
    [((20000, 2), np.float32), ((2, 20000), np.float16)]
    + [
        pytest.param((n, m), dtype, marks=pytest.mark.slow)
        for n, m in ((20000, 1), (20000, 2), (1, 20000), (2, 20000))
        for dtype in (np.float32, np.float16, BFLOAT16)
    ],
)
def test_jitted(shape, dtype):
    assert worst_jitted([n for n in REDUCTIONS if n not in EXACT | PRODUCT], shape, dtype) < 1


@pytest.mark.control
def test_one_after_another_is_caught_when_jitted(monkeypatch):
    lax = pytest.importorskip("jax").lax
    from micrograd_jp.namespace.jax import JAX

    def in_a_row(self, x, axis=0, keepdims=False):
        return lax.scan(lambda total, row: (total + row, None), x[0] * 0, x)[0]

    monkeypatch.setattr(JAX, "sum", in_a_row)
    assert worst_jitted(["sum"], (20000, 2), np.float32) > 1


ROWS = 20000


def both(f, *shapes, dtype=np.float32, make=np.asarray):
    """Results and gradients in one dtype, and in float64."""
    found = []
    for kind, array in ((dtype, make), (np.float64, np.asarray)):
        xs = [np.full(s, 0.1, dtype).astype(kind) for s in shapes]
        xs = [mg.tensor(array(x), requires_grad=True) for x in xs]
        out = f(*xs)
        (out * float(dtype(0.1))).sum().backward()
        found.append([out._data, *(x.grad._data for x in xs)])
    return found


BROADCAST = {
    "add": (lambda x, b: x + b, (ROWS, 4), (4,)),
    "add one": (lambda x, b: x + b, (ROWS, 4), ()),
    "sub": (lambda x, b: x - b, (50, 400, 3), (3,)),
    "mul": (lambda x, b: x * b, (ROWS, 4), (4,)),
    "div": (lambda x, b: x / b, (3, ROWS), (3, 1)),
    "where": (lambda x, b: mg.where(np.array(False), x, b), (ROWS, 2), (2,)),
    "expand": (lambda b: b.expand(ROWS, 3), (3,)),
    "broadcast_to": (lambda b: b.broadcast_to((30, 700, 2)), (2,)),
    "linear": (lambda x, w, b: F.linear(x, w, b), (ROWS, 2), (3, 2), (3,)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b), (50, 1, 22, 22), (2, 1, 3, 3), (2,)),
    "take": (lambda x: x[np.arange(ROWS) % 2], (2, 3)),
    "index_add": (lambda x, y: x.index_add(0, np.arange(ROWS) % 2, y), (2, 3), (ROWS, 3)),
    "scatter_add": (lambda x, y: x.scatter_add(0, np.zeros((ROWS, 2), int), y), (1, 2), (ROWS, 2)),
    "gather": (lambda x: mg.gather(x, 0, np.zeros((ROWS, 1), int)), (2, 1)),
    "repeat": (lambda x: x.repeat(ROWS), (2,)), "tile": (lambda x: x.tile(ROWS), (2,)),
    "cumsum": (lambda x: x.cumsum(0), (ROWS, 2)), "trace": (lambda x: x.trace(), (300, 300)),
    "mse_loss": (lambda x, y: F.mse_loss(x, y * 0.5), (ROWS, 2), (ROWS, 2)),
    "l1_loss": (lambda x, y: F.l1_loss(x, y * 0.5), (ROWS, 2), (ROWS, 2)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x * mg.arange(4.0), 4, w, b),
                   (ROWS, 4), (4,), (4,)),
    "cross_entropy": (lambda x: F.cross_entropy(x, np.arange(ROWS) % 3), (ROWS, 3)),
    "batch_norm": (lambda x, w, b: F.batch_norm(_spread(x), None, None, w, b, training=True),
                   (10, 3, 40, 50), (3,), (3,)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 140), (1, 2, 140, 140)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), (1, 2, 140, 140)),
    "overlapping windows": (lambda x: F.avg_pool2d(x, 70, stride=1), (1, 1, 80, 80)),
    "local_response_norm": (lambda x: F.local_response_norm(x, 301, 1.0), (1, 300, 2, 2)),
}  # fmt: skip


OF_A_PRODUCT = ("linear", "conv2d")
"""The gradient of the weights is a matrix product, whose sums are BLAS's; the bias is looked at."""


def _spread(x):
    """Numbers around 0.1, such that no sum is zero by chance."""
    shape = (1, 1, *x.shape[2:])
    return x * mg.tensor(np.arange(np.prod(shape)).reshape(shape) % 7).to(x.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, BFLOAT16])
@pytest.mark.parametrize("name", BROADCAST)
def test_broadcasting_losses_and_scattering(name, dtype):
    f, *shapes = BROADCAST[name]
    if dtype is np.float16 and name in ("batch_norm", "div", "mul", "cumsum"):
        pytest.skip("results beyond the largest float16, or smaller than its smallest")
    check(name, dtype, *both(f, *shapes, dtype=dtype))


WINDOWS = ("avg_pool2d", "adaptive_avg_pool2d", "overlapping windows", "local_response_norm")


@pytest.mark.parametrize("name", [
    "index_add",
    *(pytest.param(name, marks=pytest.mark.slow)
      for name in ("add", "repeat", "take", "scatter_add", "gather")),
])  # fmt: skip
def test_on_jax(name):
    check_on_jax(name, np.float32)


def check_on_jax(name, dtype):
    make = pytest.importorskip("jax").numpy.asarray
    f, *shapes = BROADCAST[name]
    check(name, dtype, *both(f, *shapes, dtype=dtype, make=make))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WINDOWS, "batch_norm"])
def test_windows_in_half_precision_on_jax(name):
    check_on_jax(name, BFLOAT16 if name == "batch_norm" else np.float16)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16])
@pytest.mark.parametrize("name", [n for n in BROADCAST if n not in ("cumsum", "mul", "div")])
def test_half_precision_on_jax(name, dtype):
    if name != "batch_norm" or dtype is BFLOAT16:
        check_on_jax(name, dtype)


def test_windows_added_up_in_half_precision_are_caught(monkeypatch):
    """The fault put back: XLA's sum of a window, in the dtype of the images."""
    pytest.importorskip("jax")
    from micrograd_jp.namespace.jax_windows import JAXWindows

    monkeypatch.setattr(JAXWindows, "window_sum", JAXWindows.window_sum.__wrapped__)
    with pytest.raises(AssertionError):
        check_on_jax("avg_pool2d", np.float16)


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16])
def test_softmax_is_rounded_once(dtype):
    x = np.random.default_rng(0).normal(20, 1, (3, 4096)).astype(dtype)
    exact = mg.softmax(mg.tensor(x.astype(np.float64)), 1)._data
    for f in (mg.softmax, F.softmax, mg.Tensor.softmax):
        error = np.abs(f(mg.tensor(x), 1)._data.astype(np.float64) - exact)
        assert (error <= 0.51 * float(ml_dtypes.finfo(dtype).eps) * exact + 2.0**-25).all()


def check(name, dtype, ours, exact):
    if name in OF_A_PRODUCT:
        ours, exact = ours[-1:], exact[-1:]
    for one, other in zip(ours, exact, strict=True):
        scale = max(float(np.abs(other).max()), 1e-6)
        if name == "batch_norm":  # these cancel: Σ|x| is what they are made of
            scale = max(scale, 0.1 if other.ndim > 1 else 0.1 * ROWS)
        assert excess(one, other, ROWS, dtype, scale) < 1


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("native", [True, False])
def test_batch_statistics(layout, native, monkeypatch):
    if not native:
        monkeypatch.setenv("MICROGRAD_JP_NATIVE", "0")
    x = np.full((30, 40, 50, 3), 0.1, np.float32)
    x[::2] = 0.3
    x = np.moveaxis(x, -1, 1)
    x = x if layout == "last" else np.ascontiguousarray(x)
    got, n = ieee.batch_statistics(x), 60000
    exact = x.astype(np.float64)
    assert excess(got[0], exact.mean((0, 2, 3)), n, np.float32) < 1
    assert excess(got[1], exact.var((0, 2, 3)), n, np.float32) < 1
    w, one = np.ones(3, np.float32), np.full_like(x, 0.1)
    back = ieee.batch_normalized_back(one, x, w, mean=got[0], var=got[1], eps=0.0, batch=True)
    assert excess(back[2], one.astype(np.float64).sum((0, 2, 3)), n, np.float32) < 1


def test_whole_numbers_add_up_in_int64():
    for dtype in (bool, np.uint8, np.int8, np.int32):
        x = mg.tensor(np.ones(100_000, dtype))
        assert x.sum().item() == 100_000 and x.cumsum(0)[-1].item() == 100_000
    big = mg.tensor(np.array([2**30] * 4, np.int32))
    assert big.sum().item() == 2**32 and big.prod().item() == 0  # 2¹²⁰ mod 2⁶⁴, as in PyTorch
    assert mg.tensor(np.full(5, 100, np.int32)).prod().item() == 10**10


def test_examples():
    x = mg.tensor(np.full((1_000_000, 1), 0.1, np.float32)).expand(-1, 3).clone()
    assert np.allclose(x.sum(0)._data, 100_000, rtol=1e-5)
    ones = mg.ones(70_000, dtype=mg.float16, requires_grad=True)
    mean = ones.mean()
    mean.backward()
    assert mean.item() == 1.0 and abs(ones.grad[0].item() * 70_000 - 1) < 1e-2
    assert mg.tensor([300.0, 400.0], dtype=mg.float16).norm().item() == 500.0


def test_the_same_number_in_the_same_memory_is_multiplied():
    x = np.broadcast_to(np.float32(0.1), (3, 10**9))  # a sum over this many would take seconds
    np.testing.assert_allclose(sums.summed(x, (1,)), 1e8, rtol=1e-6)
