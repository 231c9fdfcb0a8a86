"""機械語の核: どの値、型、並び、空の形でも、NumPy の計算と同じ値と勾配になる。

畳み込み、プーリング、バッチ正規化、ReLU と門。機械語のあるものは、どれも 1 度は使われる。
"""

import itertools

import numpy as np
import pytest
import ways

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import native
from micrograd_jp.native import conv, norm, pointwise, pool
from micrograd_jp.native.ir import Function

pytestmark = pytest.mark.skipif(
    not native.available(), reason="machine code needs llvmlite (extra fast)"
)
CASES = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), (3, 20, 5, 6), (17, 20, 3, 3), (17,)),
    "conv2d, strides": (lambda x, w: F.conv2d(x, w, None, 2, 0, 2), (2, 3, 7, 8), (5, 3, 2, 3)),
    "conv2d, groups": (lambda x, w: F.conv2d(x, w, groups=4), (2, 4, 5, 5), (4, 1, 3, 3)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (3, 20, 6, 7)),
    "max_pool2d, overlap": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 5, 6, 7)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), (2, 5, 6, 7)),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
                   (4, 20, 3, 5), (20,), (20,)),
    "batch_norm, eval": (lambda x, w, b: F.batch_norm(x, w * 0 + 0.5, w * w + 1, w, b),
                         (4, 20, 3, 5), (20,), (20,)),
    "relu": (mg.relu, (3, 20, 5, 6)), "clip": (lambda x: mg.clip(x, -1, 1), (3, 20, 5, 6)),
    "masked": (lambda x: mg.where(x > 0, x, 2.0), (3, 20, 5, 6)),
    "bias": (lambda x, b: x + b, (3, 20, 5, 6), (20, 1, 1)),
    "linear": (F.linear, (30, 40), (7, 40), (7,)),
}  # fmt: skip
LAYOUTS = {
    "in a row": lambda x: x,
    "channels last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "a part": lambda x: np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 2)])[..., 1:-2],
    "backwards": lambda x: x[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
    "not aligned": lambda x: _moved(x),
}
SPECIAL = (0.0, -0.0, 1.5, -2.5, 0.25, np.inf, -np.inf, np.nan)


def _moved(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[...] = x
    return raw


def numbers(shape, dtype, odd, seed):
    """Ordinary numbers, among them a few odd ones."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if odd and x.size > 9:
        places = rng.choice(x.size, len(SPECIAL), replace=False)
        x.flat[places] = SPECIAL
    return x.astype(dtype)


def computed(case, dtype, layout, odd, shapes=None):
    """The value and the gradients, all with operands and upstream in this layout."""
    f, *own = case
    arrays = [numbers(s, dtype, odd, i) for i, s in enumerate(shapes or own)]
    xs = [LAYOUTS[layout](x) if x.ndim > 1 else x for x in arrays]
    leaves = [mg.from_numpy(x).requires_grad_() for x in xs]
    out = f(*leaves)
    g = numbers(out.shape, dtype, odd == 2, 9)
    out.backward(mg.from_numpy(LAYOUTS[layout](g) if g.ndim > 1 else g))
    return [out._data, *(x.grad._data for x in leaves)]


def difference(case, *how):
    with ways.nothing_is_small():
        ours = computed(case, *how)
    with native.disabled():
        theirs = computed(case, *how)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        eps = np.finfo(one.dtype).eps
        finite = np.abs(other[np.isfinite(other)])
        atol = 30 * eps * (finite.max(initial=0) + 1e-3)
        if not np.allclose(one, other, rtol=100 * eps, atol=atol, equal_nan=True):
            return f"{how}: {one} {other}"
    return ""


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", CASES)
def test_every_value_and_layout(name, dtype):
    for layout, odd in itertools.product(LAYOUTS, (0, 1, 2) if dtype is np.float32 else (2,)):
        assert difference(CASES[name], dtype, layout, odd) == ""


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith(("batch", "linear"))])
@pytest.mark.parametrize("empty", ["samples", "channels"])
def test_empty_shapes(name, empty):
    f, first, *rest = CASES[name]
    if empty == "samples":
        shapes = [(0, *first[1:]), *rest]
    elif name in ("bias", "conv2d, groups"):
        return
    else:
        shapes = [
            (first[0], 0, *first[2:]),
            *[(w[0], 0, *w[2:]) if len(w) > 1 else w for w in rest],
        ]
    for layout in LAYOUTS:
        assert difference((f, first, *rest), np.float32, layout, 0, shapes) == ""


def test_another_byte_order_is_left_to_numpy():
    for name in ("conv2d", "relu", "max_pool2d"):
        assert difference(CASES[name], ">f4", "in a row", 1) == ""


def test_every_kernel_is_used(monkeypatch):
    used, offered = set(), set()
    kernel = {module: module.kernel for module in (conv, norm, pointwise, pool)}
    for module, right in kernel.items():
        offered |= {x.name for x in vars(module).values() if isinstance(x, Function)}

        def noted(function, dtype, right=right):
            used.add(function.name)
            return right(function, dtype)

        monkeypatch.setattr(module, "kernel", noted)
    with ways.nothing_is_small():
        for case in CASES.values():
            for layout in ("in a row", "channels last"):
                computed(case, np.float32, layout, 1)
    assert offered - used == set()
    assert len(used) > 6


@pytest.mark.control
@pytest.mark.parametrize(("module", "name", "case"), [
    (conv, "convolved", "conv2d"), (pool, "window_max", "max_pool2d"),
    (norm, "batch_normalized", "batch_norm, eval"), (pointwise, "positive_part", "relu"),
])  # fmt: skip
def test_wrong_machine_code_is_noticed(module, name, case, monkeypatch):
    from micrograd_jp.namespace.numpy import NumPy

    right = getattr(module, name)

    def wrong(*xs, **how):
        out = right(*xs, **how)
        return None if out is None else np.nan_to_num(out)

    if name == "positive_part":
        monkeypatch.setattr(module, name, wrong)
    else:
        plain = getattr(NumPy, name)
        monkeypatch.setattr(NumPy, name, lambda self, *xs, **how: (
            plain(*xs, **how) if (out := wrong(*xs, **how)) is None else out))  # fmt: skip
    assert difference(CASES[case], np.float32, "channels last", 1)
