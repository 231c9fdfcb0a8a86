"""`autocast`: 重い演算だけが 16 ビット、損失と勾配は単精度。入れ子、スレッド、高階微分でも。"""

import threading

import numpy as np
import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from micrograd_jp.tensor.functions.reduce import prod
from tests.reference import torch

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
CLASSES = np.array([0, 1, 2, 3])
IMAGES = X.reshape(1, 4, 2, 3)
HALVES = ["float16", "bfloat16"]

# PyTorch's table, "CUDA Ops that can autocast to float16 / float32", as far as it goes here.
TO_HALF = {
    "matmul": lambda x: x @ x.T, "mm": lambda x: mg.mm(x, x.T), "mv": lambda x: mg.mv(x, x[0]),
    "bmm": lambda x: mg.bmm(x[None], x.T[None]), "linear": lambda x: F.linear(x, x, x[:, 0]),
    "einsum": lambda x: mg.einsum("ij,kj->ik", x, x),
    "tensordot": lambda x: mg.tensordot(x, x.T, 1),
    "conv2d": lambda x: F.conv2d(x.reshape(1, 4, 2, 3), x[:, :4, None, None], x[:, 0]),
    "conv_transpose2d": lambda x: F.conv_transpose2d(
        x.reshape(1, 4, 2, 3), x[:, :4, None, None], x[:, 0][:4]),
}  # fmt: skip
TO_SINGLE = {
    "exp": mg.exp, "expm1": mg.expm1, "log": lambda x: mg.log(x.abs()), "pow": lambda x: x**2,
    "log1p": lambda x: mg.log1p(x.abs()), "softplus": mg.softplus, "tan": mg.tan,
    "sinh": mg.sinh, "cosh": mg.cosh, "asin": lambda x: mg.asin(x * 0.1),
    "acos": lambda x: mg.acos(x * 0.1), "sum": lambda x: x.sum(), "prod": prod,
    "cumsum": lambda x: x.cumsum(0), "norm": lambda x: x.norm(), "mean": lambda x: x.mean(),
    "var": lambda x: x.var(), "softmax": lambda x: mg.softmax(x, 1),
    "log_softmax": lambda x: mg.log_softmax(x, 1), "logsumexp": lambda x: mg.logsumexp(x, 1),
    "layer_norm": lambda x: F.layer_norm(x, 6), "mse_loss": lambda x: F.mse_loss(x, x * 0),
    "l1_loss": lambda x: F.l1_loss(x, x * 0),
    "cross_entropy": lambda x: F.cross_entropy(x, CLASSES),
    "soft": lambda x: F.cross_entropy(x, mg.softmax(x, 1)),
    "nll_loss": lambda x: F.nll_loss(x, CLASSES),
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, x * 0),
}  # fmt: skip
AS_THEY_ARE = {
    "add": lambda x: x + x, "relu": mg.relu, "tanh": mg.tanh, "max": lambda x: x.amax(1),
    "reshape": lambda x: x.reshape(-1), "getitem": lambda x: x[0], "stack": lambda x: mg.stack([x]),
    "pool": lambda x: F.max_pool2d(x.reshape(1, 4, 2, 3), 2), "neg": lambda x: -x,
    "avg_pool": lambda x: F.avg_pool2d(x.reshape(1, 4, 2, 3), 2),
}  # fmt: skip


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("own", ["float32", "half"])
def test_the_table(half, own):
    x = mg.tensor(X, requires_grad=True)
    if own == "half":
        x = x.detach().to(half).requires_grad_()
    found = {}
    for table, wanted in ((TO_HALF, half), (TO_SINGLE, "float32"), (AS_THEY_ARE, str(x.dtype))):
        for name, f in table.items():
            with mg.autocast(half):
                out = f(x)
            x.grad = None
            out.sum().backward()
            if (str(out.dtype), x.grad.dtype) != (wanted, x.dtype):
                found[name] = str(out.dtype)
            if own == "float32" and table is not TO_HALF:  # nothing to be rounded
                assert np.array_equal(out.data, f(mg.tensor(X)).data, equal_nan=True), name
    assert found == {}


def test_the_products_are_those_of_pytorch():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()})
    with mg.autocast("cpu", dtype=mg.bfloat16), torch.autocast("cpu", dtype=torch.bfloat16):
        a, b = model(mg.tensor(X)), theirs(torch.tensor(X))
        ours, wanted = F.cross_entropy(a, CLASSES % 3), torch.nn.functional.cross_entropy(
            b, torch.tensor(CLASSES % 3))  # fmt: skip
    assert a.dtype == mg.bfloat16 and b.dtype == torch.bfloat16
    assert np.allclose(a.detach().float().data, b.detach().float().numpy(), atol=0.02)
    ours.backward()
    wanted.backward()
    for p, q in zip(model.parameters(), theirs.parameters(), strict=True):
        assert p.dtype == p.grad.dtype == mg.float32
        assert np.allclose(p.grad.data, q.grad.numpy(), atol=0.02)


def products(x):
    return str((x @ x.T).dtype)


def test_nested_disabled_decorated_and_after_an_error():
    x = mg.tensor(X)
    assert products(x) == "float32"
    with mg.autocast(mg.float16):
        with mg.autocast(dtype="bfloat16"):
            assert products(x) == "bfloat16"
            with mg.autocast(mg.float16, enabled=False):
                assert products(x) == "float32"
        assert products(x) == "float16"
    with pytest.raises(ZeroDivisionError), mg.autocast(mg.float16):
        1 / 0
    assert products(x) == "float32"
    decorated = mg.autocast("cuda", dtype=mg.float16)(products)
    assert decorated(x) == "float16" and products(x) == "float32"
    assert mg.autocast(enabled=False)(products)(x) == "float32"
    assert mg.amp.autocast is mg.autocast


def test_another_thread_is_not_touched():
    found, inside, done = [], threading.Event(), threading.Event()

    def other():
        inside.wait(10)
        found.append(products(mg.tensor(X)))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with mg.autocast(mg.float16):
        inside.set()
        assert done.wait(10) and products(mg.tensor(X)) == "float16"
    thread.join()
    assert found == ["float32"]


@pytest.mark.parametrize("inside", [True, False])
def test_gradients_of_gradients(inside):
    """The backward pass computes in the dtypes of the forward pass, wherever it is called."""
    w = mg.tensor(X, requires_grad=True)
    with mg.autocast(mg.float16):
        loss = ((w @ w.T) * 0.1).tanh().sum()
        if inside:
            loss.backward(create_graph=True)
    if not inside:
        loss.backward(create_graph=True)
    first = w.grad
    w.grad = None
    (first * first).sum().backward()
    exact = mg.tensor(X.astype(np.float64), requires_grad=True)
    ((exact @ exact.T) * 0.1).tanh().sum().backward(create_graph=True)
    g, exact.grad = exact.grad, None
    (g * g).sum().backward()
    assert first.dtype == w.grad.dtype == mg.float32
    for got, wanted in ((first, g), (w.grad, exact.grad)):
        assert np.allclose(got.data, wanted.data, atol=0.01 * np.abs(wanted.data).max())


def test_float64_and_whole_numbers_stay_as_they_are():
    x, n = mg.tensor(X.astype(np.float64)), mg.arange(4).reshape(2, 2)
    with mg.autocast(mg.float16):
        assert products(x) == "float64" and products(n) == "int64"
        assert F.linear(x, mg.tensor(X)).dtype == mg.float64
        assert mg.softmax(x, 1).dtype == mg.logsumexp(x, 1).dtype == mg.var(x).dtype == mg.float64
        assert F.mse_loss(x, x).dtype == F.cross_entropy(x, CLASSES).dtype == mg.float64
        for half in (mg.float16, mg.bfloat16):
            assert mg.logsumexp(x.to(half), 1).dtype == F.mse_loss(x.to(half), x).dtype == "float32"


@pytest.mark.parametrize("given", [(), (mg.float32,), ("cuda",), ("flaot16",), (3,), (mg.int16,)])
def test_what_is_no_half_dtype_is_refused(given):
    with pytest.raises(TypeError, match=r"autocast は 16 ビットの小数の型を受け取ります"):
        mg.autocast(*given)
