"""定義をそのまま書いた NumPy の式と等しい。PyTorch のない環境でも、値と既定値を知っている。"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.nn import functional as F

RNG = np.random.default_rng(0)


def equal(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours._data, theirs, rtol=1e-10, atol=1e-12)


def normal(*shape):
    return RNG.normal(size=shape)


# ---- 分ける、対角、三角、並べる -----------------------------------------------------------------


@given(st.integers(0, 7), st.integers(1, 9), st.integers(0, 1))
def test_the_pieces_of_a_split_are_the_whole_again(n, step, axis):
    x = normal(*([n, 3] if axis == 0 else [3, n]))
    pieces = mg.split(mg.tensor(x), step, axis)
    lengths = [p.shape[axis] for p in pieces]
    assert sum(lengths) == n and len(pieces) == max(1, -(-n // step))
    assert all(length == step for length in lengths[:-1]) and lengths[-1] <= step
    equal(mg.concatenate(pieces, axis), x)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 1))
def test_pieces_of_given_lengths(lengths, axis):
    shape = [2, 2]
    shape[axis] = sum(lengths)
    x = normal(*shape)
    places = np.cumsum(lengths)[:-1]
    for ours, theirs in zip(mg.split(mg.tensor(x), lengths, axis), np.split(x, places, axis)):
        equal(ours, theirs)


def test_unbind_takes_the_first_axis_or_the_given_one():
    x = normal(2, 3, 4)
    for axis, ours in [(0, mg.unbind(mg.tensor(x))), (1, mg.unbind(mg.tensor(x), 1))]:
        assert len(ours) == x.shape[axis]
        for i, row in enumerate(ours):
            equal(row, x.take(i, axis))


@pytest.mark.parametrize("offset", range(-4, 5))
def test_diagonals_and_triangles(offset):
    x = normal(3, 4, 2)
    equal(mg.diagonal(mg.tensor(x), offset), np.diagonal(x, offset))
    equal(mg.diagonal(mg.tensor(x), offset, 2, 1), np.diagonal(x, offset, 2, 1))
    for name in ("tril", "triu"):
        ours, theirs = getattr(mg, name), getattr(np, name)
        equal(ours(mg.tensor(x), offset), theirs(x, offset))
        equal(ours(mg.tensor(x)), theirs(x))
        equal(getattr(mg.tensor(x), name)(), theirs(x))
    equal(mg.diagonal(mg.tensor(x)), np.diagonal(x))


@given(
    st.lists(st.integers(-2, 2), min_size=1, max_size=8), st.booleans(), st.sampled_from([-1, 0])
)
def test_argsort_keeps_the_order_of_equal_numbers(numbers, descending, axis):
    x = np.array([numbers, numbers[::-1]], dtype=float)
    key = -x if descending else x
    wanted = np.argsort(key, axis, kind="stable")
    assert mg.argsort(mg.tensor(x), axis, descending).tolist() == wanted.tolist()
    values, places = mg.sort(mg.tensor(x), axis, descending)
    assert places.tolist() == wanted.tolist()
    equal(values, np.take_along_axis(x, wanted, axis))
    k = x.shape[axis] // 2 + 1
    equal(
        mg.topk(mg.tensor(x), k, axis, descending).values,
        np.take_along_axis(x, wanted.take(range(k), axis), axis),
    )


@pytest.mark.control
def test_another_definition_is_noticed(monkeypatch):
    right = mg.diagonal, mg.unbind
    monkeypatch.setattr(mg, "diagonal", lambda x, k=0, *axes: right[0](x, -k, *axes))
    with pytest.raises(AssertionError):
        test_diagonals_and_triangles(1)
    monkeypatch.setattr(mg, "unbind", lambda x, axis=0: right[1](x, 0))
    with pytest.raises(AssertionError):
        test_unbind_takes_the_first_axis_or_the_given_one()


# ---- 行列 ---------------------------------------------------------------------------------------


@given(st.sampled_from([0.0, 1.0, -2.5]), st.sampled_from([0.0, 1.0, -0.5]))
def test_addmm_and_its_slopes(alpha, beta):
    arrays = normal(2, 4), normal(2, 3), normal(3, 4)
    x, a, b = (mg.tensor(v, requires_grad=True) for v in arrays)
    out = mg.addmm(x, a, b, alpha=alpha, beta=beta)
    equal(out, beta * arrays[0] + alpha * (arrays[1] @ arrays[2]))
    seed = normal(2, 4)
    (out * mg.tensor(seed)).sum().backward()
    slopes = beta * seed, alpha * seed @ arrays[2].T, alpha * arrays[1].T @ seed
    for t, slope in zip((x, a, b), slopes):
        if t.grad is not None:
            equal(t.grad, slope)
        else:
            assert not slope.any()


@pytest.mark.parametrize("f", [mg.inv, lambda x: mg.solve(x, mg.ones(3, 1))])
@pytest.mark.parametrize("singular", [np.zeros((3, 3)), np.ones((2, 3, 3)), np.diag([1.0, 0, 2])])
def test_a_singular_matrix_is_said(f, singular):
    said = r"singular matrix.*\(.*3, 3\).*1e-6"
    with pytest.raises(np.linalg.LinAlgError, match=said):
        f(mg.tensor(singular))


@pytest.mark.parametrize("alpha", [1, 2, -0.5, 0])
def test_multiples_are_added_in_place_too(alpha):
    x, y = normal(2, 3), normal(3)
    for name, sign in [("add", 1), ("sub", -1)]:
        t = mg.tensor(x)
        getattr(t, f"{name}_")(mg.tensor(y), alpha=alpha)
        equal(t, x + sign * alpha * y)
        if hasattr(t, name):
            equal(getattr(mg.tensor(x), name)(mg.tensor(y)), x + sign * y)


@pytest.mark.parametrize("alpha", [1, 2, -0.5, 0])
@pytest.mark.parametrize("kind", [mg.Value, mg.tensor])
def test_multiples_are_added(kind, alpha):
    x, y = kind(3.0), kind(5.0)
    if kind is mg.tensor:
        x, y = x.requires_grad_(), y.requires_grad_()
    for f, sign in [(mg.add, 1), (mg.sub, -1)]:
        x.grad = y.grad = None
        out = f(x, y, alpha=alpha)
        out.backward()
        assert out.item() == 3 + sign * alpha * 5
        assert float(y.grad or 0) == sign * alpha and float(x.grad) == 1


# ---- 窓 -----------------------------------------------------------------------------------------


def convolved(x, w, stride, margins, dilation, groups):
    """The sum of the definition, one output at a time."""
    x = np.pad(x, [(0, 0), (0, 0), *margins])
    (n, _, height, width), (o, c, kh, kw) = x.shape, w.shape
    rows = (height - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((n, o, rows, columns))
    for k, i, j in np.ndindex(o, rows, columns):
        first = k // (o // groups) * c
        down = slice(i * stride[0], i * stride[0] + dilation[0] * (kh - 1) + 1, dilation[0])
        right = slice(j * stride[1], j * stride[1] + dilation[1] * (kw - 1) + 1, dilation[1])
        seen = x[:, first : first + c, down, right]
        out[:, k, i, j] = (seen * w[k]).sum((1, 2, 3))
    return out


SIDE = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(SIDE, SIDE, SIDE, st.sampled_from([1, 2]), st.sampled_from(["valid", "same", 1, (2, 0)]))
def test_convolutions_are_their_sum_and_the_transposed_one_is_the_adjoint(
    kernel, stride, dilation, groups, padding
):
    if padding == "same":
        stride = (1, 1)
        spans = [d * (k - 1) for d, k in zip(dilation, kernel)]
        margins = [(s // 2, s - s // 2) for s in spans]
    else:
        a, b = {"valid": (0, 0), 1: (1, 1), (2, 0): (2, 0)}[padding]
        margins = [(a, a), (b, b)]
    x, w, b = normal(2, 4, 9, 8), normal(6, 4 // groups, *kernel), normal(6)
    wanted = convolved(x, w, stride, margins, dilation, groups)
    ours = F.conv2d(mg.tensor(x), mg.tensor(w), mg.tensor(b), stride, padding, dilation, groups)
    equal(ours, wanted + b.reshape(-1, 1, 1))
    if padding == "valid":
        equal(F.conv2d(mg.tensor(x), mg.tensor(w), None, stride, 0, dilation, groups), wanted)
    if padding != "same":
        y, border = normal(*wanted.shape), [m[0] for m in margins]
        extra = [
            (n + 2 * m - d * (k - 1) - 1) % s
            for n, m, d, k, s in zip(x.shape[2:], border, dilation, kernel, stride)
        ]
        if all(e < max(s, d) for e, s, d in zip(extra, stride, dilation)):
            back = F.conv_transpose2d(
                mg.tensor(y), mg.tensor(w), None, stride, border, extra, groups, dilation
            )
            assert back.shape == x.shape
            np.testing.assert_allclose((back._data * x).sum(), (y * wanted).sum(), rtol=1e-9)


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.booleans(), st.booleans(),
    st.sampled_from([None, 5]),
)  # fmt: skip
def test_average_pooling_counts_what_it_says(k, stride, padding, ceil, count_pad, divisor):
    if 2 * padding > k:
        return
    x = normal(1, 2, 6, 5)
    ours = F.avg_pool2d(mg.tensor(x), k, stride, padding, ceil, count_pad, divisor)
    sizes = []
    for n in x.shape[2:]:
        steps = (n + 2 * padding - k) / stride
        last = math.ceil(steps) if ceil else math.floor(steps)
        # A window begins in the image or in the border before it.
        sizes.append(last + 1 - (ceil and last * stride >= n + padding))
    wanted = np.zeros((1, 2, *sizes))
    for i, j in np.ndindex(*sizes):
        spans = []
        counts = 1
        for at, n in zip((i, j), x.shape[2:]):
            start, border = at * stride - padding, padding if count_pad else 0
            end = start + k
            counts *= min(end, n + border) - max(start, -border)
            spans.append(slice(max(start, 0), min(end, n)))
        wanted[..., i, j] = x[:, :, spans[0], spans[1]].sum((2, 3)) / (divisor or counts)
    equal(ours, wanted)
    if ceil is False and count_pad and divisor is None:
        equal(F.avg_pool2d(mg.tensor(x), k, stride, padding), wanted)
        if stride == k:
            equal(F.avg_pool2d(mg.tensor(x), k, padding=padding), wanted)


@pytest.mark.parametrize("size", [(2, 5), (5, 2)])
def test_a_window_larger_than_the_image_is_refused(size):
    x, w = mg.ones((1, 1, *size)), mg.ones((1, 1, 3, 3))
    for f in (lambda: F.max_pool2d(x, 3), lambda: F.avg_pool2d(x, 3), lambda: F.conv2d(x, w)):
        with pytest.raises(ValueError, match="kernel larger than the image"):
            f()
    assert F.max_pool2d(x, 3, padding=1, stride=1).shape == x.shape


@pytest.mark.parametrize("height", range(1, 8))
@pytest.mark.parametrize("outputs", [1, 2, 3, (2, 4), (None, 3), (7, None)])
def test_adaptive_pooling_by_its_windows(height, outputs):
    x = normal(2, 1, height, 6)
    pair = outputs if isinstance(outputs, tuple) else (outputs, outputs)
    rows, columns = (n if o is None else o for o, n in zip(pair, x.shape[2:]))
    for pool, f in [(F.adaptive_avg_pool2d, np.mean), (F.adaptive_max_pool2d, np.max)]:
        wanted = np.zeros((2, 1, rows, columns))
        slopes = np.zeros(x.shape)
        for i, j in np.ndindex(rows, columns):
            window = np.s_[
                :, :, i * height // rows : -(-(i + 1) * height // rows),
                j * 6 // columns : -(-(j + 1) * 6 // columns),
            ]  # fmt: skip
            wanted[..., i, j] = f(x[window], (2, 3))
            n = x[window][0, 0].size
            largest = x[window] == wanted[..., i : i + 1, j : j + 1]
            slopes[window] += np.full_like(x[window], 1 / n) if f is np.mean else largest
        t = mg.tensor(x, requires_grad=True)
        equal(pool(t, outputs), wanted)
        pool(t, outputs).sum().backward()
        equal(t.grad, slopes)


@given(st.integers(1, 5), st.sampled_from([{}, {"alpha": 0.5, "beta": 2.0, "k": 3.0}]))
def test_local_response_norm_and_its_constants(size, constants):
    x = normal(2, 5, 3) * 20
    known = {"alpha": 1e-4, "beta": 0.75, "k": 1.0, **constants}
    wanted = np.empty_like(x)
    for c in range(5):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        total = (near**2).sum(1)
        wanted[:, c] = x[:, c] / (known["k"] + known["alpha"] / size * total) ** known["beta"]
    equal(F.local_response_norm(mg.tensor(x), size, **constants), wanted)


# ---- 損失 ---------------------------------------------------------------------------------------


def lost(x, p, weights, smoothing, reduction, divisor):
    """−Σ wₖ tₖ log pₖ along axis 1, as the definition says it."""
    n = x.shape[1]
    p = p * (1 - smoothing) + smoothing / n
    logs = x - np.log(np.exp(x).sum(1, keepdims=True))
    each = -(weights.reshape(1, -1, *[1] * (x.ndim - 2)) * p * logs).sum(1)
    if reduction == "none":
        return each
    return each.sum() / (divisor if reduction == "mean" else 1)


@pytest.mark.parametrize("extra", [(), (3,), (2, 3)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("rows", [1, 4])
def test_cross_entropy_with_weights(extra, weighted, smoothing, reduction, rows):
    x, k = normal(rows, 5, *extra), RNG.integers(0, 5, (rows, *extra))
    weights = RNG.uniform(0.5, 2, 5) if weighted else np.ones(5)
    given = mg.tensor(weights) if weighted else None
    one_hot = np.moveaxis(np.eye(5)[k], -1, 1)
    options = {"weight": given, "reduction": reduction, "label_smoothing": smoothing}
    wanted = lost(x, one_hot, weights, smoothing, reduction, weights[k].sum())
    equal(mg.cross_entropy(mg.tensor(x), mg.tensor(k), **options), wanted)
    p = RNG.dirichlet(np.ones(5), (rows, *extra))
    p = np.moveaxis(p, -1, 1)
    wanted = lost(x, p, weights, smoothing, reduction, k.size)
    equal(mg.cross_entropy(mg.tensor(x), mg.tensor(p), **options), wanted)
    if not smoothing:
        wanted = lost(x, one_hot, weights, 0.0, reduction, weights[k].sum())
        log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
        equal(F.nll_loss(mg.tensor(log_p), mg.tensor(k), given, reduction=reduction), wanted)
    if not extra and rows == 1:  # the same, of one row alone and of Values
        one = mg.cross_entropy(mg.tensor(x[0]), mg.tensor(k[0]), **options)
        values = [mg.Value(float(v)) for v in x[0]]
        other = mg.cross_entropy(values, int(k[0]), **options)
        wanted = lost(x, one_hot, weights, smoothing, reduction, weights[k].sum())
        equal(one, np.reshape(wanted, ()))
        assert math.isclose(other.data, one.item(), rel_tol=1e-10)


# ---- 区間 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [-2.0, 0.5, 2.0])
@pytest.mark.parametrize("low, high, slopes", [
    (1.0, -1.0, (0, 0, 1)),  # the upper bound wins, whatever x is
    (-1.0, 1.0, None),
])  # fmt: skip
def test_the_bounds_of_clip(x, low, high, slopes):
    for make in (mg.Value, lambda v: mg.tensor(v, requires_grad=True)):
        xs = [make(v) for v in (x, low, high)]
        out = mg.clip(*xs)
        assert out.item() == min(max(x, low), high)
        out.backward()
        wanted = slopes or (-1 < x < 1, x < -1, x > 1)
        assert [float(v.grad) if v.grad is not None else 0.0 for v in xs] == list(wanted)


# ---- 型 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(2, 6))
@pytest.mark.parametrize("f", [mg.stack, mg.concatenate, lambda xs: mg.einsum(WHOLE[len(xs)], *xs)])
def test_the_dtype_is_agreed_on_by_all_operands(f, n):
    """Whatever their number, and wherever the widest of them stands."""
    for narrow, wide in [("f4", "f8"), ("i8", "f4"), ("?", "f4"), ("?", "i8")]:
        for at, (one, rest) in itertools.product(range(n), [(narrow, wide), (wide, narrow)]):
            xs = [mg.ones(3, dtype=np.dtype(one if i == at else rest)) for i in range(n)]
            assert f(xs).dtype == np.dtype(wide)


WHOLE = {n: ",".join("a" * n) + "->a" for n in range(2, 6)}


@pytest.mark.parametrize("p", [-np.inf, -2, -1, -0.5, 0, 0.5, 1, 1.5, 3, np.inf])
def test_norms_with_and_without_zeros(p):
    for x in (normal(3, 4), np.array([[0.0, 2.0, -1.0], [0.0, 0.0, 3.0]])):
        with np.errstate(divide="ignore"):
            equal(mg.norm(mg.tensor(x), p, axis=1), np.linalg.norm(x, p, axis=1))
            equal(mg.norm(mg.tensor(x), p), np.linalg.norm(x.reshape(-1), p))


@pytest.mark.parametrize("widths", [-1, "a", None, [(-1, 0)], [(0, -1)], [(1,)], [(1, 1)] * 3])
def test_widths_that_are_none_are_refused(widths):
    for x in (mg.ones(3), mg.ones((2, 3))):
        with pytest.raises(ValueError, match="invalid widths"):
            mg.pad(x, widths)


def test_widths_may_be_numbers_of_any_kind():
    x = normal(2, 3)
    wanted = np.pad(x, ((1, 2), (0, 1)))
    for kind in (int, float, np.int64, mg.tensor):
        equal(mg.pad(mg.tensor(x), [(kind(1), kind(2)), (kind(0), kind(1))]), wanted)


def test_close_means_close_and_finite():
    for a, b in itertools.product([1.0, np.inf, -np.inf, np.nan], repeat=2):
        for nan in (False, True):
            wanted = np.allclose([a, 1.0], [b, 1.0], equal_nan=nan)
            assert mg.allclose(mg.tensor([a, 1.0]), mg.tensor([b, 1.0]), equal_nan=nan) == wanted


def test_no_places_and_places_in_a_number():
    x = normal(3, 2)
    equal(mg.take(mg.tensor(x), [], axis=0), x[:0])
    equal(mg.index_select(mg.tensor(x), 0, []), x[:0])
    equal(mg.index_add(mg.tensor(x), 0, [], mg.zeros((0, 2))), x)
    for places in (0, [0], [0, 0]):
        equal(mg.gather(mg.tensor(3.0), 0, places), np.full(np.shape(places), 3.0))
    with pytest.raises(IndexError, match="axis out of range"):  # PyTorch refuses it, too
        mg.gather(mg.tensor(3.0), 0, [[0, 0], [0, 0]])
