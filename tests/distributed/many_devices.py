"""8 つの装置で動かすプログラム（XLA_FLAGS が要るので、別のプロセスで）。"""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.training.compiled_update import on_accelerator

MESHES = {
    "auto": lambda: Mesh(np.array(jax.devices()), ("data",)),
    "explicit": lambda: jax.make_mesh((8,), ("data",)),
    "explicit 2-d": lambda: jax.make_mesh((4, 2), ("data", "model")),
}
x = np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
t = (x[:, 0] > 0).astype(np.int64)


def parts():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    return model, mg.optim.SGD(model.parameters(), lr=0.1)


def trained(given, answers, jit, steps=6):
    model, optimizer = parts()

    def step(x, t):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    run = mg.jit(step, model, optimizer) if jit else step
    for _ in range(steps):
        loss = run(given, answers)
    return [np.asarray(loss.data), *(np.asarray(p.data) for p in model.parameters())]


def agree(mine, wanted):
    for a, b in zip(mine, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def refused(kind, sentence, f):
    try:
        f()
    except kind as error:
        assert sentence in str(error), error
    else:
        raise AssertionError(sentence)


assert len(jax.devices()) == 8
wanted = trained(mg.tensor(x), mg.tensor(t), jit=False)
for mesh in [make() for make in MESHES.values()]:
    shards = NamedSharding(mesh, P("data"))
    put = [jax.device_put(a, shards) for a in (x, t)]
    for jit in (True, False):  # outside, each operation is compiled
        agree(trained(*map(mg.Tensor, put), jit=jit), wanted)
    agree(trained(*put, jit=True), wanted)  # as they are
    model, optimizer = parts()
    for p in model.parameters():
        p.data = jax.device_put(p.data.jax(), NamedSharding(mesh, P()))
    assert on_accelerator(optimizer) and not on_accelerator(parts()[1])
    data = [tuple(map(mg.Tensor, put))] * 3
    options = {"development": data[:1], "progress": False}
    history = mg.fit(model, data, mg.cross_entropy, optimizer, 2, **options)
    agree([p.detach().numpy() for p in model.parameters()], wanted[1:])
    assert repr(model) and repr(data[0][0]) and data[0][0].numpy().shape == (64, 6)

explicit, auto = MESHES["explicit"](), NamedSharding(MESHES["auto"](), P("data"))
with jax.set_mesh(explicit):
    given = jax.device_put(x, NamedSharding(explicit, P("data")))
    refused(TypeError, "explicit mesh axes", lambda: mg.Tensor(given))
one, two = (mg.Tensor(jax.device_put(x, jax.devices()[k])) for k in (1, 2))
layer = nn.Linear(6, 2)
for p in layer.parameters():
    p.data = jax.device_put(p.data.jax(), jax.devices()[1])
everywhere = mg.Tensor(jax.device_put(x, auto))
refused(ValueError, "incompatible devices", lambda: one + two)
refused(ValueError, "incompatible devices", lambda: layer(everywhere))
refused(ValueError, "incompatible devices", lambda: mg.jit(layer.forward, layer)(everywhere))
print("all right")
