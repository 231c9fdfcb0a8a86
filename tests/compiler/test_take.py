"""番号で選ぶ `mg.take`、`max` と `min`、長さの違う並び: 1 つずつの `Value` の計算と同じ。"""

import builtins
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import Value
from micrograd_jp.compiler.record.recorder import TraceError

EXECUTORS = ["lift", "native", "levels", "python", "tape"]


def matrix(rows, columns, seed):
    numbers = np.random.default_rng(seed).normal(size=(rows, columns))
    return [[Value(x) for x in row] for row in numbers]


def leaves(*matrices):
    return [x for rows in matrices for row in rows for x in row]


def gradients(values):
    found = [0.0 if v.grad is None else v.grad for v in values]
    for v in values:
        v.grad = None
    return found


def require_same(function, parameters, inputs, executor):
    """The compiled function against the function itself, sample by sample."""
    singles = [function(*[x[i].tolist() for x in inputs]) for i in range(len(inputs[0]))]
    (mg.sum(singles) / len(singles)).backward()
    expected = gradients(parameters)
    compiled = mg.compile(function, executor=executor, dtype=np.float64)
    out = compiled(*inputs)
    np.testing.assert_allclose(out._data, [v.data for v in singles], rtol=1e-12)
    compiled.backward()
    np.testing.assert_allclose(gradients(parameters), expected, rtol=1e-9, atol=1e-12)
    return compiled


@pytest.mark.parametrize("executor", EXECUTORS)
@given(
    classes=st.integers(2, 5),
    width=st.integers(1, 3),
    places=st.integers(1, 4),
    batch=st.integers(1, 5),
    twice=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None)
def test_rows_and_entries_are_chosen_by_inputs(
    executor, classes, width, places, batch, twice, seed
):  # fmt: skip
    embedding, head = matrix(classes, width, seed), matrix(classes, width, seed + 1)
    scale = matrix(1, classes, seed + 2)[0]

    def loss(tokens, following):
        total = 0
        for token, target in zip(tokens, following, strict=True):
            h = [mg.tanh(x) for x in mg.take(embedding, token)]
            if twice:  # the same number chosen from again, and from other things
                h = [a * mg.take(scale, token) + mg.take(scale, target) for a in h]
            scores = [mg.dot(row, h) for row in head]
            total = total - mg.log(mg.take(mg.softmax(scores), target))
            total = total + mg.cross_entropy(scores, target)
        return total

    rng = np.random.default_rng(seed)
    inputs = [rng.integers(0, classes, (batch, places)) for _ in range(2)]
    require_same(loss, [*leaves(embedding, head), *scale], inputs, executor)


@pytest.mark.slow
def test_a_chosen_row_on_jax():
    jnp = pytest.importorskip("jax.numpy")
    table = matrix(4, 2, 0)
    tokens = np.array([[0, 3], [2, 2], [1, 0]])
    function = mg.compile(lambda ts: mg.sum([mg.sum(mg.take(table, t)) ** 2 for t in ts]))
    expected = function(tokens)
    function.backward()
    wanted = gradients(leaves(table))
    out = function(jnp.asarray(tokens))
    function.backward()
    np.testing.assert_allclose(np.asarray(out._data), expected._data, rtol=1e-5)
    np.testing.assert_allclose(gradients(leaves(table)), wanted, rtol=1e-5)
    with pytest.raises(IndexError, match="標本 1 番の番号 4"):
        function(jnp.asarray([[0, 1], [1, 4]]))


@pytest.mark.parametrize(
    ("tokens", "where"),
    [
        (np.array([[0, 1], [4, 1]]), "標本 1 番の番号 4"),
        (np.array([[0, -1], [3, 1]]), "標本 0 番の番号 -1"),
        (np.array([[0, 1.5]]), "標本 0 番の番号 1.5"),
        (np.array([[0, np.nan]]), "標本 0 番の番号 nan"),
    ],
)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_number_out_of_range_names_its_sample(executor, tokens, where):
    table = matrix(4, 2, 0)

    @mg.compile(executor=executor)
    def function(tokens):
        return mg.sum([mg.sum(mg.take(table, t)) for t in tokens])

    good = function(np.array([[0, 1]]))
    with pytest.raises(IndexError, match=where):
        function(tokens)
    function.backward()  # of the call before: nothing was lost
    assert gradients(leaves(table)) == [1.0] * 4 + [0.0] * 4
    assert good.shape == (1,)


def test_one_number_for_all_samples_chooses_too():
    row = matrix(1, 3, 0)[0]
    function = mg.compile(lambda i, x: mg.take(row, i) * x, dtype=np.float64)
    assert function(2, np.ones(2)).tolist() == [row[2].data] * 2
    for wrong in (3, -1, 0.5, np.inf):
        with pytest.raises(IndexError, match="i の標本 0 番の番号"):
            function(wrong, np.ones(2))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_is_not_chosen_takes_no_part(executor):
    table = [[Value(np.inf)], [Value(2.0)], [Value(np.nan)]]
    function = mg.compile(lambda t: mg.take(table, t)[0] * 3, executor=executor, dtype=np.float64)
    out = function(np.array([1, 0, 1]))
    assert out.tolist() == [6.0, np.inf, 6.0]
    out.backward(mg.tensor([1.0, np.inf, 1.0]))
    assert gradients(leaves(table)) == [np.inf, 6.0, 0.0]


def test_a_choice_is_never_estimated_on_a_tape_that_cannot_make_it():
    table = matrix(40, 8, 0)

    @mg.compile
    def function(tokens, x):
        total = x[0]
        for t in tokens:  # many steps, which depend on each other
            total = mg.tanh(mg.dot(mg.take(table, t), [total, *x[1:]])) * mg.exp(-total)
        return total

    function.trace(np.zeros((1, 12), int), np.zeros((1, 8)))
    [compilation] = function.compilations
    assert len(compilation.program.steps) > 30
    assert "tape" not in compilation.choice.microseconds


def test_taking_from_lists_of_values():
    rows = matrix(3, 2, 0)
    assert mg.take(rows, 1) is rows[1]
    assert mg.take(rows[0], [1, 0]) == [rows[0][1], rows[0][0]]
    assert mg.take([1.0, 2.0, 3.0], 1).tolist() == 2.0  # numbers: an array, as before
    for wrong in (3, -1, 0.5):
        with pytest.raises(IndexError, match="0 以上 3 未満"):
            mg.take(rows, wrong)
    with pytest.raises(IndexError, match="empty"):
        mg.take([], Value(0.0))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ["max", "min"])
def test_largest_and_smallest_are_those_of_python(executor, name):
    weights = [Value(0.5), Value(-1.0), Value(2.0)]

    def function(x, y):
        extreme = getattr(builtins, name)
        a = extreme(w * x for w in weights)
        return a * extreme(x, y, weights[0]) + extreme(a, 0.0) + extreme(x * 2, x * 2)

    values = np.array([0.0, 1.0, -1.0, 0.5, 3.0])
    inputs = [a.ravel() for a in np.meshgrid(values, values)]
    require_same(function, weights, inputs, executor)


def by_hand(xs):
    top = max(x.data for x in xs)
    es = [(x - top).exp() for x in xs]
    total = sum(es)
    return [e / total for e in es]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_softmax_written_by_hand(executor):
    weights = matrix(1, 3, 0)[0]

    def function(x):
        ps = by_hand([w * a for w, a in zip(weights, x, strict=True)])
        return mg.dot([1.0, 2.0, 3.0], ps)

    rng = np.random.default_rng(0)
    require_same(function, weights, [rng.normal(size=(4, 3)) * 1000], executor)


def test_a_number_without_gradient_in_a_compiled_function():
    w = Value(3.0)
    compiled = mg.compile(lambda x: w * x + w.detach() * x.data, dtype=np.float64)
    assert compiled(np.array([2.0])).tolist() == [12.0]
    compiled.backward()
    assert w.grad == 2.0
    with pytest.raises(TraceError, match="への代入"):
        mg.compile(lambda x: setattr(x, "data", 1.0))(1.0)


def test_max_is_pythons_own_again_and_in_other_threads():
    own = builtins.max, builtins.min
    seen = []

    def function(x):
        seen.append(builtins.max is own[0])
        other = threading.Thread(target=lambda: seen.append(max([3, 1], default=0) + min(2, 1)))
        other.start()
        other.join()
        assert max([1, 4, 2]) == 4 and max([], default=7) == 7 and max("abc") == "c"
        return bool(x)

    with pytest.raises(TraceError):
        mg.compile(function)(1.0)
    assert seen == [False, 4]
    assert (builtins.max, builtins.min) == own


# ---- 長さの違う並び ------------------------------------------------------------------------------


def attention(width, positions, softmax):
    """Causal: position i looks at 0, …, i. The weights, and the loss of a sequence."""
    query, key, value = (matrix(width, width, seed) for seed in (1, 2, 3))

    def linear(rows, x):
        return [sum(w * a for w, a in zip(row, x, strict=True)) for row in rows]

    def loss(tokens):
        keys, values, total = [], [], 0
        for x in tokens:
            keys.append(linear(key, x))
            values.append(linear(value, x))
            q = linear(query, x)
            ps = softmax([sum(a * b for a, b in zip(q, k, strict=True)) for k in keys])
            out = [sum(p * v[j] for p, v in zip(ps, values, strict=True)) for j in range(width)]
            total = total + sum(linear(query, [o.tanh() + a for o, a in zip(out, x, strict=True)]))
        return total

    shape = (5, positions, width)
    return leaves(query, key, value), loss, np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("softmax", [mg.softmax, by_hand])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_attention_of_every_length(executor, softmax):
    parameters, loss, tokens = attention(2, 4, softmax)
    require_same(loss, parameters, [tokens], executor)


@pytest.mark.parametrize("softmax", [mg.softmax, by_hand])
def test_attention_takes_as_many_steps_at_any_length(softmax):
    programs = []
    for positions in (4, 9):
        _, loss, tokens = attention(3, positions, softmax)
        programs.append(mg.compile(loss).trace(tokens).program)
    short, long = programs
    assert [step.kind for step in short.steps] == [step.kind for step in long.steps]
    assert len(short.steps) < 20
    assert "9 か所" in str(long) and "畳み込み" not in str(long)


@pytest.mark.parametrize("longest", [2, 3, 5])
def test_sums_of_every_length_are_one_step(longest):
    """One term, and a + b, too."""

    def loss(x):
        h = [v.tanh() for v in x]
        return mg.sum([mg.sin(sum(h[:k])) for k in range(1, longest + 1)])

    x = np.linspace(-1.0, 1.0, 3 * longest).reshape(3, longest)
    compiled = mg.compile(loss, executor="lift").trace(x)
    assert [step.kind for step in compiled.program.steps][:3] == ["map", "fold", "map"]
    wanted = [loss([*map(mg.Value, row)]).data for row in x]
    np.testing.assert_allclose(compiled(x)._data, wanted, rtol=1e-5)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("reduced", [mg.sum, mg.prod, mg.logsumexp, lambda h: max(h)])
def test_lists_of_every_length_beside_each_other(reduced, executor):
    """What fills the shorter ones up changes nothing: neither a value nor a gradient."""
    w = mg.Value(-0.7)

    def loss(x):
        h = [w * v for v in x]
        return mg.sum([mg.sin(reduced(h[:k])) for k in range(2, 6)])

    x = np.linspace(0.5, 2.0, 10).reshape(2, 5)  # h is below 0: 0 would be the largest
    require_same(loss, [w], [x], executor)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_weights_that_are_subtracted_beside_sums_of_every_length(executor):
    [weights] = matrix(1, 4, 0)

    def loss(x, y):
        sums = [[sum(x[: i + 1]), sum(y[: i + 1])] for i in range(4)]
        h = [[-a - w * b, -b - w * a] for w, (a, b) in zip(weights, sums, strict=True)]
        return sum(a * a for pair in h for a in pair)

    rng = np.random.default_rng(0)
    require_same(loss, weights, [rng.normal(size=(3, 4)) for _ in range(2)], executor)


def test_a_few_numbers_are_written_at_once_as_numpy_would():
    """Too large for the type, of another type or shape, no index: between usual calls."""
    w = [mg.Value(x) for x in (0.5, -1.0, 2.0)]
    f = mg.compile(lambda x, i: x[0] * mg.take(w, i) + x[1], dtype=np.float32)

    def wanted(x, i):
        x = x.astype(np.float32)
        return x[:, 0] * np.array([0.5, -1, 2], np.float32)[i.astype(int)] + x[:, 1]

    x, i = np.array([[1.5, 2.0], [0.25, -3.0]]), np.array([2, 0])
    whole, one = np.array([[1, 2], [3, 4]]), (x[:1], i[:1])
    others = (x * 1e300, i), (x, i.astype(float)), (-x, i[::-1]), (whole, i), one, (x * np.nan, i)
    for new, index in ((x, i), *others):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(f(new, index)._data, wanted(new, index))
    for wrong in (np.array([0, 3]), np.array([-1, 0]), np.array([0.5, 0]), np.array([0, np.nan])):
        with pytest.raises(IndexError, match="out of range"):
            f(x, wrong)
    np.testing.assert_array_equal(f(x, i)._data, wanted(x, i))
