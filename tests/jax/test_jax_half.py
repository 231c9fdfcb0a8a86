"""混合精度を `mg.jit` の中で: モードが変われば別のプログラム、`GradScaler` は値を見ずにとばす。"""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn, optim

jax = pytest.importorskip("jax", reason="jax がありません")
X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def test_a_jitted_function_is_compiled_anew_for_another_mode():
    model = nn.Linear(6, 2)
    x = mg.tensor(jax.numpy.asarray(X))
    fast = mg.jit(lambda x: model(x), model)
    assert fast(x).dtype == mg.float32
    with mg.autocast(mg.float16):
        assert fast(x).dtype == mg.float16
    assert fast(x).dtype == mg.float32
    within = mg.jit(mg.autocast(mg.bfloat16)(lambda x: model(x)), model)
    assert within(x).dtype == mg.bfloat16


class Product(nn.Module):
    """Its gradient is the input."""

    def __init__(self, w):
        self.w = nn.Parameter(w)

    def forward(self, x):
        return (self.w * x).sum()


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.5),
}
STEPS = "ff.f..ff"  # an overflow is f


def trained(make, jitted):
    """Weights, the scaler, and the number of steps after updates of which some overflow."""
    model = Product(np.ones((2, 3), np.float32))
    optimizer, scaler = make(model.parameters()), mg.amp.GradScaler(growth_interval=2)

    def step(x):
        optimizer.zero_grad()
        with mg.autocast(mg.float16):
            loss = model(x)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    run = mg.jit(step, model, optimizer, scaler) if jitted else step
    for i, kind in enumerate(STEPS):
        x = np.random.default_rng(i).standard_normal((2, 3)).astype(np.float32)
        x[0, 0] = np.inf if kind == "f" else x[0, 0]
        run(mg.tensor(x))
    counts = [int(np.asarray(step)) for step, _ in optimizer.state_arrays()]
    return np.asarray(model.w._data), scaler.state_dict(), counts


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_scaler_in_a_jitted_step_skips_as_it_does_outside(name):
    (w, state, steps), (wanted, state0, steps0) = (
        trained(OPTIMIZERS[name], jitted) for jitted in (True, False)
    )
    assert state == state0 and steps == steps0 == [STEPS.count(".")]
    np.testing.assert_allclose(w, wanted, rtol=1e-4, atol=1e-5)


def test_the_first_damped_step_cannot_be_skipped_in_jit():
    with pytest.raises(TypeError, match=r"first damped step"):
        trained(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5), True)


@pytest.mark.parametrize("jit", [False, True])
def test_a_hook_after_a_skipped_step_sees_the_weights_that_stay(jit):
    w = mg.ones(2, requires_grad=True)
    optimizer, scaler = optim.SGD([w], lr=0.1), mg.amp.GradScaler()
    average = [w.detach().clone()]
    optimizer.register_step_post_hook(
        lambda *_: average.__setitem__(0, average[0] * 0.5 + w.detach() * 0.5)
    )

    def step(x):
        optimizer.zero_grad()
        scaler.scale((w * x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        return average[0]

    run = mg.jit(step, optimizer, scaler, average[0]) if jit else step
    found = run(mg.tensor([np.inf, 1.0]))
    assert w.tolist() == found.tolist() == [1.0, 1.0]
