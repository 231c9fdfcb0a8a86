"""2 値の層: 丸めの規則と勾配の規則、更新の後のフック、重みを収めること。"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn

numbers = st.floats(-3, 3, width=16) | st.sampled_from([-1.0, 1.0, -0.0, 0.0, np.inf, -np.inf])
DTYPES = [np.float16, np.float32, np.float64]


def on(where, x):
    if where == "jax":
        jnp = pytest.importorskip("jax.numpy")
        x = jnp.asarray(x)
    return mg.tensor(x, requires_grad=True)


@given(
    arrays.arrays(np.float64, 6, elements=numbers),  # one shape: JAX compiles for each
    st.sampled_from(DTYPES), st.booleans(), st.sampled_from(["numpy", "jax"]),
)  # fmt: skip
def test_binarize_follows_its_stated_rule(x, dtype, stochastic, where):
    if where == "jax" and dtype == np.float64:
        dtype = np.float32
    x = x.astype(dtype)
    t = on(where, x)
    y = F.binarize(t, stochastic)
    assert y.dtype == dtype
    values = np.asarray(y.data)
    if stochastic:
        assert set(values.tolist()) <= {1.0, -1.0}
        assert (values[x >= 1] == 1).all()  # σ(x) is 1, and 0
        assert (values[x <= -1] == -1).all()
    else:
        np.testing.assert_array_equal(values, np.where(x >= 0, 1, -1))
    upstream = np.arange(1, len(x) + 1).astype(dtype)
    y.backward(upstream)
    # The straight-through estimator of the paper: g·1(|x| ≤ 1), and exactly 0 outside.
    np.testing.assert_array_equal(t.grad.data, np.where(np.abs(x) <= 1, upstream, 0))


def test_the_stochastic_sign_is_up_with_the_probability_of_the_hard_sigmoid():
    mg.manual_seed(0)
    n = 40_000
    for x in (-1.0, -0.6, 0.0, 0.3, 0.9, 1.0):
        p = max(0, min(1, (x + 1) / 2))
        mean = F.binarize(mg.full((n,), x), stochastic=True).mean().item()
        assert abs(mean - (2 * p - 1)) <= 5 * np.sqrt(4 * p * (1 - p) / n), x


def test_nan_stays_nan_and_the_second_derivative_adds_nothing():
    x = mg.tensor([np.nan, 0.5], requires_grad=True)
    assert np.isnan(F.binarize(x).data[0])
    x = mg.tensor([0.5, -0.25], requires_grad=True)
    (F.binarize(x) * x).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    np.testing.assert_array_equal(first.data, [1 + 0.5, -1 - 0.25])  # sign + x·1
    first.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 2])  # 1 + 1 + x·0


def test_only_in_training_does_a_layer_draw():
    layer = nn.Binarize(stochastic=True)
    x = mg.zeros(1000)
    assert 0 < (layer(x).data > 0).mean() < 1
    layer.eval()
    assert (layer(x).data == 1).all()
    assert (nn.Binarize()(x).data == 1).all()


def test_random_signs_inside_jax_jit_are_refused():
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match=r"mg\.jit"):
        jax.jit(lambda x: F.binarize(mg.tensor(x), stochastic=True))(np.zeros(3, np.float32))


@pytest.mark.parametrize("bias", [False, True])
def test_layers_are_those_of_real_numbers_with_the_signs_of_the_weights(bias):
    rng = np.random.default_rng(0)
    linear, conv = nn.BinaryLinear(5, 3, bias), nn.BinaryConv2d(2, 3, 3, padding=1, bias=bias)
    assert (abs(linear.weight.data) <= 1).all()
    for layer, x, f in [
        (linear, rng.normal(size=(4, 5)), F.linear),
        (conv, rng.normal(size=(2, 2, 4, 4)), lambda x, w, b: F.conv2d(x, w, b, padding=1)),
    ]:
        layer.double()
        t = mg.tensor(x, requires_grad=True)
        y = layer(t)
        signs = mg.tensor(np.where(layer.weight.data >= 0, 1.0, -1.0), requires_grad=True)
        s = mg.tensor(x, requires_grad=True)
        z = f(s, signs, layer.bias)
        np.testing.assert_array_equal(y.data, z.data)
        g = rng.normal(size=y.shape)
        y.backward(g)
        z.backward(g)
        np.testing.assert_allclose(t.grad.data, s.grad.data)
        np.testing.assert_allclose(layer.weight.grad.data, signs.grad.data)


def small():
    return nn.Sequential(
        nn.BinaryLinear(6, 4), nn.BatchNorm1d(4), nn.Binarize(), nn.BinaryLinear(4, 2),
        nn.Linear(2, 2),
    )  # fmt: skip


@pytest.mark.parametrize("jit", [False, True])
def test_a_hook_after_every_step_clips_the_latent_weights_and_nothing_else(jit):
    if jit:
        pytest.importorskip("jax")
    model = small()
    optimizer = mg.optim.SGD(model.parameters(), lr=50.0)
    handle = optimizer.register_step_post_hook(lambda *_: nn.utils.clip_weights_(model))
    data = [(mg.randn(8, 6), mg.tensor([0, 1] * 4))]
    options = {"jit": jit, "progress": False}
    mg.fit(model, data, mg.cross_entropy, optimizer, 1, **options)
    for i in (0, 3):
        assert abs(np.asarray(model[i].weight.data)).max() <= 1
    assert abs(np.asarray(model[4].weight.data)).max() > 1
    handle.remove()
    handle.remove()
    mg.fit(model, data, mg.cross_entropy, optimizer, 1, **options)
    assert abs(np.asarray(model[3].weight.data)).max() > 1  # the control


def test_clip_weights_says_what_it_needs():
    with pytest.raises(ValueError, match="BinaryLinear"):
        nn.utils.clip_weights_(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="Module"):
        nn.utils.clip_weights_([nn.Parameter([1.0])])
    with pytest.raises(ValueError, match="bound"):
        nn.utils.clip_weights_(small(), -1)


def test_summary_counts_bits():
    found = small().summary((1, 6))
    assert found.binary == 6 * 4 + 4 * 2
    assert "32（詰めると 4 バイト (bytes)）" in str(found)
    assert "1 ビット" not in str(nn.Linear(2, 2).summary((1, 2)))
