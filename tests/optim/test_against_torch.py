"""100 手順のあとの値が、丸めの範囲で PyTorch と等しい。乱数の設定、グループ、欠けた勾配でも。"""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import give, give_torch, gradients, tensors

import micrograd_jp as mg
from micrograd_jp.optim.units import PIECE
from tests.reference import like_pytorch, pytorch_answers, torch

SHAPES = [(3, 4), (4,), (), (0, 3), (2, 1, 3)]

RATE = st.floats(1e-4, 0.3)
UNIT = st.floats(0, 0.99)
# Not near 0: divided by the last gradient alone, rounding grows without bound in both libraries.
MEMORY = st.floats(0.6, 0.999)
DECAY = st.sampled_from([0, 0.01, 0.3])
COMMON = {"lr": RATE, "weight_decay": DECAY, "maximize": st.booleans()}
BETAS = {
    "betas": st.tuples(UNIT, MEMORY),
    "eps": st.sampled_from([1e-8, 1e-3]),
    "amsgrad": st.booleans(),
}
DECOUPLED = {"decoupled_weight_decay": st.booleans()}
OPTIONS = {
    "SGD": st.one_of(
        st.fixed_dictionaries({**COMMON, "momentum": UNIT, "dampening": UNIT}),
        st.fixed_dictionaries({**COMMON, "momentum": st.just(0.9), "nesterov": st.just(True)}),
    ),
    "Adagrad": st.fixed_dictionaries(
        {**COMMON, "lr_decay": DECAY, "initial_accumulator_value": DECAY}
    ),
    "RMSprop": st.fixed_dictionaries(
        {**COMMON, "alpha": MEMORY, "momentum": st.sampled_from([0, 0.9])}
    ),
    "Adam": st.fixed_dictionaries({**COMMON, **BETAS, **DECOUPLED}),
    "AdamW": st.fixed_dictionaries({**COMMON, **BETAS}),
    "Adadelta": st.fixed_dictionaries({**COMMON, "rho": MEMORY}),
    "Adamax": st.fixed_dictionaries({**COMMON, "betas": BETAS["betas"]}),
    "NAdam": st.fixed_dictionaries(
        {**COMMON, "betas": BETAS["betas"], "momentum_decay": DECAY, **DECOUPLED}
    ),
    "RAdam": st.fixed_dictionaries({**COMMON, "betas": BETAS["betas"], **DECOUPLED}),
    "Rprop": st.fixed_dictionaries({
        "lr": RATE, "maximize": st.booleans(), "step_sizes": st.just((0.01, 0.2)),
        "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 2)),
    }),
    "ASGD": st.fixed_dictionaries(
        {**COMMON, "lambd": DECAY, "alpha": UNIT, "t0": st.sampled_from([0, 20, 1e6])}
    ),
}  # fmt: skip


def run_both(
    name,
    options,
    *,
    dtype,
    shapes=SHAPES,
    steps=100,
    groups=None,
    scheduler=None,
    seed=0,
    laid=lambda a: a,
):
    """The parameters after so many steps, ours (`laid` out in another way) and PyTorch's."""
    rng = np.random.default_rng(seed)
    arrays = gradients(rng, shapes, dtype)
    ours = tensors(map(laid, arrays))
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    made = []
    for module, ps in ((mg.optim, ours), (torch.optim, theirs)):
        params = ps
        if groups is not None:
            params = [{"params": ps[:2]}, {"params": ps[2:], **groups}]
        optimizer = getattr(module, name)(params, **options)
        made.append((optimizer, scheduler and scheduler(module.lr_scheduler, optimizer)))
    for _ in range(steps):
        grads = gradients(rng, shapes, dtype, missing=0.2)
        give(ours, [None if g is None else laid(g) for g in grads])
        give_torch(theirs, grads)
        for optimizer, schedule in made:
            optimizer.step()
            if schedule is not None:
                schedule.step()
    return ours, theirs


def assert_close(ours, theirs, tolerance):
    for p, t in zip(ours, theirs, strict=True):
        t = t.detach().numpy()
        assert p.data.dtype == t.dtype
        scale = 1 + np.abs(t).max(initial=0)
        np.testing.assert_allclose(p.data, t, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", OPTIONS)
@like_pytorch(lambda name: OPTIONS[name], st.integers(0, 1000), max_examples=1, kept=2)
def test_float64_equals_pytorch_over_100_steps(name, options, seed):
    ours, theirs = run_both(name, options, dtype="f8", seed=seed)
    assert_close(ours, theirs, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_float64_equals_pytorch_with_more_options(name):
    @settings(max_examples=15)
    @given(OPTIONS[name], st.integers(0, 1000))
    def check(options, seed):
        assert_close(*run_both(name, options, dtype="f8", seed=seed), 1e-9)

    check()


@pytest.mark.parametrize("name", OPTIONS)
def test_defaults_and_float32(name):
    ours, theirs = run_both(name, {}, dtype="f4")
    assert_close(ours, theirs, 1e-5)


def test_centered_rmsprop():
    options = {"centered": True, "momentum": 0.5, "weight_decay": 0.1}
    assert_close(*run_both("RMSprop", options, dtype="f8"), 1e-9)


@pytest.mark.parametrize("name", OPTIONS)
def test_groups_and_a_scheduler(name):
    def scheduler(module, optimizer):
        warm = module.LinearLR(optimizer, start_factor=0.1, total_iters=5)
        return module.SequentialLR(optimizer, [warm, module.CosineAnnealingLR(optimizer, 30)], [5])

    groups = {"lr": 0.02, **({} if name == "Rprop" else {"weight_decay": 0.2})}
    options = {"lr": 0.1}
    both = run_both(name, options, dtype="f8", steps=50, groups=groups, scheduler=scheduler)
    assert_close(*both, 1e-9)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    "size",
    [2 * PIECE + 1, *(pytest.param(n * PIECE, marks=pytest.mark.slow) for n in (2, 3))],
)
def test_large_parameters_updated_in_pieces(name, size):
    """The same 50 numbers over and over: each is updated as if it were alone."""
    options = {"lr": 0.05, **({} if name == "Rprop" else {"weight_decay": 0.1})}
    long = lambda a: np.resize(a, size)
    (p,), (t,) = run_both(name, options, dtype="f8", shapes=[(50,)], steps=3, laid=long)
    np.testing.assert_allclose(p.data, long(t.detach().numpy()), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_state_of_pytorch_is_understood(name):
    """Ten steps in PyTorch, its state loaded here, ten more steps in both."""
    rng = np.random.default_rng(1)
    shapes = [(3, 4), (4,)]
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    theirs = [torch.tensor(a, requires_grad=True) for a in gradients(rng, shapes, "f8")]
    B = getattr(torch.optim, name)(theirs, **options)
    for _ in range(10):
        give_torch(theirs, gradients(rng, shapes, "f8"))
        B.step()
    ours = tensors([t.detach().numpy().copy() for t in theirs])
    A = getattr(mg.optim, name)(ours, lr=123.0)
    saved = B.state_dict()
    saved["state"] = {
        i: {key: None if x is None else x.numpy() for key, x in state.items()}
        for i, state in saved["state"].items()
    }
    A.load_state_dict(saved)
    for _ in range(10):
        grads = gradients(rng, shapes, "f8")
        give(ours, grads)
        give_torch(theirs, grads)
        A.step()
        B.step()
    assert_close(ours, theirs, 1e-12)
    assert A.state_dict()["state"].keys() == B.state_dict()["state"].keys()
    for i, state in A.state_dict()["state"].items():
        assert set(state) <= set(B.state_dict()["state"][i])


@pytorch_answers
def defaults_of_pytorch(torch, name):
    parameters = inspect.signature(getattr(torch.optim, name)).parameters
    return {key: "needed" if p.default is p.empty else p.default for key, p in parameters.items()}


def test_the_signatures_are_pytorchs():
    for name in OPTIONS:
        ours = inspect.signature(getattr(mg.optim, name)).parameters
        defaults = {k: "needed" if p.default is p.empty else p.default for k, p in ours.items()}
        theirs = defaults_of_pytorch(name)
        assert defaults == theirs and [*defaults] == [*theirs], name


@pytest.mark.parametrize("name", OPTIONS)
def test_the_state_has_the_names_of_pytorch(name):
    forms = []
    for module, p in ((mg.optim, mg.ones(2)), (torch.optim, torch.ones(2))):
        p.requires_grad_()
        optimizer = getattr(module, name)([p])
        p.sum().backward()
        optimizer.step()
        state = optimizer.state_dict()
        numbers = state["state"].get(0, {})
        forms.append([{*numbers}, dict(state["param_groups"][0])])
    assert forms[0][1] == forms[1][1]
    assert forms[0][0] == {k for k in forms[1][0] if k != "momentum_buffer"}


def test_a_planted_fault_is_noticed(monkeypatch):
    """The comparison can fail: one changed constant is enough."""
    from micrograd_jp.optim.kernels import InPlace

    root = InPlace.root
    monkeypatch.setattr(InPlace, "root", lambda k, y, scale, eps: root(k, y, scale, eps * 1.001))
    ours, theirs = run_both("Adam", {"eps": 1e-3}, dtype="f8", steps=10)
    with pytest.raises(AssertionError):
        assert_close(ours, theirs, 1e-9)
