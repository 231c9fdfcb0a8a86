"""PyTorch の名前: 引数、型、装置、勾配のない関数。"""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import micrograd_jp as mg
from micrograd_jp.tensor.functions import FUNCTIONS
from tests.reference import like_pytorch, torch

X = mg.tensor(np.arange(6.0).reshape(2, 3))

# ---- 引数の名前 -------------------------------------------------------------------------------

ALIASED = {
    name: f for name, f in FUNCTIONS.items() if getattr(f, "torch_names", {}).keys() - {"input"}
}


def test_every_axis_is_a_dim():
    with_axis = {n for n, f in FUNCTIONS.items() if "axis" in inspect.signature(f).parameters}
    assert len(with_axis) > 30
    for name in with_axis:
        assert "dim" in FUNCTIONS[name].torch_names


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "var", "std", "prod", "norm", "all"])
def test_dim_and_keepdim(name):
    f, method = getattr(mg, name), getattr(X, name)
    want = f(X, axis=1, keepdims=True)
    for got in (f(X, dim=1, keepdim=True), method(dim=1, keepdim=True), f(input=X, dim=1, keepdim=1)
                if name != "prod" and name != "sum" else want):  # fmt: skip
        assert got.shape == (2, 1)
        np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda: X.sum(axis=0, dim=0),
        lambda: X.sum(0, dim=0),
        lambda: mg.sum(X, axis=0, dim=0),
        lambda: mg.mean(X, 0, True, keepdim=True),
        lambda: X.flatten(0, start_dim=0),
        lambda: mg.linspace(0, 1, 3, steps=3),
        lambda: mg.full((2,), 1.0, fill_value=1.0),
    ],
)
def test_the_same_argument_twice(call):
    with pytest.raises(TypeError, match="given twice"):
        call()


def test_unknown_arguments_are_still_refused():
    with pytest.raises(TypeError, match="dimension"):
        X.sum(dimension=0)


def test_other_names():
    np.testing.assert_array_equal(mg.linspace(0, 1, steps=3).numpy(), [0, 0.5, 1])
    np.testing.assert_array_equal(mg.arange(1, end=4).numpy(), [1, 2, 3])
    np.testing.assert_array_equal(mg.full(size=(2,), fill_value=7).numpy(), [7, 7])
    np.testing.assert_array_equal(mg.cat(tensors=[X, X], dim=1).numpy(), np.hstack([X.numpy()] * 2))
    np.testing.assert_array_equal(mg.flip(X, dims=(0,)).numpy(), X.numpy()[::-1])
    np.testing.assert_array_equal(X.roll(shifts=1, dims=1).numpy(), np.roll(X.numpy(), 1, 1))
    np.testing.assert_array_equal(X.tril(diagonal=1).numpy(), np.tril(X.numpy(), 1))
    assert X.flatten(start_dim=0, end_dim=1).shape == (6,)
    assert mg.softmax(X, dim=0).shape == (2, 3)
    values, indices = mg.max(X, dim=1)
    assert (values.tolist(), indices.tolist()) == ([2.0, 5.0], [2, 2])


def test_two_numbers_swap_two_axes_and_a_tuple_orders_all():
    x = mg.zeros(2, 3, 4)
    assert x.transpose(0, 1).shape == (3, 2, 4)
    assert x.transpose(-1, 0).shape == (4, 3, 2)
    assert x.transpose((1, 2, 0)).shape == x.permute(1, 2, 0).shape == (3, 4, 2)
    assert X.transpose((0, 1)).shape == (2, 3)
    assert X.transpose(0, 1).shape == X.t().shape == (3, 2)
    with pytest.raises(ValueError, match="at most 2-d"):
        x.t()


def test_size_is_a_number_and_a_method():
    assert X.size == 6
    assert X.size() == (2, 3)
    assert (X.size(0), X.size(-1)) == (2, 3)
    assert X.view(X.size(0), -1).shape == (2, 3)
    with pytest.raises(IndexError, match="axis out of range"):
        X.size(2)


# ---- 型と装置 ---------------------------------------------------------------------------------


def test_names_of_types():
    assert (mg.float, mg.double, mg.half) == (np.float32, np.float64, np.float16)
    assert (mg.long, mg.int, mg.short, mg.bool) == (np.int64, np.int32, np.int16, np.bool_)
    kinds = {"float": mg.float, "double": mg.double, "half": mg.half, "long": mg.long,
             "int": mg.int, "short": mg.short, "bool": mg.bool}  # fmt: skip
    x = mg.tensor([0.0, 1.7, -1.7], dtype=mg.double, requires_grad=True)
    for name, dtype in kinds.items():
        t = getattr(x, name)()
        assert t.dtype == dtype == x.to(dtype).dtype == x.type(dtype).dtype
        assert t.requires_grad == (dtype.kind == "f")
    assert x.long().tolist() == [0, 1, -1]
    assert x.bool().tolist() == [False, True, True]
    assert x.to(mg.double) is x
    assert x.detach().long().is_floating_point() is False
    x.float().sum().backward()
    assert x.grad.dtype == mg.double


def test_devices():
    cpu = mg.device("cpu")
    assert (str(cpu), repr(cpu)) == ("cpu", "device(type='cpu')")
    assert mg.device(cpu) == cpu == mg.device("cpu") != mg.device("cuda")
    assert (mg.device("cuda:1").type, mg.device("cuda:1").index) == ("gpu", 1)
    assert mg.device("cuda", 1) == mg.device("gpu:1")
    assert len({cpu, mg.device("cpu")}) == 1
    assert X.device == cpu
    assert X.to("cpu") is X.to(cpu) is X.cpu() is X.to(X) is X
    t = X.to(cpu, mg.float)
    assert (t.dtype, t.device) == (mg.float, cpu)
    for make in (mg.zeros, mg.ones, mg.rand, mg.randn, mg.empty):
        assert make(2, device=cpu).device == cpu
    for x in (mg.tensor([1.0], device="cpu"), mg.full((2,), 1, device="cpu"),
              mg.eye(2, device="cpu"), mg.arange(3, device=cpu), mg.randperm(3, device=cpu),
              mg.zeros_like(X, device=cpu), mg.as_tensor([1], device=cpu)):  # fmt: skip
        assert x.device == cpu


@pytest.mark.parametrize("name", ["", "cpux", "cuda:", "cuda:x", "cuda:-1", "mps:0:1"])
def test_unreadable_devices(name):
    with pytest.raises(ValueError, match="invalid device"):
        mg.device(name)


def test_a_device_that_nobody_has():
    for call in (lambda: X.to("tpu:99"), lambda: mg.zeros(2, device="tpu:99"),
                 lambda: mg.tensor([1.0], device=mg.device("tpu", 99))):  # fmt: skip
        with pytest.raises(RuntimeError, match="no such device"):
            call()
    with pytest.raises(TypeError, match="expected a dtype or a device"):
        X.to(object())


def test_devices_of_jax():
    jax = pytest.importorskip("jax", reason="JAX がない")
    t = mg.tensor(jax.numpy.ones(2))
    platform = {"cpu": "jax"}.get(jax.default_backend(), jax.default_backend())
    assert t.device.type == platform
    assert jax.jit(lambda x: x + (mg.tensor(x).device.type == platform))(1.0) == 2.0
    assert t.to(platform) is t
    moved = mg.ones(2).to(mg.device(platform))
    assert moved.device.type == platform


# ---- ほかのものから ----------------------------------------------------------------------------


def test_memory_is_shared_or_not():
    array = np.zeros(3)
    assert np.shares_memory(mg.from_numpy(array).numpy(), array)
    assert np.shares_memory(mg.as_tensor(array).numpy(), array)
    assert not np.shares_memory(mg.tensor(array).numpy(), array)
    assert mg.as_tensor(X) is X
    assert mg.as_tensor(X, dtype=mg.float).dtype == mg.float
    assert (mg.is_tensor(X), mg.is_tensor(array), mg.is_tensor(mg.Value(1.0))) == (
        True,
        False,
        False,
    )
    for wrong in ([1.0], 1.0, X, np.array(["a"])):
        with pytest.raises(TypeError, match="expected"):
            mg.from_numpy(wrong)


def test_numbers_of_plain_tensors():
    assert (float(X[0, 1]), int(X[1, 2])) == (1.0, 5)
    assert f"{X.sum():.2f}" == "15.00"
    assert (f"{X[0, 1]}", f"{X[:1, 0]}") == ("1.0", "tensor([0.], dtype=float64)")
    two = mg.tensor(1.0, requires_grad=True) * 2
    for read, want in [
        (float, 2.0), (int, 2), ("%.1f".__mod__, "2.0"), ("%d".__mod__, "2"), (math.sqrt, 2**0.5)
    ]:  # fmt: skip
        with pytest.warns(UserWarning, match="drops the gradient"):
            assert read(two) == want
    assert f"{mg.tensor(1.0, requires_grad=True) * 2:.1f}" == "2.0"


# ---- 勾配のない関数: PyTorch と、または NumPy と -----------------------------------------------

FLOATS = arrays(
    np.float64, (2, 3), elements=st.sampled_from([0.0, -0.0, 0.5, 1.5, -2.5, 1e300, np.inf, np.nan])
)
PAIRS = "eq ne lt le gt ge logical_and logical_or logical_xor equal".split()
SINGLES = "isnan isinf isfinite logical_not ceil trunc round".split()


@like_pytorch(FLOATS, FLOATS, kept=20)
def test_functions_without_a_gradient(a, b):
    for name in PAIRS + SINGLES:
        given_ = (a, b) if name in PAIRS else (a,)
        want = getattr(torch, name)(*map(torch.tensor, given_))
        for got in (
            getattr(mg, name)(*map(mg.tensor, given_)),
            getattr(mg.tensor(a), name)(*given_[1:]),
        ):
            np.testing.assert_array_equal(np.asarray(got), np.asarray(want), err_msg=name)
    for nan in (False, True):
        ours = mg.allclose(a, b, equal_nan=nan)
        assert ours == torch.allclose(torch.tensor(a), torch.tensor(b), equal_nan=nan)


@given(arrays(np.int64, st.integers(0, 6), elements=st.integers(0, 4)))
def test_counting(x):
    t = mg.tensor(x)
    np.testing.assert_array_equal(mg.bincount(t, minlength=5).numpy(), np.bincount(x, minlength=5))
    np.testing.assert_array_equal(mg.one_hot(t, 5).numpy(), np.eye(5, dtype=int)[x])
    np.testing.assert_array_equal(mg.nonzero(t).numpy(), np.argwhere(x))
    np.testing.assert_array_equal(mg.nonzero(t, as_tuple=True)[0].numpy(), np.nonzero(x)[0])
    w = np.arange(len(x)) / 2
    np.testing.assert_array_equal(mg.bincount(t, w).numpy(), np.bincount(x, w))
    if len(x):
        assert mg.one_hot(t).shape == (len(x), x.max() + 1)


@like_pytorch(st.integers(0, 7), st.integers(1, 9), kept=40)
def test_chunks(n, chunks):
    got = [t.tolist() for t in mg.chunk(mg.arange(n), chunks)]
    assert got == [t.tolist() for t in torch.chunk(torch.arange(n), chunks)]


@pytest.mark.parametrize(("x", "y"), [(7, 2), (-7, 2), (7, -2), (7.5, 2), (-7.5, 2.0)])
def test_division_with_a_remainder(x, y):
    t = mg.tensor(x)
    assert ((t // y).item(), (t % y).item()) == (x // y, x % y)
    assert ((x // mg.tensor(y)).item(), (x % mg.tensor(y)).item()) == (x // y, x % y)
    assert (t // y).dtype.kind == ("i" if isinstance(x, int) and isinstance(y, int) else "f")


def test_composed_functions_take_values():
    v = mg.Value(2.5)
    for f, want, slope in [
        (mg.square, 6.25, 5.0), (mg.reciprocal, 0.4, -0.16),
        (mg.rsqrt, 2.5**-0.5, -0.5 * 2.5**-1.5),
        (mg.ceil, 3.0, 0.0), (mg.trunc, 2.0, 0.0), (mg.round, 2.0, 0.0),
        (lambda x: mg.clamp(x, max=2), 2.0, 0.0), (lambda x: mg.remainder(x, 2.0), 0.5, 1.0),
    ]:  # fmt: skip
        v.grad = None
        out = f(v)
        out = out if isinstance(out, mg.Value) else out.to_value()
        out.backward()
        assert out.data == pytest.approx(want)
        assert v.grad == pytest.approx(slope)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.eq(X, np.ones(4)), ValueError, "do not broadcast"),
        (lambda: mg.logical_and(X, np.ones(4)), ValueError, "do not broadcast"),
        (lambda: X % np.ones(4), ValueError, "do not broadcast"),
        (lambda: X.masked_fill(X, 0.0), TypeError, "boolean mask"),
        (lambda: X.masked_fill(np.ones(4, bool), 0.0), ValueError, "do not broadcast"),
        (lambda: X.masked_fill(X > 0, X), ValueError, "0-d value"),
        (lambda: X.index_select(0, [[0]]), ValueError, "1-d index"),
        (lambda: X.index_select(0, [5]), IndexError, "invalid index"),
        (lambda: X.chunk(0), ValueError, "positive int"),
        (lambda: mg.one_hot([0, 3], 3), ValueError, "class out of range"),
        (lambda: mg.one_hot([-1]), ValueError, "class out of range"),
        (lambda: mg.one_hot(X), TypeError, "integer indices"),
        (lambda: mg.bincount([-1]), ValueError, "invalid input"),
        (lambda: mg.bincount([[1]]), ValueError, "invalid input"),
        (lambda: mg.bincount([1], [1.0, 2.0]), ValueError, "invalid input"),
        (lambda: X.mm(X[0]), ValueError, "wrong dimensions"),
        (lambda: mg.mv(X, X), ValueError, "wrong dimensions"),
        (lambda: mg.bmm(X[None], mg.zeros(2, 3, 1)), ValueError, "wrong dimensions"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- einsum の省略記号 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, shape, message",
    [
        ("...i...", (2, 3), "1 度だけ"),
        ("...ijk", (2,), "残りの軸"),
        ("..i", (2, 3), "英字だけ"),
        ("i->...i", (2,), "左辺に必要"),
        ("i...,j...->ij", (2, 3), "2 個の Tensor"),
    ],
)
def test_an_ellipsis_that_cannot_be_read(spec, shape, message):
    with pytest.raises(ValueError, match=message):
        mg.einsum(spec, mg.ones(*shape))


@given(st.data())
def test_an_ellipsis_is_matmuls_broadcasting(data):
    batch = st.lists(st.sampled_from([1, 2]), max_size=3)
    first, second = data.draw(batch), data.draw(batch)
    a, b = (
        np.random.default_rng(0).standard_normal((*rest, *own))
        for rest, own in ((first, (2, 3)), (second, (3, 2)))
    )
    np.testing.assert_allclose(mg.einsum("...ij,...jk->...ik", a, b).numpy(), a @ b)


def test_the_class_makes_floats_of_a_list():
    assert mg.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert mg.Tensor([1, 2]).dtype == mg.get_default_dtype()
    assert mg.Tensor([]).shape == (0,)
    integers = np.array([1, 2])
    assert mg.Tensor(integers).numpy() is integers
    for wrong in (3, 2.5, None, "a", {}):
        with pytest.raises(TypeError, match=r"mg\.tensor"):
            mg.Tensor(wrong)
    with pytest.raises(TypeError, match=r"mg\.zeros"):
        mg.Tensor(2, 3)
    with pytest.raises(ValueError, match="ragged"):
        mg.Tensor([1, [2]])


def test_one_bound_of_clip():
    x = [-1.0, 0.5, 2.0]
    assert mg.clip(mg.tensor(x), 0, None).tolist() == [0.0, 0.5, 2.0]
    assert mg.clip(mg.tensor(x), None, 1).tolist() == [-1.0, 0.5, 1.0]
    assert mg.clip(mg.Value(-1.0), 0, None).data == 0.0


NUMPYS = "sum mean prod any all std var cumsum".split()


@pytest.mark.parametrize("name", [*NUMPYS, "max", "min"])
def test_numpys_functions_call_the_methods(name):
    """With arguments that NumPy hands over as None; np.std divides by n."""
    f = getattr(np, name)
    np.testing.assert_allclose(f(X), f(X.numpy()), rtol=1e-6)
    if name in NUMPYS:  # t.max(1) is PyTorch's pair
        np.testing.assert_allclose(f(X, axis=1), f(X.numpy(), axis=1), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_of_numpy_keep_their_dtype(dtype):
    x = np.dtype(dtype).type(1.5)
    assert mg.tensor([x, x]).dtype == mg.tensor([x, 2]).dtype == dtype
    assert mg.tensor([x, 2.0]).dtype == np.result_type(dtype, mg.get_default_dtype())


def test_the_dtype_that_is_asked_for():
    for f in (mg.tril_indices, mg.triu_indices):
        assert f(2, 3).dtype == mg.int64 and f(2, 3, dtype=mg.int32).dtype == mg.int32
    assert mg.cosine_similarity([1, 0], mg.tensor([1, 1]), 0).dtype == mg.get_default_dtype()
