"""上流の勾配が inf でも、勾配は「上流 × 傾き」である: 途中で ∞ − ∞ の nan にならない。

1 つの数を 1 つにする関数と、並びを 1 つの数にまとめる関数のすべてについて。公式を部品の和で書くと、
打ち消し合うはずの部品が ∞ − ∞ になる（平均を通る分け前や、積の微分の 2 つの項）。
道は NumPy と JAX の `Tensor` と、`create_graph=True`。`Value` と、コンパイルした関数の要素ごとの
演算は `test_ieee.py` が同じ上流で調べる。`jvp` は向きが逆で、上流がない。
"""

import functools
import inspect

import numpy as np
import pytest
import ways

import micrograd_jp as mg
from micrograd_jp.nn import functional as F
from micrograd_jp.ops import arrays, elementwise
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.tensor.functions import FUNCTIONS
from tests.tensor.composed_rows import composed

X = np.array([0.7, -0.4, 0.2])
UPSTREAM = (np.inf, -np.inf, np.nan, 1e300)
LEFT_OUT = {"softmax", "log_softmax", "dropout"}  # each number depends on all, or on chance
# x − tanh x and x/(1 + |x|) are nan in PyTorch, too: x is an operand twice.
LEFT_OUT |= {"tanhshrink", "softsign"}


def of_one_array(f):
    try:
        needed = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty]
    except ValueError:
        return False
    return len(needed) == 1 and needed[0].kind is not needed[0].VAR_POSITIONAL


@functools.cache
def functions():
    """Those of one array that make one number of all, or one of each."""
    found = {op.name: getattr(mg, op.name) for op in elementwise_primitives() if op.arity == 1}
    found |= {f"norm {p}": lambda x, p=p: mg.norm(x, p) for p in (0.5, 1, 3, np.inf, -np.inf)}
    found |= {
        f"{name} 0": lambda x, f=FUNCTIONS[name]: f(x, correction=0) for name in ("var", "std")
    }
    own = {n: f for n, f in vars(F).items() if getattr(f, "__module__", "").startswith(F.__name__)}
    for name, f in {**FUNCTIONS, **own}.items():
        writes = name.endswith("_")  # the same function, into its argument
        if writes or not name[0].islower() or name in LEFT_OUT | composed(FUNCTIONS):
            continue
        if of_one_array(f):
            found.setdefault(name, f)
    kept = {}
    for name, f in found.items():
        try:
            with mg.no_grad():
                y = f(mg.tensor(X))
        except (TypeError, ValueError, IndexError, RuntimeError):
            continue
        numbers = isinstance(y, mg.Tensor) and y.dtype == np.float64
        if numbers and (y.shape == () or (y.shape == X.shape and alone(f))):
            kept[name] = f
    return kept


def alone(f):
    """Whether every number of the result depends on that of its place alone."""
    for i in range(len(X)):
        x = mg.tensor(X, requires_grad=True)
        f(x)[i].backward()
        if x.grad is not None and np.delete(x.grad._data, i).any():
            return False
    return True


def gradient(f, upstream, array=np.array, create_graph=False):
    x = mg.tensor(array(X), requires_grad=True)
    y = f(x)
    if not y.requires_grad:
        return np.zeros(len(X))
    y.backward(mg.tensor(array(np.full(y.shape, upstream))), create_graph=create_graph)
    return np.zeros(len(X)) if x.grad is None else np.array(x.grad._data)


def off(**how):
    """The functions whose gradient is another."""
    found = []
    for name, f in functions().items():
        slope = gradient(f, 1.0, **how)
        for upstream in UPSTREAM:
            with np.errstate(invalid="ignore"):
                wanted = np.where(slope == 0, 0, upstream * slope)
            got = np.where(slope == 0, 0, gradient(f, upstream, **how))
            if not np.allclose(got, wanted, rtol=1e-6, equal_nan=True):
                found.append((name, upstream, got.tolist(), wanted.tolist()))
    return found


def test_they_are_all_there():
    assert {"var", "std", "mean", "prod", "logsumexp", "amax", "norm", "mish", "hardswish", "selu",
            "logsigmoid", "gelu", "norm inf"} <= functions().keys()  # fmt: skip
    assert len(functions()) > 50


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_gradient_is_upstream_times_slope(create_graph):
    assert off(create_graph=create_graph) == []


@pytest.mark.slow
def test_on_jax_too():
    with ways.double() as jax:
        assert off(array=jax.numpy.array) == []


@pytest.mark.control
def test_the_old_faults_would_be_found(monkeypatch):
    def through_the_mean(m, g, z, x, axis):
        (share,) = arrays._norm_gradient(m, g, z, arrays.deviation(m, x, axis), axis)
        return (arrays.deviation(m, share, axis),)

    monkeypatch.setitem(vars(arrays.norm_of_deviations), "vjp", through_the_mean)
    assert {name for name, *_ in off()} == {"std", "std 0"}
    monkeypatch.setitem(functions(), "mish", lambda x: x * mg.tanh(mg.softplus(x)))
    assert {name for name, *_ in off()} == {"std", "std 0", "mish"}
    assert elementwise.mish.partials


@pytest.mark.parametrize("p", [2, 2.5, 3, 4])
def test_a_slope_of_0_beside_an_infinite_number_is_no_closed_gate(p):
    """The norm, too, is infinite, and 0·∞ is nan for every p from 2 on, as in PyTorch."""
    x = mg.tensor([-np.inf, 0.0, 2.0], requires_grad=True)
    (mg.norm(x, p) ** 2).backward()
    assert np.isnan(x.grad._data).all()


@pytest.mark.parametrize("p", [-1, 0.5, 1.5, 3])
def test_a_number_0_has_no_slope_in_a_norm_and_no_curve(p):
    x = mg.tensor([1.0, 0.0, 2.0], requires_grad=True)
    mg.norm(x, p).backward(create_graph=True)
    slope = x.grad
    x.grad = None
    slope.sum().backward()
    assert slope[1].item() == x.grad[1].item() == 0
