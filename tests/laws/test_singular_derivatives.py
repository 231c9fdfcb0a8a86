"""0・同点・正則でない行列でも、滑らかな関数の導関数は 3 階まである。

どの配列の関数でも: 特別な点での 2・3 階の方向微分は、そのすぐ隣の、ふつうの点での 1 つ低い階の
導関数の差分 (finite difference) と一致する。
"""

import numpy as np
import pytest
from array_cases import CASES, case

import micrograd_jp as mg
from micrograd_jp.graph import gradients
from micrograd_jp.ops import linalg
from micrograd_jp.ops.primitive import elementwise_primitives

_STEP = 1e-4
# Not smooth where numbers are equal or 0, whatever is done: a corner, or an infinite slope.
_CORNERS = {op.name for op in elementwise_primitives() if op.kink} | set(
    "amax amin max min norm std sort topk window_max ceil trunc round remainder clamp".split()
)
_INFINITE = {"logabsdet", "slogdet"}  # log 0

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
]
SMOOTH = [
    case
    for case in [*CASES, *_EXTRA]
    if not case.empty and case.name not in _CORNERS | _INFINITE
    if repr(case) != "getitem[(2, 3)]" or "detach" not in case.f.__code__.co_names  # chosen by sign
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


def _along(case, point, direction, order):
    """φ⁽ᵏ⁾(0) for k = 1 … order, with φ(t) = ⟨c, f(point + t·direction)⟩."""
    xs = [mg.tensor(x, requires_grad=True) for x in point]
    out = case.f(*xs)
    y = out if isinstance(out, mg.Value) else (out * _weights(out.shape, 0)).sum()
    found = []
    for _ in range(order):
        if y.op is None:
            return [*found, *[0.0] * (order - len(found))]
        seed = mg.Value(1.0) if isinstance(y, mg.Value) else mg.tensor(1.0, dtype=np.float64)
        shares = gradients(y, seed)
        y = sum(((shares[x] * v).sum() for x, v in zip(xs, direction) if x in shares), 0.0)
        if not isinstance(y, mg.Tensor):
            return [*found, *[0.0] * (order - len(found))]
        found.append(y.item())
    return found


def _weights(shape, salt):
    return np.random.default_rng(7 + salt).uniform(0.5, 1.5, shape)


def check(case, point):
    direction = [_weights(x.shape, i + 1) * 0.7 for i, x in enumerate(point)]
    _, *here = _along(case, point, direction, 3)
    around = [
        _along(case, [x + t * v for x, v in zip(point, direction)], direction, 2)
        for t in (_STEP, -_STEP)
    ]
    wanted = [(a - b) / (2 * _STEP) for a, b in zip(*around)]
    np.testing.assert_allclose(here, wanted, rtol=1e-5, atol=1e-6, equal_nan=False)


@pytest.mark.parametrize("point", [_zeros, _ties, _of_rank_one])
@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_second_and_third_derivatives_at_special_points(case, point):
    check(case, point(case))


# ---- 行列式は多項式である ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("rank", [0, 1, 2, 5])
def test_the_hessian_of_det_is_made_of_minors(n, rank):
    rng = np.random.default_rng(n + rank)
    a = rng.normal(size=(n, min(rank, n))) @ rng.normal(size=(min(rank, n), n))
    hessian = mg.hessian(mg.det)(mg.tensor(a)).data
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
    np.testing.assert_allclose(one.data, other.data, atol=1e-12)
    np.testing.assert_allclose(mg.cofactors(a, 2 * b).data, 2 * mg.cofactors(a, b).data)
    np.testing.assert_allclose(mg.cofactors(a, a).data, 3 * mg.cofactors(a).data, atol=1e-12)


def test_a_matrix_that_is_not_finite_gives_nan():
    x = mg.tensor([[np.nan, 1.0, 0.0], [1.0, 1.0, 2.0], [0.0, 1.0, 0.0]])
    assert np.isnan(mg.hessian(mg.det)(x).data).all()


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


@pytest.mark.control
def test_negative_control_a_division_by_the_number_itself():
    row = case("prod by division", lambda x: (x.log().sum()).exp(), (3,))
    with pytest.raises(AssertionError):
        check(row, _zeros(row))


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
        y.grad.data if hasattr(y.grad, "data") else y.grad, 1 / x.data if x.data > 0 else np.nan
    )
