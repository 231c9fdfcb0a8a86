"""何段もの公式を 1 度に計算する道は、宣言の公式と、最後の数ビットまで一致する。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import micrograd_jp as mg
from micrograd_jp import native
from micrograd_jp.graph.shares import MANY_STEPS
from micrograd_jp.namespace import ieee
from micrograd_jp.namespace.numpy_kernels import activations, closed
from micrograd_jp.native import pointwise
from micrograd_jp.ops import elementwise
from micrograd_jp.ops.primitive import elementwise_primitives

TYPES = [np.float32, np.float64]
OPS = [op for op in elementwise_primitives() if op.name in MANY_STEPS]
REST = {"leaky_relu": (0.3,), "elu": (1.5,)}


def points(dtype, n=6000):
    """Every kind of float: edges, all sizes, denormal, and what one meets usually."""
    info = np.finfo(dtype)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, info.tiny, info.smallest_subnormal, info.max,
             -info.max, -87.0, -87.5, -88.5, -103.0, -104.0, -708.0, -709.0, -745.0, -746.0, 88.7,
             -3.0, 3.0, 0.84375, 0.927734375, -0.927734375, 4.0, 6.0, 1.0, -1.0]  # fmt: skip
    rng = np.random.default_rng(0)
    sizes = rng.choice([-1, 1], n // 3) * 10.0 ** rng.uniform(-30, 3, n // 3)
    usual = rng.normal(size=n - len(edges) - len(sizes)) * 4
    with np.errstate(all="ignore"):
        return rng.permutation(np.concatenate([edges, sizes, usual])).astype(dtype)


def formula(op, x, rest):
    """The declaration itself, with NumPy's own `where`."""
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed, "_SOME", 10**9)
        return op.value(ieee, x, *rest)


def ulps(a, b, dtype):
    """How many floats lie between two numbers: by their bits, in order."""
    bits = [x.astype(dtype).view(f"i{np.dtype(dtype).itemsize}").astype(object) for x in (a, b)]
    lowest = -(2 ** (8 * np.dtype(dtype).itemsize - 1))
    ordered = [np.where(x < 0, lowest - x, x) for x in bits]
    return abs(ordered[0] - ordered[1])


def require_near(found, expected, most, x):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    real = ~np.isnan(expected)
    far = ulps(found[real], expected[real], expected.dtype)
    assert far.max(initial=0) <= most, (x[real][far.argmax()], found[real][far.argmax()], far.max())


# Where the formula itself loses digits (1 + erf for x < 0), the same rounding of another erf shows:
# compared as PyTorch's are, by what is lost in all.
LOSING = {"gelu", "mish"}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("way", ["numpy", "native"])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_values_are_those_of_the_declaration(op, way, dtype):
    x, rest = points(dtype), REST.get(op.name, ())
    with pytest.MonkeyPatch.context() as patch:
        if way == "native":
            pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")
            patch.setattr(pointwise, "SMALL", 0)
            with np.errstate(all="ignore"):
                found = pointwise.value(op, x, rest)
        else:
            with native.disabled(), np.errstate(all="ignore"):
                found = ieee.fused(op, x, *rest)
    expected = formula(op, x, rest)
    if op.name in LOSING:
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(found, expected, rtol=8 * eps, atol=4 * eps)
        return
    require_near(found, expected, 8 if way == "native" else 4, x)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("way", ["numpy", "native"])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_gradients_are_those_of_the_declaration(op, way, dtype):
    if way == "native":
        pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")
    x, rest = points(dtype), REST.get(op.name, ())
    g = np.random.default_rng(1).normal(size=x.shape).astype(dtype)
    z = formula(op, x, rest)
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed, "_SOME", 10**9)
        expected = ieee.times(g, op.partials[0](ieee, z, x, *rest)).astype(dtype)
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        if way == "native":
            patch.setattr(pointwise, "SMALL", 0)
            found = pointwise.share(op, g, z, x, rest)
        else:
            with native.disabled():
                found = ieee.fused_share(op, g, z, x, *rest)
    if found is None:
        assert way == "numpy" and op.name not in activations.SHARES
        return
    eps = np.finfo(dtype).eps
    assert found.dtype == expected.dtype
    scale = np.abs(g).max()
    np.testing.assert_allclose(found, expected, rtol=16 * eps, atol=8 * eps * scale)


def test_negative_control_an_unguarded_reciprocal_is_noticed(monkeypatch):
    """1 / (1 + e⁻ˣ) alone has no denormal results."""
    monkeypatch.setattr(activations, "_LOWEST", dict.fromkeys(activations._LOWEST, -np.inf))
    x = points(np.float32)
    with native.disabled(), np.errstate(all="ignore"):
        found = ieee.fused(elementwise.sigmoid, x)
    with pytest.raises(AssertionError):
        require_near(found, formula(elementwise.sigmoid, x, ()), 4, x)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3, 4), (7, 5000)])
@pytest.mark.parametrize("name", sorted(MANY_STEPS))
def test_shapes_and_parts(name, shape):
    x = np.random.default_rng(0).normal(size=shape)
    op = getattr(elementwise, name)
    t = mg.tensor(x, requires_grad=True)
    out = getattr(mg, name)(t)
    out.sum().backward()
    expected = op.value(ieee, x, *op.defaults)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-13, atol=1e-15)
    strided = mg.tensor(np.repeat(x[..., None], 2, -1)[..., 0], requires_grad=True)
    getattr(mg, name)(strided).sum().backward()
    np.testing.assert_allclose(strided.grad.numpy(), t.grad.numpy(), rtol=1e-12, atol=1e-14)


# ---- 条件で選ぶ -----------------------------------------------------------------------------

floats = st.floats(width=32) | st.sampled_from([0.0, -0.0, np.nan, np.inf, 1.0])


@given(
    st.sampled_from([np.float16, np.float32, np.float64]),
    hnp.arrays(bool, st.integers(1, 40)),
    st.data(),
)
def test_where_chooses_the_same_bits(dtype, condition, data):
    def side():
        whole = hnp.arrays(np.float64, condition.shape, elements=floats)
        with np.errstate(all="ignore"):
            return data.draw(whole.map(lambda a: a.astype(dtype)) | floats | st.booleans())

    x, y = side(), side()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed, "_SOME", 0)
        with np.errstate(all="ignore"):
            found, expected = closed.chosen(condition, x, y), np.where(condition, x, y)
        if found is not None:
            assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()
            assert found.base is not x and not np.shares_memory(found, condition)
        else:
            assert not isinstance(x, np.ndarray) and not isinstance(y, np.ndarray)


def test_where_keeps_the_payload_of_a_nan_and_takes_any_layout():
    x = np.array([0x7FC00001, 0xFFC12345], np.uint32).view(np.float32).repeat(4096).reshape(2, -1).T
    y, c = x[:, ::-1], np.arange(x.size).reshape(x.shape) % 3 == 0
    assert ieee.where(c, x, y).tobytes() == np.where(c, x, y).tobytes()
    assert ieee.where(c.T.copy().T, x, 0).tobytes() == np.where(c, x, np.float32(0)).tobytes()


def test_no_element_is_chosen_by_a_branch(monkeypatch):
    """Neither the values nor the gradients of large arrays go through `np.where`.

    But those that choose between two numbers, which have no dtype.
    """
    x = mg.tensor(np.linspace(-3, 3, 1 << 13), requires_grad=True)

    def refused(*args):
        raise AssertionError("np.where of a large array")

    with native.disabled():
        monkeypatch.setattr(np, "where", refused)
        for name in sorted(MANY_STEPS - {"leaky_relu", "hard_sigmoid", "hardswish"}):
            getattr(mg, name)(x).sum().backward()
