"""層と正規化と活性化関数: PyTorch との比較、性質、勾配確認、使い方の誤り。"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp import nn
from micrograd_jp.nn.layers.activations import Activation
from micrograd_jp.testing import gradcheck
from tests.reference import like_pytorch, torch

seeds = st.integers(0, 2**32 - 1)


def arrays(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def compare(ours, theirs, x, *, steps=1):
    """Outputs, gradients of input and parameters, and buffers, after the same weights."""
    theirs, rng = theirs(torch.nn).double(), np.random.default_rng(0)
    state = {
        k: rng.uniform(0.5, 1.5, v.shape) if v.dtype.kind == "f" else v.numpy()
        for k, v in ours.double().state_dict().items()
    }
    ours.load_state_dict(state)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    for step in range(steps):
        floating = x.dtype.kind == "f"
        a = mg.tensor(x + step if floating else x, requires_grad=floating)
        b = torch.tensor(x + step if floating else x, requires_grad=floating)
        y, z = ours(a), theirs(b)
        g = np.random.default_rng(step).normal(size=z.shape)
        np.testing.assert_allclose(y.detach().numpy(), z.detach(), rtol=1e-9, atol=1e-11)
        ours.zero_grad()
        theirs.zero_grad()
        if y.requires_grad:
            y.backward(g)
            z.backward(torch.tensor(g))
        pairs = [*zip(ours.parameters(), theirs.parameters(), strict=True)]
        for p, q in [(a, b), *pairs] if floating else pairs:
            np.testing.assert_allclose(p.grad.numpy(), q.grad, rtol=1e-7, atol=1e-9)
    for (_, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(p.numpy(), q, rtol=1e-9)
    ours.eval()
    theirs.eval()
    with mg.no_grad():
        np.testing.assert_allclose(ours(mg.tensor(x)).numpy(), theirs(torch.tensor(x)).detach(),
                                   rtol=1e-9, atol=1e-11)  # fmt: skip


@like_pytorch(
    seeds,
    st.integers(1, 5),
    st.integers(1, 5),
    st.booleans(),
    st.lists(st.integers(0, 3)),
    max_examples=15,
    kept=12,
)
def test_linear(seed, n_in, n_out, bias, batch):
    (x,) = arrays(seed, (*batch[:3], n_in))
    compare(nn.Linear(n_in, n_out, bias), lambda nn: nn.Linear(n_in, n_out, bias), x)


@like_pytorch(
    seeds, st.integers(2, 5), st.integers(1, 4), st.sampled_from([(), (1,), (3,)]), st.booleans(),
    st.booleans(), st.sampled_from([0.1, 0.9, None]), st.sampled_from([1e-5, 0.1]),
    max_examples=25, kept=20,
)  # fmt: skip
def test_batch_norm(seed, n, c, rest, affine, tracked, momentum, eps):
    (x,) = arrays(seed, (n, c, *rest))
    compare(
        nn.BatchNorm1d(c, eps, momentum, affine, tracked),
        lambda nn: nn.BatchNorm1d(c, eps, momentum, affine, tracked),
        x * 3 + 1, steps=3,
    )  # fmt: skip


@like_pytorch(
    seeds, st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 2), st.booleans(),
    st.booleans(), max_examples=15, kept=12,
)  # fmt: skip
def test_layer_norm(seed, shape, last, affine, bias):
    (x,) = arrays(seed, shape)
    part = shape[-last:]
    compare(
        nn.LayerNorm(part, 1e-3, affine, bias),
        lambda nn: nn.LayerNorm(part, 1e-3, affine, bias), x,
    )  # fmt: skip


@like_pytorch(seeds, st.integers(1, 5), st.integers(1, 3), st.sampled_from([None, 0, -1]),
    st.sampled_from([(), (3,), (0,), (2, 2)]), max_examples=15, kept=12)  # fmt: skip
def test_embedding(seed, n, d, padding, shape):
    x = np.random.default_rng(seed).integers(0, n, shape)
    compare(nn.Embedding(n, d, padding), lambda nn: nn.Embedding(n, d, padding), x)


ACTIVATIONS = [
    ("ReLU", ()), ("LeakyReLU", ()), ("LeakyReLU", (0.3,)), ("ELU", ()), ("ELU", (0.5,)),
    ("Sigmoid", ()), ("Hardsigmoid", ()), ("Tanh", ()), ("GELU", ()), ("SiLU", ()),
    ("LogSigmoid", ()), ("Mish", ()), ("Hardswish", ()), ("SELU", ()), ("Softmax", (1,)),
    ("LogSoftmax", (0,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), ACTIVATIONS)
def test_activations(name, args):
    (x,) = arrays(0, (4, 5))
    compare(getattr(nn, name)(*args), lambda nn: getattr(nn, name)(*args), 3 * x)


def test_an_activation_that_is_an_operation_is_declared_by_it():
    """Its summary is the docstring, not that of the function, which speaks of numbers and lists."""
    found = [c for c in Activation.__subclasses__() if c.operation is not None]
    assert len(found) >= 11
    for cls in found:
        assert cls.__doc__ == f"{cls.operation.summary}。", cls
        for x in (-0.7, 0.4):
            assert cls()(mg.Value(x)).op is cls.operation, cls


def test_softplus_and_every_activation_at_the_extremes():
    # PyTorch's softplus is linear above 20; ours is exact everywhere.
    (x,) = arrays(0, (4, 5))
    np.testing.assert_allclose(nn.Softplus()(mg.tensor(x)).numpy(), np.log1p(np.exp(x)))
    for name, args in [*ACTIVATIONS, ("Softplus", ())]:
        x = mg.tensor([[-1000.0, 0.0, 1000.0]], requires_grad=True)
        y = getattr(nn, name)(*args)(x)
        y.sum().backward()
        assert np.isfinite(y.detach().numpy()).all(), name
        assert np.isfinite(x.grad.numpy()).all(), name


def test_activations_on_values_and_lists_and_as_functions():
    assert nn.Tanh()(mg.Value(0.5)).data == mg.tanh(0.5).data
    outputs = nn.LeakyReLU(0.5)([mg.Value(-2.0), [mg.Value(4.0)]])
    assert outputs[0].data == -1.0
    assert outputs[1][0].data == 4.0
    model = nn.Sequential(nn.Layer(2, 3, nonlin=False), nn.Softplus(), nn.Layer(3, 1), nn.Tanh())
    model([1.0, 2.0]).backward()
    assert all(p.has_grad for p in model.parameters())
    assert [v.data for v in nn.Softmax()([mg.Value(0.0)] * 4)] == pytest.approx([0.25] * 4)
    assert F.hardsigmoid(mg.tensor([0.0])).item() == 0.5
    with pytest.raises(TypeError, match="wrong arguments"):
        nn.ReLU(False, 1)
    with pytest.raises(TypeError, match="wrong arguments"):
        nn.ELU(slope=1)


def test_a_part_of_one_function_passes_its_attributes_by_name():
    x = mg.tensor([[1.0, 2.0]])
    loss = nn.CrossEntropyLoss(label_smoothing=0.2)
    assert loss(input=x, target=mg.tensor([1])).item() == loss(x, mg.tensor([1])).item()
    loss.label_smoothing = 0.0  # an attribute, looked up at each call
    assert loss(x, mg.tensor([1])).item() == F.cross_entropy(x, mg.tensor([1])).item()

    class Halving(nn.MaxPool2d):  # another constructor, the same function
        def __init__(self):
            super().__init__(2)

    assert Halving()(mg.zeros(1, 4, 6)).shape == (1, 2, 3)
    assert repr(Halving()) == repr(nn.MaxPool2d(2)).replace("MaxPool2d", "Halving")
    with pytest.raises(TypeError, match="unexpected keyword"):
        nn.MSELoss(weight=1)


def test_flatten_and_unflatten():
    x = mg.arange(24).reshape(2, 3, 4)
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert nn.Unflatten(-1, (2, -1))(x).shape == (2, 3, 2, 2)
    assert (nn.Unflatten(1, (3, 4))(nn.Flatten()(x)).numpy() == x.numpy()).all()
    assert nn.Identity(1, a=2)(x) is x
    for size in ((3,), (-1, 3), (5, -1)):
        with pytest.raises(ValueError, match="invalid size"):
            nn.Unflatten(2, size)(x)
    with pytest.raises(ValueError, match="invalid size"):
        nn.Unflatten(3, (4,))(x)


class TestDropout:
    def test_exact_at_zero_and_one_and_when_evaluating(self):
        x = mg.tensor([1.0, float("inf"), -2.0], requires_grad=True)
        assert nn.Dropout(0)(x) is x
        y = nn.Dropout(1)(x)
        y.sum().backward()
        assert y.tolist() == x.grad.tolist() == [0.0, 0.0, 0.0]
        assert nn.Dropout(0.5).eval()(x) is x

    def test_gradient_flows_through_what_is_kept_with_the_same_factor(self):
        mg.manual_seed(0)
        x = mg.ones(1000, requires_grad=True)
        y = nn.Dropout(0.75)(x)
        y.sum().backward()
        assert set(y.tolist()) == {0.0, 4.0}
        np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
        assert y.dtype == mg.float32

    @pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
    def test_keeps_the_right_share(self, p):
        mg.manual_seed(1)
        kept = (F.dropout(mg.ones(100_000), p).numpy() != 0).mean()
        assert kept == pytest.approx(1 - p, abs=5 * np.sqrt(p * (1 - p) / 100_000))

    def test_draws_from_the_packages_generator(self):
        x = mg.ones(50)
        drawn = []
        for _ in range(2):
            mg.manual_seed(4)
            drawn.append([F.dropout(x).tolist(), F.dropout(x).tolist()])
        assert drawn[0] == drawn[1]
        assert drawn[0][0] != drawn[0][1]

    @pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "half", True])
    def test_bad_probability(self, p):
        with pytest.raises(ValueError, match="out of range"):
            nn.Dropout(p)


class TestNormalization:
    @settings(max_examples=15)
    @given(seeds, st.floats(0.5, 5), st.floats(-10, 10))
    def test_layer_norm_ignores_scale_and_shift(self, seed, scale, shift):
        (x,) = arrays(seed, (3, 4))
        norm = nn.LayerNorm(4, eps=0, dtype=mg.float64)
        a, b = norm(mg.tensor(x)), norm(mg.tensor(x * scale + shift))
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(a.detach().numpy().mean(-1), 0, atol=1e-9)
        np.testing.assert_allclose(a.detach().numpy().var(-1), 1, rtol=1e-9)

    @settings(max_examples=15)
    @given(seeds, st.floats(0.5, 5), st.floats(-10, 10))
    def test_batch_norm_ignores_each_channels_scale_and_shift(self, seed, scale, shift):
        x, s = arrays(seed, (5, 3), (3,))
        norm = nn.BatchNorm1d(3, eps=0, dtype=mg.float64)
        a, b = norm(mg.tensor(x)), norm(mg.tensor(x * scale + shift * s))
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-7)

    def test_evaluation_does_not_touch_the_statistics(self):
        norm = nn.BatchNorm1d(2)
        norm(mg.randn(4, 2))
        before = norm.state_dict()
        norm.eval()(mg.randn(4, 2))
        after = norm.state_dict()
        assert all((before[k].numpy() == after[k].numpy()).all() for k in before)
        norm.reset_running_stats()
        assert norm.running_mean.tolist() == [0, 0]
        assert norm.num_batches_tracked.item() == 0

    def test_float32_stays_float32(self):
        x = mg.randn(4, 3)
        for norm in (nn.BatchNorm1d(3), nn.LayerNorm(3), nn.BatchNorm1d(3).eval()):
            out = norm(x)
            assert out.dtype == mg.float32
            assert all(b.dtype != mg.float64 for b in norm.buffers())


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (F.linear, [(2, 3), (2, 3), (2,)]),
        (lambda x, w: F.linear(x, w), [(2, 2, 2), (1, 2)]),
        (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), [(4, 2), (2,), (2,)]),
        (lambda x, w: F.batch_norm(x, None, None, w, training=True, eps=0.5), [(2, 1, 3), (1,)]),
        (lambda x, w, b: F.layer_norm(x, 3, w, b), [(2, 3), (3,), (3,)]),
        (lambda w: F.embedding([0, 2, 0], w) ** 2, [(3, 2)]),
        (F.mish, [(3,)]),
        (F.logsigmoid, [(3,)]),
        (lambda x: nn.Residual(nn.Tanh())(x), [(3,)]),
    ],
)
def test_gradcheck(f, shapes, order):
    # Zero second derivatives (linear in one argument) are right, not inconclusive.
    assert gradcheck(f, arrays(5, *shapes), order=order, allow_zero=True, rtol=1e-5)


def test_one_hot():
    assert F.one_hot([2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert F.one_hot(mg.tensor(1), 3).tolist() == [0, 1, 0]
    assert F.one_hot(mg.tensor([[0]]), 2).shape == (1, 1, 2)
    assert F.one_hot([2, 0]).dtype == mg.int64


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: nn.Linear(3, 2)(mg.ones(2, 4)), ValueError, r"linear shape.*\(2, 4\).*\(2, 3\)"),
        (lambda: nn.Linear(3, 2)(mg.tensor(1.0)), ValueError, "linear shape"),
        (lambda: F.linear(mg.ones(2), mg.ones(2)), ValueError, "linear shape"),
        (lambda: nn.Linear(0, 2), ValueError, "in_features.*positive int"),
        (lambda: nn.Linear(2, 1.5), ValueError, "out_features.*positive int"),
        (lambda: nn.Embedding(3, True), ValueError, "positive int"),
        (lambda: nn.Embedding(3, 2)([3]), ValueError, "index out of range.*3"),
        (lambda: nn.Embedding(3, 2)([-1]), ValueError, "index out of range.*-1"),
        (lambda: nn.Embedding(3, 2)([0.5]), TypeError, "expected integer"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx"),
        (lambda: nn.BatchNorm1d(3)(mg.ones(2, 4)), ValueError, r"shape mismatch.*\(N, 3\)"),
        (lambda: nn.BatchNorm1d(3)(mg.ones(3)), ValueError, "shape mismatch"),
        (lambda: nn.BatchNorm1d(3)(mg.ones(2, 3, 1, 1)), ValueError, "shape mismatch"),
        (lambda: nn.BatchNorm1d(3)(mg.ones(1, 3)), ValueError, "more than 1 value per channel"),
        (lambda: F.batch_norm(mg.ones(3), None, None), ValueError, "at least 2 dimensions"),
        (lambda: F.batch_norm(mg.ones(4, 2), None, mg.ones(2)), ValueError, "statistics missing"),
        (lambda: nn.LayerNorm((2, 3))(mg.ones(3, 2)), ValueError, "layer norm shape"),
        (lambda: nn.LayerNorm(-1), ValueError, "positive int"),
        (lambda: F.one_hot([3], 3), ValueError, "out of range"),
        (lambda: F.one_hot([0.5]), TypeError, "expected integer"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_failed_forward_leaves_the_statistics():
    norm = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="more than 1 value"):
        norm(mg.ones(1, 2) * 5)
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.num_batches_tracked.item() == 0
