"""`fit(jit=True)`: 1 更新が 1 つのプログラムでも、約束はどれも同じ。"""

import numpy as np
import pytest
from problem import Task, jittered, points

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import DataLoader
from micrograd_jp.training import Checkpoint, NonFiniteError, compiled_update, fitting
from micrograd_jp.training.compiled_update import CompiledUpdate

jax = pytest.importorskip("jax", reason="jax がありません")


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled():
    """These programs run for microseconds."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


X = mg.tensor([[1.0, 2.0]])
T = mg.tensor([[0.5]])


def plain_task(dampening=0.5, **options):
    """Without random numbers, which JAX draws otherwise: 6 batches."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, dampening=dampening)
    scheduler = mg.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=10)
    history = mg.fit(
        model, DataLoader(points(60, 1), 10, shuffle=True, seed=0), mg.cross_entropy, optimizer, 3,
        development=points(40, 2), scheduler=scheduler, schedule="update", clip_norm=0.3,
        progress=False, **options,
    )  # fmt: skip
    return model, optimizer, history


def test_the_same_as_without_it_and_numpy_is_left_as_numpy():
    model, optimizer, history = plain_task()
    there, theirs, found = plain_task(jit=True)
    np.testing.assert_allclose(found.losses, history.losses, rtol=1e-4)
    for a, b in zip(history.epochs, found.epochs, strict=True):
        assert a.keys() == b.keys()
        assert (a["epoch"], a["updates"], a["lr"]) == (b["epoch"], b["updates"], b["lr"])
        assert b["metric"] == pytest.approx(a["metric"], abs=0.05)
    mine, other = model.state_dict(), there.state_dict()
    for name in mine:
        assert isinstance(other[name].numpy(), np.ndarray)
        assert other[name].dtype == mine[name].dtype
        np.testing.assert_allclose(other[name].data, mine[name].data, rtol=2e-3, atol=2e-4)
    for p, q in zip(optimizer.state.values(), theirs.state.values(), strict=True):
        for slot in p:
            np.testing.assert_allclose(q[slot], p[slot], rtol=2e-3, atol=2e-4)
    # What it leaves can be trained on in place.
    mg.fit(there, [(points(8, 1)[:])], mg.cross_entropy, theirs, 1, progress=False)


class Stopped(Exception):
    """The machine is switched off."""


def run(seed, path, left, **options):
    """A task whose data end the process after so many batches. The network drops units out."""

    def transform(x, t, generator):
        left[0] -= 1
        if left[0] == 0:
            raise Stopped
        return jittered(x, t, generator)

    task = Task(seed)
    task.data = DataLoader(points(64, 1), 10, shuffle=True, transform=transform)
    checkpoint = Checkpoint(path, seconds=None, updates=2)
    history = task.fit(2, checkpoint=checkpoint, jit=True, clip_norm=1.0, **options)
    return task.outcome(history)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run(0, tmp_path_factory.mktemp("run") / "a.npz", [-1])


@pytest.mark.slow
@pytest.mark.parametrize("when", [2, 5, 8, 13])
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bits(when, tmp_path, uninterrupted):
    path = tmp_path / "state.npz"
    with pytest.raises(Stopped):
        run(0, path, [when])
    assert run(0 if when < 3 else 5, path, [-1]) == uninterrupted


def squared(y, t):
    return ((y - t) ** 2).sum()


def trained(batches, loss=squared, model=None, make=None, **options):
    mg.manual_seed(0)
    model = model or nn.Linear(2, 1)
    make = make or (lambda p: mg.optim.SGD(p, lr=0.1))
    optimizer = make(model.parameters())
    error = None
    try:
        mg.fit(model, batches, loss, optimizer, 1, metric=None, progress=False, jit=True, **options)
    except NonFiniteError as caught:
        error = caught
    return model, optimizer, error


NAN = (mg.tensor([[np.nan, 1.0]]), T)


@pytest.mark.parametrize(
    ("good", "after"), [(0, 2), pytest.param(1, 0, marks=pytest.mark.slow), (3, 2)]
)
def test_a_nan_loss_leaves_the_weights_and_the_state_of_the_update_before(good, after):
    """Though the next update was begun already: whichever it is, it changed nothing."""

    def make(p):
        return mg.optim.Adam(p, lr=0.1)

    model, optimizer, error = trained([(X, T)] * good + [NAN] + [(X, T)] * after, make=make)
    assert f"1 エポック目の {good + 1} 回目の更新で、損失が nan" in str(error)
    assert "tensor.linear" in str(error) and error.history.updates == good
    expected, state, none = nn_linear(), None, None
    if good:
        expected, state, none = trained([(X, T)] * good, make=make)
    assert none is None
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
        assert isinstance(p.detach().numpy(), np.ndarray) and not p.has_grad
    got = optimizer.state_dict()["state"]
    if state is None:
        assert got == {}
    else:
        for i, x in state.state_dict()["state"].items():
            assert got[i]["step"] == good
            np.testing.assert_array_equal(got[i]["exp_avg_sq"].data, x["exp_avg_sq"].data)


def nn_linear():
    mg.manual_seed(0)
    return nn.Linear(2, 1)


def test_an_infinite_gradient_of_a_finite_loss():
    def loss(y, t):
        return mg.sqrt((y - y.detach()) ** 2).sum()  # 0, with the gradient 0 · ∞

    model, _, error = trained([(X, T)], loss)
    assert "勾配が nan か inf" in str(error) and error.node.op.name in ("sqrt", "pow")
    np.testing.assert_array_equal(
        model.weight.detach().numpy(), nn_linear().weight.detach().numpy()
    )


@pytest.mark.slow
def test_the_random_numbers_of_the_failing_update_are_drawn_again():
    class Model(nn.Module):
        def __init__(self):
            self.drop, self.out = nn.Dropout(0.5), nn.Linear(2, 1)

        def forward(self, x):
            kept = self.drop(mg.ones(50) + 0 * self.out.bias)
            return mg.log(kept.sum() - 50).sum() + self.out(x).sum()  # nan: fewer than half

    mg.manual_seed(3)
    _, _, error = trained([(X, X)] * 30, lambda y, t: y, Model())
    assert error.node is not None and error.node.op.name == "log"


def test_a_planted_fault_is_noticed(monkeypatch):
    """Were the update not undone, the weights would be nan."""
    monkeypatch.setattr(compiled_update, "_chosen", lambda m, good, new, old: new)
    model, _, _ = trained([(X, T), NAN, (X, T)])
    assert np.isnan(model.weight.detach().numpy()).any()


def test_losses_are_read_one_update_late_and_gradients_never(monkeypatch):
    seen = []

    class Watched(CompiledUpdate):
        def __call__(self, window, first):
            super().__call__(window, first)
            seen.append(len(self.losses))

    monkeypatch.setattr(fitting, "CompiledUpdate", Watched)
    monkeypatch.setattr("micrograd_jp.training.update.gradients_are_finite", None)
    trained([(X, T)] * 4)
    assert seen == [0, 1, 2, 3]


def test_a_rest_batch_of_another_shape_is_compiled_once_more():
    traced = []

    def loss(y, t):
        traced.append(y)
        return squared(y, t)

    pair = (mg.ones(2, 2), mg.ones(2, 1))
    _, _, error = trained([pair] * 3 + [(X, T)] + [pair] * 3 + [(X, T)], loss)
    assert error is None
    assert len(traced) == 2, "and no more: once for each shape"


def test_a_teacher_inside_the_loss_is_held():
    teacher = nn.Linear(2, 1)

    def loss(model, x, t):
        return squared(model(x), teacher(x).detach())

    model, _, _ = trained([(X, T)] * 2, loss)
    before = model.weight.detach().numpy().copy()
    teacher.weight.data += 100
    model2, _, _ = trained([(X, T)] * 2, loss)
    assert not np.array_equal(before, model2.weight.data)
    assert isinstance(teacher.weight._data, np.ndarray)


def test_automatic_on_an_accelerator(monkeypatch):
    used = []

    class Noted(CompiledUpdate):
        def __init__(self, *args):
            used.append(1)
            super().__init__(*args)

    monkeypatch.setattr(fitting, "CompiledUpdate", Noted)
    model = nn.Linear(2, 1)
    optimizer = mg.optim.SGD(model.parameters())

    def once(jit=None):
        used.clear()
        mg.fit(model, [(X, T)], squared, optimizer, 1, metric=None, progress=False, jit=jit)
        return bool(used)

    assert (once(), once(True), once(False)) == (False, True, False)
    monkeypatch.setattr(fitting, "on_accelerator", lambda optimizer: True)
    assert (once(), once(False)) == (True, False)


@pytest.mark.slow
def test_early_stopping_and_callbacks_are_as_always():
    task = Task()
    history = task.fit(9, early_stopping=1, jit=True)
    assert history.stopped == "early"
    best = history.best()["metric"]
    assert mg.training.evaluate(task.model, task.development).metric == best

    def stop(history):
        raise StopIteration

    assert Task().fit(3, callbacks=[stop], jit=True).stopped == "callback"


@pytest.mark.parametrize(
    ("make", "loss", "error", "match"),
    [
        (lambda: nn.MLP(2, [1]), lambda y, t: y[0], TypeError, "Value のパラメータ"),
        (nn_linear, lambda y, t: y.sum() if y.sum() > 0 else -y.sum(), TypeError, "traced"),
        (nn_linear, lambda y, t: y.sum().item(), TypeError, "traced"),
        (nn_linear, lambda y, t: y - mg.ones(1, 3), ValueError, "要素が 1 つ"),
        (nn_linear, lambda y, t: 1.0, TypeError, "float が返りました"),
        (lambda: nn_linear().double(), squared, ValueError, "float64 のパラメータ"),
    ],
)  # fmt: skip
def test_what_cannot_be_compiled_is_said_and_nothing_changes(make, loss, error, match):
    mg.manual_seed(0)
    model = make()
    before = [np.copy(p.data) for p in model.parameters()]
    with pytest.raises(error, match=match) as caught:
        trained([(X, T)], loss, model)
    if match == "traced":
        assert "jit=False" in "".join(caught.value.__notes__)
    for p, x in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, x)
        assert not hasattr(p, "dtype") or isinstance(p._data, np.ndarray)


def test_jit_is_true_or_false():
    with pytest.raises(TypeError, match="jit は True か False"):
        mg.fit(nn_linear(), [(X, T)], squared, mg.optim.SGD(nn_linear().parameters()), 1, jit=1)


@pytest.mark.slow  # always: an overflow, below, and a scaler's step in tests/jax
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_is_the_same_as_without_it(precision):
    runs = [plain_task(0, precision=precision, jit=jit) for jit in (False, True)]
    (_, _, history), (_, _, found) = runs
    np.testing.assert_allclose(found.losses, history.losses, rtol=0.05)
    assert found.skipped == history.skipped
    assert all(isinstance(p.detach().numpy(), np.ndarray) for p in runs[1][0].parameters())


def test_an_overflow_is_skipped_and_counted():
    def loss(y, t):
        return squared(y, t) * 1e36

    model, _, error = trained([(X, T)] * 3, loss, precision="16-mixed")
    assert error is None
    plain = nn_linear()
    optimizer = mg.optim.SGD(plain.parameters(), lr=0.1)
    history = mg.fit(
        plain, [(X, T)] * 3, loss, optimizer, 1, metric=None, progress=False, precision="16-mixed"
    )
    assert history.skipped == 3
    np.testing.assert_array_equal(model.weight.detach().numpy(), plain.weight.detach().numpy())
