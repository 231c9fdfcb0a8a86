"""組み立てた関数: 表のどの行も PyTorch と同じ値、微分、型になり、JAX と `Value` でも動く。"""

import warnings
from types import ModuleType

import numpy as np
import pytest
from composed_rows import FILES, OPERANDS, TEXTS, evaluated, names_in

import micrograd_jp as mg
from micrograd_jp.tensor.functions.aliases import SAME
from micrograd_jp.tensor.registry import FUNCTIONS, METHODS
from tests.reference import pytorch_answers


def flat(out):
    if isinstance(out, tuple | list):
        return [y for x in out for y in flat(x)]
    return [out]


def shown(outputs):
    return [y.detach() if hasattr(y, "detach") else str(y) for y in outputs]


def cotangent(shape, k=0):
    return np.cos(np.arange(int(np.prod(shape))) + k + 1.0).reshape(tuple(shape))


def answers(library, make, gradients, text):
    """What a row gives: its values, and two derivatives of a number made of them."""
    leaves = {n: make(OPERANDS[n]) for n in names_in(text) if n.islower()}
    for leaf in leaves.values():
        leaf.requires_grad_()
    outputs = flat(evaluated(text, library, **leaves))
    tracked = [(k, y) for k, y in enumerate(outputs) if getattr(y, "requires_grad", False)]
    values = shown(outputs)
    if not tracked:
        return values, None, None
    total = sum((y * make(cotangent(y.shape, k)).to(y.dtype) * y).sum() for k, y in tracked)
    first = gradients(total, list(leaves.values()))
    probe = sum((g * make(cotangent(g.shape, 5))).sum() for g in first)
    second = gradients(probe, list(leaves.values())) if probe.requires_grad else None
    return values, first, second


def ours(text):
    def gradients(y, leaves):
        for leaf in leaves:
            leaf.grad = None
        y.backward(create_graph=True)
        return [x.grad if x.has_grad else mg.zeros_like(x) for x in leaves]

    return answers(mg, mg.tensor, gradients, text)


@pytorch_answers
def theirs(torch, text):
    def gradients(y, leaves):
        found = torch.autograd.grad(
            y, leaves, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return [g + 0 for g in found]  # a ZeroTensor is no array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return answers(torch, torch.tensor, gradients, text)
        except (RuntimeError, NotImplementedError):  # it has the value, but not the derivative
            with torch.no_grad():
                return shown(flat(evaluated(text, torch))), None, None


def same(a, b, tolerance):
    if b is None or isinstance(b, str):
        return True
    a, b = np.asarray(getattr(a, "_data", a)), np.asarray(b)
    if b.dtype.kind not in "fiub":
        return str(a).replace("torch.", "") == str(b).replace("torch.", "")
    return a.shape == b.shape and np.allclose(a, b, tolerance, tolerance, equal_nan=True)


@pytest.mark.parametrize("text", TEXTS)
def test_values_and_derivatives(text):
    (values, first, second), (wanted, slopes, curves) = ours(text), theirs(text)
    single = "float32" in text
    assert len(values) == len(wanted)
    for a, b in zip(values, wanted, strict=True):
        if isinstance(a, mg.Tensor):
            assert a.dtype == b.dtype
        assert same(a, b, 1e-5 if single else 1e-10), (a, b)
    for got, want in ((first, slopes), (second, curves)):
        if want is None:
            continue
        for a, b in zip(got, want, strict=True):
            assert same(a, b, 1e-5 if single else 1e-8), (a, b)


class Given:
    """The library, of which every function is given something else in place of Tensors."""

    def __init__(self, room, made):
        self._room, self._made = room, made

    def __getattr__(self, name):
        found = getattr(self._room, name)
        if isinstance(found, ModuleType):
            return Given(found, self._made)
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *args, **named: found(*self._plain(args), **self._plain(named))

    def _plain(self, x):
        if isinstance(x, dict):
            return {name: self._plain(y) for name, y in x.items()}
        if type(x) in (list, tuple):
            return type(x)([self._plain(y) for y in x])
        return self._made(x) if isinstance(x, mg.Tensor) else x


@pytest.mark.parametrize("part", range(8))
def test_arrays_are_taken_as_tensors(part):
    for text in TEXTS[part::8]:
        of_arrays = Given(mg, lambda x: x.detach().numpy())
        wanted, found = flat(evaluated(text, mg)), flat(evaluated(text, of_arrays))
        for a, b in zip(found, wanted, strict=True):
            assert type(a) is type(b), text
            if isinstance(a, mg.Tensor):
                a, b = a._data, b._data
                assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), text


OTHER_AS_LISTS = {  # a list is several Tensors; its numbers have the default dtype
    "m.atleast_1d(y)", "m.atleast_2d(y)", "m.atleast_3d(x)", "m.nan_to_num(O)",
    'm.scatter_reduce(U.byte(), 1, J, U.byte(), "prod")',
}  # fmt: skip


@pytest.mark.parametrize("part", range(8))
def test_nested_lists_are_taken_as_tensors(part):
    """Or refused in our words, where a list is one of Values."""
    refused = 0
    for text in TEXTS[part::8]:
        if text in OTHER_AS_LISTS:
            continue
        try:
            found = flat(evaluated(text, Given(mg, mg.Tensor.tolist)))
        except TypeError as error:
            assert "expected a real number" in str(error), text
            refused += 1
            continue
        for a, b in zip(found, flat(evaluated(text, mg)), strict=True):
            if isinstance(b, mg.Tensor):
                assert isinstance(a, mg.Tensor) and a.shape == b.shape, text
                np.testing.assert_allclose(a._data, b._data, 1e-3, 1e-4, err_msg=text)
    assert refused < 10


# ---- 型 ----------------------------------------------------------------------------------------

OTHERWISE = {  # knowingly: a factor that is no whole number is not cut off
    ("int64", "m.addcmul(x, y, z, value=0.5)"),
    ("int64", "(x + 0).addcmul_(y, z, value=0.5)"),
    ("int64", "(x @ h).addmm_(x, h, beta=0.5)"),
    ("int64", "m.addmm(m.linalg.matmul(x, h), x, h, beta=0.5)"),
    ("int64", "m.addbmm(h, b, g, alpha=0.5)"),
}


def cast(name, dtype):
    array = OPERANDS[name]
    if name.isupper():
        return array
    return (np.round(array * 3) if dtype == "int64" else array).astype(dtype)


def typed(library, text, dtype):
    made = {n: library.tensor(cast(n, dtype)) for n in names_in(text)}
    return shown(flat(evaluated(text, library, **made)))


@pytorch_answers
def typed_by_pytorch(torch, dtype):
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in TEXTS:
            try:
                found.append(typed(torch, text, dtype))
            except (RuntimeError, TypeError, ValueError):
                found.append(None)
    return found


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-4), ("float16", 2e-2), ("int64", 1e-5)]
)
def test_results_have_pytorchs_types(dtype, tolerance):
    compared = 0
    for text, wanted in zip(TEXTS, typed_by_pytorch(dtype), strict=True):
        half = dtype == "float16" and any(n in text for n in ("complex(", "polar("))  # no complex32
        if wanted is None or (dtype, text) in OTHERWISE or half:
            continue
        for a, b in zip(typed(mg, text, dtype), wanted, strict=True):
            if isinstance(b, np.ndarray):
                compared += 1
                assert a.dtype == b.dtype, text
                assert same(a.astype(float), b.astype(float), tolerance), (text, a, b)
    assert compared > 250


# ---- JAX と Value ------------------------------------------------------------------------------

BY_THEIR_VALUES = (
    "unique argwhere combinations block_diag histc multi_dot lstsq masked_scatter quantile "
    "unravel_index isclose_ finfo iinfo".split()
)


def traceable(text):
    """What has a shape of its own, whatever the numbers are."""
    return not any(f".{name}" in text for name in BY_THEIR_VALUES)


def on_jax(jax, jnp, text):
    def run(arrays):
        made = {n: mg.tensor(x) for n, x in arrays.items()}
        out = flat(evaluated(text, mg, make=lambda x: mg.tensor(jnp.asarray(x)), **made))
        return [y._data for y in out if isinstance(y, mg.Tensor)]

    return run, {n: OPERANDS[n] for n in names_in(text) if n.islower()}


def test_in_a_trace_of_jax():
    jax = pytest.importorskip("jax", reason="JAX がない")
    with jax.enable_x64(True):
        for text in [*filter(traceable, TEXTS)][::3]:  # the slow test below takes them all
            run, arrays = on_jax(jax, jax.numpy, text)
            if arrays:
                want = [y for y in flat(evaluated(text, mg)) if isinstance(y, mg.Tensor)]
                got = jax.eval_shape(run, arrays)
                assert [(y.shape, y.dtype) for y in got] == [(y.shape, y.dtype) for y in want], text


@pytest.mark.slow
def test_the_numbers_of_jax():
    jax = pytest.importorskip("jax", reason="JAX がない")
    with jax.enable_x64(True):
        for text in filter(traceable, TEXTS):
            run, arrays = on_jax(jax, jax.numpy, text)
            if arrays:
                want = [y for y in flat(evaluated(text, mg)) if isinstance(y, mg.Tensor)]
                for a, b in zip(jax.jit(run)(arrays), want, strict=True):
                    assert same(np.asarray(a), b.data, 1e-6 if b.dtype == mg.float32 else 1e-9), (
                        text
                    )


OF_VALUES = """deg2rad rad2deg exp2 frac sinc logit atan2 hypot logaddexp xlogy fmax fmin fmod
    copysign float_power ldexp clamp_min clamp_max multiply absolute""".split()


@pytest.mark.parametrize("name", OF_VALUES)
def test_numbers_on_the_graph(name):
    f, given = getattr(mg, name), (0.3, 0.8)
    two = name in "atan2 hypot logaddexp xlogy fmax fmin fmod copysign float_power ldexp".split()
    given = given[: 2 if two or name in "clamp_min clamp_max multiply".split() else 1]
    values, tensors = [mg.Value(x) for x in given], [mg.tensor(np.array(x)) for x in given]
    tensors = [t.requires_grad_() for t in tensors]
    out, want = f(*values), f(*tensors)
    assert float(getattr(out, "_data", out)) == pytest.approx(want.item(), rel=1e-12)
    if not want.requires_grad:
        return
    out.backward(), want.backward()
    for v, t in zip(values, tensors, strict=True):
        assert (v.grad or 0.0) == pytest.approx(t.grad.item() if t.has_grad else 0.0, rel=1e-12)


# ---- 表と、エラー ------------------------------------------------------------------------------


def test_every_composed_function_has_a_row():
    modules = {module.__name__ for module in FILES}
    ours = {n for n, f in (FUNCTIONS | METHODS).items() if f.__module__ in modules} | {*SAME}
    called = {part for text in TEXTS for part in text.replace("(", " ").replace(".", " ").split()}
    assert ours - called - {"new_empty"} == set()


X = mg.tensor(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.meshgrid(X), ValueError, "expected 1-d"),
        (lambda: mg.meshgrid(X[0], indexing="yx"), ValueError, "indexing"),
        (lambda: mg.broadcast_shapes((2,), (3,)), ValueError, "do not broadcast"),
        (lambda: mg.broadcast_tensors(X, mg.ones(2)), ValueError, "do not broadcast"),
        (lambda: mg.diag(mg.ones(1, 1, 1)), ValueError, "1-d or 2-d"),
        (lambda: X.narrow(1, 2, 2), IndexError, "out of range"),
        (lambda: X.tensor_split(0), ValueError, "positive int"),
        (lambda: X[0].vsplit(2), ValueError, "too few dimensions"),
        (lambda: X.unflatten(1, (2, 2)), ValueError, "do not multiply up"),
        (lambda: X.unfold(1, 4, 1), ValueError, "size out of range"),
        (lambda: X.take_along_dim(mg.ones(3, 1).long(), 1), ValueError, "shape mismatch"),
        (lambda: X.kthvalue(4), ValueError, "k out of range"),
        (lambda: mg.median(mg.ones(0, 2), 0), IndexError, "empty axis"),
        (lambda: X.quantile(1.5), ValueError, "invalid quantile"),
        (lambda: X.quantile(0.5, interpolation="cubic"), ValueError, "invalid quantile"),
        (lambda: mg.cov(X[None]), ValueError, "at most 2-d"),
        (lambda: mg.cdist(X, X.T), ValueError, "shape mismatch"),
        (lambda: mg.searchsorted(X, mg.ones(3, 1)), ValueError, "shape mismatch"),
        (lambda: mg.searchsorted(X[0], X, side="middle"), ValueError, "invalid side"),
        (lambda: X.scatter(1, [[3]], X), IndexError, "invalid index"),
        (lambda: X.scatter(1, [[0]], X, reduce="max"), ValueError, "unknown reduction"),
        (lambda: X.scatter_reduce(1, [[0]], X, "max"), ValueError, "unknown reduction"),
        (lambda: X.scatter_reduce(1, [[3]], X, "amax"), IndexError, "invalid index"),
        (lambda: X.index_fill(1, [0], X), ValueError, "0-d value"),
        (lambda: X.index_fill(1, [[0]], 1.0), ValueError, "1-d index"),
        (lambda: X.index_copy(1, [0], X), ValueError, "shape mismatch"),
        (lambda: X.index_put(mg.tensor([0]), 1.0), TypeError, "tuple of indices"),
        (lambda: X.masked_scatter(X > 0, X[0, :2]), ValueError, "too few elements"),
        (lambda: X.bitwise_and(X), TypeError, "expected integers"),
        (lambda: mg.div(X, 2, rounding_mode="up"), ValueError, "unknown rounding mode"),
        (lambda: mg.linalg.qr(X[0]), ValueError, "expected a matrix"),
        (lambda: mg.linalg.qr(X, "complete"), ValueError, "unsupported mode"),
        (lambda: mg.linalg.eigh(X), ValueError, "square matrix"),
        (lambda: mg.linalg.eigh(mg.eye(2), "X"), ValueError, "invalid UPLO"),
        (lambda: mg.linalg.svd(mg.ones(2, 3, requires_grad=True)), ValueError, "differentiable"),
        (lambda: mg.linalg.lstsq(X, mg.ones(3, 1)), ValueError, "shape mismatch"),
        (lambda: mg.linalg.vector_norm(X, "fro"), ValueError, "unknown norm"),
        (lambda: mg.linalg.matrix_norm(X, 3), ValueError, "unknown norm"),
        (lambda: mg.linalg.norm(mg.ones(1, 1, 1), 2), ValueError, "1-d or 2-d"),
        (lambda: mg.cross(X, X, dim=0), ValueError, "length 3"),
        (lambda: mg.unravel_index([7], (2, 3)), ValueError, "invalid index"),
        (lambda: mg.finfo(mg.int64), TypeError, "floating dtype"),
        (lambda: mg.iinfo(mg.float32), TypeError, "integer dtype"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_equal_singular_values_have_a_gradient_but_not_their_vectors():
    a = mg.tensor(np.eye(3), requires_grad=True)
    mg.linalg.norm(a, "nuc").backward()
    np.testing.assert_allclose(a.grad.numpy(), np.eye(3))
    a.grad = None
    (mg.linalg.svd(a, full_matrices=False).U * mg.arange(9.0).reshape(3, 3)).sum().backward()
    assert not np.isfinite(a.grad.numpy()).all()


def test_the_mode_beside_nan():
    values, places = mg.mode(mg.tensor([[np.nan, 2.0, np.nan], [np.nan, 1.0, np.inf]]), 1)
    np.testing.assert_array_equal(values.numpy(), [np.nan, 1.0])
    np.testing.assert_array_equal(places.numpy(), [2, 1])
