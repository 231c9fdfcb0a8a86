"""重みの初期値: 分布（種を決めた統計）、直交、倍率、`Value` の並び。"""

import inspect
from functools import partial

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.nn import init
from tests.reference import pytorch_answers, torch

SHAPE = (400, 300)
N = SHAPE[0] * SHAPE[1]


@pytest.fixture(autouse=True)
def _seed():
    mg.manual_seed(12)


@pytest.mark.parametrize(
    ("fill", "std", "uniform"),
    [
        (lambda t: init.xavier_uniform_(t, gain=2), 2 * np.sqrt(2 / 700), True),
        (init.xavier_normal_, np.sqrt(2 / 700), False),
        (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), np.sqrt(2 / 300), True),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
         np.sqrt(2 / 400), False),
        (lambda t: init.kaiming_uniform_(t, a=np.sqrt(5)), np.sqrt(1 / 900), True),
        (lambda t: init.uniform_(t, -2, 2), 4 / np.sqrt(12), True),
        (lambda t: init.normal_(t, 0, 3), 3, False),
    ],
)  # fmt: skip
def test_distribution(fill, std, uniform):
    t = nn.Parameter(np.zeros(SHAPE))
    assert fill(t) is t
    x = t.detach().numpy()
    # Five standard errors of the mean, of the standard deviation, and of the fourth moment.
    assert abs(x.mean()) < 5 * std / np.sqrt(N)
    assert x.std() == pytest.approx(std, rel=5 / np.sqrt(2 * N))
    kurtosis = ((x / x.std()) ** 4).mean()
    assert kurtosis == pytest.approx(1.8 if uniform else 3.0, abs=5 * np.sqrt(24 / N))
    if uniform:
        assert np.abs(x).max() <= std * np.sqrt(3)
        assert np.abs(x).max() == pytest.approx(std * np.sqrt(3), rel=1e-3)


def test_linear_starts_as_pytorch_documents():
    layer = nn.Linear(300, 400)
    for p in layer.parameters():
        bound = 1 / np.sqrt(300)
        assert np.abs(p.detach().numpy()).max() <= bound
        assert p.detach().numpy().std() == pytest.approx(bound / np.sqrt(3), rel=0.2)
        assert p.dtype == mg.float32
    assert nn.Linear(2, 2, dtype=mg.float64).weight.dtype == mg.float64


def test_seeded_layers_repeat():
    drawn = []
    for _ in range(2):
        mg.manual_seed(3)
        drawn.append(nn.Sequential(nn.Linear(3, 4), nn.Embedding(3, 2)).state_dict())
    assert all((drawn[0][k].numpy() == drawn[1][k].numpy()).all() for k in drawn[0])
    assert (nn.Linear(3, 4).weight.detach().numpy() != drawn[0]["0.weight"].numpy()).any()


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (4, 2, 3)])
def test_orthogonal(shape):
    w = (
        init.orthogonal_(nn.Parameter(np.zeros(shape)), gain=2)
        .detach()
        .numpy()
        .reshape(shape[0], -1)
    )
    short = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(short, 4 * np.eye(min(w.shape)), atol=1e-12)


def test_gains_are_pytorchs():
    for name in (
        "linear",
        "conv2d",
        "conv_transpose1d",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "selu",
    ):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(
        torch.nn.init.calculate_gain("leaky_relu", 0.3)
    )


@pytorch_answers
def functions_of_pytorch(torch):
    found = {}
    for name, f in vars(torch.nn.init).items():
        if inspect.isfunction(f) and f.__module__ == "torch.nn.init" and name[0] != "_":
            given = inspect.signature(inspect.unwrap(f)).parameters.values()
            found[name] = [(p.name, p.default) for p in given if p.default is not p.empty]
            found[name] += [p.name for p in given if p.default is p.empty]
    return found


def test_names_and_arguments_are_pytorchs():
    theirs = functions_of_pytorch()
    assert len(theirs) > 25
    for name, wanted in theirs.items():
        f = getattr(init, name)
        if not name.endswith("_") and name != "calculate_gain":  # a deprecated name: (*args)
            assert inspect.unwrap(f) is inspect.unwrap(getattr(init, f"{name}_"))
            continue
        given = inspect.signature(f).parameters.values()
        found = [(p.name, p.default) for p in given if p.default is not p.empty]
        assert found + [p.name for p in given if p.default is p.empty] == wanted, name


def test_an_old_name_warns_where_it_is_called():
    w, v = mg.zeros(2, 3), mg.zeros(2, 3)
    with pytest.warns(FutureWarning, match="xavier_normal_") as caught:
        init.xavier_normal(w, generator=mg.Generator().manual_seed(1))
    assert caught[0].filename == __file__
    init.xavier_normal_(v, generator=mg.Generator().manual_seed(1))
    assert w.tolist() == v.tolist()


DRAWING = ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_",
           "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_"]  # fmt: skip


@pytest.mark.parametrize("name", DRAWING)
def test_a_generator_of_ones_own(name):
    """It alone is drawn from, and the memory behind `data` may be given."""
    fill = partial(getattr(init, name), **({"sparsity": 0.5} if name == "sparse_" else {}))
    before = mg.get_rng_state()["numpy"]
    w, v = mg.zeros(3, 4), mg.zeros(3, 4)
    fill(w, generator=mg.Generator().manual_seed(5))
    memory = fill(v.numpy(), generator=mg.Generator().manual_seed(5))
    assert mg.get_rng_state()["numpy"] == before
    assert memory is v.numpy() and v.tolist() == w.tolist() and w.data.std() > 0


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((4, 3, 3), 1), ((2, 3, 3, 2), 1), ((4, 1, 3, 3), 2), ((2, 2, 1, 2, 3), 1)],
)
def test_dirac_is_pytorchs(shape, groups):
    found = init.dirac_(mg.randn(*shape), groups)
    wanted = torch.nn.init.dirac_(torch.zeros(*shape), groups)
    np.testing.assert_array_equal(found.numpy(), wanted.numpy())


def test_variance_is_kept_through_fifty_relu_layers_by_he_alone():
    x = np.random.default_rng(0).normal(size=(100, 256))

    def last_scale(fill):
        h = x
        for _ in range(50):
            w = fill(nn.Parameter(np.zeros((256, 256)))).detach().numpy()
            h = np.maximum(h @ w.T, 0)
        return h.std()

    he = last_scale(lambda w: init.kaiming_normal_(w, nonlinearity="relu"))
    assert 0.05 < he < 20
    assert last_scale(init.xavier_normal_) < 1e-5, "half of the variance is lost in every layer"


def test_lists_of_values():
    layer = nn.Layer(30, 20)
    rows = [neuron.w for neuron in layer.neurons]
    assert init.xavier_uniform_(rows) is rows
    numbers = np.array([[w.data for w in row] for row in rows])
    assert np.abs(numbers).max() <= np.sqrt(6 / 50)
    assert len(np.unique(numbers)) == 600
    init.constant_(layer.neurons[0].b, 2.0)
    assert layer.neurons[0].b.data == 2.0
    init.orthogonal_(rows)
    numbers = np.array([[w.data for w in row] for row in rows])
    np.testing.assert_allclose(numbers @ numbers.T, np.eye(20), atol=1e-12)
    init.kaiming_normal_(layer.neurons[0].w)
    assert init.ones_(init.zeros_(layer.neurons[0].w))[3].data == 1.0


def test_filling_is_in_place_and_records_nothing():
    p = nn.Parameter([[1.0]])
    memory = p.detach().numpy()
    init.normal_(p)
    assert p.detach().numpy() is memory
    assert p.is_leaf
    memory.flags.writeable = False
    init.constant_(p, 4)
    assert p.item() == 4.0


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: init.xavier_normal_(mg.zeros(3)), ValueError, "need 2 dimensions"),
        (lambda: init.orthogonal_(mg.zeros(3)), ValueError, "need 2 dimensions"),
        (lambda: init.kaiming_normal_(mg.zeros(3, 3), mode="in"), ValueError, "unknown mode"),
        (lambda: init.kaiming_normal_(mg.zeros(3, 3), nonlinearity="x"), ValueError, "unknown"),
        (lambda: init.calculate_gain("x"), ValueError, "unknown nonlinearity"),
        (lambda: init.uniform_(mg.zeros(3), 1, 0), ValueError, "a > b"),
        (lambda: init.normal_(mg.zeros(3), 0, -1), ValueError, "negative std"),
        (lambda: init.zeros_([]), TypeError, "expected a Tensor or Values"),
        (lambda: init.zeros_([[mg.Value(1)], [mg.Value(1)] * 2]), TypeError, "Tensor or Values"),
        (lambda: init.zeros_([1.0]), TypeError, "Tensor or Values"),
        (lambda: init.normal_(mg.tensor([1, 2])), TypeError, "expected a floating dtype"),
        (lambda: init.normal_(np.array([1, 2])), TypeError, "expected a floating dtype"),
        (lambda: init.ones_(np.broadcast_to(1.0, 3)), ValueError, "read-only array"),
        (lambda: init.xavier_normal_(np.zeros(3)), ValueError, "need 2 dimensions"),
        (lambda: init.dirac_(mg.zeros(3, 3)), ValueError, "3, 4, or 5 dimensions"),
        (lambda: init.dirac_(mg.zeros(3, 2, 1), groups=2), ValueError, "groups は 2"),
        (lambda: init.normal_(mg.zeros(3), generator=7), TypeError, "expected a Generator"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
