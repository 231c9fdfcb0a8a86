"""`GradScaler`: PyTorch のものと、有限な更新とあふれた更新のどんな列でも同じ倍率、同じ重み。"""

import random

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.optim.skipping import step_unless
from tests.reference import torch


def both(seed):
    """Twice the same: (scaler, weights, optimizer, tensor) of ours and of PyTorch."""
    r = random.Random(seed)
    options = {
        "init_scale": r.choice([1.0, 1024.0, 65536.0, 2.0**126, 3.7]),
        "growth_factor": r.choice([2.0, 1.5, 1.7]),
        "backoff_factor": r.choice([0.5, 0.3]),
        "growth_interval": r.choice([1, 2, 3]),
    }
    start = np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32)
    name, found = r.choice(["SGD", "Adam", "RMSprop"]), []
    for module, scaler in (
        (mg, mg.amp.GradScaler(**options)),
        (torch, torch.amp.GradScaler("cpu", **options)),
    ):
        ws = [module.tensor(start[i], requires_grad=True) for i in (0, 1)]
        make = getattr(module.optim, name)
        found.append((module, scaler, ws, [make([w], lr=0.01) for w in ws]))
    return r, found


def update(module, scaler, ws, optimizers, x, unscale):
    """One update of two optimizers, as PyTorch's documentation has it."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss = sum((w * module.tensor(row)).sum() for w, row in zip(ws, x))
    scaler.scale(loss).backward()
    if unscale:
        scaler.unscale_(optimizers[0])
    gradients = [np.array(w.grad.numpy()) for w in ws]
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    return gradients


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 40))]
)
def test_the_same_as_pytorchs(seed):
    r, (ours, theirs) = both(seed)
    for i in range(20):
        x = np.random.default_rng([seed, i]).standard_normal((2, 3)).astype(np.float32)
        if r.random() < 0.3:
            x[r.randrange(2), 0] = r.choice([np.inf, np.nan, -np.inf])
        unscale = r.random() < 0.5
        got, wanted = update(*ours, x, unscale), update(*theirs, x, unscale)
        for a, b in zip(got, wanted):
            assert np.array_equal(a, b, equal_nan=True)
        assert ours[1].state_dict() == theirs[1].state_dict()
        for w, v in zip(ours[2], theirs[2]):
            np.testing.assert_allclose(w.detach().numpy(), v.detach().numpy(), rtol=2e-5, atol=1e-6)


def overflowing(scaler, optimizer, w, x=np.inf):
    optimizer.zero_grad()
    scaler.scale((w * x).sum()).backward()


def made(**options):
    w = mg.ones(3, requires_grad=True)
    return mg.amp.GradScaler(**options), optim.Adam([w], lr=0.1), w


def test_an_overflow_changes_nothing_but_the_scale():
    scaler, optimizer, w = made()
    overflowing(scaler, optimizer, w, 1.0)
    scaler.step(optimizer)
    scaler.update()
    before = w.detach().numpy().copy(), str(optimizer.state_dict())
    overflowing(scaler, optimizer, w)
    assert scaler.step(optimizer) is None
    scaler.update()
    assert np.array_equal(w.data, before[0]) and str(optimizer.state_dict()) == before[1]
    assert scaler.get_scale() == 32768.0


def test_the_state_goes_on_where_it_was():
    scaler, optimizer, w = made(growth_interval=3)
    for _ in range(2):
        overflowing(scaler, optimizer, w, 1.0)
        scaler.step(optimizer)
        scaler.update()
    other = mg.amp.GradScaler(init_scale=1.0)
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(scaler.state_dict())
    assert theirs.state_dict() == scaler.state_dict()
    overflowing(other, optimizer, w, 1.0)
    other.step(optimizer)
    other.update()
    assert other.get_scale() == 2 * 65536.0 and other.state_dict()["_growth_tracker"] == 0


def test_disabled_it_does_nothing():
    scaler, optimizer, w = made(enabled=False)
    loss = (w * 2).sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.detach().numpy()[0] < 1 and scaler.state_dict() == {} and not scaler.is_enabled()
    scaler.load_state_dict({})


def test_small_gradients_survive_by_it():
    """The whole point: without it they are 0 in float16."""
    x = mg.tensor(np.full((1, 4), 0.5, np.float32))
    for scaler, alive in ((mg.amp.GradScaler(), True), (mg.amp.GradScaler(enabled=False), False)):
        model = nn.Linear(4, 1)
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        with mg.autocast(mg.float16):
            loss = model(x).sum() * 1e-8
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert model.weight.grad.dtype == mg.float32
        assert bool((model.weight.grad.numpy() != 0).all()) is alive
        assert not alive or np.allclose(model.weight.grad.numpy(), 0.5e-8, rtol=1e-3)


def half_weights(scaler, optimizer):
    half = mg.ones(2, dtype=mg.float16, requires_grad=True)
    scaler.scale(half.sum()).backward()
    scaler.unscale_(optim.SGD([half], lr=0.1))


def of_values(scaler, optimizer):
    v = mg.Value(1.0)
    scaler.scale(v * v).backward()
    scaler.unscale_(optim.SGD([v], lr=0.1))


def loaded(**wrong):
    return lambda scaler, _: scaler.load_state_dict({**scaler.state_dict(), **wrong})


MISUSES = {
    "unscaled twice": (lambda s, o: (s.unscale_(o), s.unscale_(o)),
                       RuntimeError, r"unscale_\(\) has already been called"),
    "unscaled after the step": (lambda s, o: (s.step(o), s.unscale_(o)),
                                RuntimeError, r"step\(\) has already been called"),
    "stepped twice": (lambda s, o: (s.step(o), s.step(o)),
                      RuntimeError, r"step\(\) has already been called"),
    "updated before": (lambda s, o: s.update(),
                       RuntimeError, "no inf checks were recorded prior to update"),
    "closure": (lambda s, o: s.step(o, lambda: 0), RuntimeError, "closure is not supported"),
    "no gradients": (lambda s, o: (o.zero_grad(), s.step(o)),
                     RuntimeError, "no inf checks were recorded"),
    "half weights": (half_weights, ValueError, "attempting to unscale FP16 gradients"),
    "Values": (of_values, TypeError, "expected Tensors"),
    "no tensor": (lambda s, o: s.scale("loss"), TypeError, "expected a Tensor"),
    "empty state": (lambda s, o: s.load_state_dict({}),
                    RuntimeError, "source state dict is empty"),
    "other state": (lambda s, o: s.load_state_dict({"scale": 1.0}),
                    ValueError, "not the state of a GradScaler"),
    "no state": (lambda s, o: s.load_state_dict([1]), TypeError, "expected a dict"),
    "wrong state": (loaded(backoff_factor=2.0), ValueError, "invalid backoff_factor"),
    "wrong count": (loaded(_growth_tracker=-1), ValueError, "invalid _growth_tracker"),
    "wrong scale": (lambda s, o: s.update(1e39), ValueError, "invalid new_scale"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_refused(name):
    misuse, kind, sentence = MISUSES[name]
    scaler, optimizer, w = made()
    overflowing(scaler, optimizer, w, 1.0)
    with pytest.raises(kind, match=sentence):
        misuse(scaler, optimizer)


@pytest.mark.parametrize(
    "options",
    [{"init_scale": 0}, {"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"growth_interval": 0},
     {"init_scale": float("nan")}, {"init_scale": 1e39}, {"init_scale": 1e-60},
     {"device": "gpuu"}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError):
        mg.amp.GradScaler(**options)


@pytest.mark.parametrize("skipped", [False, True])
def test_hooks_in_a_jit_see_the_weights_that_stay(skipped):
    """The one that keeps weights within bounds is called after the choice, not before."""
    jax = pytest.importorskip("jax", reason="jax がありません")

    def step(skip):
        p = mg.tensor(jax.numpy.ones(2), requires_grad=True)
        optimizer = optim.SGD([p], lr=3.0)

        def halve(*_):
            p.data = p.data / 2

        optimizer.register_step_post_hook(halve)
        p.grad = mg.tensor(jax.numpy.ones(2))
        step_unless(optimizer, skip)
        return p._data

    wanted = 0.5 if skipped else (1.0 - 3.0) / 2
    assert jax.jit(step)(skipped).tolist() == [wanted, wanted]
