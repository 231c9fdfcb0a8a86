"""入力の大きさを書かない層: 呼べばふつうの層になり、それまではパラメータを尋ねられない。"""

import copy

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.nn.layers import lazy

SHAPES = {1: (2, 3, 6), 2: (2, 3, 6, 6), 3: (2, 3, 4, 4, 4)}


def rest(name):
    return (4,) if name == "LazyLinear" else (4, 2) if "Conv" in name else ()


@pytest.mark.parametrize("name", lazy.__all__)
def test_a_called_layer_is_the_layer_of_that_size(name):
    x = mg.randn(*SHAPES[int(name[-2]) if name[-2].isdigit() else 2])
    size = x.shape[-1] if name == "LazyLinear" else 3
    usual = getattr(nn, name.removeprefix("Lazy"))
    mg.manual_seed(0)
    ours = getattr(nn, name)(*rest(name))
    y = ours.eval()(x)
    mg.manual_seed(0)
    same = {"affine": True, "track_running_stats": True} if "Instance" in name else {}
    wanted = usual(size, *rest(name), **same).eval()
    assert type(ours) is usual and repr(ours) == repr(wanted) and not ours.training
    np.testing.assert_array_equal(y.data, wanted(x).data)
    assert ours.state_dict().keys() == wanted.state_dict().keys()


def test_a_network_is_written_without_sizes():
    net = nn.Sequential(nn.LazyConv2d(4, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(),
                        nn.Flatten(), nn.LazyLinear(5), nn.Tanh(), nn.LazyLinear(2))  # fmt: skip
    assert "LazyLinear(out_features=5)" in repr(net)
    for ask in (net.parameters, lambda: dict(net.named_parameters()), net.state_dict,
                lambda: mg.optim.SGD(net.parameters(), lr=0.1)):  # fmt: skip
        with pytest.raises(RuntimeError, match=r"model\(x\)"):
            ask()
    other = copy.deepcopy(net)
    x = mg.randn(6, 1, 4, 4)
    assert net(x).shape == (6, 2) and type(other[0]) is nn.LazyConv2d
    assert [type(m) for m in net] == [
        nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Flatten, nn.Linear, nn.Tanh, nn.Linear,
    ]  # fmt: skip
    optimizer = mg.optim.SGD(net.parameters(), lr=0.1)
    before = mg.mse_loss(net(x), mg.zeros(6, 2))
    before.backward()
    optimizer.step()
    assert mg.mse_loss(net(x), mg.zeros(6, 2)).item() < before.item()


def test_what_cannot_be_is_refused_and_the_layer_stays():
    with pytest.raises(TypeError, match=r"LazyLinear\(out_features, bias, dtype\)"):
        nn.LazyLinear()
    layer = nn.LazyConv2d(3, 2, groups=2)
    with pytest.raises(ValueError, match="too few dimensions"):
        layer(mg.ones(2))
    with pytest.raises(ValueError, match="groups"):
        layer(mg.ones(1, 4, 3, 3))
    assert type(layer) is nn.LazyConv2d


def test_in_jit_the_size_must_be_known():
    pytest.importorskip("jax", reason="needs JAX (extra accel)")
    layer = nn.LazyLinear(2)
    with pytest.raises(RuntimeError, match="uninitialized parameters"):
        mg.jit(lambda x: layer(x))(mg.ones(3))
    assert layer(mg.ones(3)).shape == (2,)
