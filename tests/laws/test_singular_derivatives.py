"""0・同点・正則でない行列でも、滑らかな関数の導関数は 3 階まである。

どの配列の関数でも: 特別な点での 2・3 階の方向微分は、そのすぐ隣の、ふつうの点での 1 つ低い階の
導関数の差分 (finite difference) と一致する。
"""

import functools

import numpy as np
import pytest
import ways
from array_cases import CASES, REAL, case

import micrograd_jp as mg
from micrograd_jp.graph import gradients
from micrograd_jp.ops import linalg
from micrograd_jp.ops.primitive import elementwise_primitives, reductions
from tests.together import together

_STEP = 1e-4
# Not smooth where numbers are equal or 0, whatever is done: a corner, or an infinite slope.
_CORNERS = {op.name for op in elementwise_primitives() if op.kink} | set(
    "amax amin max min norm std sort topk window_max ceil trunc round remainder clamp".split()
)
_INFINITE = {"logabsdet", "slogdet"}  # log 0
# Without a limit there: the angle of the origin, factors of what has no full rank or equal
# eigenvalues. Beside these points they stand in _EXTRA.
_INFINITE |= {"modulus", "atan2", "eigh", "svd", "qr", "pinv"}

I12, FULL = mg.tensor(np.diag([1.0, 2.0])), mg.tensor(np.array([[1.0, 3.0], [2.0, 1.0]]))
_EXTRA = [
    *[case(f"power {n}", lambda x, n=n: x**n, (2, 3)) for n in (2, 3, 4)],
    case("det", lambda a: mg.det(a), (4, 4)),
    case("cofactors", lambda a: mg.cofactors(a), (3, 3)),
    case("prod", lambda x: x.prod(), (5,)),
    case("einsum", lambda x: mg.einsum("i,i,i,i->", x, x, x, x), (3,)),
    case("matmul", lambda a: a @ a @ a, (2, 2)),
    # smooth functions of what is not smooth
    case("squared norm", lambda x: x.norm() ** 2, (2, 3)),
    case("squared norms", lambda x: mg.square(x.norm(dim=1)), (2, 3)),
    case("squared deviation", lambda x: x.std(0, keepdim=True) ** 2, (3, 2)),
    case("cosine of a norm", lambda x: mg.cos(x.norm()), (3,)),
    case("norm to the fourth", lambda x: x.norm() ** 4, (3,)),
    case("angle", lambda x: mg.atan2(x, x + 1), (2, 3)),
    case("eigenvectors", lambda x: mg.linalg.eigh(x @ x.T + I12).eigenvectors ** 2, (2, 2)),
    case("triangle", lambda x: mg.linalg.qr(x + FULL).R, (2, 2)),
    case("pseudoinverse", lambda x: mg.linalg.pinv(x + I12), (2, 2)),
    case("sphere", lambda x: (x.norm() ** 2 - 1) ** 2, (4,)),  # where all are 0.5, it is flat
]
SMOOTH = [
    case
    for case in [*CASES, *_EXTRA]
    if not case.empty and case.name not in _CORNERS | _INFINITE
    if repr(case) != "getitem[(2, 3)]" or "detach" not in case.f.__code__.co_names  # chosen by sign
    if case.name != "rnn" or not case.f.__defaults__[0]["relu"]
]


def _zeros(case):
    return [
        x * 0 + (0 if low <= 0 <= high else (low + high) / 2) for x, low, high in _with_domain(case)
    ]


def _ties(case):
    return [x * 0 + min(max(0.5, low), high) for x, low, high in _with_domain(case)]


def _of_rank_one(case):
    """Ordinary numbers, but every row of a matrix is a multiple of its first."""
    return [
        np.clip(x.mean(-1, keepdims=True) * np.arange(1, x.shape[-1] + 1), low, high)
        if x.ndim > 1
        else x
        for x, low, high in _with_domain(case)
    ]


def _with_domain(case):
    domains = case.domain if isinstance(case.domain[0], tuple) else [case.domain] * 9
    return [(x, *domain) for x, domain in zip(case.point(), domains)]


def _derivatives(case, xs, direction, order):
    """φ⁽ᵏ⁾(0) for k = 1 … order, as nodes, with φ(t) = ⟨c, f(x + t·direction)⟩."""
    out = case.f(*xs)
    y = out * _weights(getattr(out, "shape", ()), 0)
    y = y if isinstance(out, mg.Value) else y.sum()
    found = []
    while len(found) < order and getattr(y, "op", None) is not None:
        one = mg.Value(1.0) if isinstance(y, mg.Value) else mg.ones_like(y)
        shares = gradients(y, one)
        parts = [shares[x] * v for x, v in zip(xs, direction) if x in shares]
        y = sum((z.sum() if isinstance(z, mg.Tensor) else z for z in parts), 0.0)
        found.append(y)
    return found + [0.0] * (order - len(found))


def _along(case, point, direction, order, leaf=lambda x: mg.tensor(x, requires_grad=True)):
    return [*map(ways.number, _derivatives(case, list(map(leaf, point)), direction, order))]


def _forwards(case, point, direction, order):
    """The same in forward mode, of forward mode, of forward mode."""

    def along(f):
        return lambda t: mg.jvp(f, (t,), (mg.tensor(1.0, dtype=mg.float64),))[1]

    def phi(t):
        out = case.f(*[mg.tensor(x) + t * v for x, v in zip(point, direction)])
        return (out * _weights(out.shape, 0)).sum()

    found, f = [], phi
    for _ in range(order):
        f = along(f)
        found.append(f(mg.tensor(0.0, dtype=mg.float64)).item())
    return found


def _weights(shape, salt):
    return np.random.default_rng(7 + salt).uniform(0.5, 1.5, shape)


def _directions(point):
    return [_weights(x.shape, i + 1) * 0.7 for i, x in enumerate(point)]


def check(case, point, along=_along, order=3, around=_along):
    direction = _directions(point)
    _, *here = along(case, point, direction, order)
    beside = [
        around(case, [x + t * v for x, v in zip(point, direction)], direction, order - 1)
        for t in (_STEP, -_STEP)
    ]
    wanted = [(a - b) / (2 * _STEP) for a, b in zip(*beside)]
    np.testing.assert_allclose(here, wanted, rtol=1e-5, atol=1e-6, equal_nan=False)


@together((case, point) for case in SMOOTH for point in (_zeros, _ties, _of_rank_one))
def test_second_derivatives_at_special_points(case, point):
    check(case, point(case), order=2)


@together((case, _zeros) for case in SMOOTH)
def test_third_derivatives_at_zero(case, point):
    check(case, point(case))


@pytest.mark.slow
@together((case, point) for case in SMOOTH for point in (_ties, _of_rank_one))
def test_third_derivatives_at_special_points(case, point):
    check(case, point(case))


# ---- ほかの道でも -------------------------------------------------------------------------------
# コンパイルした関数は 1 階だけ微分できる。1 階は `test_ieee.py` が、0 でも、どの道でも調べる。


@pytest.mark.parametrize("point", [_zeros, _ties, _of_rank_one])
def test_with_machine_code(point):
    kernels = ("conv", "window", "batch", "linear")
    with ways.nothing_is_small():
        for row in SMOOTH:
            if any(word in repr(row) for word in kernels):
                check(row, point(row))


def _of_numbers():
    found = {f"power {n}": (lambda x, n=n: x**n, REAL) for n in (2, 3, 4)}
    for op in elementwise_primitives():
        if not op.kink and op.name != "where":
            found[op.name] = (getattr(mg, op.name), *op.domain)
    for op in reductions():
        f = getattr(mg, op.name)
        if op.lists == 1:
            found[op.name] = (lambda *xs, f=f: f([*xs]), REAL, REAL, REAL)
        else:
            found[op.name] = (lambda *xs, f=f: f([*xs], [*xs[::-1]]), REAL, REAL, REAL)
    return [
        case(name, f, *[()] * len(domains), domain=domains) for name, (f, *domains) in found.items()
    ]


@together((case, point) for case in _of_numbers() for point in (_zeros, _ties))
def test_values(case, point):
    along = functools.partial(_along, leaf=lambda x: mg.Value(float(x)))
    check(case, point(case), along, around=along)


# Forwards, a norm at 0 moves by 0 times the direction: of its square, no curvature is left.
_CURVED = {"squared norm", "squared norms", "squared deviation", "cosine of a norm", "sphere"}
_FEW = [row for row in _EXTRA if row.name not in {*_CURVED, "norm to the fourth"}]


# Derivatives of factors are programs of seconds: forwards, over and over.
_LONG = {"eigenvectors", "triangle", "pseudoinverse"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(r, marks=[pytest.mark.slow] if r.name in _LONG else []) for r in _FEW],
    ids=repr,
)
def test_forwards(case):
    check(case, _zeros(case), _forwards)


@pytest.mark.slow
@pytest.mark.parametrize("point", [_zeros, _ties, _of_rank_one])
def test_every_function_forwards(point):
    for row in SMOOTH:
        if row.name not in {*_CURVED, "item"}:  # which makes a Value
            check(row, point(row), _forwards, order=2)


def _differ_when_jitted(cases):
    """All of them in one program."""
    points = [_zeros(row) for row in cases]

    def program(*xs):
        xs = iter(x.requires_grad_() for x in xs)
        rows = [(row, [next(xs) for _ in point]) for row, point in zip(cases, points)]
        found = [_derivatives(row, own, _directions(own), 3) for row, own in rows]
        return [mg.as_tensor(y) for derivatives in found for y in derivatives]

    arrays = [x for point in points for x in point]
    found, wanted = ways.run_jitted(program, *arrays), ways.run_on_numpy(program, *arrays)
    return [
        (cases[i // 3], i % 3, got, right)
        for i, (got, right) in enumerate(zip(found, wanted, strict=True))
        if not np.allclose(got, right, rtol=1e-8, atol=1e-8)
    ]


def test_jitted():
    assert _differ_when_jitted([row for row in _FEW if row.name in ("prod", "einsum")]) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_every_function_jitted(part):
    rows = [row for row in SMOOTH if row.name != "item"]
    assert _differ_when_jitted(rows[part::8]) == []


# ---- 行列式は多項式である ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("rank", [0, 1, 2, 5])
def test_the_hessian_of_det_is_made_of_minors(n, rank):
    rng = np.random.default_rng(n + rank)
    a = rng.normal(size=(n, min(rank, n))) @ rng.normal(size=(min(rank, n), n))
    hessian = mg.hessian(mg.det)(mg.tensor(a))._data
    for i, j, k, m in np.ndindex(n, n, n, n):
        minor = 0.0
        if i != k and j != m:
            rest = np.delete(np.delete(a, [i, k], 0), [j, m], 1)
            sign = (-1) ** (i + j + k + m + (k < i) + (m < j))
            minor = sign * (np.linalg.det(rest) if rest.size else 1.0)
        assert hessian[i, j, k, m] == pytest.approx(minor, abs=1e-9)


def test_directional_cofactors_are_symmetric_and_linear():
    rng = np.random.default_rng(3)
    a, b, c = rng.normal(size=(3, 2, 4, 4))
    one, other = mg.cofactors(a, b, c), mg.cofactors(a, c, b)
    np.testing.assert_allclose(one._data, other._data, atol=1e-12)
    np.testing.assert_allclose(mg.cofactors(a, 2 * b)._data, 2 * mg.cofactors(a, b)._data)
    np.testing.assert_allclose(mg.cofactors(a, a)._data, 3 * mg.cofactors(a)._data, atol=1e-12)


def test_a_matrix_that_is_not_finite_gives_nan():
    x = mg.tensor([[np.nan, 1.0, 0.0], [1.0, 1.0, 2.0], [0.0, 1.0, 0.0]])
    assert np.isnan(mg.hessian(mg.det)(x)._data).all()


def test_where_the_polynomial_has_no_derivative_left_it_is_zero_for_every_direction():
    for n in (1, 2):
        directions = [mg.full((n, n), np.inf)] * n
        assert mg.cofactors(mg.eye(n), *directions).tolist() == np.zeros((n, n)).tolist()


@pytest.mark.control
def test_negative_control_the_formula_with_the_inverse(monkeypatch):
    def old(m, g, z, x):
        inverse = linalg.transposed(m, m.inv(x))
        overlap = m.reshape(m.sum(g * z, axis=(-2, -1)), (1, 1))
        return (overlap * inverse - m.matmul(z, m.matmul(linalg.transposed(m, g), inverse)),)

    monkeypatch.setitem(linalg.cofactors.__dict__, "vjp", old)
    row = next(case for case in SMOOTH if case.name == "det")
    check(row, row.point())  # right where the matrix is not singular
    with pytest.raises(np.linalg.LinAlgError):
        check(row, _zeros(row))
    with pytest.raises(np.linalg.LinAlgError):
        check(row, _zeros(row), _forwards)


@pytest.mark.control
def test_negative_control_a_division_by_the_number_itself():
    row = case("prod by division", lambda x: (x.log().sum()).exp(), (3,))
    for along in (_along, _forwards):
        with pytest.raises(AssertionError):
            check(row, _zeros(row), along)
    assert _differ_when_jitted([row])
    row = case("prod by division", lambda *xs: mg.exp(sum(map(mg.log, xs))), (), ())
    with pytest.raises(AssertionError):
        test_values([(row, _zeros)])


@pytest.mark.parametrize("x", [-2.0, 0.5, 3.0])
@pytest.mark.parametrize("of", [mg.Value, lambda x: mg.tensor([x], dtype=mg.float64)])
def test_the_slope_of_a_zeroth_power_has_a_slope_in_the_exponent(of, x):
    """∂²(xʸ)/∂x∂y = xʸ⁻¹(1 + y·log x): 1/x at y = 0, and nan where x has no logarithm."""
    x, y = of(x), of(0.0)
    for node in (x, y):
        if isinstance(node, mg.Tensor):
            node.requires_grad_()
    z = x**y
    z.backward(create_graph=True)
    slope, y.grad = x.grad, None
    slope.backward()
    np.testing.assert_allclose(
        y.grad._data if hasattr(y.grad, "data") else y.grad, 1 / x._data if x._data > 0 else np.nan
    )
