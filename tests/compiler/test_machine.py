"""The array program as machine code against the same program in NumPy."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import native, nn
from micrograd_jp.compiler import cost
from micrograd_jp.compiler.machine import backward, executor, lifetimes, machine, pace
from micrograd_jp.compiler.machine.executor import NativeProgram
from micrograd_jp.compiler.run.numpy import Lift
from micrograd_jp.native import machine_code, threads
from micrograd_jp.native.call import kernel

pytest.importorskip("llvmlite", reason="機械語には llvmlite (extra fast) が要る")


def attention(width=6, heads=2, positions=3, classes=5):
    """A small transformer in scalars: products with shared weights, softmax, norms, gathers."""
    gauss = random.Random(0).gauss

    def matrix(rows, columns):
        return [[mg.Value(gauss(0, 0.5)) for _ in range(columns)] for _ in range(rows)]

    def linear(weights, x):
        return [mg.dot(row, x) for row in weights]

    def norm(x):
        scale = (mg.dot(x, x) / len(x) + 1e-5) ** -0.5
        return [a * scale for a in x]

    embedding, places = matrix(width, classes), matrix(positions, width)
    query, key, value, out = (matrix(width, width) for _ in range(4))
    up, down, head = matrix(9, width), matrix(width, 9), matrix(classes, width)

    def loss(document, following):
        keys, values, total = [], [], 0.0
        for i, (now, after) in enumerate(zip(document, following, strict=True)):
            x = [a + b for a, b in zip(linear(embedding, now), places[i], strict=True)]
            y = norm(x)
            q, size, mixed = linear(query, y), width // heads, []
            keys.append(linear(key, y))
            values.append(linear(value, y))
            for start in range(0, width, size):
                own = slice(start, start + size)
                weights = mg.softmax([mg.dot(q[own], k[own]) / size**0.5 for k in keys])
                mixed += [mg.dot(weights, [v[j] for v in values]) for j in range(width)[own]]
            x = [a + b for a, b in zip(x, linear(out, mixed), strict=True)]
            hidden = [a.relu() ** 2 for a in linear(up, norm(x))]
            x = [a + b for a, b in zip(x, linear(down, hidden), strict=True)]
            total = total + mg.cross_entropy(linear(head, x), after)
        return total

    return loss


def convolution():
    """Windows with a border, a bias shared by places, a prod and a list of results."""
    gauss = random.Random(1).gauss
    kernel = [[mg.Value(gauss(0, 1)) for _ in range(3)] for _ in range(2)]
    bias, head = mg.Value(0.3), [mg.Value(gauss(0, 1)) for _ in range(10)]

    def f(x):
        x = [0.0, *x, 0.0]
        hidden = [
            mg.tanh(mg.sum([w * a for w, a in zip(row, x[i:], strict=False)]) + bias)
            for row in kernel for i in range(5)
        ]  # fmt: skip
        penalty = mg.sum([w * w for row in kernel for w in row])
        return [mg.dot(head, hidden) + 0.1 * penalty, mg.prod(hidden[:3]) * x[2], bias * bias]

    return f


def arrays(name, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if name == "attention":
        return [np.eye(5, dtype=dtype)[rng.integers(0, 5, (n, 3))] for _ in range(2)]
    return [rng.standard_normal((n, 5)).astype(dtype)]


WAYS = ("lift", "native")
FUNCTIONS = {"attention": attention(), "convolution": convolution()}


def answers(function, inputs, dtype, way):
    """All that a compiled function says: values, gradients of parameters and of inputs."""
    compiled = mg.compile(function, dtype=dtype, executor=way)
    xs = [mg.tensor(x, requires_grad=True) for x in inputs]
    out = compiled(*xs)
    weight = np.random.default_rng(9).uniform(0.5, 1.5, out.shape).astype(dtype)
    (out * mg.tensor(weight)).sum().backward()
    found = [out._data, *(p.grad._data for p in compiled.parameters()), *(x.grad._data for x in xs)]
    compiled.zero_grad()
    with mg.no_grad():
        np.testing.assert_array_equal(compiled(*inputs)._data, out._data)
    return [np.array(x) for x in found], compiled


def agree(name, n, dtype=np.float64, change=None):
    function, inputs = FUNCTIONS[name], arrays(name, n, dtype)
    if change:
        change(inputs)
    ways = {way: answers(function, inputs, dtype, way) for way in ("lift", "native")}
    rtol = 1e-4 if dtype == np.float32 else 1e-9
    for one, other in zip(ways["lift"][0], ways["native"][0], strict=True):
        np.testing.assert_allclose(other, one, rtol=rtol, atol=rtol, equal_nan=True)
    return ways["native"][1].compilations[0].executor


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 100])
def test_any_number_of_samples(name, n):
    agree(name, n)
    if n in (1, 17):
        agree(name, n, np.float32)


def test_it_is_machine_code():
    made = agree("attention", 3)
    assert isinstance(made, NativeProgram)


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("sample", [0, 16])
def test_infinities_stay_in_their_sample(number, sample):
    """Also in the last, partial block of lanes, whose other lanes must not reach a gradient."""

    def put(inputs):
        inputs[0][sample, 2] = number

    agree("convolution", 17, change=put)
    f = mg.compile(lambda x: mg.log(x) * w, dtype=np.float64, executor="native")
    w = mg.Value(2.0)
    f(np.array([1.0, 3.0, 3.0]))  # log 0 in the lanes that are not there
    f.backward()
    assert w.grad == pytest.approx(2 * np.log(3) / 3)


def test_negative_control_lanes_that_are_not_there_are_left_out(monkeypatch):
    given = backward.Backward.give

    def all_lanes(self, to, index, share):
        given(self, to._replace(masked=False), index, share)

    monkeypatch.setattr(backward.Backward, "give", all_lanes)
    w = mg.Value(2.0)
    f = mg.compile(lambda x: mg.log(x) * w, dtype=np.float64, executor="native")
    f(np.array([1.0, 3.0, 3.0]))
    f.backward()
    assert not np.isfinite(w.grad)


def test_negative_control_gradients_that_are_needed_have_rows_of_their_own(monkeypatch):
    def one_row_for_all(program, parts):
        places, count = lifetimes.gradient_rows(program, parts)
        return places % 3, count

    monkeypatch.setattr(machine, "gradient_rows", one_row_for_all)
    with pytest.raises(AssertionError, match="Mismatched"):
        agree("attention", 3)


@pytest.mark.parametrize("bits", [128, 256])
def test_narrow_registers(monkeypatch, bits):
    monkeypatch.setattr(machine_code, "vector_bytes", lambda: bits // 8)
    kernel.cache_clear()
    try:
        assert agree("attention", 5).lanes == bits // 64
        agree("convolution", 17, np.float32)
    finally:
        kernel.cache_clear()


def test_values_that_do_not_fit_are_computed_again(monkeypatch):
    monkeypatch.setattr(executor, "KEPT_BYTES", 0)
    agree("attention", 40)


def test_a_damaged_entry_is_built_again(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROGRAD_JP_KERNELS", str(tmp_path))
    agree("convolution", 3)
    machine_code.addresses.cache_clear()
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    agree("convolution", 3)


def test_without_llvmlite_numpy_does_it(monkeypatch):
    monkeypatch.setattr(executor, "available", lambda: False)
    f = mg.compile(lambda x: x * 2, executor="native")
    assert f(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert isinstance(f.compilations[0].executor, Lift)


def test_too_many_steps_are_left_to_numpy():
    def chain(x):
        for _ in range(300):
            x = mg.sin(x) * w
        return x

    w = mg.Value(0.9)
    f = mg.compile(chain, executor="native")
    f(np.ones(2))
    assert isinstance(f.compilations[0].executor, Lift)


def test_parameters_that_are_shared_out_over_steps_in_every_order():
    """Weights that stand side by side in no order, negated, repeated, beside numbers."""
    w = [mg.Value(x) for x in (0.5, -1.5, 2.0, 0.25)]

    def f(x):
        first = [mg.dot([w[i], w[j], w[i]], x) for i, j in ((0, 3), (2, 1), (3, 0))]
        second = [w[1] - w[k] * first[0] * x[1] - w[k] * first[1] for k in (2, 0, 3)]
        chosen = mg.where(x[0] > 0, w[2] * w[3], mg.maximum(w[0], first[2]))
        return mg.logsumexp([*second, w[1], 0.5]) + chosen

    x = np.random.default_rng(0).standard_normal((19, 3))
    ways = [answers(f, [x], np.float64, way)[0] for way in ("levels", "native")]
    for one, other in zip(*ways, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)


def test_weights_beside_constants_are_those_of_now():
    """[w₀, 0, w₁] is one row of a matrix, and no step computes it."""
    w = [mg.Value(0.5), mg.Value(-1.5)]

    def f(x):
        y = mg.exp(x)
        return [mg.dot([w[0], 2.0, w[1]], [y, y, y]), mg.dot([w[0], 2.0], [y, y])]

    x = np.random.default_rng(0).standard_normal(5)
    compiled = mg.compile(f, dtype=np.float64, executor="native")
    for w0 in (0.5, 3.0):
        w[0].data = w0
        wanted = np.exp(x)[:, None] * [w0 + 0.5, w0 + 2.0]
        np.testing.assert_allclose(compiled(x)._data, wanted, rtol=1e-12)


def test_nn_on_real_shapes():
    random.seed(0)
    model = nn.MLP(30, [20, 3])
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((50, 30)), np.eye(3)[rng.integers(0, 3, 50)]

    def loss(x, t):
        return mg.cross_entropy(model(x), t)

    ways = [answers(loss, [x, t], np.float64, way)[0] for way in ("lift", "native")]
    for one, other in zip(*ways, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)


def switching(monkeypatch, after=2):
    """A function of which machine code is made behind so many calls."""
    monkeypatch.setattr(cost, "compile_time", lambda program: (after + 0.5) * 100)
    monkeypatch.setattr(cost, "lift_cost", lambda program, batch: 100.0)
    monkeypatch.setattr(cost, "native_cost", lambda program, batch, dtype: 10.0)
    w = [mg.Value(0.5), mg.Value(-1.0)]
    return mg.compile(lambda x: mg.tanh(mg.dot(w, x)), dtype=np.float64), w


def test_machine_code_is_made_when_it_has_been_called_often_enough(monkeypatch):
    f, w = switching(monkeypatch)
    x = np.random.default_rng(0).standard_normal((200, 2))
    made, gradients = [], []
    for _ in range(4):
        f.zero_grad() if f.compilations else None
        f(x)
        f.backward()
        made.append(type(f.compilations[0].executor))
        gradients.append([v.grad for v in w])
    assert made == [Lift, Lift, NativeProgram, NativeProgram]
    np.testing.assert_allclose(gradients, gradients[:1] * 4, rtol=1e-12)
    assert "はじめの 2 回は lift" in f.explain() and "native で動かします" in f.explain()


def test_a_call_before_the_switch_is_pulled_back_behind_it(monkeypatch):
    f, w = switching(monkeypatch, after=1)
    x = np.random.default_rng(0).standard_normal((20, 2))
    first = f(x)
    f(x[:3])
    first.sum().backward()
    slope = 1 - np.tanh(x @ [0.5, -1.0]) ** 2
    np.testing.assert_allclose([v.grad for v in w], slope @ x, rtol=1e-12)


def test_what_is_worth_compiling():
    x, t = np.zeros((100, 30)), np.zeros((100, 3))

    def choice(n):
        model = nn.MLP(30, [20, 3])
        f = mg.compile(lambda x, t: mg.cross_entropy(model(x), t))
        return f.trace(x[:n], t[:n]).compilations[0].choice

    one, again = choice(100), choice(100)
    assert one.name == "native" and one.first == "lift" and one.after == again.after > 0
    with native.disabled():
        assert choice(100).name == "lift"


def test_threads_change_no_bit(monkeypatch):
    """How the work is cut does not depend on who does it."""
    monkeypatch.setattr(executor, "JOB", 1.0)
    monkeypatch.setattr(executor, "SPAN", 2)

    def bits(count):
        monkeypatch.setattr(threads, "threads", lambda: count)
        found, compiled = answers(FUNCTIONS["attention"], inputs, np.float32, "native")
        made = compiled.compilations[0].executor
        for _ in range(6):  # the first ones are measured alone
            out = compiled(*inputs)
            compiled.backward()
            compiled.zero_grad()
        assert len(made._plan.spans) > 2
        return [x.tobytes() for x in (*found, out._data)]

    inputs = arrays("attention", 200, np.float32)
    assert bits(1) == bits(3)
    monkeypatch.setattr(executor, "JOB", 1e9)
    agree("attention", 200)


def test_work_that_is_not_faster_in_parts_is_done_by_one(monkeypatch):
    """Parts that take as long as all of it: tried ever more rarely."""
    clock, calls, tried, parts_take = [0.0], [0], [], [30.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(threads, "threads", lambda: 2)

    def alone(i):
        clock[0] += 1.0

    def in_parts(work, count):
        tried.append(calls[0])
        clock[0] += parts_take[0]

    def run(times):
        for _ in range(times):
            one.run(alone, 2)
            calls[0] += 1

    monkeypatch.setattr(threads, "run", in_parts)
    one = pace.Pace()
    run(500)
    assert tried == [3, 20, 53, 118, 247]
    parts_take[0] = 1.2
    run(5000)
    assert len(tried) > 4000


def layered(draw_of):
    """A program over lists: layers of one operation each, drawn from a random generator."""

    def f(x, w):
        rng = random.Random(draw_of)
        layer, pool = list(x), [*x, *w, 0.5, -1.0]
        for _ in range(rng.randint(1, 4)):
            kind, new = rng.choice(KINDS), []
            for _ in range(rng.randint(1, 4)):
                xs = [rng.choice(layer) for _ in range(rng.randint(1, 4))]
                other = rng.choice(pool)
                new += {
                    "weighted": lambda xs, other: [mg.dot([rng.choice(w) for _ in xs], xs) + other],
                    "dot": lambda xs, other: [mg.dot(xs, xs[::-1])],
                    "map": lambda xs, other: [mg.tanh(xs[0]), mg.relu(xs[-1])],
                    "two": lambda xs, other: [xs[0] * other, xs[0] / (other * other + 1)],
                    "fold": lambda xs, other: [mg.logsumexp([*xs, other]), mg.prod(xs)],
                    "softmax": lambda xs, other: mg.softmax(xs),
                    "power": lambda xs, other: [
                        (xs[0] * xs[0] + 0.5) ** rng.choice([2, -0.5, 1.7])
                    ],
                    "largest": lambda xs, other: [max(xs), mg.where(xs[0] > 0, other, xs[-1])],
                }[kind](xs, other)
            layer, pool = new, pool + new
        return [mg.sum(layer) * 0.1, *layer[:2], w[0] * w[-1]]

    return f


KINDS = ["weighted", "dot", "map", "two", "fold", "softmax", "power", "largest"]


@given(seed=st.integers(0, 10**6), odd=st.sampled_from([0.5, 0.0, np.inf, -np.inf, np.nan]))
@settings(max_examples=10)
def test_any_program_of_lists(seed, odd):
    rng = np.random.default_rng(seed)
    w = [mg.Value(x) for x in rng.standard_normal(3)]
    x = rng.standard_normal((rng.integers(1, 18), 4))
    x[-1, 0] = odd
    ways = [answers(lambda x: layered(seed)(x, w), [x], np.float64, way)[0] for way in WAYS]
    for one, other in zip(*ways, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-8, atol=1e-8, equal_nan=True)
