"""One sample, its numbers side by side in vectors, against blocks of samples and NumPy."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.compiler.machine import layouts
from micrograd_jp.compiler.machine.executor import NativeProgram
from micrograd_jp.compiler.run.numpy import Lift

pytest.importorskip("llvmlite", reason="機械語には llvmlite (extra fast) が要る")

NUMPY, SAMPLES, NUMBERS = range(3)


def ways(program, dtype):
    """The same program on NumPy, in blocks of samples, and in vectors of one sample's numbers."""
    blocks = NativeProgram(program, dtype)
    blocks._few = 0
    return Lift(program, dtype), blocks, NativeProgram(program, dtype, 1)


def answers(function, arrays, dtype=np.float64):
    """Values and gradients of parameters and inputs, three times: each call of each of `ways`."""
    found = mg.compile(function, dtype=dtype, executor="lift").trace(*arrays).compilations[0]
    n, out = len(arrays[0]), []
    for executor in ways(found.program, dtype):
        for _ in range(2):  # what the first call leaves in the memory must not count
            # As users have it, a page may end right behind the last parameter.
            parameters = found.binding.vector().copy()
            inputs = [np.array(x) for x in found._rows(list(arrays), n)]
            values = executor.forward(parameters, inputs)
            seeds = np.random.default_rng(9).uniform(0.5, 1.5, values.shape).astype(dtype)
            mine = [values, *executor.backward(seeds, True)]
            executor.forward(parameters, inputs)
            mine.append(executor.backward(seeds, False)[0])
        out.append(mine)
    return out


def agree(function, arrays, dtype=np.float64):
    rtol = 2e-4 if dtype == np.float32 else 1e-8
    found = answers(function, arrays, dtype)
    for way in SAMPLES, NUMBERS:
        for wanted, given_ in zip(found[NUMPY], found[way], strict=True):
            np.testing.assert_allclose(given_, wanted, rtol=rtol, atol=rtol, equal_nan=True)


def matrix(rows, columns, gauss):
    return [[mg.Value(gauss(0, 0.5)) for _ in range(columns)] for _ in range(rows)]


@pytest.mark.parametrize("samples", [3, 4, 300])
def test_weights_of_one_place_get_the_samples_that_are_there(samples):
    """In a block that is not full, who is missing has an infinite logarithm. 300: two runs."""
    weights = matrix(5, 3, random.Random(0).gauss)

    def f(*x):
        return mg.logsumexp([mg.dot(row, [mg.log(a) for a in x]) for row in weights])

    agree(f, [*np.random.default_rng(0).uniform(0.5, 2, (3, samples))])


@pytest.mark.parametrize("sizes", [(1, 1, 1, 2), (3, 2, 9, 7), (17, 33, 8, 2), (9, 16, 5, 19)])
def test_products_of_every_size(sizes):
    """A matrix at one place and at several, as it is and transposed, with and without a bias."""
    gauss = random.Random(0).gauss
    into, hidden, out, places = sizes
    first, bias = matrix(hidden, into, gauss), [mg.Value(gauss(0, 1)) for _ in range(hidden)]
    second, transposed = matrix(out, hidden, gauss), matrix(into, out, gauss)

    def layer(x):
        return [mg.tanh(mg.dot(row, x) + b) for row, b in zip(first, bias, strict=True)]

    def f(x):
        y = [mg.dot(row, layer(x[0])) for row in second]
        z = [mg.dot([row[k] for row in transposed], x[1]) for k in range(out)]
        shared = [mg.dot(row, layer(a)) for a in x for row in second]
        return mg.dot(y, z) + mg.sum([a * a for a in shared])

    x = np.random.default_rng(1).standard_normal((2, places, into))
    agree(f, [x])
    if places == 7:
        agree(f, [x.astype(np.float32)], np.float32)
        agree(f, [x[:, :3].astype(np.float32)], np.float32)


def test_windows_side_by_side():
    """A convolution: the columns of the product overlap, and all gradients meet in the input."""
    gauss = random.Random(1).gauss
    kernels = matrix(3, 9, gauss)

    def f(x):
        windows = [
            [x[i + a][j + b] for a in range(3) for b in range(3)]
            for i in range(4) for j in range(5)
        ]  # fmt: skip
        hidden = [mg.relu(mg.dot(k, w)) for k in kernels for w in windows]
        return mg.logsumexp(hidden) + mg.prod(hidden[:2]) * x[0][0]

    agree(f, [np.random.default_rng(2).standard_normal((2, 6, 7))])


def test_choices_of_each_sample():
    gauss = random.Random(2).gauss
    table, mixing = matrix(6, 5, gauss), matrix(5, 5, gauss)

    def f(tokens, target):
        rows = [mg.take(table, token) for token in tokens]
        y = [mg.dot(row, rows[0]) + rows[1][0] for row in mixing]
        return mg.cross_entropy(y, target) + mg.take(rows[2], target)

    rng = np.random.default_rng(3)
    for n in (1, 3):
        agree(f, [rng.integers(0, 6, (n, 3)), rng.integers(0, 5, n)])


def layered(seed):
    """Layers of one drawn operation each, over lists that a vector does not divide."""

    def f(x, w):
        rng = random.Random(seed)
        layer, pool = list(x), [*x, *w, 0.5]
        for _ in range(rng.randint(1, 4)):
            kind, n = rng.randrange(8), rng.choice([1, 2, 3, 7, 9, 16])
            pick = lambda k, of=layer: [rng.choice(of) for _ in range(k)]
            k = rng.choice([1, 3, 9])
            new = {
                0: lambda: [mg.dot(pick(k, w), pick(k)) + rng.choice(pool) for _ in range(n)],
                1: lambda: [mg.dot(pick(k), pick(k)) for _ in range(n)],
                2: lambda: [mg.tanh(a) * rng.choice(pool) for a in pick(n)],
                3: lambda: [a / (b * b + 1) for a, b in zip(pick(n), pick(n), strict=True)],
                4: lambda: [mg.logsumexp([*pick(k), rng.choice(pool)]) for _ in range(n)],
                5: lambda: [mg.prod(pick(min(k, 3))) for _ in range(n)],
                6: lambda: [(a * a + 0.5) ** rng.choice([2, -0.5, 1.7]) for a in pick(n)],
                7: lambda: [mg.where(a > 0, b, max(a, b)) for a, b in zip(pick(n), pick(n))],
            }[kind]()  # fmt: skip
            layer, pool = new, pool + new
        return [mg.sum(layer) * 0.1, *layer[:3], w[0] * w[-1] + x[1]]

    return f


@pytest.mark.slow
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 3),
    odd=st.sampled_from([0.5, 0.0, np.inf, -np.inf, np.nan]),
)
@settings(max_examples=6)
def test_any_program_of_lists(seed, n, odd):
    rng = np.random.default_rng(seed)
    w = [mg.Value(x) for x in rng.standard_normal(5)]
    x = rng.standard_normal((n, 9))
    x[-1, 0] = odd
    agree(lambda x: layered(seed)(x, w), [x])


def test_a_few_samples_are_computed_one_by_one():
    """And many in blocks, with the same answers; each layout is made when it is needed."""
    random.seed(0)
    model = nn.MLP(20, [30, 3])
    f = mg.compile(lambda x: mg.logsumexp(model(x)), dtype=np.float64, executor="native")
    x = np.random.default_rng(0).standard_normal((40, 20))
    one = f(x[:1])
    made = f.compilations[0].executor
    assert made._alone.lanes == 1 < made.lanes and not made._begun
    many = f(x)
    assert made._begun
    one.sum().backward()  # back again, after the other layout has run
    first = [v.grad for v in model.parameters()]
    f.zero_grad()
    many[0].backward()
    np.testing.assert_allclose(one._data, many._data[:1], rtol=1e-12)
    np.testing.assert_allclose(first, [v.grad for v in model.parameters()], rtol=1e-9, atol=1e-12)


def test_negative_control_numbers_that_meet_are_all_added(monkeypatch):
    """Where one number stands twice in a vector, its gradient is the sum of both."""

    def only_the_last(self, f, at, place, index, x):
        self.store(f, at, place, index, self.load(f, at, place, index) + x)

    monkeypatch.setattr(layouts.Numbers, "add", only_the_last)
    x = np.random.default_rng(0).standard_normal((1, 5))
    with pytest.raises(AssertionError, match="Mismatched"):
        pairs = (0, 1), (0, 2), (3, 0), (4, 0)
        agree(lambda x: mg.sum([mg.tanh(x[i] - x[j]) for i, j in pairs]), [x])


def test_gradients_that_are_stored_first_are_not_those_of_the_call_before():
    """A matrix at two places, beside one that only some outputs use; of inputs, too, and not."""
    gauss = random.Random(4).gauss
    shared, own = matrix(5, 6, gauss), matrix(3, 5, gauss)

    def f(x):
        y = [mg.tanh(mg.dot(row, x[:6])) for row in shared]
        z = [mg.dot(row, x[6:]) for row in shared]
        return [*[mg.dot(row, y) for row in own], mg.sum(z) * shared[0][1]]

    for n in (1, 2):
        agree(f, [np.random.default_rng(n).standard_normal((n, 12))])
