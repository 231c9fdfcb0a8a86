"""自分の乱数の列 `Generator`、確率から引く `multinomial`、数える `histogram`。"""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import micrograd_jp as mg
from tests.reference import like_pytorch, torch

P = mg.tensor([0.1, 0.0, 0.6, 0.3])
DATA = mg.data.TensorDataset(np.arange(20.0))
DRAWS = {
    "rand": lambda g: mg.rand(3, generator=g),
    "randn": lambda g: mg.randn((2, 2), generator=g),
    "randint": lambda g: mg.randint(0, 1000, (4,), generator=g),
    "randint_like": lambda g: mg.randint_like(mg.zeros(4), 1000, generator=g),
    "randperm": lambda g: mg.randperm(20, generator=g),
    "rand_like": lambda g: mg.rand_like(P, generator=g),
    "randn_like": lambda g: mg.randn_like(P, generator=g),
    "multinomial": lambda g: mg.multinomial(P, 20, replacement=True, generator=g),
    "random_split": lambda g: mg.data.random_split(DATA, [0.5, 0.5], generator=g)[0][:][0],
    "bernoulli": lambda g: mg.bernoulli(mg.full((9,), 0.5), generator=g),
    "normal": lambda g: mg.normal(mg.zeros(3), 2.0, generator=g),
    "DataLoader": lambda g: mg.stack(
        [x for epoch in range(2) for (x,) in mg.data.DataLoader(DATA, 5, True, generator=g)]
    ),
}


# ---- 自分の列 -----------------------------------------------------------------------------------


def test_whatever_draws_takes_a_generator():
    functions = {name: f for name in mg.__all__ if inspect.isfunction(f := getattr(mg, name))}
    there = {n for n, f in functions.items() if "generator" in inspect.signature(f).parameters}
    assert there == DRAWS.keys() - {"random_split", "DataLoader"}


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_is_a_stream_of_its_own(name):
    draw = DRAWS[name]

    def drawn(seed):
        return draw(mg.Generator().manual_seed(seed)).tolist()

    mg.manual_seed(0)
    before = mg.get_rng_state()
    g = mg.Generator()
    assert g.manual_seed(5) is g and g.initial_seed() == 5
    first = draw(g).tolist()
    assert draw(g).tolist() != first == drawn(5) != drawn(6)
    assert mg.get_rng_state() == before  # and the package's own stream is where it was
    other = draw(None).tolist()
    mg.set_rng_state(before)
    draw(g)
    assert draw(None).tolist() == other
    assert draw(np.random.default_rng(5)).tolist() == first


def test_without_a_seed_it_is_always_the_same():
    assert mg.Generator().initial_seed() == mg.Generator(device="cpu").initial_seed()
    assert mg.rand(3, generator=mg.Generator()).tolist() == (
        mg.rand(3, generator=mg.Generator()).tolist()
    )
    g = mg.Generator()
    assert g.seed() == g.initial_seed() != mg.Generator().seed()


def test_the_state_goes_on(tmp_path):
    g = mg.Generator().manual_seed(3)
    mg.rand(5, generator=g)
    mg.save(g.get_state(), tmp_path / "g.npz")
    expected = [mg.randn(3, generator=g).tolist(), g.initial_seed()]
    h = mg.Generator().set_state(mg.load(tmp_path / "g.npz"))
    assert [mg.randn(3, generator=h).tolist(), h.initial_seed()] == expected
    held = h.get_state()
    for wrong in (3, {}, {"numpy": 3, "seed": 1}, held | {"seed": -1}):
        with pytest.raises(ValueError, match="not a random state"):
            h.set_state(wrong)
    assert h.get_state() == held


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.rand(2, generator=7), TypeError, "expected a Generator"),
        (lambda: mg.data.DataLoader(DATA, generator=7), TypeError, "expected a Generator"),
        (lambda: mg.data.DataLoader(DATA, seed=1, generator=mg.Generator()), TypeError, "twice"),
        (lambda: mg.Generator().manual_seed(-1), ValueError, "non-negative seed"),
        (lambda: mg.Generator().manual_seed(1.5), TypeError, "int seed"),
        (lambda: mg.Generator("abacus"), ValueError, "invalid device"),
        (lambda: mg.multinomial([1, 2], 1), TypeError, "expected floats"),
        (lambda: P.multinomial(1.0), TypeError, "expected integers"),
        (lambda: P.multinomial(0), ValueError, "invalid shape or number"),
        (lambda: mg.ones(2, 2, 2).multinomial(1), ValueError, "invalid shape or number"),
        (lambda: mg.tensor([1.0, -1.0]).multinomial(1), ValueError, "negative"),
        (lambda: mg.tensor([1.0, float("nan")]).multinomial(1), ValueError, "nan"),
        (lambda: mg.zeros(2, 3).multinomial(1, True), ValueError, "all weights are zero"),
        (lambda: P.multinomial(4), ValueError, "too few nonzero weights"),
        (lambda: P.histogram(0), ValueError, "invalid argument"),
        (lambda: P.histogram([2.0, 1.0]), ValueError, "invalid argument"),
        (lambda: P.histogram(range=(1, 0)), ValueError, "invalid argument"),
        (lambda: P.histogram(weight=[1.0]), ValueError, "invalid argument"),
        (lambda: mg.tensor([float("inf")]).histogram(), ValueError, "invalid argument"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_generator_in_a_compiled_function_is_refused():
    pytest.importorskip("jax", reason="JAX がない")
    g = mg.Generator()
    with pytest.raises(RuntimeError, match="generator inside jit"):
        mg.jit(lambda x: x + mg.rand(3, generator=g))(mg.zeros(3))


# ---- 重みに比例して引く --------------------------------------------------------------------------

WEIGHTS = arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 6)),
                 elements=st.sampled_from([0.0, 1e-3, 1.0, 5.0])).filter(
                     lambda p: (p.sum(-1) > 0).all())  # fmt: skip


@given(WEIGHTS, st.booleans(), st.integers(0, 99))
def test_what_has_no_weight_is_never_drawn(p, replacement, seed):
    n = 8 if replacement else int((p > 0).sum(-1).min())
    g = mg.Generator().manual_seed(seed)
    for weights in (p, p[0]):
        drawn = mg.tensor(weights).multinomial(n, replacement, generator=g)
        assert drawn.shape == (*weights.shape[:-1], n) and drawn.dtype == mg.int64
        places = drawn.numpy()
        assert (np.take_along_axis(weights, places, -1) > 0).all()
        if not replacement:
            assert all(len({*row}) == n for row in places.reshape(-1, n).tolist())


def test_numbers_drawn_in_place_have_their_distributions():
    n, g = 20_000, mg.Generator().manual_seed(0)
    x = mg.zeros(n).exponential_(4.0, generator=g).numpy()
    assert x.min() >= 0 and abs(x.mean() - 0.25) < 0.01 and abs(x.std() - 0.25) < 0.02
    counts = np.bincount(mg.zeros(n).random_(-2, 3, generator=g).numpy().astype(int) + 2)
    assert len(counts) == 5 and np.abs(counts - n / 5).max() < 5 * (n / 5) ** 0.5
    assert {*mg.zeros(n).random_(3, generator=g).numpy()} == {0, 1, 2}


def test_what_is_drawn_in_a_trace_are_tensors():
    for replacement in (False, True):
        drawn = mg.jit(lambda p: p.multinomial(2, replacement).clone())(mg.tensor([0.0, 1.0, 2.0]))
        assert {*drawn.tolist()} <= {1, 2}


def far_off(drawn, probabilities):
    """How many standard deviations the counts are from what they should be, at most."""
    n, p = len(drawn), np.asarray(probabilities)
    counts = np.bincount(drawn, minlength=p.size)
    assert not counts[p == 0].any()
    return (np.abs(counts - n * p) / np.sqrt(n * p * (1 - p) + (p == 0))).max()


def drawing(weights, n, replacement):
    g = mg.Generator().manual_seed(1)
    return lambda: mg.multinomial(weights, n, replacement, generator=g).numpy()


def drawing_compiled(weights, n, replacement):
    pytest.importorskip("jax", reason="JAX がない")
    mg.manual_seed(1)
    f = mg.jit(lambda w: mg.multinomial(w, n, replacement))
    return lambda: f(weights).numpy()


@pytest.mark.parametrize("way", [drawing, drawing_compiled])
def test_the_frequencies(way):
    p = np.array([0.1, 0.0, 0.6, 0.3])
    drawn = way(mg.tensor([p * 3, p[::-1].copy()]), 4000, True)()
    assert far_off(drawn[0], p) < 4 and far_off(drawn[1], p[::-1]) < 4
    assert far_off(drawn[0], [0.15, 0, 0.55, 0.3]) > 4  # so others would be noticed
    # Without replacement the second one comes with the weights that are left.
    pairs = way(mg.tensor(np.tile(p, (4000, 1))), 2, False)()
    both = np.array([[0.0 if i == j else p[i] * p[j] / (1 - p[i]) for j in range(4)]
                     for i in range(4)]).reshape(-1)  # fmt: skip
    assert far_off(pairs @ [4, 1], both) < 4
    assert far_off(pairs @ [1, 4], both) > 4


# ---- 数える -------------------------------------------------------------------------------------

NUMBERS = arrays(np.float64, (3, 4), elements=st.sampled_from([-1.5, -1.0, 0.0, 0.3, 0.7, 2.5]))


@like_pytorch(NUMBERS, st.integers(1, 7), st.booleans(), kept=20)
def test_histograms(x, bins, density):
    t, there = mg.tensor(x, requires_grad=True), torch.tensor(x)
    weight = np.abs(x) + 1
    for options in (
        {"bins": bins}, {"bins": bins, "range": (-1.0, 2.0)},
        {"bins": np.array([-2.0, 0.0, 0.5, 3.0])}, {"bins": bins, "weight": weight},
    ):  # fmt: skip
        given_ = {k: torch.tensor(v) if hasattr(v, "shape") else v for k, v in options.items()}
        hist, bin_edges = torch.histogram(there, **given_, density=density)
        ours = t.histogram(**options, density=density)
        np.testing.assert_allclose(ours.hist.numpy(), np.asarray(hist), rtol=1e-12)
        np.testing.assert_allclose(ours.bin_edges.numpy(), np.asarray(bin_edges), atol=1e-12)
    assert ours.hist.dtype == mg.float64 and mg.histogram(mg.ones(3)).hist.shape == (100,)


# ---- 底のある対数 -------------------------------------------------------------------------------


def test_logarithms_of_whole_powers_are_whole():
    for k in range(-20, 21):
        assert mg.log2(2.0**k).data == mg.tensor(2.0**k, dtype=mg.float64).log2().item() == k
        assert mg.log10(10.0**k).data == mg.tensor(10.0**k, dtype=mg.float64).log10().item() == k
