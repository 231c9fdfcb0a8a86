"""機械語の更新: NumPy の更新と 1 ビットも違わず、式が操作の並びでないときは、そのまま動く。"""

import copy
import pickle

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.native import machine_code
from micrograd_jp.optim import fused, kernels
from micrograd_jp.optim.kernels import Symbol, function_of
from tests.optim.test_optimizer import EVERY, every

pytestmark = pytest.mark.skipif(not machine_code.available(), reason="extra fast がない")
N = 1500


@pytest.fixture(autouse=True)
def _runs(monkeypatch):
    """How often machine code has made a step: in a list, so that no test is about NumPy alone."""
    counted, real = [], fused._work

    def counting(*key):
        work = real(*key)
        return lambda *arguments: (counted.append(None), work(*arguments))[1]

    monkeypatch.setattr(fused, "_work", counting)
    monkeypatch.setattr(fused, "PATIENCE", 0)
    return counted


def gradient(rng, n, dtype):
    g = (rng.normal(size=n) * 10.0 ** rng.integers(-6, 3, n)).astype(dtype)
    g[:6] = [np.inf, -np.inf, np.nan, 0.0, -0.0, np.finfo(dtype).tiny]
    return g


def pair(kind, options, x):
    made = []
    for _ in range(2):
        w = mg.tensor(x.copy(), requires_grad=True)
        made.append((w, kind([w], **options)))
    return made


def steps(one, other, grads):
    """The same steps, once in machine code and once in NumPy."""
    for g in grads:
        for w, _ in (one, other):
            w.grad = None
            w.grad = mg.tensor(g.copy())
        one[1].step()
        with machine_code.disabled():
            other[1].step()


def same(one, other):
    assert np.array_equal(one[0]._data, other[0]._data, equal_nan=True)
    for (_, a), (_, b) in zip(one[1].state_arrays(), other[1].state_arrays(), strict=True):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[slot], b[slot], equal_nan=True) for slot in a)


@every
@pytest.mark.parametrize(("dtype", "n"), [("float32", N), ("float64", N), ("float32", 140_003)])
def test_it_is_numpys_to_the_last_bit(kind, options, dtype, n, _runs):
    rng = np.random.default_rng(0)
    one, other = pair(kind, options, rng.normal(size=n).astype(dtype))
    steps(one, other, [gradient(rng, n, dtype) for _ in range(6)])
    same(one, other)
    assert bool(_runs) is not kind.needs_whole


def test_what_changes_between_steps_is_seen(_runs):
    rng = np.random.default_rng(1)
    both = pair(mg.optim.SGD, {"lr": 0.1}, rng.normal(size=N))
    grads = [rng.normal(size=N) for _ in range(2)]

    def change(do):
        before = len(_runs)
        for w, o in both:
            do(w, o)
        steps(*both, grads)
        same(*both)
        return len(_runs) - before

    assert change(lambda w, o: None) == 2
    assert change(lambda w, o: o.param_groups[0].update(lr=0.5)) == 2
    assert change(lambda w, o: o.param_groups[0].update(momentum=0.9)) == 2
    assert change(lambda w, o: o.param_groups[0].update(nesterov=True, weight_decay=0.1)) == 2
    assert change(lambda w, o: o.param_groups[0].update(lr=np.float64(0.25))) == 2
    assert change(lambda w, o: setattr(w, "data", w._data * 2)) == 2
    assert change(lambda w, o: o.load_state_dict(o.state_dict())) == 2
    assert change(lambda w, o: w._data.setflags(write=False)) >= 1


@every
def test_the_numbers_of_every_step_are_those_of_the_formula(kind, options, monkeypatch):
    """Which may be asked for once only, and not at all where it looks at the step (RAdam)."""
    rng = np.random.default_rng(5)
    one, other = pair(kind, options, rng.normal(size=N))
    asked, real = [], fused._list
    monkeypatch.setattr(fused, "_list", lambda *x: (asked.append(0), real(*x))[1])
    for i in range(15):
        for _, o in (one, other):
            o.param_groups[0]["lr"] = 0.1 * 0.9 ** (i // 3)
        steps(one, other, [rng.normal(size=N) for _ in range(2)])
        same(one, other)
    assert len(asked) < 5 or kind in (mg.optim.RAdam, mg.optim.NAdam, mg.optim.ASGD)


def test_what_is_multiplied_by_0_is_not_read():
    """At one step, when the learning rate says so."""
    rng = np.random.default_rng(7)
    one, other = pair(mg.optim.AdamW, {"lr": 0.1, "weight_decay": 0.5}, rng.normal(size=N))
    for lr in (0.1, 0.3, 2.0, 0.1):
        for w, o in (one, other):
            o.param_groups[0]["lr"] = lr
            w._data[0] = np.inf
        steps(one, other, [rng.normal(size=N)])
        same(one, other)
    assert np.isinf(one[0]._data[0])


def test_a_formula_of_ones_own_is_asked_every_time():
    class Slower(mg.optim.SGD):
        scale = 1.0

        def update(self, k, p, g, state, turn):
            self.scale *= 0.9
            return k.mix(p, 1, g, -turn.options["lr"] * self.scale)

    rng = np.random.default_rng(6)
    one, other = pair(Slower, {"lr": 0.1}, rng.normal(size=N))
    steps(one, other, [rng.normal(size=N) for _ in range(5)])
    same(one, other)


def test_a_symbol_has_no_value():
    x = Symbol("x")
    f = function_of("x", [-(1 - 0.9**x) / 3, 2 * (x**2 + 1) - x / 7, 5])
    assert f(3) == (-(1 - 0.9**3) / 3, 2 * (3**2 + 1) - 3 / 7, 5)
    assert function_of("x", [x], [x - 2])(2) == () != function_of("x", [x], [x - 2])(3)
    looks = (bool, float, int, abs, round, lambda x: x > 1, lambda x: x <= 1, lambda x: x == 1)
    for look in (*looks, lambda x: x != 1, lambda x: max(x, 1), np.sqrt, hash):
        with pytest.raises(TypeError):
            look(x)
    for number in (float("inf"), np.float64(1), "1", None):
        with pytest.raises(TypeError):
            function_of("x", [number])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_has_arrays_of_its_own(copied):
    rng = np.random.default_rng(2)
    one, other = pair(mg.optim.Adam, {"lr": 0.1}, rng.normal(size=N))
    grads = [rng.normal(size=N) for _ in range(3)]
    steps(one, other, grads)
    w, optimizer = copied(one)
    steps((w, optimizer), other, grads)
    same((w, optimizer), other)
    assert not np.array_equal(one[0]._data, w._data)


class Sums(mg.optim.Optimizer):
    """What it does with the arrays is nothing that can be listed."""

    def __init__(self, params, lr, formula):
        super().__init__(params, {"lr": lr, "maximize": False})
        self.formula = formula

    def update(self, k, p, g, state, turn):
        return self.formula(k, p, g, turn.options["lr"])


@pytest.mark.parametrize(
    "formula",
    [
        lambda k, p, g, lr: k.mix(p, 1, g * 2, -lr),
        lambda k, p, g, lr: k.mix(p, 1, g + g, -lr),
        lambda k, p, g, lr: k.mix(p, 1, g, -lr * float(g[0])),
        lambda k, p, g, lr: np.subtract(p, lr * g, out=p),
        lambda k, p, g, lr: k.mix(p, 1, g, -lr * k.norm(g)),
    ],
)
def test_a_formula_that_is_no_list_of_operations_runs_as_it_is(formula, _runs):
    rng = np.random.default_rng(3)
    one, other = pair(Sums, {"lr": 0.1, "formula": formula}, rng.normal(size=N))
    steps(one, other, [rng.normal(size=N) for _ in range(3)])
    same(one, other)
    assert not _runs


def test_a_short_training_does_not_wait_for_machine_code(_runs, monkeypatch):
    monkeypatch.setattr(fused, "PATIENCE", 3 * (N + fused.CALL))
    monkeypatch.setattr(fused, "in_use", lambda: False)
    rng = np.random.default_rng(4)
    one, other = pair(mg.optim.Adam, {"lr": 0.1}, rng.normal(size=N))
    for many, runs in (3, 0), (2, 2):
        steps(one, other, [rng.normal(size=N) for _ in range(many)])
        assert len(_runs) == runs
    same(one, other)


def test_every_operation_is_listed_and_every_one_is_used():
    own = {name for name in vars(kernels.Kernels) if not name.startswith("_")}
    numbers = {"norm", "ratio", "number", "renewed", "chosen"}
    assert own - numbers == kernels.OPERATIONS.keys() - {"scaled"}
    assert len(EVERY) > 10
