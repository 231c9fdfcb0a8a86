"""`loss.minimize`: それが表す繰り返しと、1 ビットも違わない。計算と更新を、誰が行っても。"""

import _thread
import copy
import threading
import time

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.compiler import pipeline
from micrograd_jp.compiler.machine import updates
from micrograd_jp.native import machine_code
from micrograd_jp.optim import fused, optimizer

WIDTHS = 3, [40, 2]
EXECUTORS = ["lift", "levels", "python"] + ["native", "tape"] * machine_code.available()
OPTIMIZERS = {
    "SGD": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: mg.optim.Adam(p, lr=0.01),
    "AdamW": lambda p: mg.optim.AdamW(p, lr=0.01),
    "RAdam": lambda p: mg.optim.RAdam(p, lr=0.01),
    "NAdam": lambda p: mg.optim.NAdam(p, lr=0.01),
    "Rprop": lambda p: mg.optim.Rprop(p, lr=0.01),
}

SCHEDULERS = {
    "none": lambda optimizer: None,
    "foretold": lambda optimizer: mg.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
    "asked": lambda optimizer: mg.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.9**i),
}


def data(n=23):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3)), rng.integers(0, 2, n)


def compiled(executor=None, widths=WIDTHS, penalty=0.0):
    rng = np.random.default_rng(1)
    n, (hidden, classes) = widths
    w = [[mg.Value(x) for x in row] for row in rng.normal(size=(hidden, n))]
    v = [[mg.Value(x) for x in row] for row in rng.normal(size=(classes, hidden)) * 0.1]

    def loss(x, t):
        h = [sum(a * b for a, b in zip(row, x)).tanh() for row in w]
        scores = [sum(a * b for a, b in zip(row, h)) for row in v]
        decay = penalty and penalty * sum(a * a for row in w for a in row)  # of no sample
        return mg.logsumexp(scores) - mg.take(scores, t) + decay

    return mg.compile(loss, executor=executor).trace(*[x[:1] for x in data()])


def by_hand(loss, optimizer, X, T, batch_size=1, scheduler=None, epochs=1):
    values = []
    for start in [*range(0, len(X), batch_size)] * epochs:
        values.append(loss(X[start : start + batch_size], T[start : start + batch_size]))
        loss.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return np.concatenate([np.asarray(v._data) for v in values])


def same(one, other):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert np.array_equal(a._data, b._data) and np.array_equal(a.grad._data, b.grad._data)


@pytest.mark.parametrize("batch_size", [1, 4, 23, 50])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_it_is_the_loop(executor, batch_size):
    one, other = compiled(executor), compiled(executor)
    a, b = (mg.optim.Adam(f.parameters(), lr=0.01) for f in (one, other))
    before = one.parameters()[0]._data.copy()
    got = one.minimize(a, *data(), batch_size=batch_size, epochs=2)
    assert np.array_equal(got._data, by_hand(other, b, *data(), batch_size, epochs=2))
    assert not np.array_equal(before, one.parameters()[0]._data)
    same(one, other)


@pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_in_machine_code_are_those_of_step(name, schedule, monkeypatch):
    monkeypatch.setattr(fused, "PATIENCE", 0)
    penalty = 0.01 * (schedule == "foretold")
    one, other = (compiled("native", (3, [300, 2]), penalty) for _ in range(2))
    X, T = data(24)
    for loss in (one, other):
        loss.optimizer = OPTIMIZERS[name](loss.parameters())
        loss.scheduler = SCHEDULERS[schedule](loss.optimizer)
    for batch_size, epochs in ((1, 1), (3, 2), (24, 5), (5, 2)):
        options = {"batch_size": batch_size, "epochs": epochs}
        got = one.minimize(one.optimizer, X, T, scheduler=one.scheduler, **options)
        wanted = by_hand(other, other.optimizer, X, T, scheduler=other.scheduler, **options)
        assert np.array_equal(got._data, wanted)
    same(one, other)
    if schedule != "none":
        assert one.scheduler.state_dict() == other.scheduler.state_dict()
    states = [f.optimizer.state_dict() for f in (one, other)]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for a, b in zip(states[0]["state"][0].values(), states[1]["state"][0].values(), strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
def test_step_is_called_only_where_it_has_more_to_do(monkeypatch):
    monkeypatch.setattr(fused, "PATIENCE", 0)
    calls = []
    real = optimizer.Optimizer.step
    monkeypatch.setattr(optimizer.Optimizer, "step", lambda *x: (calls.append(0), real(*x))[1])
    loss = compiled("native", (3, [300, 2]))
    adam = mg.optim.Adam(loss.parameters())
    loss.minimize(adam, *data())
    assert 1 <= len(calls) < 5  # until its arrays are known
    seen, calls[:] = [], []
    adam.register_step_post_hook(lambda *_: seen.append(loss.parameters()[0].grad._data.copy()))
    loss.minimize(adam, *data())
    assert len(seen) == len(calls) == 23 and len({x.tobytes() for x in seen}) > 1


@pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
def test_parameters_of_another_dtype_than_the_computation(monkeypatch):
    """Which a function compiled before has captured."""
    monkeypatch.setattr(fused, "PATIENCE", 0)
    found = []
    for at_once in (True, False):
        w = [mg.Value(x) for x in np.linspace(-1, 1, 1500)]
        double = mg.compile(lambda x, w=w: sum(a * a for a in w) * x[0], dtype=np.float64)
        single = mg.compile(lambda x, w=w: sum(a * a for a in w) * x[0], dtype=np.float32)
        adam = mg.optim.Adam(double.trace(np.ones((1, 1))).parameters(), lr=0.1)
        X = np.random.default_rng(0).normal(size=(9, 1))
        single.trace(X)
        if at_once:
            single.minimize(adam, X)
        else:
            by_hand_of_one(single, adam, X)
        (p,) = double.parameters()
        assert p.dtype == np.float64
        found.append(p.detach().numpy())
    assert np.array_equal(*found)


def by_hand_of_one(loss, optimizer, X):
    for x in X:
        loss(x[None])
        loss.zero_grad()
        loss.backward()
        optimizer.step()


def test_an_optimizer_of_ones_own_and_one_of_values():
    class Own(mg.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data -= group["lr"] * p.grad

    one, other = compiled(), compiled()
    got = one.minimize(Own(one.parameters()), *data(), batch_size=4)
    assert np.array_equal(got._data, by_hand(other, Own(other.parameters()), *data(), 4))
    same(one, other)
    w = [mg.Value(0.5), mg.Value(-0.25)]
    loss = mg.compile(lambda x: (w[0] * x[0] + w[1] - x[1]) ** 2)
    X = np.random.default_rng(2).normal(size=(8, 2))
    twin = copy.deepcopy(w)
    loss.minimize(mg.optim.SGD(w, lr=0.1), X)
    sgd = mg.optim.SGD(twin, lr=0.1)
    for x in X:
        sgd.zero_grad()
        ((twin[0] * x[0] + twin[1] - x[1]) ** 2).backward()
        sgd.step()
    np.testing.assert_allclose([v.data for v in w], [v.data for v in twin], rtol=1e-5)


def test_structures_numbers_and_inputs_that_want_gradients():
    w = mg.Value(0.5)

    @mg.compile
    def loss(pair, scale, *, target):
        return (w * pair["x"][0] * scale - target) ** 2

    X, T = np.arange(1.0, 7.0), np.arange(6.0)
    loss.trace({"x": [X[:1]]}, 0.5, target=T[:1])
    sgd = mg.optim.SGD(loss.parameters(), lr=0.01)
    got = loss.minimize(sgd, {"x": [X]}, 0.5, target=T, batch_size=2)
    w_then, wanted = 0.5, []
    for x, t in zip(X.reshape(3, 2), T.reshape(3, 2)):
        wanted += [*(w_then * x * 0.5 - t) ** 2]
        w_then -= 0.01 * np.mean(2 * (w_then * x * 0.5 - t) * x * 0.5)
    np.testing.assert_allclose(got._data, wanted, rtol=1e-5)
    np.testing.assert_allclose(w.data, w_then, rtol=1e-5)
    x = mg.tensor(X, requires_grad=True)
    other = mg.compile(lambda x: (w * x) ** 2)
    other.trace(X)
    other.minimize(mg.optim.SGD(other.parameters(), lr=0.0), x)
    np.testing.assert_allclose(x.grad._data, 2 * w.data**2 * X, rtol=1e-5)


@pytest.mark.slow
def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    one, other = compiled(), compiled()
    a, b = (mg.optim.SGD(f.parameters(), lr=0.1) for f in (one, other))
    got = one.minimize(a, *map(jnp.asarray, data()), batch_size=8, epochs=2)
    np.testing.assert_allclose(got._data, by_hand(other, b, *data(), 8, epochs=2), rtol=1e-4)


def test_no_samples():
    loss = compiled()
    X, T = data()
    adam = mg.optim.Adam(loss.parameters())
    assert loss.minimize(adam, X[:0], T[:0], epochs=2).shape == (0,)


def test_what_cannot_be_done_is_said_before_anything_is_changed():
    loss = compiled()
    X, T = data()
    adam = mg.optim.Adam(loss.parameters())
    before = loss.parameters()[0]._data.copy()
    with pytest.raises(TypeError, match="optimizer は step"):
        loss.minimize(X, T)
    with pytest.raises(TypeError, match="scheduler は step"):
        loss.minimize(adam, X, T, scheduler=0.1)
    for wrong, error in ((0, ValueError), (-1, ValueError), (2.0, TypeError)):
        for name in ("batch_size", "epochs"):
            with pytest.raises(error, match=name):
                loss.minimize(adam, X, T, **{name: wrong})
    with pytest.raises(ValueError, match="先頭の軸が標本"):
        loss.minimize(adam, X[0].tolist(), 1)
    with pytest.raises(IndexError, match="標本 22 番"):
        loss.minimize(adam, X, np.where(np.arange(23) == 22, 2, T))
    two = mg.compile(lambda x: [loss.parameters()[0].sum().item() * x[0], x[1]])
    with pytest.raises(TypeError, match="minimize は 1 つの Value"):
        two.minimize(adam, X)
    with pytest.raises(ValueError, match="batch size mismatch"):
        loss.minimize(adam, X, T[1:])
    assert np.array_equal(loss.parameters()[0]._data, before)


@pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
@pytest.mark.parametrize("most", [0, 2])
def test_an_error_in_the_middle_leaves_what_was_done(most, monkeypatch):
    """As in the loop: the updates before stand, and the gradient is that of the last of them."""
    monkeypatch.setattr(fused, "PATIENCE", 0)
    monkeypatch.setattr(pipeline, "MOST", most)
    one, other = (compiled("native", (3, [300, 2])) for _ in range(2))
    a, b = (mg.optim.Adam(f.parameters()) for f in (one, other))
    X, T = data()
    one.minimize(a, X, T)
    by_hand(other, b, X, T)
    each = one.compilations[0].each

    def interrupted(*given):
        for i, found in enumerate(each(*given)):
            if i == 5:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(type(one.compilations[0]), "each", lambda _, *given: interrupted(*given))
    with pytest.raises(KeyboardInterrupt):
        one.minimize(a, X, T)
    done = a.state_dict()["state"][0]["step"] - 23
    assert done == (11 if most else 6)
    by_hand(other, b, X[:done], T[:done])
    same(one, other)


@pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
def test_an_interrupt_while_machine_code_goes_on(monkeypatch):
    """It comes when the call ends: what was done by then is counted, and nothing else."""
    monkeypatch.setattr(fused, "PATIENCE", 0)
    one, other = (compiled("native", (3, [300, 2])) for _ in range(2))
    a, b = (mg.optim.Adam(f.parameters(), 0.01) for f in (one, other))
    schedulers = [mg.optim.lr_scheduler.LinearLR(f, 1.0, 0.0, 20_000) for f in (a, b)]
    X, T = data(20_000)
    one.minimize(a, X[:100], T[:100], scheduler=schedulers[0])
    timer = threading.Timer(0.05, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        one.minimize(a, X[100:], T[100:], scheduler=schedulers[0])
        time.sleep(10)
    timer.join()
    done = a.state_dict()["state"][0]["step"]
    assert 100 < done < 20_000
    by_hand(other, b, X[:done], T[:done], scheduler=schedulers[1])
    same(one, other)
    assert schedulers[0].state_dict() == schedulers[1].state_dict()


@pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
def test_most_updates_are_done_by_machine_code_alone(monkeypatch):
    """What decides for the long way says so: the shapes, the optimizer, the number of threads."""
    monkeypatch.setattr(fused, "PATIENCE", 0)
    many = []
    real = updates.Steady.updated
    monkeypatch.setattr(updates.Steady, "updated", lambda *x: (many.append(len(x[1])), real(*x))[1])
    cases = (1, 1, mg.optim.Adam, 300), (1, 1, mg.optim.SGD, 20), (20, 1, mg.optim.Adam, 20)
    for batch_size, epochs, make, width in (*cases, (400, 50, mg.optim.SGD, 20)):
        X, T = data(2000 if epochs == 1 else 400)
        loss, many[:] = compiled("native", (3, [width, 2]), penalty=0.01), []
        optimizer = make(loss.parameters(), 0.01)
        scheduler = SCHEDULERS["none" if make is mg.optim.SGD else "foretold"](optimizer)
        options = {"batch_size": batch_size, "epochs": epochs, "scheduler": scheduler}
        loss.minimize(optimizer, X, T, **options)
        assert sum(many) > 0.8 * epochs * len(X) / batch_size
        assert max(many) <= pipeline.MOST


@pytest.mark.parametrize("executor", EXECUTORS)
def test_hooks_see_every_gradient(executor, monkeypatch):
    """Also those of `backward()`, which are not computed by a pass over the graph."""
    monkeypatch.setattr(fused, "PATIENCE", 0)
    X, T = data()
    found = []
    for at_once in (True, False):
        loss, seen = compiled(executor), []
        sgd = mg.optim.SGD(loss.parameters(), lr=0.1)
        loss.minimize(sgd, X[:9], T[:9])  # without any: machine code, where there is one
        (p,) = loss.parameters()
        p.register_hook(lambda g: 0.5 * g)
        p.register_post_accumulate_grad_hook(lambda p, seen=seen: seen.append(p.grad.tolist()))
        if at_once:
            loss.minimize(sgd, X, T)
        else:
            by_hand(loss, sgd, X, T)
        assert len(seen) == len(X) and seen[-1] == p.grad.tolist()
        found.append((seen, p.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_is_frozen_gets_no_gradient_and_stays(executor, monkeypatch):
    monkeypatch.setattr(fused, "PATIENCE", 0)
    X, T = data()
    for train in (lambda f, o: f.minimize(o, X, T), lambda f, o: by_hand(f, o, X, T)):
        loss = compiled(executor)
        adam = mg.optim.Adam(loss.parameters(), lr=0.1)
        train(loss, adam)
        (p,) = loss.parameters()
        for hooked in (False, True):
            if hooked:
                p.register_hook(lambda g: 2 * g)
            p.requires_grad = False
            before, p.grad = p.tolist(), None
            train(loss, adam)
            assert p.tolist() == before and p.grad is None
            p.requires_grad = True
            train(loss, adam)
            assert p.tolist() != before and p.grad.dtype == p.dtype


def test_a_gradient_has_the_dtype_of_its_parameter():
    """Which a function compiled before has captured, in another one than this computes in."""
    w = [mg.Value(x) for x in np.linspace(-1, 1, 5)]
    double, single = (
        mg.compile(lambda x: sum(a * a for a in w) * x[0], dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    (p,) = double.trace(np.ones((1, 1))).parameters()
    for _ in range(2):  # without and with a hook
        p.grad = None
        single(np.ones((3, 1)))
        single.backward()
        assert p.dtype == p.grad.dtype == np.float64
        np.testing.assert_allclose(sorted(p.grad.tolist()), [-2, -1, 0, 1, 2])
        p.register_hook(lambda g: g)


def test_hooks_of_an_input_that_wants_a_gradient():
    w = mg.Value(3.0)
    loss = mg.compile(lambda x: w * x * x)
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    loss.trace(x)
    seen = []
    x.register_hook(lambda g: 10 * g)
    x.register_post_accumulate_grad_hook(lambda x: seen.append(x.grad.tolist()))
    for times in (1, 2):
        loss(x)
        loss.backward()
        assert x.grad.tolist() == [30.0 * times, 60.0 * times]
    assert seen == [[30.0, 60.0], [60.0, 120.0]]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_programs_that_hardly_compute(executor, monkeypatch):
    """A parameter alone; a parameter that the loss does not use; no parameter's gradient."""
    monkeypatch.setattr(fused, "PATIENCE", 0)
    w, unused = mg.Value(3.0), mg.Value(5.0)
    for f in (lambda x: w, lambda x: w + 0 * unused * x, lambda x: x + 0 * w, lambda x: w * x):
        found = []
        for at_once in (True, False):
            w.data = 3.0
            loss = mg.compile(f, executor=executor).trace(np.ones(1))
            sgd = mg.optim.SGD(loss.parameters(), lr=0.1)
            X = np.linspace(0, 1, 40)
            if at_once:
                values = loss.minimize(sgd, X).numpy()
            else:
                values = []
                for x in X:
                    values.append(loss(x[None]).item())
                    loss.zero_grad()
                    loss.backward()
                    sgd.step()
            found.append(([*map(float, values)], w.data, unused.data))
        assert found[0] == found[1]


@pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
def test_what_cannot_go_on_does_not_look_ahead_at_every_step(monkeypatch):
    """1 − lr·weight_decay is 0: an update of another form, which no number of this one gives."""
    monkeypatch.setattr(fused, "PATIENCE", 0)
    one, other = (compiled("native", (3, [300, 2])) for _ in range(2))
    a, b = (mg.optim.AdamW(f.parameters(), lr=1.0, weight_decay=1.0) for f in (one, other))
    kind = mg.optim.lr_scheduler.ExponentialLR
    schedulers = [kind(f, 1.0) for f in (a, b)]
    X, T = data(200)
    turns, advance = [], kind._advance
    monkeypatch.setattr(kind, "_advance", lambda self: (turns.append(0), advance(self))[1])
    got = one.minimize(a, X, T, scheduler=schedulers[0])
    assert len(turns) == 200
    assert np.array_equal(got._data, by_hand(other, b, X, T, scheduler=schedulers[1]))
    same(one, other)
