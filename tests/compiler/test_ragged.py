"""長さの違う標本: 1 つずつ計算したのと同じ値と勾配が、もとの順に並ぶ。"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.compiler.record import ragged
from micrograd_jp.compiler.record.ragged import buckets
from micrograd_jp.native import machine_code

EXECUTORS = ["lift", "levels", "python"] + ["native", "tape"] * machine_code.available()
LETTERS, WIDTH = 5, 3


def matrix(rows, columns, seed):
    numbers = np.random.default_rng(seed).normal(size=(rows, columns))
    return [[mg.Value(x) for x in row] for row in numbers]


def recurrent(seed=0):
    """A loss of a sequence of letters and of a number for each; and its parameters."""
    rows, head = matrix(LETTERS, WIDTH, seed), matrix(LETTERS, WIDTH, seed + 1)

    def loss(letters, following, weights, scale):
        h, losses = [0.0] * WIDTH, []
        for letter, target, weight in zip(letters, following, weights, strict=True):
            h = [mg.tanh(a + b) for a, b in zip(mg.take(rows, letter), h)]
            losses.append(weight * mg.cross_entropy([mg.dot(w, h) for w in head], target))
        return sum(losses) / len(losses) * scale

    return loss, [x for row in rows + head for x in row]


def objects(samples):
    """One-dimensional, also where all samples are of one length."""
    out = np.empty(len(samples), object)
    for i, sample in enumerate(samples):
        out[i] = sample
    return out


def samples(lengths, seed):
    rng = np.random.default_rng(seed)
    letters, following = ([rng.integers(0, LETTERS, n) for n in lengths] for _ in range(2))
    return (
        objects(letters), objects(following), objects([rng.normal(size=n) for n in lengths]),
        rng.normal(size=len(lengths)),
    )  # fmt: skip


def gradients(parameters):
    found = [0.0 if v.grad is None else v.grad for v in parameters]
    for v in parameters:
        v.grad = None
    return found


@pytest.mark.parametrize("executor", EXECUTORS)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=9),
    seed=st.integers(0, 99),
    as_lists=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_each_sample_as_if_it_came_alone(executor, lengths, seed, as_lists):
    function, parameters = recurrent(seed)
    given_ = samples(lengths, seed)
    alone = [function(*[x[i].tolist() for x in given_]) for i in range(len(lengths))]
    (mg.sum(alone) / len(alone)).backward()
    wanted = gradients(parameters)
    loss = mg.compile(function, executor=executor, dtype=np.float64)
    if as_lists:
        given_ = [*[objects([y.tolist() for y in x]) for x in given_[:3]], given_[3]]
    values = loss(*given_)
    np.testing.assert_allclose(values._data, [v.data for v in alone], rtol=1e-12)
    loss.backward()
    np.testing.assert_allclose(gradients(parameters), wanted, rtol=1e-9, atol=1e-12)
    (values * 3).mean().backward()  # through the graph
    np.testing.assert_allclose(gradients(parameters), 3 * np.array(wanted), rtol=1e-9, atol=1e-12)
    assert len(loss.compilations) == len(set(lengths))


def test_gradients_reach_tensors_that_came_with_them():
    function, _ = recurrent()
    letters, following, weights, scale = samples([2, 1, 2, 3], 0)
    x = mg.tensor(scale, requires_grad=True)
    loss = mg.compile(function, dtype=np.float64)
    values = loss(letters, following, weights, x)
    loss.backward()
    np.testing.assert_allclose(x.grad._data * scale, values._data / 4)
    y = mg.tensor(scale / 2, requires_grad=True)  # and what they were computed from
    loss(letters, following, weights, scale=y * 2).sum().backward()
    np.testing.assert_allclose(y.grad._data, x.grad._data * 8)


def summed(x, t):
    return (mg.tanh(sum(x) * SLOPE) - t) ** 2


SLOPE = mg.Value(0.5)
LENGTHS = objects([np.ones(2), np.ones(1), np.array([0.5, 1.0, 2.0]), np.ones(1)])
TARGETS = np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("when", ["at once", "without the graph", "later", "no longer"])
def test_who_wants_a_gradient_is_asked_when_it_comes(when):
    """As where all samples are of one length: the Tensor is the caller's, not a piece of it."""
    found = []
    for x in (LENGTHS, np.ones((4, 2))):
        loss = mg.compile(summed, dtype=np.float64)
        t = mg.tensor(TARGETS, requires_grad=when != "later")
        with mg.set_grad_enabled(when != "without the graph"):
            values = loss(x, t)
        if when in ("later", "no longer"):
            t.requires_grad_(when == "later")
        loss.backward()
        roots = np.tanh([x[i].sum() / 2 for i in range(4)]) - TARGETS
        found.append(None if t.grad is None else t.grad._data + roots / 2)
        assert values.shape == (4,)
    if when == "no longer":
        assert found == [None, None]
    else:
        np.testing.assert_allclose(found, 0, atol=1e-12)


def test_hooks_see_the_whole_gradient_once():
    loss = mg.compile(summed, dtype=np.float64).trace(LENGTHS, TARGETS)
    [p], t, seen = loss.parameters(), mg.tensor(TARGETS, requires_grad=True), []
    for x in (p, t):
        x.register_hook(lambda g: seen.append(g.detach().numpy().copy()))
    for backward in (loss.backward, lambda: values.mean().backward()):
        values = loss(LENGTHS, t)
        backward()
    assert len(seen) == 4
    of = {len(g): [h for h in seen if len(h) == len(g)] for g in seen}
    np.testing.assert_allclose(*of[1], rtol=1e-12)
    np.testing.assert_allclose(*of[4], rtol=1e-12)


def test_a_refused_backward_has_changed_nothing():
    loss = mg.compile(summed, dtype=np.float64)
    for x in (LENGTHS, np.ones((4, 2))):
        t = mg.tensor(TARGETS, requires_grad=True)
        loss(x, t * 2).mean().backward()
        loss.zero_grad()
        with pytest.raises(RuntimeError, match="既に逆伝播"):
            loss.backward()
        assert SLOPE.grad == 0
        t = mg.tensor(TARGETS, requires_grad=True)  # a leaf may be asked again
        loss(x, t).mean().backward()
        loss.backward()
        assert SLOPE.grad != 0


def test_the_same_tensor_twice_is_asked_once():
    loss = mg.compile(lambda x, y: sum(a * b for a, b in zip(x, y)))
    x, seen = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), []
    x.register_hook(lambda g: seen.append(g.tolist()))
    loss(x, x)
    loss.backward()
    assert seen == [[[1, 2], [3, 4]]]


def test_in_structures_and_of_several_axes():
    @mg.compile(dtype=np.float64)
    def norm(pair, scale):
        x, y = pair["x"], pair["y"]
        return sum(a * a for row in x for a in row) * scale + y[0]

    rng = np.random.default_rng(0)
    x = [rng.normal(size=(n, 2)) for n in (3, 1, 3, 2)]
    y = rng.normal(size=(4, 1))
    wanted = [(a * a).sum() * 2 + b[0] for a, b in zip(x, y)]
    np.testing.assert_allclose(norm({"x": objects(x), "y": y}, 2)._data, wanted)
    # Lists of one length, which NumPy makes into one array of objects.
    both = np.array([x[0].tolist(), x[2].tolist()], dtype=object)
    assert both.shape == (2, 3, 2)
    np.testing.assert_allclose(norm({"x": both, "y": y[::2]}, 2)._data, wanted[::2])


def test_results_of_one_shape_are_put_together():
    @mg.compile(dtype=np.float64)
    def ends(x):
        return {"both": [x[0], x[-1]], "sum": sum(x)}

    found = ends(objects([[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]]))
    assert found["both"]._data.tolist() == [[1, 2], [3, 3], [4, 6]]
    assert found["sum"]._data.tolist() == [3, 3, 15]

    @mg.compile
    def doubled(x):
        return [2 * a for a in x]

    with pytest.raises(ValueError, match=r"結果の形が違う.*\[\(2,\)\] と \[\(1,\)\]"):
        doubled(objects([[1.0], [1.0, 2.0]]))


def test_all_lengths_are_traced_the_longest_first():
    positions = matrix(1, 6, 0)[0]
    loss = mg.compile(lambda x: sum(a * p for a, p in zip(x, positions)))
    x = objects([np.ones(n) for n in (2, 6, 1)])
    assert len(loss.trace(x).compilations) == 3
    [every] = loss.parameters()
    assert every.shape == (6,)
    with warnings.catch_warnings(action="error"):
        loss(x)
    loss.backward()
    np.testing.assert_allclose(every.grad._data, np.array([3, 2, 1, 1, 1, 1]) / 3)


def optimizers():
    return {
        "Adam": lambda p: mg.optim.Adam(p, lr=0.05),
        "SGD": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9),
    }


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", optimizers())
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("is_traced", [True, False])
def test_minimize_is_its_loop(executor, name, batch, is_traced):
    """Bit for bit; also where later lengths bring new parameters."""
    lengths = [2, 1, 1, 3, 2, 2, 2, 4, 1, 1]
    given_, found = samples(lengths, 1), []
    for by_hand in (True, False):
        function, parameters = recurrent()
        loss = mg.compile(function, executor=executor)
        first = given_ if is_traced else [x[1:2] for x in given_]
        optimizer = optimizers()[name](loss.trace(*first).parameters())
        scheduler = mg.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        with warnings.catch_warnings(action="ignore"):
            if by_hand:
                values = []
                for start in [*range(0, len(lengths), batch)] * 2:
                    values += loss(*[x[start : start + batch] for x in given_])._data.tolist()
                    loss.zero_grad()
                    loss.backward()
                    optimizer.step()
                    scheduler.step()
            else:
                values = loss.minimize(
                    optimizer, *given_, batch_size=batch, epochs=2, scheduler=scheduler
                )._data.tolist()
        found.append((values, [v.data for v in parameters], gradients(parameters)))
    assert found[0] == found[1]
    assert len(found[0][0]) == 2 * len(lengths)


def test_minimize_where_each_length_has_parameters_of_its_own():
    x, found = objects([np.ones(n) for n in (2, 1, 2, 3, 1)]), []
    for by_hand in (True, False):
        slopes = [mg.Value(1.0 + i) for i in range(3)]
        loss = mg.compile(lambda x, slopes=slopes: (sum(x) * slopes[len(x) - 1] - 1) ** 2)
        optimizer = mg.optim.SGD(loss.trace(x).parameters(), lr=0.01)
        if by_hand:
            for i in range(len(x)):
                loss(x[i : i + 1])
                loss.zero_grad()
                loss.backward()
                optimizer.step()
        else:
            loss.minimize(optimizer, x)
        found.append([v.data for v in slopes])
    assert found[0] == found[1] != [1, 2, 3]


def test_a_wrong_index_is_named_and_nothing_was_updated():
    function, parameters = recurrent()
    given_ = samples([2, 1, 2, 3], 0)
    loss = mg.compile(function).trace(*given_)
    optimizer = mg.optim.SGD(loss.parameters(), lr=0.1)
    before = [v.data for v in parameters]
    given_[0][2] = np.array([1, LETTERS])
    for call in (loss, lambda *x: loss.minimize(optimizer, *x)):
        with pytest.raises(IndexError, match="letters の標本 2 番の番号 5 は"):
            call(*given_)
    assert before == [v.data for v in parameters]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (objects([[1], [1, 2]]), np.ones(3), r"batch size mismatch.*\(2,\), \(3,\)"),
        (objects([]), np.ones(0), "no samples"),
        (objects([[1], [[1, 2], [3]]]), np.ones(2), "標本 1 番の中の並びの長さが揃っていません"),
        (objects([[1], "ab"]), np.ones(2), "標本 1 番は 'ab' です"),
        (objects([[1], [None]]), np.ones(2), r"標本 1 番は \[None\] です"),
        (objects([[1j], [1]]), np.ones(2), "標本 0 番は"),
        (objects([[1], mg.ones(2, requires_grad=True)]), np.ones(2), r"標本 1 番は、.*detach\(\)"),
        (objects([[1], [mg.tensor(1.0, requires_grad=True)]]), np.ones(2), "標本 1 番は、勾配を"),
        (objects([[1], np.zeros(2, [("a", float)])]), np.ones(2), "標本 1 番は"),
    ],
)
def test_what_is_no_sample_is_said(x, y, message):
    loss = mg.compile(lambda x, y: sum(x) * y)
    with pytest.raises((ValueError, TypeError), match=message):
        loss(x, y)
    assert not loss.compilations


def test_what_a_dense_array_may_be_a_sample_may_be():
    loss = mg.compile(lambda x: sum(x))
    for sample in ([True, False, True], np.array([True, False, True]), np.ones(2, np.float16)):
        assert loss(objects([sample, [3]]))._data.tolist() == [2, 3]


class Pair(NamedTuple):
    x: Any
    y: Any


class Several(list):
    pass


@pytest.mark.parametrize("kind", [Pair, lambda x, y: Several([x, y]), lambda x, y: (x, y)])
@pytest.mark.parametrize("x", [LENGTHS, np.ones((4, 2))])
def test_any_container_of_arguments(kind, x):
    @mg.compile(dtype=np.float64)
    def loss(both):
        first, second = (both.x, both.y) if isinstance(both, Pair) else both
        return sum(first) * SLOPE + second

    given_ = kind(x, TARGETS)
    wanted = [x[i].sum() * SLOPE.data + TARGETS[i] for i in range(4)]
    np.testing.assert_allclose(loss(given_)._data, wanted)
    np.testing.assert_allclose(
        loss.minimize(mg.optim.SGD(loss.parameters(), lr=0.0), given_)._data, wanted
    )


def test_samples_may_be_tensors_that_want_no_gradient():
    loss = mg.compile(lambda x: sum(x))
    found = loss(objects([mg.tensor([1.0, 2.0]), mg.tensor([4.0])]))
    assert found._data.tolist() == [3, 4]


def test_value_and_grad_wants_one_length():
    loss = mg.compile(lambda x: sum(x))
    with pytest.raises(TypeError, match=r"dtype object の配列.*minimize に渡せます"):
        loss.value_and_grad(objects([[1.0], [1.0, 2.0]]))


def test_arrays_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    slope = mg.Value(2.0)
    loss = mg.compile(lambda x, y: sum(x) * y * slope)
    y = jnp.arange(3.0)
    found = loss(objects([[1.0], [1.0, 2.0], [3.0]]), y)
    assert np.asarray(found._data).tolist() == [0, 6, 12]
    loss.backward()
    assert slope.grad == pytest.approx(3)


def test_nothing_is_looked_for_where_arrays_are_plain():
    assert buckets((np.ones((2, 3)), [1, np.ones(2)]), {"t": mg.ones(2)}) is None


def test_lists_of_numbers_are_not_looked_through(monkeypatch):
    """They come with every call: one look at each number took as long as the call."""

    def refused(x):
        raise AssertionError(x)

    monkeypatch.setattr(ragged, "_has_samples", refused)
    assert buckets(([1.0] * 5, {"t": (1, 2)}), {"scale": [0.5]}) is None
    with pytest.raises(AssertionError):
        buckets((np.ones(2),), {})
