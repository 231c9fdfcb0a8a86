"""活性化関数: 値と傾きが、折れ点でも PyTorch と等しい。`inplace`、`Value`、乱数を使うもの。"""

import inspect

import numpy as np
import pytest
from hypothesis import strategies as st
from loss_oracle import close

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from micrograd_jp.testing import gradcheck
from tests.reference import like_pytorch, pytorch_answers, torch

SOME = st.sampled_from([0.5, 1.0, 2.0])
# Halves from −4 to 4: every kink is met.
FUNCTIONS = {
    "relu": {}, "relu6": {}, "elu": {"alpha": SOME}, "selu": {}, "celu": {"alpha": SOME},
    "leaky_relu": {"negative_slope": SOME}, "rrelu": {"lower": st.just(0.25)},
    "gelu": {"approximate": st.sampled_from(["none", "tanh"])}, "silu": {}, "mish": {},
    "hardswish": {}, "hardsigmoid": {}, "hardtanh": {"min_val": st.just(-0.5), "max_val": SOME},
    "threshold": {"threshold": SOME, "value": SOME}, "hardshrink": {"lambd": SOME},
    "softshrink": {"lambd": SOME}, "tanhshrink": {}, "softsign": {}, "logsigmoid": {},
    "softplus": {"beta": SOME, "threshold": st.sampled_from([1.0, 2.0])}, "sigmoid": {}, "tanh": {},
}  # fmt: skip
WITH_INPLACE = [
    "relu", "relu6", "elu", "selu", "celu", "leaky_relu", "rrelu", "silu", "mish", "hardswish",
    "hardsigmoid", "hardtanh", "threshold",
]  # fmt: skip
WRITING = ["relu_", "elu_", "selu_", "celu_", "leaky_relu_", "rrelu_", "hardtanh_", "threshold_"]
NEEDED = {"threshold": (0.5, 2.0)}
GRID = np.concatenate([np.arange(-8, 9) / 2, [3.0, -3.0, 6.0, 7.0, 40.0, -40.0]])


@pytest.mark.parametrize("name", FUNCTIONS)
@like_pytorch(
    lambda name: st.fixed_dictionaries(FUNCTIONS[name]), st.integers(0, 99), max_examples=6, kept=4
)
def test_values_and_slopes_are_pytorchs(name, options, seed):
    x = np.concatenate([GRID, np.random.default_rng(seed).normal(size=5)])
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = getattr(F, name)(a, **options), getattr(torch.nn.functional, name)(b, **options)
    close(y.data, z.detach())
    (y * mg.tensor(np.arange(1.0, len(x) + 1))).sum().backward()
    (z * torch.tensor(np.arange(1.0, len(x) + 1))).sum().backward()
    # PyTorch's slope of hardsigmoid is 1/6 as a float32.
    rtol = 1e-7 if name == "hardsigmoid" else 1e-9
    np.testing.assert_allclose(a.grad.data, np.asarray(b.grad), rtol=rtol, atol=1e-11)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays_and_values_agree(name):
    args = NEEDED.get(name, ())
    assert np.isnan(getattr(F, name)(mg.tensor([np.nan]), *args).data).all()
    for x in (-1.3, 0.2, 1.7):
        v, t = mg.Value(x), mg.tensor(np.array(x), requires_grad=True)
        y, z = getattr(F, name)(v, *args), getattr(F, name)(t, *args)
        y.backward()
        z.backward()
        close([y.data, v.grad], [z.data, t.grad.data])


@pytest.mark.parametrize("name", ["gelu", "celu", "softsign", "tanhshrink", "softplus"])
def test_second_derivatives(name):
    options = {"gelu": {"approximate": "tanh"}, "softplus": {"beta": 2.0}}.get(name, {})
    x = np.array([[0.5, -1.0, 2.0]])
    assert gradcheck(lambda x: getattr(F, name)(x, **options), [x], order=2, rtol=1e-4)


@pytest.mark.parametrize("dtype", [mg.float16, mg.float32])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_dtype_stays(name, dtype):
    x = mg.tensor([-1.0, 0.5], dtype=dtype)
    assert getattr(F, name)(x, *NEEDED.get(name, ())).dtype == dtype


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inside_jit(name):
    jnp = pytest.importorskip("jax.numpy", reason="jax がありません")
    x = np.array([-1.5, 0.25, 2.0], "f4")
    args = NEEDED.get(name, ())
    found = mg.jit(lambda t: getattr(F, name)(t, *args))(mg.Tensor(jnp.asarray(x)))
    np.testing.assert_allclose(found.data, getattr(F, name)(mg.tensor(x), *args).data, rtol=1e-5)


@pytest.mark.parametrize("name", [*WITH_INPLACE, *WRITING])
def test_what_is_written_is_what_is_computed(name):
    args = NEEDED.get(name.rstrip("_"), ())
    options = {} if name.endswith("_") else {"inplace": True}
    x = mg.tensor([-1.5, 0.25, 4.0], requires_grad=True)
    plain = getattr(F, name.rstrip("_"))(x * 2, *args)
    y = x * 2
    assert getattr(F, name)(y, *args, **options) is y
    close(y.data, plain.data)
    y.sum().backward()
    z = mg.tensor([-1.5, 0.25, 4.0], requires_grad=True)
    getattr(F, name.rstrip("_"))(z * 2, *args).sum().backward()
    close(x.grad.data, z.grad.data)
    with pytest.raises(RuntimeError, match="in-place on a leaf"):
        getattr(F, name)(z, *args, **options)


@like_pytorch(st.integers(0, 99), st.sampled_from([(4,), (2, 3), (2, 3, 2)]), max_examples=10)
def test_slopes_that_are_learned_and_gates_are_pytorchs(seed, shape):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, shape) / 2
    for n in (1, *shape[1:2]):
        w = rng.uniform(0.1, 0.5, n)
        a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        ours, theirs = nn.PReLU(n, dtype=mg.float64), torch.nn.PReLU(n).double()
        assert repr(ours) == repr(theirs)
        ours.load_state_dict({"weight": w})
        theirs.load_state_dict({"weight": torch.tensor(w)})
        y, z = ours(a), theirs(b)
        close(y.data, z.detach())
        y.sum().backward()
        z.sum().backward()
        close(a.grad.data, b.grad)
        close(ours.weight.grad.data, theirs.weight.grad)
    wide = np.concatenate([x, x * 0.3], axis=0)
    for dim in (0, -len(shape)):
        y, z = F.glu(mg.tensor(wide), dim), torch.nn.functional.glu(torch.tensor(wide), dim)
        close(y.data, z)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 3, 2), (2, 3, 2, 2)])
@pytest.mark.filterwarnings("ignore:.*[Ii]mplicit dimension")
def test_the_axis_that_is_left_out_is_pytorchs(name, shape):
    x = np.asarray(np.random.default_rng(0).normal(size=shape))
    for dim in (None, -1) if shape else (None,):
        y = getattr(F, name)(mg.tensor(x), dim, dtype=mg.float32)
        z = getattr(torch.nn.functional, name)(torch.tensor(x), dim, dtype=torch.float32)
        np.testing.assert_allclose(y.data, z.numpy(), rtol=1e-5, atol=1e-6)
    if len(shape) > 2:
        with pytest.warns(UserWarning, match="implicit dimension"):
            getattr(F, name)(mg.tensor(x))


def test_softmin_of_values_and_softmax2d():
    found = F.softmin([mg.Value(0.0), mg.Value(1.0)])
    close([v.data for v in found], F.softmin(mg.tensor([0.0, 1.0], dtype=mg.float64)).data)
    x = mg.tensor(np.random.default_rng(0).normal(size=(2, 3, 2, 2)))
    close(nn.Softmax2d()(x).data, F.softmax(x, 1).data)


def test_choices_of_gumbel():
    mg.manual_seed(0)
    p = np.array([0.1, 0.2, 0.7])
    logits = mg.tensor(np.log(np.tile(p, (4000, 1))), requires_grad=True)
    hard = F.gumbel_softmax(logits, hard=True)
    assert set(np.unique(np.round(hard.data, 12))) == {0.0, 1.0}
    np.testing.assert_allclose(hard.data.mean(0), p, atol=0.03)
    soft = F.gumbel_softmax(logits, tau=0.5)
    np.testing.assert_allclose(soft.data.sum(1), 1, rtol=1e-6)
    (hard * mg.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert np.abs(logits.grad.data).sum() > 0
    np.testing.assert_allclose(logits.grad.data.sum(1), 0, atol=1e-9)


def test_random_slopes_lie_between_their_bounds():
    mg.manual_seed(0)
    x = mg.full((3000,), -1.0, requires_grad=True)
    layer = nn.RReLU(0.2, 0.6)
    y = layer(x)
    assert -0.6 <= y.data.min() < -0.55 and -0.25 < y.data.max() <= -0.2
    y.sum().backward()
    close(x.grad.data, -y.data)
    close(layer.eval()(x).data, np.full(3000, -0.4, "f4"))


@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    mg.manual_seed(0)
    x = mg.tensor(np.random.default_rng(0).normal(size=(300, 200)))
    y = getattr(nn, name)(0.3)(x)
    assert y.data.mean() == pytest.approx(0, abs=0.02)
    assert y.data.var() == pytest.approx(1, abs=0.03)
    low = -1.7580993408473766
    scale = ((low * low * 0.3 + 1) * 0.7) ** -0.5
    dropped = np.isclose(y.data, (low - low * 0.3) * scale)
    assert dropped.mean() == pytest.approx(0.3, abs=0.02)
    close(y.data[~dropped], ((x.data - low * 0.3) * scale)[~dropped])
    assert getattr(nn, name)(0.3).eval()(x) is x
    assert (getattr(nn, name)(1.0)(x).data == 0).all()


@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [
        ("Dropout1d", (8, 40, 3), 1), ("Dropout2d", (40, 3, 2), 2),
        ("Dropout3d", (8, 40, 3, 2, 2), 3),
        ("FeatureAlphaDropout", (8, 40, 3, 2), 2),
    ],
)  # fmt: skip
def test_whole_channels_are_dropped(name, shape, axes):
    mg.manual_seed(0)
    y = getattr(nn, name)(0.5)(mg.ones(*shape)).data
    channels = y.reshape(*shape[:-axes], -1)
    assert (channels == channels[..., :1]).all() and len(np.unique(channels)) == 2


def test_a_dropout_in_place_writes():
    x = mg.ones(100)
    assert nn.Dropout(0.5, inplace=True)(x) is x and set(np.unique(x.data)) == {0.0, 2.0}


@pytorch_answers
def arguments_of_pytorch(torch, name):
    given = inspect.signature(getattr(torch.nn, name)).parameters.values()
    found = [(p.name, "needed" if p.default is p.empty else p.default) for p in given]
    return [x for x in found if x[0] not in OTHERS]


# Old, of every module, and of PyTorch's modules without a constructor of their own.
OTHERS = ("min_value", "max_value", "device", "args", "kwargs")
MODULES = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SiLU",
    "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Threshold", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
    "FeatureAlphaDropout",
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_arguments_of_modules_are_pytorchs(name):
    ours = inspect.signature(getattr(nn, name)).parameters.values()
    found = [(p.name, "needed" if p.default is p.empty else p.default) for p in ours]
    assert [x for x in found if x[0] not in OTHERS] == [
        tuple(x) for x in arguments_of_pytorch(name)
    ]


def test_modules_pass_their_settings_on():
    x = mg.tensor([-2.0, 0.3, 5.0])
    pairs = [
        (nn.Hardtanh(-1.0, 2.0), F.hardtanh(x, -1.0, 2.0)),
        (nn.Threshold(0.5, 9.0), [9.0, 9.0, 5.0]),
        (nn.Softplus(2.0), F.softplus(x, 2.0)), (nn.GELU("tanh"), F.gelu(x, "tanh")),
        (nn.CELU(0.5), F.celu(x, 0.5)), (nn.ReLU6(), [0.0, 0.3, 5.0]),
    ]  # fmt: skip
    for module, expected in pairs:
        close(module(x).data, np.asarray(getattr(expected, "_data", expected), "f4"))
    assert repr(nn.ReLU(inplace=True)) == "ReLU(inplace=True)"
    assert repr(nn.GELU()) == "GELU(approximate='none')"


X = mg.ones(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.hardtanh(X, 1.0, -1.0), ValueError, "min_val"),
        (lambda: F.softshrink(X, -1.0), ValueError, "lambda must be"),
        (lambda: F.celu(X, 0), ValueError, "alpha cannot be 0"),
        (lambda: F.gelu(X, "exact"), ValueError, "approximate"),
        (lambda: F.glu(X, 1), ValueError, "must be even"),
        (lambda: F.prelu(X, mg.ones(2)), ValueError, "input channels"),
        (lambda: F.rrelu(X, 0.5, 0.1), ValueError, "lower"),
        (lambda: nn.Softmax2d()(X), ValueError, "expected 3 or 4"),
        (lambda: F.dropout1d(mg.ones(2)), ValueError, "expected 2 or 3"),
        (lambda: F.feature_alpha_dropout(mg.ones(2)), ValueError, "at least 2"),
        (lambda: nn.PReLU(0), ValueError, "positive int"),
        (lambda: nn.Threshold(1.0), TypeError, "wrong arguments"),
    ],
)
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()
