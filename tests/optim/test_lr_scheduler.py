"""学習率のスケジューラ: PyTorch と同じ学習率の列、保存と復元、エラー。"""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import tensors

import micrograd_jp as mg
from micrograd_jp.optim import lr_scheduler as ours
from tests.reference import like_pytorch, pytorch_answers, torch

GAMMA = st.floats(0.1, 1.1)
COUNT = st.integers(1, 12)
SIMPLE = {
    "StepLR": {"step_size": COUNT, "gamma": GAMMA},
    "MultiStepLR": {"milestones": st.lists(st.integers(0, 30), max_size=4), "gamma": GAMMA},
    "ExponentialLR": {"gamma": GAMMA},
    "CosineAnnealingLR": {"T_max": COUNT, "eta_min": st.sampled_from([0.0, 0.01])},
    "LinearLR": {
        "start_factor": st.floats(0.1, 1), "end_factor": st.floats(0.1, 1), "total_iters": COUNT
    },
    "LambdaLR": {"lr_lambda": st.sampled_from(["0.9**i", "1 / (1 + i)"])},
    "MultiplicativeLR": {"lr_lambda": st.sampled_from(["0.95", "1 - 1 / (2 + i)"])},
    "ConstantLR": {"factor": st.floats(0.1, 1), "total_iters": COUNT},
    "PolynomialLR": {"total_iters": COUNT, "power": st.sampled_from([0.5, 1.0, 2.0])},
    "CosineAnnealingWarmRestarts": {
        "T_0": COUNT, "T_mult": st.integers(1, 3), "eta_min": st.sampled_from([0.0, 0.01])
    },
}  # fmt: skip
SCHEDULES = st.one_of(
    [st.tuples(st.just(name), st.fixed_dictionaries(o)) for name, o in SIMPLE.items()]
)


def made(module, kind, rates=(0.5, 0.1)):
    """An optimizer of one library with one group a rate."""
    parameters = tensors([np.ones(1)] * len(rates))
    if module is not ours:
        parameters = [torch.ones(1, requires_grad=True) for _ in rates]
    return kind([{"params": [p], "lr": lr} for p, lr in zip(parameters, rates)])


def as_function(name, x):
    return eval(f"lambda i: {x}") if name in ("lr_lambda", "scale_fn") and x else x


def chain(module, optimizer, schedules, milestones):
    schedulers = [
        getattr(module, name)(optimizer, **{k: as_function(k, x) for k, x in options.items()})
        for name, options in schedules
    ]
    if len(schedulers) == 1:
        return schedulers[0]
    return module.SequentialLR(optimizer, schedulers, milestones)


def rates_of(optimizer, scheduler, steps):
    """The rates of both groups before each of so many steps."""
    rates = []
    for _ in range(steps):
        rates.append([g["lr"] for g in optimizer.param_groups])
        assert scheduler.get_last_lr() == rates[-1]
        optimizer.step()
        scheduler.step()
    return np.array(rates)


@st.composite
def programs(draw):
    schedules = draw(st.lists(SCHEDULES, min_size=1, max_size=3))
    n = len(schedules) - 1
    milestones = draw(st.lists(st.integers(1, 25), min_size=n, max_size=n, unique=True))
    return schedules, sorted(milestones)


PARTS = st.sampled_from([0.1, 0.25, 0.3, 0.5])
CYCLES = st.one_of(
    st.tuples(st.just("CyclicLR"), st.fixed_dictionaries(
        {"base_lr": st.just(0.01), "max_lr": st.sampled_from([0.5, [0.3, 0.2]]),
         "step_size_up": COUNT, "step_size_down": st.none() | COUNT, "gamma": GAMMA,
         "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
         "scale_fn": st.sampled_from([None, "1 / (1 + i)"]),
         "scale_mode": st.sampled_from(["cycle", "iterations"]), "cycle_momentum": st.booleans()},
    )),
    st.tuples(st.just("OneCycleLR"), st.fixed_dictionaries(
        {"max_lr": st.sampled_from([0.5, [0.3, 0.2]]), "total_steps": st.sampled_from([100, 123]),
         "pct_start": PARTS, "anneal_strategy": st.sampled_from(["cos", "linear"]),
         "three_phase": st.booleans(), "cycle_momentum": st.booleans()},
    )),
)  # fmt: skip


BOTH = ((ours, mg.optim.SGD), (torch.optim.lr_scheduler, torch.optim.SGD))


@like_pytorch(programs(), max_examples=80, kept=30)
def test_the_rates_are_pytorchs(program):
    columns = []
    for module, kind in BOTH:
        optimizer = made(module, kind)
        columns.append(rates_of(optimizer, chain(module, optimizer, *program), 30))
    np.testing.assert_allclose(*columns, rtol=1e-12, atol=1e-15)


every_kind = pytest.mark.parametrize("kind", ["SGD", "Adam"])


@every_kind
@like_pytorch(CYCLES, max_examples=12, kept=6)
def test_the_rates_and_momentums_of_cycles_are_pytorchs(kind, cycle):
    require_the_same_cycles(kind, *cycle)


@pytest.mark.slow
@every_kind
def test_the_rates_and_momentums_of_many_cycles_are_pytorchs(kind):
    @settings(max_examples=40)
    @given(CYCLES)
    def check(cycle):
        require_the_same_cycles(kind, *cycle)

    check()


def require_the_same_cycles(kind, name, options):
    columns = []
    for module, optim in ((ours, mg.optim), (torch.optim.lr_scheduler, torch.optim)):
        optimizer = made(module, getattr(optim, kind))
        scheduler = chain(module, optimizer, [(name, options)], [])
        columns.append(column := [])
        for _ in range(100):
            groups = optimizer.param_groups
            column.append([(g["lr"], g["momentum" if kind == "SGD" else "betas"]) for g in groups])
            optimizer.step()
            scheduler.step()
    for i in (0, 1):
        mine, theirs = ([[np.ravel(g[i]) for g in groups] for groups in c] for c in columns)
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


@like_pytorch(st.lists(SCHEDULES, min_size=1, max_size=3), max_examples=30, kept=15)
def test_the_rates_of_schedulers_together_are_pytorchs(schedules):
    columns = []
    for module, kind in BOTH:
        optimizer = made(module, kind)
        parts = [chain(module, optimizer, [one], []) for one in schedules]
        columns.append(rates_of(optimizer, module.ChainedScheduler(parts), 100))
    np.testing.assert_allclose(*columns, rtol=1e-9, atol=1e-15)


@like_pytorch(
    COUNT, st.integers(1, 3), st.lists(st.floats(0, 60), min_size=5, max_size=5), max_examples=20
)
def test_restarts_at_parts_of_an_epoch_are_pytorchs(first, factor, epochs):
    columns = []
    for module, kind in BOTH:
        optimizer = made(module, kind)
        scheduler = module.CosineAnnealingWarmRestarts(optimizer, first, factor)
        optimizer.step()
        columns.append(column := [])
        for epoch in [*epochs, None, None]:
            scheduler.step(epoch)
            column.append(scheduler.get_last_lr())
    np.testing.assert_allclose(*columns, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["StepLR", "ConstantLR", "CosineAnnealingLR"])
def test_a_step_to_an_epoch_warns_and_is_pytorchs(name):
    rates = []
    for module, kind in BOTH:
        optimizer = made(module, kind)
        scheduler = getattr(module, name)(optimizer, *[3] * (name != "ConstantLR"))
        optimizer.step()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            scheduler.step(4)
        rates.append(scheduler.get_last_lr())
        if module is ours:
            assert "deprecated" in str(seen[0].message)
    np.testing.assert_allclose(*rates, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("mode", ["min", "max"])
@like_pytorch(
    st.lists(st.floats(-2, 2) | st.just(math.nan), min_size=20, max_size=20),
    st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 0.1]),
    st.sampled_from([0, 0.04, [0.2, 0.01]]), max_examples=20,
)  # fmt: skip
def test_plateau_is_pytorchs(mode, threshold_mode, metrics, patience, cooldown, threshold, min_lr):
    options = {
        "mode": mode, "threshold_mode": threshold_mode, "patience": patience, "factor": 0.5,
        "cooldown": cooldown, "threshold": threshold, "min_lr": min_lr,
    }  # fmt: skip
    columns = []
    for module, kind in BOTH:
        optimizer = made(module, kind)
        scheduler = module.ReduceLROnPlateau(optimizer, **options)
        column = []
        for metric in metrics:
            scheduler.step(metric)
            column.append(scheduler.get_last_lr())
        columns.append(column)
    assert columns[0] == columns[1]


def test_cosine_and_warm_up_by_hand():
    optimizer = made(ours, mg.optim.SGD, rates=(1.0,))
    warm = ours.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    scheduler = ours.SequentialLR(
        optimizer, [warm, ours.CosineAnnealingLR(optimizer, T_max=4)], [3]
    )
    rates = rates_of(optimizer, scheduler, 8)[:, 0]
    expected = [0.25, 0.5, 0.75, *[(1 + math.cos(math.pi * t / 4)) / 2 for t in range(5)]]
    np.testing.assert_allclose(rates, expected, atol=1e-15)


PROGRAMS = [
    ([("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2})], []),
    ([("MultiplicativeLR", {"lr_lambda": "0.9"})], []),
    ([("OneCycleLR", {"max_lr": 0.5, "total_steps": 30})], []),
    ([("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 3})], []),
    ([("CosineAnnealingLR", {"T_max": 7})], []),
    ([("MultiStepLR", {"milestones": [3, 11]})], []),
    ([("LambdaLR", {"lr_lambda": "0.9**i"})], []),
    ([("LinearLR", {}), ("StepLR", {"step_size": 2}), ("ExponentialLR", {"gamma": 0.9})], [4, 9]),
]


@pytest.mark.parametrize(("schedules", "milestones"), PROGRAMS)
@pytest.mark.parametrize("when", [0, 3, 4, 8, 12])
def test_a_restored_scheduler_goes_on_exactly(schedules, milestones, when, tmp_path):
    optimizer = made(ours, mg.optim.SGD)
    scheduler = chain(ours, optimizer, schedules, milestones)
    rates_of(optimizer, scheduler, when)
    mg.save([scheduler.state_dict(), optimizer.state_dict()], tmp_path / "s.npz")
    other = made(ours, mg.optim.SGD)
    restored = chain(ours, other, schedules, milestones)
    saved = mg.load(tmp_path / "s.npz")
    restored.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    expected, rates = rates_of(optimizer, scheduler, 10), rates_of(other, restored, 10)
    np.testing.assert_array_equal(rates, expected)


def test_a_restored_plateau_goes_on():
    optimizer = made(ours, mg.optim.SGD)
    scheduler = ours.ReduceLROnPlateau(optimizer, patience=2)
    scheduler.step(1.0)
    scheduler.step(1.0)
    other = made(ours, mg.optim.SGD)
    restored = ours.ReduceLROnPlateau(other, patience=2)
    restored.load_state_dict(scheduler.state_dict())
    for _ in range(2):
        restored.step(mg.tensor(1.0))
    assert restored.get_last_lr() == pytest.approx([0.05, 0.01])


def test_a_state_of_another_scheduler_is_refused():
    optimizer = made(ours, mg.optim.SGD)
    scheduler = ours.StepLR(optimizer, 3)
    with pytest.raises(ValueError, match="state mismatch"):
        scheduler.load_state_dict(ours.ReduceLROnPlateau(optimizer).state_dict())
    two = ours.SequentialLR(optimizer, [scheduler, ours.StepLR(optimizer, 2)], [3])
    one = ours.SequentialLR(optimizer, [ours.StepLR(optimizer, 2)], [])
    with pytest.raises(ValueError, match="count mismatch"):
        two.load_state_dict(one.state_dict())


def every_scheduler():
    """One of each, on optimizers of their own, some steps along."""
    for name, options in EVERY.items():
        optimizer = made(ours, mg.optim.SGD)
        parts = [ours.StepLR(optimizer, 2), ours.ExponentialLR(optimizer, 0.5)]
        if name == "SequentialLR":
            options = (parts, [2])
        if name == "ChainedScheduler":
            scheduler = ours.ChainedScheduler(parts)
        else:
            scheduler = getattr(ours, name)(optimizer, *options)
        for i in range(3):
            optimizer.step()
            scheduler.step(*[float(i)] * (name == "ReduceLROnPlateau"))
        yield scheduler


def test_a_state_with_other_names_is_refused():
    for scheduler in every_scheduler():
        kept = scheduler.state_dict()
        for missing in kept:
            some = {k: x for k, x in kept.items() if k != missing}
            for wrong in (some, kept | {"another": 1}, some | {"another": 1}):
                with pytest.raises(ValueError, match="state mismatch"):
                    scheduler.load_state_dict(wrong)
        assert repr(scheduler.state_dict()) == repr(kept)


def test_a_state_stays_as_it_was_and_loads_again():
    for scheduler in every_scheduler():
        state, rates = scheduler.state_dict(), scheduler.get_last_lr()
        kept = repr(state)
        for group in scheduler.optimizer.param_groups:
            group["lr"] *= 0.5
        for numbers in (scheduler.get_last_lr(), *(x for x in state.values())):
            if isinstance(numbers, list) and numbers and isinstance(numbers[0], float):
                numbers.append(7.0)  # the user's own from now on
        assert repr(scheduler.state_dict()) == kept
        scheduler.load_state_dict(scheduler.state_dict())
        assert (repr(scheduler.state_dict()), scheduler.get_last_lr()) == (kept, rates)


@pytest.mark.parametrize("wrong", ["x", None, {}, [], [None] * 2, ["x"] * 2, [[]], object()])
def test_what_is_of_another_kind_is_refused_and_changes_nothing(wrong):
    for scheduler in every_scheduler():
        state = scheduler.state_dict()
        before = repr(state)
        for name, now in state.items():
            if name == "_milestones" and wrong == []:
                continue
            if wrong is None and not isinstance(now, int | float | list):
                continue
            with pytest.raises((ValueError, TypeError)):
                scheduler.load_state_dict({**state, name: wrong})
            assert repr(scheduler.state_dict()) == before


@given(SCHEDULES, st.integers(0, 6), st.data())
def test_what_is_foretold_comes(schedule, before, data):
    """And what was not done after all leaves no trace."""
    one, other = (mg.optim.SGD([mg.ones(1, requires_grad=True)], lr=0.5) for _ in range(2))
    ahead, behind = (chain(ours, optimizer, [schedule], []) for optimizer in (one, other))
    for scheduler in (ahead, behind):
        scheduler.optimizer.step()
        for _ in range(before):
            scheduler.step()
    if schedule[0] in ("LambdaLR", "MultiplicativeLR"):  # which ask a function of the user
        assert not ahead.foretells(one)
        return
    assert ahead.foretells(one)
    count = data.draw(st.integers(1, 8))
    times = data.draw(st.integers(0, count))
    rates, done = ahead.ahead(count)
    done(times)
    found = []
    for i in range(count):
        if i == times:
            assert ahead.state_dict() == behind.state_dict()
            assert one.param_groups[0]["lr"] == other.param_groups[0]["lr"]
        found.append(other.param_groups[0]["lr"])
        behind.step()
    assert rates == found
    if times == count:
        assert ahead.state_dict() == behind.state_dict()


def test_only_what_is_known_is_foretold():
    sgd = made(ours, mg.optim.SGD, [0.5])
    known = ours.ExponentialLR(sgd, 0.9)
    assert known.foretells(sgd) and not known.foretells(made(ours, mg.optim.SGD, [0.5]))
    assert not type("Own", (ours.ExponentialLR,), {})(sgd, 0.9).foretells(sgd)
    known.step = lambda: None
    assert not known.foretells(sgd)


def test_an_error_on_the_way_leaves_the_scheduler_where_it_was(monkeypatch):
    sgd = made(ours, mg.optim.SGD, [0.5])
    scheduler = ours.ExponentialLR(sgd, 0.5)
    before, turns = scheduler.state_dict(), []

    def interrupted(self, lr, base):
        turns.append(lr)
        if len(turns) == 3:
            raise KeyboardInterrupt
        return lr / 2

    monkeypatch.setattr(ours.ExponentialLR, "_next", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scheduler.ahead(5)
    assert scheduler.state_dict() == before and sgd.param_groups[0]["lr"] == 0.5


def test_stepping_before_the_optimizer_warns():
    scheduler = ours.StepLR(made(ours, mg.optim.SGD), 3)
    with pytest.warns(UserWarning, match="before the optimizer"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()


def test_more_steps_than_one_cycle_has_are_refused():
    optimizer = made(ours, mg.optim.SGD)
    scheduler = ours.OneCycleLR(optimizer, 0.5, total_steps=3)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    with pytest.raises(ValueError, match="tried to step 4 times"):
        scheduler.step()


def test_resuming_by_last_epoch():
    optimizer = made(ours, mg.optim.SGD)
    with pytest.raises(KeyError, match="initial_lr"):
        ours.ExponentialLR(optimizer, 0.5, last_epoch=3)
    first = ours.ExponentialLR(optimizer, 0.5)
    rates_of(optimizer, first, 3)
    again = ours.ExponentialLR(optimizer, 0.5, last_epoch=2)
    assert again.last_epoch == 3
    assert again.get_last_lr() == first.get_last_lr()


O = made(ours, mg.optim.SGD)


EVERY = {
    "StepLR": (2,), "MultiStepLR": ([1],), "ExponentialLR": (0.9,), "CosineAnnealingLR": (3,),
    "LinearLR": (), "LambdaLR": (lambda i: 1.0,), "ReduceLROnPlateau": (), "SequentialLR": ([], []),
    "MultiplicativeLR": (lambda i: 1.0,), "ConstantLR": (), "PolynomialLR": (),
    "ChainedScheduler": (), "CyclicLR": (0.1, 0.5), "CosineAnnealingWarmRestarts": (2,),
    "OneCycleLR": (0.5, 20),
}  # fmt: skip


def test_every_scheduler_knows_its_optimizer():
    assert EVERY.keys() == {n for n, x in vars(ours).items() if isinstance(x, type)} - {
        "LRScheduler"
    }
    for name, options in EVERY.items():
        if name == "ChainedScheduler":
            assert ours.ChainedScheduler([ours.StepLR(O, 2)]).optimizer is O
            continue
        if name == "SequentialLR":
            options = ([ours.StepLR(O, 2)], [])
        assert getattr(ours, name)(O, *options).optimizer is O
        with pytest.raises(TypeError, match=r"expected (an )?Optimizer"):
            getattr(ours, name)([O], *options)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ours.StepLR("sgd", 1), TypeError, "expected an Optimizer"),
        (lambda: ours.StepLR(O, 0), ValueError, "positive int"),
        (lambda: ours.CosineAnnealingLR(O, 2.5), ValueError, "positive int"),
        (lambda: ours.LinearLR(O, start_factor=0), ValueError, "start_factor"),
        (lambda: ours.LinearLR(O, start_factor=1.5), ValueError, "start_factor"),
        (lambda: ours.LinearLR(O, start_factor=math.nextafter(1, 2)), ValueError, "start_factor"),
        (lambda: ours.LinearLR(O, end_factor=1.5), ValueError, "end_factor"),
        (lambda: ours.LinearLR(O, end_factor=math.nextafter(1, 2)), ValueError, "end_factor"),
        (lambda: ours.LinearLR(O, end_factor=-1e-9), ValueError, "end_factor"),
        (lambda: ours.LambdaLR(O, [abs]), ValueError, "expected 2 lr_lambdas"),
        (lambda: ours.MultiplicativeLR(O, [abs]), ValueError, "expected 2 lr_lambdas"),
        (lambda: ours.ConstantLR(O, factor=1.5), ValueError, "factor"),
        (lambda: ours.PolynomialLR(O, total_iters=0), ValueError, "positive int"),
        (lambda: ours.ChainedScheduler([]), ValueError, "at least one"),
        (lambda: ours.ChainedScheduler([ours.ReduceLROnPlateau(O)]), ValueError, "unsupported"),
        (lambda: ours.CyclicLR(O, 0.1, 0.5, mode="x"), ValueError, "mode is invalid"),
        (lambda: ours.CyclicLR(O, [0.1], 0.5), ValueError, "expected 2 base_lrs"),
        (lambda: ours.CyclicLR(made(ours, mg.optim.Rprop), 0.1, 0.5), ValueError, "must support"),
        (lambda: ours.OneCycleLR(O, 0.5), ValueError, "define either"),
        (lambda: ours.OneCycleLR(O, 0.5, 10, pct_start=2.0), ValueError, "pct_start"),
        (lambda: ours.OneCycleLR(O, 0.5, 10, anneal_strategy="x"), ValueError, "anneal_strategy"),
        (lambda: ours.CosineAnnealingWarmRestarts(O, 0), ValueError, "positive int"),
        (lambda: ours.CosineAnnealingWarmRestarts(O, 2).step(-1), ValueError, "non-negative"),
        (lambda: ours.SequentialLR(O, [], []), ValueError, "one fewer"),
        (lambda: ours.SequentialLR(O, [ours.StepLR(O, 1)], [3]), ValueError, "one fewer"),
        (lambda: ours.SequentialLR(O, [ours.ReduceLROnPlateau(O)], []), ValueError, "unsupported"),
        (
            lambda: ours.SequentialLR(O, [ours.StepLR(made(ours, mg.optim.SGD), 1)], []),
            ValueError, "different optimizer",
        ),
        (lambda: ours.ReduceLROnPlateau(O, factor=1.0), ValueError, "factor"),
        (lambda: ours.ReduceLROnPlateau(O, mode="up"), ValueError, "unknown mode"),
        (lambda: ours.ReduceLROnPlateau(O, threshold_mode="x"), ValueError, "unknown mode"),
        (lambda: ours.ReduceLROnPlateau(O, min_lr=[0.1]), ValueError, "expected 2 min_lrs"),
        (lambda: ours.ReduceLROnPlateau(O).step("good"), TypeError, "expected a number"),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()


def warm_up_written_by_hand(L):
    """As in papers: a rate of one's own, in the middle of others."""

    class WarmUp(L.optim.lr_scheduler.LRScheduler):
        def __init__(self, optimizer, warm, last_epoch=-1):
            self.warm = warm
            super().__init__(optimizer, last_epoch)

        def get_lr(self):
            n = self.last_epoch + 1
            return [base * min(n**-0.5, n * self.warm**-1.5) for base in self.base_lrs]

    p = L.nn.Parameter(L.tensor([1.0]))
    optimizer = L.optim.SGD([{"params": [p], "lr": 0.5}], lr=0.1)
    scheduler = WarmUp(optimizer, 4)
    rates = [scheduler.get_last_lr()]
    for _ in range(8):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler.step(2)
    state = scheduler.state_dict()
    again = WarmUp(optimizer, 4)
    again.load_state_dict(state)
    again.step()
    return [*rates, scheduler.get_last_lr(), again.get_last_lr()], again.last_epoch


@pytorch_answers
def warm_up_of_pytorch(torch):
    return warm_up_written_by_hand(torch)


def test_a_scheduler_of_ones_own_is_written_as_for_pytorch():
    rates, epoch = warm_up_written_by_hand(mg)
    wanted, last = warm_up_of_pytorch()
    np.testing.assert_allclose(rates, wanted, rtol=1e-12)
    assert epoch == last
