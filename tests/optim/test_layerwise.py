"""LARS と LAMB: 論文の Algorithm 1、Algorithm 2 を NumPy で 1 行ずつ写したものと比べる。"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import give, give_values, gradients, tensors, values

import micrograd_jp as mg
from micrograd_jp import optim
from micrograd_jp.namespace import quiet
from micrograd_jp.optim.units import PIECE

SHAPES = [(3, 4), (4,), (), (0, 3), (2, 1, 3)]
RATE = st.floats(1e-4, 3)
DECAY = st.sampled_from([0, 0.01, 0.3])
COMMON = {"lr": RATE, "weight_decay": DECAY}
OPTIONS = {
    optim.LARS: st.fixed_dictionaries({
        **COMMON, "momentum": st.sampled_from([0, 0.5, 0.9]),
        "trust_coefficient": st.sampled_from([None, 1e-3, 0.02]),
    }),
    optim.LAMB: st.fixed_dictionaries({
        **COMMON, "lr": st.floats(1e-4, 0.1),
        # Smaller ones make subnormal numbers, of which hardly a digit is left.
        "betas": st.tuples(st.just(0.0) | st.floats(1e-30, 0.99), st.floats(0.6, 0.999)),
        "eps": st.sampled_from([1e-6, 1e-3]),
    }),
}  # fmt: skip
both = pytest.mark.parametrize("kind", OPTIONS)


def norm(x):
    return math.hypot(*x.ravel())  # whose squares do not underflow


def divided(a, b):
    """The ratio of the papers, and 1 where they leave it open."""
    return a / b if a > 0 and b > 0 and a / b < math.inf else 1


def lars(w, g, memory, t, *, lr=1.0, momentum=0.9, weight_decay=0, trust_coefficient=1e-3):
    """You, Gitman & Ginsburg 2017, Algorithm 1."""
    local = 1
    if trust_coefficient is not None:
        local = divided(trust_coefficient * norm(w), norm(g) + weight_decay * norm(w))
    memory["v"] = momentum * memory.get("v", 0) + lr * local * (g + weight_decay * w)
    return w - memory["v"]


def lamb(w, g, memory, t, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0):
    """You et al. 2020, Algorithm 2."""
    m = memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
    v = memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g**2
    r = (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    step = r + weight_decay * w
    return w - lr * divided(norm(w), norm(step)) * step


PAPER = {optim.LARS: lars, optim.LAMB: lamb}


def run(kind, options, shapes, steps, seed, dtype="f8", scale=1.0):
    """The parameters by the optimizer and by the transcription."""
    rng = np.random.default_rng(seed)
    ws = gradients(rng, shapes, dtype)
    if ws[-1].size:
        ws[-1][...] = 0  # as a bias at the start
    ours = tensors(ws)
    optimizer = kind(ours, **options)
    memories, taken = [{} for _ in ws], [0] * len(ws)
    for _ in range(steps):
        grads = gradients(rng, shapes, dtype, missing=0.2)
        if rng.random() < 0.2:
            grads = [None if g is None else 0 * g for g in grads]
        give(ours, [None if g is None else scale * g for g in grads])
        optimizer.step()
        for i, g in enumerate(grads):
            if g is not None:
                taken[i] += 1
                ws[i] = PAPER[kind](ws[i], scale * g, memories[i], taken[i], **options)
    return ours, ws


def assert_close(ours, ws, tolerance):
    for p, w in zip(ours, ws, strict=True):
        np.testing.assert_allclose(
            p.detach().numpy(), w, rtol=0, atol=tolerance * (1 + np.abs(w).max(initial=0))
        )


@both
def test_float64_equals_the_paper_over_50_steps(kind):
    @settings(max_examples=25)
    @given(OPTIONS[kind], st.integers(0, 1000))
    def check(options, seed):
        assert_close(*run(kind, options, SHAPES, 50, seed), 1e-9)

    check()


@both
@pytest.mark.parametrize("jitted", [False, True])
def test_what_is_left_of_a_gradient_may_underflow(kind, jitted):
    """A step of almost nothing, and a ratio that is more than any number: no inf, no nan."""
    smallest = np.finfo(np.float64).smallest_subnormal
    betas = {"betas": (1e-159, 0.99)} if kind is optim.LAMB else {"momentum": 1e-159}
    (w,) = tensors([np.array([1.0, -2.0])])
    optimizer = kind([w], lr=0.1, **betas)

    def update(g):
        w.grad = g
        optimizer.step()

    step = mg.jit(update, optimizer) if jitted else update
    for g in ([0.1, 0.2], [0.0, 0.0], [0.0, 0.0], [smallest, 0.0], [0.0, 0.0]):
        step(mg.tensor(np.array(g)))
    assert np.isfinite(w.detach().numpy()).all()


@both
def test_a_large_parameter_is_one_layer_and_not_several_pieces(kind):
    options = {"lr": 0.05, "weight_decay": 0.1}
    assert_close(*run(kind, options, [(3 * PIECE,), (2,)], 3, 0), 1e-12)


@both
def test_values_of_a_group_are_one_layer(kind):
    options = {"lr": 0.05, "weight_decay": 0.1}
    rng = np.random.default_rng(0)
    start = rng.normal(size=6)
    vs, (whole,) = values(start), tensors([start])
    A, B = kind(vs, **options), kind([whole], **options)
    for _ in range(5):
        g = rng.normal(size=6)
        give_values(vs, g)
        give([whole], [g])
        A.step()
        B.step()
    np.testing.assert_allclose([v.data for v in vs], whole.detach().numpy(), rtol=1e-12)


@both
@pytest.mark.parametrize("jitted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_on_jax_too_at_zero_norms_and_where_squares_leave_float32(kind, jitted):
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(3, 2)), np.zeros(2), np.ones(2), np.full(3, 1e-30), np.full(3, 1e25)]
    grads = [rng.normal(size=(3, 2)), np.ones(2), np.zeros(2), np.full(3, 1e-30), np.full(3, 1e25)]
    starts, grads = ([x.astype("f4") for x in xs] for xs in (starts, grads))
    options = {"lr": 0.1, "weight_decay": 0.01}
    ours, there = tensors(starts), tensors([jnp.asarray(x) for x in starts])
    A, B = kind(ours, **options), kind(there, **options)

    def step(*gs):
        give(there, [g._data for g in gs])
        B.step()

    fast = mg.jit(step, B) if jitted else step
    memories = [{} for _ in starts]
    wide = [x.astype("f8") for x in starts]
    for t in range(1, 4):
        give(ours, grads)
        A.step()
        fast(*[mg.tensor(jnp.asarray(g)) for g in grads])
        wide = [
            PAPER[kind](w, g.astype("f8"), m, t, **options)
            for w, g, m in zip(wide, grads, memories)
        ]
    for p, q, w in zip(ours, there, wide):
        np.testing.assert_allclose(p.detach().numpy(), w, rtol=2e-5)
        np.testing.assert_allclose(q._data, w, rtol=2e-5)


@both
def test_the_step_does_not_depend_on_the_size_of_the_gradient(kind):
    """What the two are for: of layers with gradients of any size none runs away."""
    options = {"lr": 0.1, "eps": 0} if kind is optim.LAMB else {"lr": 1.0}
    (p, _), _ = run(kind, options, [(4, 3), (2,)], 1, 3)
    for scale in (1e-3, 1e3):
        (q, _), _ = run(kind, options, [(4, 3), (2,)], 1, 3, scale=scale)
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-9)


@both
def test_the_state_survives_and_bad_options_are_refused(kind):
    p, q = tensors([np.ones(3), np.ones(3)])
    A, B = kind([p]), kind([q])
    for _ in range(2):
        give([p], [np.arange(3.0)])
        A.step()
    q.data = p.detach().numpy().copy()
    B.load_state_dict(A.state_dict())
    for x, optimizer in ((p, A), (q, B)):
        give([x], [np.ones(3)])
        optimizer.step()
    np.testing.assert_array_equal(p.data, q.data)
    with pytest.raises(ValueError, match="weight_decay"):
        kind([p], weight_decay=-1)
    bad = {"betas": (1, 0)} if kind is optim.LAMB else {"trust_coefficient": -1.0}
    with pytest.raises(ValueError, match=next(iter(bad))):
        kind([p], **bad)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(size=st.floats(-1, 1), direction=st.lists(st.floats(-1, 1), min_size=1, max_size=4))
def test_a_norm_is_right_at_every_size_of_its_dtype(dtype, size, direction):
    from micrograd_jp.optim.kernels import InPlace

    limits = np.finfo(dtype)
    scale = 10 ** (size * 0.9 * abs(np.log10(float(limits.tiny))))
    y = (np.array(direction) * scale).astype(dtype)
    with quiet.silence():
        found = InPlace(y.shape, dtype).norm(y)
    exact = math.hypot(*map(float, y))
    assert math.isclose(found, exact, rel_tol=20 * limits.eps, abs_tol=4 * limits.tiny)


@pytest.mark.parametrize("fault", ["ratio", "norm", "pieces"])
def test_a_planted_fault_is_noticed(fault, monkeypatch):
    from micrograd_jp.optim.kernels import InPlace

    shapes, steps = SHAPES[:2], 3
    if fault == "ratio":  # a bias at 0 never moves
        monkeypatch.setattr(InPlace, "ratio", lambda k, a, b: a / b if b > 0 else 1.0)
    elif fault == "norm":
        norm = InPlace.norm
        monkeypatch.setattr(InPlace, "norm", lambda k, y: norm(k, y) + 1e-3)
    else:
        monkeypatch.setattr(optim.LARS, "needs_whole", False)
        shapes, steps = [(3 * PIECE,), (2,)], 1
    options = {"lr": 1.0, "weight_decay": 0.1}
    with pytest.raises(AssertionError):
        assert_close(*run(optim.LARS, options, shapes, steps, 1), 1e-9)
