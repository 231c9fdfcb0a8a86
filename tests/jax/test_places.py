"""場所の名前: NumPy と JAX の間を名前で行き来でき、`device` は配列のある場所をそのまま言う。"""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax

import micrograd_jp as mg
from micrograd_jp import nn


def test_there_and_back_by_name():
    x = mg.tensor([1.0, 2.0])
    there = x.to("jax")
    assert isinstance(there._data, jax.Array) and there.device == mg.device("jax", 0)
    x.fill_(5)
    assert there.tolist() == [1, 2], "in memory of its own"
    for name in ("cpu", "numpy", mg.device("cpu"), x):
        back = there.to(name)
        assert isinstance(back._data, np.ndarray) and back.device == mg.device("cpu")
        back.add_(1)  # writable, and not JAX's memory
        assert there.tolist() == [1, 2]
    assert there.to("jax") is there and there.to("jax:0") is there and there.to(there) is there
    assert x.cpu() is x and isinstance(there.cpu()._data, np.ndarray)
    assert isinstance(x.to(there)._data, jax.Array)
    assert isinstance(mg.zeros(2, device="jax")._data, jax.Array)
    assert isinstance(x.to(jax.devices("cpu")[0], mg.float16)._data, jax.Array)


def test_a_model_there_and_back():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    before = model.state_dict()
    model.to("jax")
    assert all(t.device.type == "jax" for t in (*model.parameters(), *model.buffers()))
    model(mg.randn(4, 2)).sum().backward()
    model.cpu()
    for name, t in model.state_dict().items():
        if "running" not in name and "num" not in name:
            np.testing.assert_array_equal(t._data, before[name]._data)
        assert t.device.type == "cpu"
    assert isinstance(model[0].weight.grad._data, np.ndarray)
    optimizer.step()
    assert isinstance(model[0].weight._data, np.ndarray)


def test_what_is_lost_on_the_way_is_told():
    with pytest.warns(UserWarning, match="jax_enable_x64"):
        assert mg.ones(2, dtype=mg.float64).to("jax").dtype == mg.float32


def test_inside_jit_the_cpu_is_where_one_is():
    def twice(x):
        return x.to("cpu") * 2

    assert mg.jit(twice)(mg.ones(2)).tolist() == [2, 2]


@pytest.mark.parametrize("name", ["jax:77", "cpu:1", "numpy:3"])
def test_a_place_that_nobody_has(name):
    with pytest.raises(RuntimeError, match="no such device"):
        mg.ones(1).to(name)


@pytest.mark.slow
def test_a_divided_array_on_eight_devices():
    program = """
import jax, numpy as np, micrograd_jp as mg
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(jax.devices()), ("data",))
divided, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
x = mg.ones(16, 2).to(divided)
assert (x.device.type, x.device.index, x.device.sharding) == ("jax", None, divided)
assert str(x.device) == "jax×8" and "NamedSharding" in repr(x.device)
assert x.to(divided) is x and x.to(x.device) is x
y = mg.zeros(8, 2).to(x)
assert y.device == x.device != mg.ones(2).to("jax").device
assert x.to("jax:3").device == mg.device("jax", 3) == mg.device(jax.devices()[3])
assert isinstance(x.to("cpu")._data, np.ndarray)
model = mg.nn.Linear(2, 1).to(everywhere)
assert model.weight.device.sharding == everywhere
optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
mg.fit(model, [(x, mg.ones(16, 1).to(divided))], mg.mse_loss, optimizer, 2, metric=None,
       progress=False)
assert model.weight.device.sharding.device_set == set(jax.devices())
print("ok")
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    found = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **flags}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert found.stdout.strip() == "ok", found.stderr


def test_the_array_of_jax():
    x = jax.numpy.arange(3.0)
    assert mg.tensor(x).jax() is x
    copied = mg.tensor([1.0, 2.0]).jax()
    assert isinstance(copied, jax.Array) and copied.tolist() == [1.0, 2.0]
    assert jax.jit(lambda x: (mg.tensor(x) * 2).jax())(x).tolist() == [0.0, 2.0, 4.0]
    with pytest.raises(RuntimeError, match=r"t\.detach\(\)\.jax\(\)"):
        mg.tensor(x, requires_grad=True).jax()
