"""計算の道 (ways to compute): 同じ式を、値と勾配まで計算する道のすべて。

新しい実行のしかたは `pipeline.EXECUTORS` に足した日から、ここを通る法則のすべてで調べられる。
どの道も、式の並び `fs`（数をいくつか受け取る関数）、点 X (N, 式, 引数)、上流の勾配 G (N, 式) から、
値 (N, 式) と、引数ごとの勾配 (N, 式, 引数) を返す。計算は倍精度。
"""

import contextlib
import functools

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.compiler.pipeline import EXECUTORS
from micrograd_jp.native import conv, norm, pointwise, pool

OF_NUMBERS = ("Value", "compiled")
"""The ways that compute with single numbers, and take lists of them."""


def number(x):
    return float(np.asarray(getattr(x, "_data", x)))


def by_values(fs, X, G, create_graph=False):
    """One `Value` after another: what the others are compared with."""
    values, slopes = np.empty(G.shape), np.zeros(X.shape)
    for i, j in np.ndindex(*G.shape):
        xs = [mg.Value(x) for x in X[i, j]]
        out = fs[j](*xs)
        values[i, j] = number(out)
        if isinstance(out, mg.Value):
            out.backward(G[i, j], create_graph=create_graph)
            slopes[i, j] = [number(x.grad) for x in xs]
    return values, slopes


def by_tensors(fs, X, G, create_graph=False, array=np.array):
    values, slopes = np.empty(G.shape), np.zeros(X.shape)
    for j, f in enumerate(fs):
        xs = [mg.tensor(array(column), requires_grad=True) for column in X[:, j].T]
        out = f(*xs)
        values[:, j] = getattr(out, "_data", out)
        if getattr(out, "requires_grad", False):
            out.backward(mg.tensor(array(G[:, j])), create_graph=create_graph)
            for k, x in enumerate(xs):
                slopes[:, j, k] = 0 if x.grad is None else x.grad._data
    return values, slopes


@contextlib.contextmanager
def nothing_is_small():
    """Machine code of the Tensors' kernels, whatever the size."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (conv, norm, pointwise, pool):
            patch.setattr(module, "SMALL", 0)
        yield


def by_native_tensors(fs, X, G):
    pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")
    with nothing_is_small():
        return by_tensors(fs, X, G)


@contextlib.contextmanager
def double():
    """JAX, with 64 bits."""
    jax = pytest.importorskip("jax", reason="JAX がない")
    with jax.enable_x64(True):
        yield jax


def by_jax(fs, X, G):
    with double() as jax:
        return by_tensors(fs, X, G, array=jax.numpy.array)


def by_jit(fs, X, G):
    with double() as jax:
        jnp = jax.numpy

        def all_of_it(X, G):
            xs = mg.tensor(X, requires_grad=True)
            rows = [f(*(xs[:, j, k] for k in range(X.shape[2]))) for j, f in enumerate(fs)]
            rows = [mg.as_tensor(row) * jnp.ones(len(X)) for row in rows]
            out = mg.stack(rows, 1)
            out.backward(mg.tensor(G))
            return out._data, xs.grad._data

        return tuple(map(np.array, jax.jit(all_of_it)(jnp.array(X), jnp.array(G))))


def forward(fs, X, G, of_values):
    """Forward mode: one argument moves, the others do not."""
    values, slopes = np.empty(G.shape), np.zeros(X.shape)
    make = mg.Value if of_values else mg.tensor
    for i, j in np.ndindex(*G.shape) if of_values else ((slice(None), j) for j in range(len(fs))):
        xs = [make(x) for x in X[i, j].T]
        for k, x in enumerate(xs):

            def moved(x, f=fs[j], xs=xs, k=k):
                return f(*xs[:k], x, *xs[k + 1 :])

            out = mg.jvp(moved, (x,), (make(G[i, j]),))
            values[i, j], slopes[i, j, k] = (getattr(y, "_data", y) for y in out)
    return values, slopes


def compiled(fs, X, G, executor, array=np.array):
    """All formulas in one compiled function, whose arguments are its inputs."""
    if executor == "tape":
        pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")
    program = mg.compile(
        lambda rows: [f(*row) for f, row in zip(fs, rows, strict=True)],
        dtype=np.float64, executor=executor,
    )  # fmt: skip
    xs = mg.tensor(array(X), requires_grad=True)
    out = program(xs)
    out.backward(mg.tensor(array(G)))
    return np.array(out._data), np.array(xs.grad._data)


def captured(fs, X, G, executor):
    """And with captured parameters for arguments: every point is a formula of its own."""
    if executor == "tape":
        pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")
    leaves = [[[mg.Value(x) for x in xs] for xs in row] for row in X]
    program = mg.compile(
        lambda _: [f(*xs) for row in leaves for f, xs in zip(fs, row, strict=True)],
        dtype=np.float64, executor=executor,
    )  # fmt: skip
    out = program(np.zeros(1))
    out.backward(G.reshape(1, -1))
    slopes = [[[number(x.grad or 0) for x in xs] for xs in row] for row in leaves]
    return out._data.reshape(G.shape).copy(), np.array(slopes)


def compiled_on_jax(fs, X, G):
    with double() as jax:
        return compiled(fs, X, G, None, jax.numpy.array)


def in_a_mode(way, fs, X, G):
    """As everything is computed as soon as one thread is in a mode (`no_grad`, autocast, …)."""
    with mg.enable_grad():
        return way(fs, X, G)


with_graph = functools.partial(by_values, create_graph=True)
WAYS = {
    "Value": by_values,
    "Value create_graph": with_graph,
    "Value in a mode": functools.partial(in_a_mode, by_values),
    "Value jvp": functools.partial(forward, of_values=True),
    "Tensor": by_tensors,
    "Tensor create_graph": functools.partial(by_tensors, create_graph=True),
    "Tensor in a mode": functools.partial(in_a_mode, by_tensors),
    "Tensor jvp": functools.partial(forward, of_values=False),
    "Tensor native": by_native_tensors,
    "JAX": by_jax,
    "JAX jit": by_jit,
    **{f"compiled {e}": functools.partial(compiled, executor=e) for e in EXECUTORS},
    **{f"compiled {e}, captured": functools.partial(captured, executor=e) for e in EXECUTORS},
    "compiled on JAX": compiled_on_jax,
}


def some(*slow):
    """All ways, for `parametrize`: those that wait for XLA are slow, and these."""
    slow = ("JAX jit", "compiled on JAX", *slow)
    return [pytest.param(w, marks=pytest.mark.slow) if w in slow else w for w in WAYS]


# ---- Programs of Tensors ------------------------------------------------------------------------
# A program is a function of Tensors that returns a list of Tensors.


def run_on_numpy(program, *arrays):
    return [np.array(x._data) for x in program(*map(mg.tensor, arrays))]


def run_natively(program, *arrays):
    pytest.importorskip("llvmlite", reason="needs llvmlite (extra fast)")
    with nothing_is_small():
        return run_on_numpy(program, *arrays)


def run_jitted(program, *arrays):
    with double():
        return [np.array(x._data) for x in mg.jit(program)(*map(mg.tensor, arrays))]


def trace(program, *arrays):
    """What `mg.jit` does before XLA compiles anything: dtypes and shapes show, and refusals."""
    with double() as jax:
        jax.eval_shape(lambda *xs: [x._data for x in program(*map(mg.tensor, xs))], *arrays)


def outline(f, *args):
    """What can be seen in a trace, too: structure, dtypes and shapes of a result, or its error."""
    try:
        return _outline(f(*args))
    except Exception as error:  # whether it is a sentence is asked elsewhere
        return error


def _outline(x):
    if isinstance(x, tuple | list):
        return [_outline(y) for y in x]
    return (tuple(x.shape), str(x.dtype)) if isinstance(x, mg.Tensor) else x


def traced_otherwise(calls):
    """The calls (a function of `array`, which makes arrays) that are something else in a trace.

    What depends on numbers, which are not there, has to say so.
    """
    jnp, found = pytest.importorskip("jax.numpy", reason="JAX がない"), []

    def program(one):
        found.extend(outline(call, jnp.asarray) for call in calls)
        return [one]

    trace(program, np.ones(()))
    off = []
    for number, (call, there) in enumerate(zip(calls, found, strict=True)):
        here = outline(call, np.asarray)
        refused = isinstance(here, Exception), isinstance(there, Exception)
        late = refused == (False, True) and "jax.jit" in str(there)
        if here != there and not all(refused) and not late:
            off.append((number, here, there))
    return off
