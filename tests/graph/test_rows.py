"""ヤコビ行列の行を 1 度に逆伝播する道は、1 行ずつの道と、どの演算でも一致する。"""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import transforms
from micrograd_jp.graph import rows
from micrograd_jp.ops.primitive import elementwise_primitives
from tests.tensor.array_cases import CASES
from tests.together import together

FULL = [case for case in CASES if not case.empty]


def output_of(case):
    def f(*xs):
        out = case.f(*xs)
        return out if isinstance(out, mg.Tensor) else mg.stack([out])

    return f


def jacobians(f, xs):
    return mg.jacobian(f, argnums=tuple(range(len(xs))))(*xs)


def one_by_one(f, xs):
    """The same by one vjp for each row."""
    out, pullback = mg.vjp(f, *xs)
    columns = []
    for i in range(out.size):
        seed = np.zeros(out.size, out.dtype)
        seed[i] = 1
        columns.append(pullback(mg.tensor(seed.reshape(out.shape))))
    return [
        mg.stack(list(column)).reshape((*out.shape, *np.shape(x)))
        for x, column in zip(xs, zip(*columns, strict=True), strict=True)
    ]


def require_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)


@together(FULL)
def test_all_rows_at_once_are_the_rows_one_by_one(case):
    f, xs = output_of(case), case.point()
    if f(*map(mg.tensor, xs)).size:
        require_equal(jacobians(f, xs), one_by_one(f, xs))


@together(FULL[::3])
def test_the_matrix_can_be_differentiated_again(case):
    f, xs = output_of(case), case.point()
    n = f(*map(mg.tensor, xs)).size
    if not n:
        return

    def weighted(way):
        rng = np.random.default_rng(0)
        return lambda *xs: mg.sum(
            [(J * rng.normal(size=J.shape)).sum().to_value() for J in way(f, xs)]
        )

    every = tuple(range(len(xs)))
    require_equal(*[mg.grad(weighted(way), every)(*xs) for way in (jacobians, one_by_one)])


EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e308, 0.3])


@pytest.mark.parametrize("op", elementwise_primitives(), ids=lambda op: op.name)
def test_no_zero_of_another_row_leaks_at_the_edges(op):
    rng = np.random.default_rng(0)
    xs = [rng.permutation(EDGES) for _ in range(op.arity)]
    f = getattr(mg, op.name)
    require_equal(jacobians(f, xs), one_by_one(f, xs))


def test_parts_of_the_rows_are_put_together(monkeypatch):
    A, x = np.arange(12.0).reshape(4, 3) / 7, np.array([0.1, -0.2, 0.3])
    f = lambda x, v: mg.tanh(A @ x) * v
    whole = jacobians(f, [x, 0.5])
    monkeypatch.setattr(transforms, "_AT_ONCE", 3 * 12)  # three of four rows at once
    assert [J.shape for J in whole] == [(4, 3), (4,)]
    require_equal(jacobians(f, [x, 0.5]), whole)
    assert mg.jacobian(lambda x: x[:0])(x).shape == (0, 3)


def test_float32_stays_float32_and_constants_have_no_slope():
    x = mg.tensor([1.0, 2.0])
    J = mg.jacobian(lambda x: mg.exp(x) + 1)(x)
    assert J.dtype == mg.float32
    assert mg.jacobian(lambda x: mg.zeros(3))(x).tolist() == np.zeros((3, 2)).tolist()


# ---- 1 度で済む -----------------------------------------------------------------------------


def counted(monkeypatch, function, n):
    """How many passes, and how many rules, for n rows."""
    passes, asked = [], []
    before = transforms.pulled_back
    monkeypatch.setattr(
        transforms, "pulled_back", lambda *a, **k: passes.append(a) or before(*a, **k)
    )
    for name in ("of_arrays", "of_numbers"):
        rule = getattr(rows, name)
        monkeypatch.setattr(rows, name, lambda *a, rule=rule: asked.append(a) or rule(*a))
    function(mg.tensor(np.linspace(-1, 1, n)))
    monkeypatch.undo()
    return len(passes), len(asked)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def attention(x):
    q = x.reshape(-1, 2)
    scores = mg.einsum("ij,kj->ik", q, mg.tanh(q)) / 2**0.5
    mixed = mg.concatenate([mg.softmax(scores, -1) @ q, mg.stack([q[:, 0], q[:, 1]], 1)], 1)
    return mg.flip(mixed.T.cumsum(0), 0).mean(0) + mg.logsumexp(scores, 1)


@pytest.mark.parametrize(
    ("function", "passes"),
    [(mg.hessian(rosenbrock), 2), (mg.hessian(lambda x: attention(x).sum()), 2),
     (mg.jacobian(attention), 1), (mg.jacobian(lambda x: mg.tanh(x) * x), 1)],
)  # fmt: skip
def test_no_row_is_computed_alone(monkeypatch, function, passes):
    few, many = (counted(monkeypatch, function, n) for n in (4, 20))
    assert few[0] == many[0] == passes
    assert few[1] == many[1]


def test_negative_control_a_function_that_does_not_know_the_rows(monkeypatch):
    function = mg.jacobian(lambda x: mg.roll(x, 1))
    few, many = (counted(monkeypatch, function, n) for n in (4, 20))
    assert few[0] == many[0] == 1 and many[1] > few[1]


def test_negative_control_a_wrong_axis_is_noticed(monkeypatch):
    monkeypatch.setattr(rows, "_later", lambda axis: axis)
    with pytest.raises((AssertionError, ValueError)):
        f, xs = (lambda x: x.T.cumsum(0)), [np.arange(6.0).reshape(2, 3)]
        require_equal(jacobians(f, xs), one_by_one(f, xs))
