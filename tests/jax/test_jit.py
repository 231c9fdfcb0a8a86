"""`mg.jit`: 学習の 1 歩をそのまま渡す。NumPy で 1 つずつ計算したのと同じに、モデルが変わる。"""

import numpy as np
import pytest

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn, optim

OPTIMIZERS = [
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),  # the first step is special
    lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.1),
]


def network():
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip


def batches(n):
    rng = np.random.default_rng(1)
    return [
        (mg.tensor(rng.random((8, 1, 6, 6), np.float32)), mg.tensor(rng.integers(0, 3, 8)))
        for _ in range(n)
    ]


def step_of(model, optimizer, seen=None):
    def step(x, t):
        if seen is not None:
            seen.append(x)
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step


def small_network():
    mg.manual_seed(0)
    hidden = nn.Linear(36, 4, bias=False)  # before BatchNorm its gradient is rounding alone
    return nn.Sequential(nn.Flatten(), hidden, nn.BatchNorm1d(4), nn.Linear(4, 3))


def prepared(make=OPTIMIZERS[1], seen=None, network=small_network):
    model = network()
    optimizer = make(model.parameters())
    return model, optimizer, step_of(model, optimizer, seen)


def assert_same(one, other, rtol=2e-3, atol=1e-4):
    assert one.keys() == other.keys()
    for name, x in one.items():
        np.testing.assert_allclose(x._data, other[name]._data, rtol, atol, err_msg=name)


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_the_same_steps_as_without_it(make):
    of = network if make is OPTIMIZERS[0] else small_network
    model, optimizer, step = prepared(make, network=of)
    there, optimizer_there, plain = prepared(make, network=of)
    fast = mg.jit(plain, there, optimizer_there)
    for x, t in batches(5):
        np.testing.assert_allclose(fast(x, t)._data, step(x, t)._data, rtol=2e-3)
    assert_same(model.state_dict(), there.state_dict())
    ours, theirs = optimizer.state_dict()["state"], optimizer_there.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    for i in ours:
        assert ours[i].pop("step", 5) == theirs[i].pop("step", 5) == 5
        assert_same(ours[i], theirs[i])
    assert all(p.grad is None for p in there.parameters())


def test_compiled_again_only_when_something_fixed_changes():
    seen = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.Dropout())
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    fast = mg.jit(step_of(model, optimizer, seen), model, optimizer)
    for x, t in batches(5):
        fast(x, t)
    assert len(seen) == 2, "before and after the optimizer has its state"
    for change in (
        model.eval,
        model[2].train,
        lambda: optimizer.param_groups[0].update(nesterov=True),
    ):
        before = len(seen)
        change()
        fast(x, t)
        fast(x, t)
        assert len(seen) == before + 1
    fast(x[:4], t[:4])
    assert len(seen) == 6


def test_the_learning_rate_may_change():
    seen = []
    model, optimizer, step = prepared(lambda p: optim.SGD(p, lr=0.1), seen)
    fast = mg.jit(step, model, optimizer)
    ((x, t),) = batches(1)
    fast(x, t)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.0)
    scheduler.step()
    before = model.state_dict()
    fast(x, t)
    assert len(seen) == 1
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p._data, before[name]._data)
    assert optimizer.param_groups[0]["lr"] == 0


def test_random_numbers_are_new_in_every_call_and_follow_the_seed():
    layer = nn.Dropout(0.3)
    fast = mg.jit(lambda x: (layer(x), mg.randn(3), mg.randint(0, 9, (2,)), mg.randperm(5)), layer)
    x = mg.ones(100, 100)

    def twice():
        mg.manual_seed(3)
        return [[y.numpy() for y in fast(x)] for _ in range(2)]

    first, second = twice()
    for a, b in zip(first, second, strict=True):
        assert a.shape == b.shape and not np.array_equal(a, b)
    assert (first[0] == 0).mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(first[0][first[0] != 0], 1 / 0.7, rtol=1e-6)
    assert sorted(first[3].tolist()) == [0, 1, 2, 3, 4]
    for a, b in zip([*first, *second], [y for ys in twice() for y in ys], strict=True):
        np.testing.assert_array_equal(a, b)
    layer.eval()
    np.testing.assert_array_equal(fast(x)[0].numpy(), x.numpy())


def test_arguments_that_are_no_arrays_are_fixed():
    scale = nn.Linear(2, 2)
    scale.load_state_dict({"weight": mg.tensor([[1.0, 2], [3, 4]]), "bias": mg.tensor([5.0, 6])})
    fast = mg.jit(
        lambda x, twice, options: {"y": scale(x) if twice else x * options["by"], "none": None},
        scale,
    )
    x = mg.ones(1, 2)
    assert fast(x, False, {"by": 3})["y"].tolist() == [[3, 3]]
    assert fast(x, False, options={"by": 4})["y"].tolist() == [[4, 4]]
    assert fast(x, True, {"by": 3})["y"].tolist() == scale(x).tolist() == [[8, 13]]
    assert fast(x, False, {"by": 3})["none"] is None


def test_another_model_goes_on_from_there_without_it():
    model, optimizer, step = prepared()
    data = batches(4)
    fast = mg.jit(step, model, optimizer)
    for x, t in data[:2]:
        fast(x, t)
    other, taken, again = prepared()
    other.load_state_dict(model.state_dict())
    taken.load_state_dict(optimizer.state_dict())
    for x, t in data[2:]:
        fast(x, t)
        again(x, t)
    assert isinstance(other[1].weight._data, np.ndarray)
    assert_same(model.state_dict(), other.state_dict())


def test_an_error_leaves_everything_as_it_was():
    model, optimizer, step = prepared()
    before = model.state_dict()

    def broken(x, t):
        step(x, t)
        raise ValueError("途中")

    x, t = batches(1)[0]
    with pytest.raises(ValueError, match="途中"):
        mg.jit(broken, model, optimizer)(x, t)
    assert all(isinstance(p._data, np.ndarray) and p.grad is None for p in model.parameters())
    assert_same(model.state_dict(), before, 0, 0)
    assert optimizer.state_dict()["state"] == {}
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_what_it_cannot_hold():
    with pytest.raises(TypeError, match="expected modules"):
        mg.jit(lambda x: x, [nn.Linear(1, 1)])
    with pytest.raises(TypeError, match="must be tensors"):
        mg.jit(lambda x: x, nn.Neuron(2))(mg.ones(2))


def test_values_are_missing_inside():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="traced array has no value"):
        mg.jit(lambda x: layer(x).sum().item(), layer)(mg.ones(1, 2))
    v = mg.Value(2.0)
    with pytest.raises(TypeError, match="traced array has no value"):
        mg.jit(lambda x: (v * x).sum().backward())(mg.ones(2))
    with pytest.raises(TypeError, match=r"mg\.jit"):
        jax.jit(lambda x: F.dropout(mg.tensor(x)))(np.ones(3, np.float32))


# ---- 状態を持つものと、変わる Python の値 --------------------------------------------------------


class Scale:
    """State in, state out: a factor that doubles at every call."""

    def __init__(self):
        self.factor, self.by = np.float32(1), 2.0

    def grow(self):
        self.factor = self.factor * self.by

    def state_arrays(self):
        return {"factor": self.factor}

    def set_state_arrays(self, state):
        self.factor = state["factor"]


def test_anything_with_state_is_held():
    scale, w = Scale(), mg.tensor([1.0, 2.0])

    def step(x):
        scale.grow()
        w.add_(x)
        return w * scale.factor

    fast = mg.jit(step, scale, w)
    assert fast(mg.ones(2)).tolist() == [4, 6]
    assert fast(mg.ones(2)).tolist() == [12, 16]
    assert scale.factor == 4 and w.tolist() == [3, 4]
    scale.by = 3.0  # an attribute that is no state: compiled again
    assert fast(mg.zeros(2)).tolist() == [36, 48]
    with pytest.raises(TypeError, match=r"scale \(Scale\) も使います"):
        mg.jit(step, w)(mg.ones(2))


class Noisy(nn.Module):
    def __init__(self):
        self.rate, self.shape, self.table = 2.0, [1, 2], np.ones(3, np.float32)
        self.inner = nn.Linear(3, 3)
        self.mask = mg.ones(3)  # neither a parameter nor a buffer
        self.hidden = mg.zeros(3)
        self.options = type("Options", (), {})()
        self.options.power = 1.0

    def forward(self, x):
        self.hidden = (self.hidden + x).detach()  # carried on to the next call
        return x * self.rate * self.mask * mg.tensor(self.table) * sum(self.shape) + self.hidden


def _new_inner(model):
    model.inner.weight.requires_grad = False


CHANGES = {
    "a number": lambda m: setattr(m, "rate", 3.0),
    "a sign of zero": lambda m: setattr(m, "rate", -0.0),
    "a list": lambda m: m.shape.append(3),
    "an array": lambda m: m.table.__setitem__(0, 5),
    "a Tensor": lambda m: setattr(m, "mask", mg.tensor([0.0, 1.0, 2.0])),
    "a Tensor's numbers": lambda m: m.mask.mul_(2),
    "a frozen weight": _new_inner,
    "a hook": lambda m: m.register_forward_hook(lambda module, args, y: y + 1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_attribute_is_never_frozen(what):
    model, plain = Noisy(), Noisy()
    fast = mg.jit(lambda x: model(x), model)
    x = mg.tensor([1.0, 2.0, 3.0])
    for _ in range(2):
        assert fast(x).tolist() == plain(x).tolist()
    CHANGES[what](model)
    CHANGES[what](plain)
    for _ in range(2):
        assert fast(x).tolist() == plain(x).tolist()


def test_what_the_function_reads_from_outside_is_never_frozen():
    factor, table, constant = 2.0, np.ones(2, np.float32), mg.ones(2)
    options = type("Options", (), {})()
    options.power, options.log = 1.0, []

    def helper(x):
        return x**options.power

    def step(x, plus=ONES):
        return helper(x) * factor * mg.tensor(table) * constant + plus * LEVEL["a"]

    fast, x = mg.jit(step), mg.tensor([1.0, 2.0])

    def check():
        assert fast(x).tolist() == step(x).tolist()

    check()
    factor = 3.0
    check()
    table[1] = 7
    check()
    options.power = 2.0
    check()
    constant.mul_(3)
    check()
    LEVEL["a"] = 5.0
    check()


ONES, LEVEL = mg.ones(2), {"a": 1.0}


def test_what_grows_outside_compiles_nothing_again():
    class Trainer:
        def __init__(self):
            self.model, self.losses = nn.Linear(2, 1), []

        def step(self, x):
            traces.append(x)
            return self.model(x).sum()

    traces, trainer = [], Trainer()
    fast = mg.jit(trainer.step, trainer.model)
    for _ in range(4):
        trainer.losses.append(fast(mg.ones(1, 2)).item())
    assert len(traces) == 1


def test_a_model_that_is_used_but_not_held_is_refused():
    model, teacher = nn.Linear(2, 2), nn.Linear(2, 2)
    loss = nn.MSELoss()  # without state: need not be held
    step = mg.jit(lambda x: loss(model(x), teacher(x)), model)
    with pytest.raises(TypeError, match=r"teacher \(Linear\) も使います"):
        step(mg.ones(1, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"optimizer \(SGD\)"):
        mg.jit(lambda: optimizer.step(), model)()
    mg.jit(lambda x: loss(model(x), teacher(x)), model, teacher)(mg.ones(1, 2))


def test_an_attribute_assigned_inside_is_refused_and_put_back():
    class Counting(nn.Module):
        def __init__(self):
            self.w, self.calls = nn.Parameter([1.0]), 0

        def forward(self, x):
            self.calls += 1
            return self.w * x

    model = Counting()
    with pytest.raises(TypeError, match=r"Counting\.calls が変わりました"):
        mg.jit(lambda x: model(x), model)(mg.ones(1))
    assert model.calls == 0 and isinstance(model.w._data, np.ndarray)


def test_what_changes_in_every_call_is_told():
    scale = Scale()

    def step(x):
        scale.grow()
        return x * scale.by

    fast = mg.jit(step, scale)
    with pytest.warns(UserWarning, match=r"Scale\.by が、呼ぶたびに変わる"):
        for i in range(17):
            scale.by = float(i)
            fast(mg.ones(1))
