"""LBFGS: 反復の 1 回 1 回が PyTorch と等しい。保存と復元、`Value`、エラー。"""

import numpy as np
import pytest
from hypothesis import strategies as st
from oracle import tensors, values

import micrograd_jp as mg
from micrograd_jp import optim
from tests.reference import like_pytorch, torch


def rosenbrock(xs, steep=100.0):
    pairs = zip(xs[1:], xs[:-1])
    return sum(steep * (b - a * a) ** 2 + (1 - a) ** 2 for b, a in pairs)


def logistic(xs, steep=1.0):
    return sum((1 + (-steep * (i + 1) * x).exp()).log() + 0.1 * x * x for i, x in enumerate(xs))


def minimized(optimizer, xs, loss, steps):
    """The losses before each step."""

    def closure():
        optimizer.zero_grad()
        found = loss(xs())
        found.backward()
        return found

    return [optimizer.step(closure).item() for _ in range(steps)]


OPTIONS = st.fixed_dictionaries({
    "lr": st.sampled_from([1, 0.5]), "max_iter": st.sampled_from([1, 4, 20]),
    "history_size": st.sampled_from([2, 100]),
})  # fmt: skip


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("loss", [rosenbrock, logistic])
@like_pytorch(st.integers(0, 1000), OPTIONS, max_examples=10, kept=5)
def test_every_step_is_pytorchs(search, loss, seed, options):
    """Without a search only where it does not run away."""
    start = np.random.default_rng(seed).uniform(-1, 1, 4)
    flat = lambda xs: loss(xs, 1.0 if search is None else 100.0 if loss is rosenbrock else 3.0)
    a, b = mg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    options = {**options, "line_search_fn": search}
    if search is None:
        options["lr"] = 0.3
    A, B = optim.LBFGS([a], **options), torch.optim.LBFGS([b], **options)
    # Rounding grows on the way through the valley: a few steps are compared, every one of them.
    ours = minimized(A, lambda: [a[i] for i in range(4)], flat, 3)
    theirs = minimized(B, lambda: [b[i] for i in range(4)], flat, 3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    for name in ("func_evals", "n_iter"):
        assert A.state_dict()["state"][0][name] == B.state_dict()["state"][0][name]


@pytest.mark.parametrize("loss", [rosenbrock, logistic])
@pytest.mark.parametrize("lr", [1e-2, 1e-3])
def test_a_search_that_begins_too_near_is_pytorchs(lr, loss):
    """It goes on several times before it turns back."""
    start = np.array([-0.8, -0.5, 0.6, 0.2])
    a, b = mg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    options = {"lr": lr, "max_iter": 4, "line_search_fn": "strong_wolfe"}
    A, B = optim.LBFGS([a], **options), torch.optim.LBFGS([b], **options)
    ours = minimized(A, lambda: [a[i] for i in range(4)], loss, 3)
    theirs = minimized(B, lambda: [b[i] for i in range(4)], loss, 3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert A.state_dict()["state"][0]["func_evals"] == B.state_dict()["state"][0]["func_evals"]


def test_the_bottom_of_rosenbrocks_valley_in_a_few_steps():
    for ps in (tensors([np.array([-1.2]), np.array([1.0])]), values([-1.2, 1.0])):
        optimizer = optim.LBFGS(ps, line_search_fn="strong_wolfe")
        minimized(
            optimizer,
            lambda ps=ps: [p[0] if isinstance(p, mg.Tensor) else p for p in ps],
            rosenbrock,
            4,
        )
        found = [float(np.ravel(p.data)[0]) for p in ps]
        np.testing.assert_allclose(found, [1, 1], rtol=1e-4)


@pytest.mark.slow
def test_on_jax():
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    p = mg.Tensor(jnp.asarray([-1.2, 1.0]), requires_grad=True)
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe", max_iter=100)
    minimized(optimizer, lambda: [p[0], p[1]], rosenbrock, 1)
    assert type(p._data) is type(jnp.ones(1))
    np.testing.assert_allclose(p.data, [1, 1], rtol=1e-2)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_restored_one_goes_on_bit_for_bit(search, suffix, tmp_path):
    def made(x):
        p = mg.tensor(x, requires_grad=True)
        return p, optim.LBFGS([p], lr=0.5, max_iter=3, history_size=4, line_search_fn=search)

    p, A = made(np.array([0.3, -0.2, 0.5]))
    xs = lambda p: lambda: [p[i] for i in range(3)]
    minimized(A, xs(p), logistic, 3)
    mg.save(A.state_dict(), tmp_path / f"state{suffix}")
    q, B = made(p.detach().numpy().copy())
    B.load_state_dict(mg.load(tmp_path / f"state{suffix}"))
    assert minimized(A, xs(p), logistic, 3) == minimized(B, xs(q), logistic, 3)
    np.testing.assert_array_equal(p.data, q.data)
    assert repr(A.state_dict()) == repr(B.state_dict())


def test_the_state_of_pytorch_is_understood():
    start = np.array([0.3, -0.2])
    b = torch.tensor(start, requires_grad=True)
    B = torch.optim.LBFGS([b], lr=0.5, max_iter=3)
    minimized(B, lambda: [b[0], b[1]], logistic, 2)
    a = mg.tensor(b.detach().numpy().copy(), requires_grad=True)
    A = optim.LBFGS([a])
    saved = B.state_dict()
    state = {k: x for k, x in saved["state"][0].items() if k != "al"}

    def plain(x):
        if isinstance(x, list):
            return [plain(y) for y in x]
        return x if x is None or isinstance(x, int | float) else x.numpy()

    state = {k: plain(x) for k, x in state.items()}
    A.load_state_dict({"state": {0: state}, "param_groups": saved["param_groups"]})
    ours = minimized(A, lambda: [a[0], a[1]], logistic, 2)
    theirs = minimized(B, lambda: [b[0], b[1]], logistic, 2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


T = mg.tensor([1.0], requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: optim.LBFGS([T]).step(), TypeError, "closure is required"),
        (lambda: optim.LBFGS([T]).step(3), TypeError, "expected a function"),
        (lambda: optim.LBFGS([{"params": [T]}, {"params": [mg.ones(1)]}]), ValueError, "groups"),
        (lambda: optim.LBFGS([T], line_search_fn="armijo"), ValueError, "strong_wolfe"),
        (lambda: optim.LBFGS([T], lr=-1), ValueError, "lr"),
        (lambda: optim.LBFGS([T], max_iter=0), ValueError, "positive int"),
    ],
)
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(d=np.ones(3)), lambda m: m.pop("n_iter"), lambda m: m.update(x=1),
        lambda m: m.update(ro=[1.0] * 9), lambda m: m.update(H_diag="much"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_changes_nothing(change):
    p = mg.tensor([0.3, -0.2], requires_grad=True)
    optimizer = optim.LBFGS([p], max_iter=2)
    minimized(optimizer, lambda: [p[0], p[1]], logistic, 2)
    before, state = repr(optimizer.state_dict()), optimizer.state_dict()
    change(state["state"][0])
    with pytest.raises((ValueError, TypeError)):
        optimizer.load_state_dict(state)
    assert repr(optimizer.state_dict()) == before
