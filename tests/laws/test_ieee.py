"""端の値: どの演算も、0、−0.0、False、inf、nan で例外も警告も出さず、PyTorch と同じ答えを出す。

順伝播、`backward`、`create_graph=True`、`jvp` のどれでも。演算は、登録簿と `array_cases.py` の
表のすべて。
"""

import math
import operator

import numpy as np
import pytest
import ways
from array_cases import CASES, is_complex

import micrograd_jp as mg
from micrograd_jp.compiler import simplify
from micrograd_jp.engine.run import run
from micrograd_jp.namespace.numpy import NumPy
from micrograd_jp.ops import arguments
from micrograd_jp.ops.gates import Gate
from micrograd_jp.ops.primitive import elementwise_primitives, reductions

torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")
from tests.reference import session  # noqa: E402
from tests.together import together  # noqa: E402

inf, nan = math.inf, math.nan

SPECIAL = (0.0, -0.0, inf, -inf, nan, 1.0, -2.0)
NUMBERS = (
    0.0, -0.0, False, 0, inf, nan, -2.0, np.float64(0), np.float32(-0.0), np.int64(0),
    np.bool_(False), np.array(0.0), np.array(-inf),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _in_float64():
    before = torch.get_default_dtype()
    mg.set_default_dtype(mg.float64)
    torch.set_default_dtype(torch.float64)
    with session.free():  # it asks too much for a table
        yield
    mg.set_default_dtype(mg.float32)
    torch.set_default_dtype(before)


def same(a, b):
    return np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-9, equal_nan=True)


# ---- 数と演算 -----------------------------------------------------------------------------------


def number_of(x):
    return float(np.asarray(getattr(x, "_data", x)).reshape(()))


def slope_by(way, f, x):
    """The value and the slope at x of a function of one node, by one of the three ways."""
    if way == "jvp":
        one = 1.0 if isinstance(x, mg.Value) else mg.ones_like(x)
        return tuple(map(number_of, mg.jvp(f, (x.detach(),), (one,))))
    y = f(x)
    y.backward(create_graph=way == "create_graph")
    return number_of(y), number_of(0.0 if x.grad is None else x.grad)


def of_torch(f, x):
    leaf = torch.tensor(float(x), requires_grad=True)
    y = f(leaf)
    y.backward()
    return y.item(), leaf.grad.item()


OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "**": operator.pow, "%": operator.mod,
}  # fmt: skip
MAKE = {
    "Value": mg.Value,
    "Tensor": lambda x: mg.tensor(x, requires_grad=True),
    "JAX": lambda x: mg.tensor(pytest.importorskip("jax.numpy").asarray(x), requires_grad=True),
}


def agree(kind, sign, ways=("backward", "create_graph", "jvp"), at=SPECIAL, numbers=NUMBERS):
    """Where a node meets a number, in any order: what does not agree with PyTorch."""
    op, found = OPERATORS[sign], []
    for number in numbers:
        plain = torch.tensor(float(number))
        for x in at:
            for f, oracle in (
                (lambda t, c=number: op(t, c), lambda t, c=plain: op(t, c)),
                (lambda t, c=number: op(c, t), lambda t, c=plain: op(c, t)),
            ):
                expected = of_torch(oracle, x)
                for way in ways:
                    got = slope_by(way, f, MAKE[kind](x))
                    if not same(got, expected):
                        found.append((kind, sign, way, x, number, got, expected))
    return found


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("kind", ["Value", "Tensor"])
def test_a_number_beside_a_node(kind, sign):
    if kind == "Value" and sign == "%":
        pytest.skip("Value に % はない")
    assert agree(kind, sign) == []


@pytest.mark.parametrize("sign", OPERATORS)
def test_a_number_beside_a_node_on_jax(sign):
    with ways.double():
        assert agree("JAX", sign, at=(0.0, inf), numbers=(0.0, -0.0, nan)) == []


@pytest.mark.control
def test_the_old_fault_would_be_found(monkeypatch):
    from micrograd_jp.ops import elementwise

    assert elementwise.over is arguments.over
    monkeypatch.setattr(elementwise, "over", lambda y: 1 / y)
    with pytest.raises(ZeroDivisionError):
        agree("Tensor", "/")
    with pytest.raises(ZeroDivisionError):
        agree("Value", "/", ways=("create_graph",))


# ---- どの道でも ---------------------------------------------------------------------------------

# Either of two equal zeros may be the larger one; a sum of zeros may be 0.0 or −0.0.
ANY_ZERO = ("maximum", "minimum", "clip", "relu", "sum", "dot")


def formulas():
    """Every operation of numbers: with arguments, with constants, with the same argument twice."""
    found = {}
    for op in elementwise_primitives():
        f = mg.where if op.name == "where" else getattr(mg, op.name)
        if op.partials[0] is None:
            found["where x"] = lambda x, y, f=f: f(x > 0, x, y)
            found["where y"] = lambda x, y, f=f: f(y > 0, 0, x)
        elif op.arity == 1:
            found[op.name] = lambda x, y, f=f: f(x)
        elif op.arity == 2:
            found[op.name] = f
            found[f"{op.name} twice"] = lambda x, y, f=f: f(x, x)
            for c in (0.0, -0.0, 1.0, 2.0, inf, nan):
                found[f"{op.name} x {c}"] = lambda x, y, f=f, c=c: f(x, c)
                found[f"{op.name} {c} x"] = lambda x, y, f=f, c=c: f(c, x)
        else:
            found[op.name] = lambda x, y, f=f: f(x, y, 1.0)
            found[f"{op.name} twice"] = lambda x, y, f=f: f(y, x, x)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        compare = getattr(operator, name)
        found[name] = lambda x, y, compare=compare: mg.where(compare(x, y), x, 2.0)
    return found | {
        "a closed gate": lambda x, y: mg.relu(x) ** 0.5,
        "a chosen one": lambda x, y: mg.log(mg.where(x > 0, x, 1.0)),
        "neg neg": lambda x, y: 1 / mg.neg(-x),
        "plus zero": lambda x, y: 1 / (x + 0) + 1 / (0 + y),
    }


def formulas_of_lists():
    found = {}
    for op in reductions():
        f = getattr(mg, op.name)
        for n in (1, 2, 3):
            found[f"{op.name} {n}"] = (
                (lambda x, y, f=f, n=n: f([x, y, 0.5][:n])) if op.lists == 1 else
                (lambda x, y, f=f, n=n: f([x, y, 2.0][:n], [y, -1.0, x][:n]))
            )  # fmt: skip
    return found


WANTED = {}


def disagreements(way):
    """The formulas whose values or gradients are not those of eager Values."""
    fs = formulas() | (formulas_of_lists() if way.startswith(ways.OF_NUMBERS) else {})
    if "jvp" in way:  # forwards, the zero behind a gate meets an infinite slope: nan, as in PyTorch
        del fs["a closed gate"]
    if "JAX" in way:  # every formula is compiled, and x + 0 is x there
        fs = {name: f for name, f in fs.items() if " x" not in name and name != "plus zero"}
    points = np.array([[x, y] for x in (*SPECIAL, 0.5) for y in (0.0, -0.0, inf, nan, -2.0)])
    points = points[::5] if "captured" in way else points
    X = np.broadcast_to(points[:, None], (len(points), len(fs), 2)).copy()
    G = np.resize((1.0, -2.0, inf, nan, -0.0), X.shape[:2])
    values, slopes = ways.WAYS[way]([*fs.values()], X, G)
    if (key := (*fs, len(points))) not in WANTED:
        WANTED[key] = ways.by_values([*fs.values()], X, G)
    wanted, wanted_slopes = WANTED[key]
    off = ~np.isclose(values, wanted, rtol=1e-11, atol=1e-300, equal_nan=True)
    off |= ~np.isclose(slopes, wanted_slopes, rtol=1e-11, atol=1e-300, equal_nan=True).all(-1)
    zero = (values == 0) & (np.signbit(values) != np.signbit(wanted))
    zero &= [not name.startswith(ANY_ZERO) and "JAX" not in way for name in fs]
    if "create_graph" in way or "jvp" in way:  # x⁰ is constant in x, but its slope is not in y
        off &= ~((X[..., 1] == 0) & [name == "pow" for name in fs])
    places = np.argwhere(off | zero)
    return {
        f"{[*fs][j]} at {X[i, j]}, {G[i, j]}: {values[i, j]} {slopes[i, j]}, "
        f"not {wanted[i, j]} {wanted_slopes[i, j]}"
        for i, j in places
    }


# JAX always: test_jax_tensor, without constants; forwards, Values are taken as Tensors are.
@pytest.mark.parametrize("way", ways.some("JAX", "Value jvp"))
def test_every_way_computes_what_values_do(way):
    assert disagreements(way) == set()


@pytest.mark.control
def test_the_old_faults_of_compiled_functions_would_be_found(monkeypatch):
    with monkeypatch.context() as patch:  # x + 0 was x
        every = lambda trace: (np.isin(trace.codes, (simplify.ADD, simplify.SUM)),) * 2
        patch.setattr(simplify, "_sums", lambda trace: (every(trace)[0], np.full(len(trace), -1)))
        patch.setattr(simplify.np, "signbit", np.isfinite)
        assert disagreements("compiled levels")
    with monkeypatch.context() as patch:  # 0·∞ behind a gate
        patch.setattr(
            NumPy, "times",
            lambda self, g, d: g * (np.where(d.shut, 0, d.slope) if isinstance(d, Gate) else d),
        )  # fmt: skip
        for way in ("Tensor", "compiled levels"):
            assert any("closed gate" in text for text in disagreements(way))


def test_the_written_methods_are_the_rule_itself():
    """`run` evaluates the declaration; the methods of Value are written from it."""
    for op in elementwise_primitives():
        for x in SPECIAL if op.arity == 1 else ():
            assert same(getattr(mg.Value(x), op.name)().data, run(op, mg.Value(x)).data)


# ---- 余り ---------------------------------------------------------------------------------------


def remainders(sign):
    """Where a Tensor meets a Tensor or a number: values and slopes that are not PyTorch's."""
    f, found = {"%": operator.mod, "//": operator.floordiv}[sign], []
    x, y = (column.ravel() for column in np.meshgrid(CORNERS, CORNERS))
    results = []
    for L in (mg, torch):
        t, u = (L.tensor(z, dtype=L.float64, requires_grad=True) for z in (x, y))
        out = [f(t, u), *(f(t, z) for z in CORNERS), *(f(z, u) for z in CORNERS)]
        (t % u).backward(L.ones(x.size, dtype=L.float64))
        results.append([np.asarray(o.detach()) for o in (*out, t.grad, u.grad)])
    for ours, theirs in zip(*results, strict=True):
        if not np.array_equal(ours, theirs, equal_nan=True):
            found.append((sign, ours, theirs))
    return found


CORNERS = (0.0, -0.0, inf, -inf, nan, 5.0, -5.0, 0.3)


@pytest.mark.parametrize("sign", ["%", "//"])
def test_remainders(sign):
    assert remainders(sign) == []


@pytest.mark.control
def test_pythons_remainder_is_noticed(monkeypatch):
    monkeypatch.setattr(mg.Tensor, "__mod__", lambda t, u: t - (t / u).floor() * u)
    monkeypatch.setattr(mg.Tensor, "__floordiv__", lambda t, u: (t / u).floor())
    for sign in ("%", "//"):
        assert remainders(sign)


@pytest.mark.parametrize("expression", ["t % 0", "t // 0", "5 % (t * 0)", "t % t.bool() // False"])
def test_whole_numbers_are_not_divided_by_zero(expression):
    with pytest.raises(RuntimeError):
        eval(expression, {"t": torch.tensor([5])})
    with pytest.raises(ZeroDivisionError, match="integer division by zero"):
        eval(expression, {"t": mg.tensor([5])})


# ---- 表のすべての行 ------------------------------------------------------------------------------

# LAPACK answers non-finite matrices as it likes, and refuses singular ones (in our words).
MATRICES = {"solve", "inv", "det", "cofactors", "logabsdet", "slogdet", "cholesky", "qr", "eigh",
            "svd", "pinv"}  # fmt: skip
# XLA multiplies the zeros between or beside the pixels: 0·∞ is nan.
WITH_ZEROS = {"convolved", "convolved_back", "correlated"}
# The sign of nan is nan, as in NumPy; in PyTorch it is 0.
OTHER_VALUE = {"sign", "batch_norm"}
# A formula that is equal in real numbers, and meets ∞ − ∞ or 0·∞ at another place.
OTHER_SLOPE = {"abs", "norm", "prod", "var", "window_max"}
# The table writes them for PyTorch with products and `where`, which is not what PyTorch has.
OTHER_SLOPE |= {"clip", "elu", "leaky_relu"}
OTHER_VALUE |= {"floor_divide"}


def fillings(shapes, full):
    sizes = [math.prod(shape) for shape in shapes]
    lists = [np.full(sum(sizes), x) for x in (0.0, inf, nan)] if full else []
    for start, step in ((0, 1), (2, 3), (4, 4)) if full else ((0, 1), (2, 3)):
        lists.append(np.take(SPECIAL, (start + step * np.arange(sum(sizes))) % len(SPECIAL)))
    for numbers in lists:
        parts = np.split(numbers, np.cumsum(sizes)[:-1])
        yield [part.reshape(shape) for part, shape in zip(parts, shapes)]


def as_tensor(out):
    return out if isinstance(out, mg.Tensor) else mg.stack([out])


def disagreement(case, arrays, make):
    """What a row does at these points that it must not, in words; nothing if all is well."""
    shares, with_zeros = [], set() if make is mg.tensor else WITH_ZEROS
    try:
        for create_graph in (False, True):
            xs = [make(x).requires_grad_() for x in arrays]
            y = as_tensor(case.f(*xs))
            y.backward(np.ones(y.shape), create_graph=create_graph)
            shares.append([np.zeros(x.shape) if x.grad is None else x.grad._data for x in xs])
        mg.jvp(
            lambda *xs: as_tensor(case.f(*xs)), [*map(make, arrays)], [*map(np.ones_like, arrays)]
        )
    except np.linalg.LinAlgError as error:
        return "" if case.name in MATRICES and "行列" in str(error) else repr(error)
    if case.name not in with_zeros | MATRICES and not all(map(same, *shares)):
        return f"create_graph: {shares}"
    if is_complex(case):  # an infinity has no one product there
        return ""
    if case.torch is None or case.name in MATRICES | with_zeros | OTHER_VALUE:
        return ""
    leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    out = case.torch(*leaves)
    if not same(np.asarray(y._data).reshape(out.shape), out.detach()):
        return f"value: {y}, {out}"
    if out.requires_grad and case.name not in OTHER_SLOPE:
        out.backward(torch.ones(out.shape))
        wanted = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in leaves]
        if not all(map(same, shares[0], wanted)):
            return f"slope: {shares[0]}, {wanted}"
    return ""


def check(case, make, full=True):
    for arrays in fillings(case.shapes, full):
        assert disagreement(case, arrays, make) == "", arrays


@together(c for c in CASES if not c.empty)
def test_every_row_of_the_table(case):
    check(case, mg.tensor, full=False)


@pytest.mark.slow
@together(c for c in CASES if not c.empty)
def test_every_row_of_the_table_at_more_points(case):
    check(case, mg.tensor)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    # Which two of three are multiplied first is JAX's choice: 0·∞ may come of it.
    [c for c in CASES if not c.empty and not (c.name == "einsum" and len(c.shapes) > 2)],
    ids=repr,
)
def test_every_row_of_the_table_on_jax(case):
    with ways.double() as jax:
        check(case, lambda x: mg.tensor(jax.numpy.asarray(x)), full=False)


# ---- 空と 1 要素 --------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [lambda x: x.std(), lambda x: x.var(), lambda x: x.var(0)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_spread_of_one_number(f, create_graph):
    x = mg.tensor([2.0], requires_grad=True)
    y = f(x)
    y.backward(create_graph=create_graph)
    assert math.isnan(y.item())
    assert math.isnan(x.grad.item())
    assert math.isnan(mg.jvp(f, (mg.tensor([2.0]),), (mg.tensor([1.0]),))[1].item())


LOSSES = {
    "sum_squared_error": 0.0, "mse_loss": nan, "l1_loss": nan,
    "binary_cross_entropy_with_logits": nan, "hinge_loss": nan,
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_nothing(name):
    loss = getattr(mg, name)
    for create_graph in (False, True):
        y = mg.zeros(0, requires_grad=True)
        loss(y, mg.zeros(0)).backward(create_graph=create_graph)
        assert y.grad.shape == (0,)
        assert same(loss(y, mg.zeros(0)).item(), LOSSES[name])
    assert same(loss([], []).data, LOSSES[name])
    assert same(mg.zeros(0).mean().item(), nan)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "hinge_loss"])
def test_a_loss_of_no_samples(name):
    y = mg.zeros(0, 3, requires_grad=True)
    loss = getattr(mg, name)(y, mg.zeros(0, dtype=mg.int64))
    loss.backward()
    assert math.isnan(loss.item())
    assert y.grad.shape == (0, 3)
