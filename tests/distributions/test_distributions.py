"""確率分布: 対数確率、エントロピー、違い、勾配は PyTorch のもので、引いたものは分布のとおり。"""

import numpy as np
import pytest
from hypothesis import strategies as st

import micrograd_jp as mg
from tests.reference import like_pytorch, torch

D = mg.distributions
seeds = st.integers(0, 2**32 - 1)
KINDS = ["normal", "categorical", "categorical probs", "bernoulli", "bernoulli probs"]


def parameters(kind, rng, shape):
    """Two numbers' worth of parameters, and a value of the support."""
    if kind == "normal":
        return [rng.normal(size=shape), rng.uniform(0.1, 2, shape[-1:])], rng.normal(size=shape)
    if kind.startswith("categorical"):
        x = rng.normal(size=(*shape, 4)) * 3
        return [np.exp(x) if "probs" in kind else x], rng.integers(0, 4, (2, *shape))
    x = rng.normal(size=shape) * 3
    return [1 / (1 + np.exp(-x)) if "probs" in kind else x], rng.integers(0, 2, shape) * 1.0


def made(library, kind, given):
    xs = [library.tensor(x, requires_grad=True) for x in given]
    name, _, by = kind.partition(" ")
    cls = getattr(library.distributions, name.title())
    return xs, cls(*xs) if name == "normal" else cls(**{by or "logits": xs[0]})


def outcome(library, kind, rng, shape):
    given, value = parameters(kind, rng, shape)
    other, _ = parameters(kind, rng, shape)
    (xs, p), (ys, q) = made(library, kind, given), made(library, kind, other)
    log_prob, entropy = p.log_prob(library.tensor(value)), p.entropy()
    kl = library.distributions.kl_divergence(p, q)
    (log_prob.sum() + 2 * entropy.sum() + 3 * kl.sum()).backward()
    found = [log_prob, entropy, kl, *(x.grad for x in xs + ys)]
    if not kind.startswith("categorical"):
        found += [p.mean, p.variance, p.stddev]
    else:
        found += [p.probs, p.logits, p.mode]
    return [t.detach().numpy() for t in found]


@pytest.mark.parametrize("kind", KINDS)
@like_pytorch(seeds, st.sampled_from([(), (3,), (2, 3)]), max_examples=20, kept=8)
def test_the_numbers_are_pytorchs(kind, seed, shape):
    if kind == "normal" and not shape:
        shape = (1,)
    ours = outcome(mg, kind, np.random.default_rng(seed), shape)
    theirs = outcome(torch, kind, np.random.default_rng(seed), shape)
    for a, b in zip(ours, theirs, strict=True):
        b = np.asarray(b)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_certain_and_impossible_numbers_are_pytorchs():
    sure = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]
    ps = [made(library, "categorical probs", [np.array(sure)])[1] for library in (mg, torch)]
    coins = [made(library, "bernoulli probs", [np.array([0.0, 1.0])])[1] for library in (mg, torch)]
    for a, b in (ps, coins):
        np.testing.assert_allclose(a.entropy().data, np.asarray(b.entropy().detach()), atol=1e-12)
    for a, b in (ps, coins):
        probs = np.roll(a.probs.data, 1, 0)
        other = "categorical probs" if a is ps[0] else "bernoulli probs"
        q, r = (made(library, other, [probs])[1] for library in (mg, torch))
        ours = D.kl_divergence(a, q).data
        theirs = np.asarray(torch.distributions.kl_divergence(b, r).detach())
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(
    "p",
    [
        D.Normal(mg.tensor([-1.0, 2.0]), mg.tensor([0.5, 3.0])),
        D.Bernoulli(mg.tensor([0.1, 0.7])),
        D.Categorical(mg.tensor([[1.0, 2.0, 1.0], [0.0, 1.0, 3.0]])),
    ],
    ids=lambda p: type(p).__name__,
)
def test_what_is_drawn_follows_the_distribution(p):
    x = p.sample((20000,), generator=mg.Generator().manual_seed(0))
    assert x.shape == (20000, 2) and not x.requires_grad
    if isinstance(p, D.Categorical):
        found = np.stack([(x.data == k).mean(0) for k in range(3)], -1)
        np.testing.assert_allclose(found, p.probs.data, atol=0.02)
    else:
        np.testing.assert_allclose(x.data.mean(0), p.mean.data, atol=0.05)
        np.testing.assert_allclose(x.data.std(0), p.stddev.data, atol=0.05)
    # The mean of −log p is the entropy: drawing and counting know of each other.
    np.testing.assert_allclose(-p.log_prob(x).data.mean(0), p.entropy().data, atol=0.03)
    again = p.sample((20000,), generator=mg.Generator().manual_seed(0))
    np.testing.assert_array_equal(x.data, again.data)
    assert p.sample().shape == p.batch_shape == (2,)
    assert p.sample((0,)).shape == (0, 2)


def test_the_gradient_goes_through_what_a_normal_draws():
    loc, scale = (mg.tensor(x, requires_grad=True) for x in ([1.0, 2.0], [0.5, 3.0]))
    x = D.Normal(loc, scale).rsample((5,))
    x.sum().backward()
    z = ((x - loc) / scale).detach()
    np.testing.assert_allclose(loc.grad.data, [5, 5])
    np.testing.assert_allclose(scale.grad.data, z.data.sum(0), rtol=1e-5)


def test_a_normal_counts_what_lies_below():
    p = D.Normal(0.0, 2.0)
    assert p.cdf(2.0).item() == pytest.approx(0.841344746, rel=1e-5)
    assert p.loc.dtype == mg.get_default_dtype()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_stays(half):
    if half == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="needs ml_dtypes")
    x = mg.tensor([0.25, 0.75], dtype=half)
    for p in (D.Normal(x, x), D.Bernoulli(x), D.Categorical(x)):
        assert p.sample((3,)).dtype == (mg.int64 if isinstance(p, D.Categorical) else x.dtype)
        assert p.log_prob(mg.tensor(1)).dtype == p.entropy().dtype == x.dtype


def test_in_jit_the_same_numbers_come_out():
    pytest.importorskip("jax", reason="needs JAX (extra accel)")

    @mg.jit
    def losses(x, action):
        p, q = D.Categorical(logits=x), D.Normal(x, mg.exp(x))
        return p.log_prob(action) - q.entropy().sum(-1), p.sample((7,)), q.rsample()

    x, action = mg.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, -9.0]]), mg.tensor([2, 0])
    found, drawn, z = losses(x, action)
    p, q = D.Categorical(logits=x), D.Normal(x, mg.exp(x))
    wanted = p.log_prob(action) - q.entropy().sum(-1)
    np.testing.assert_allclose(np.asarray(found.data), wanted.data, rtol=1e-5)
    assert drawn.shape == (7, 2) and z.shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: D.Normal(float("nan"), 1.0), "loc は nan でない数です"),
        (lambda: D.Normal(0.0, 0.0), "scale は正です.*0.0 が渡されました"),
        (lambda: D.Normal(mg.ones(2), mg.ones(3)), "形"),
        (lambda: D.Categorical(), "どちらもない"),
        (lambda: D.Bernoulli(0.5, 0.5), "両方"),
        (lambda: D.Categorical(mg.tensor(1.0)), "1 次元以上"),
        (lambda: D.Categorical(mg.tensor([-1.0, 2.0])), "0 以上です.*-1.0"),
        (lambda: D.Categorical(mg.zeros(2)), "和は正です"),
        (lambda: D.Categorical(logits=mg.tensor([mg.nan])), "nan でない"),
        (lambda: D.Bernoulli(1.5), "0 から 1 まで.*1.5"),
        (lambda: D.Bernoulli(logits=mg.tensor([mg.nan])), "nan でない"),
        (lambda: D.Categorical(mg.ones(3)).log_prob(3), "0 以上 3 未満の整数.*3 が渡され"),
        (lambda: D.Bernoulli(0.5).log_prob(0.5), "0 か 1"),
        (lambda: D.Normal(mg.zeros(2), 1.0).log_prob(mg.zeros(3)), "shape mismatch"),
        (lambda: D.Normal(0.0, 1.0).log_prob(mg.nan), "実数"),
    ],
)
def test_bad_parameters_and_values_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_what_has_no_formula_says_what_to_write():
    with pytest.raises(NotImplementedError, match=r"p\.sample"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Bernoulli(0.5))
    with pytest.raises(NotImplementedError, match="log_prob"):
        D.Bernoulli(0.5).rsample()
