"""受容野: 層の設定からの算術と、勾配の届く画素が一致すること。"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.viz import (
    ReceptiveField,
    effective_receptive_field,
    receptive_field,
    receptive_fields,
)

conv = st.builds(
    lambda k, s, p, d: nn.Conv2d(1, 1, k, s, p, d),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.integers(1, 2),
    st.tuples(st.integers(0, 2), st.integers(0, 1)),
    st.integers(1, 2),
)
same = st.builds(
    lambda k, d: nn.Conv2d(1, 1, k, padding="same", dilation=d),
    st.integers(1, 4),
    st.integers(1, 2),
)
pool = st.builds(lambda k, s: nn.AvgPool2d(k, s, k // 2), st.integers(1, 3), st.integers(1, 3))
pointwise = st.one_of(
    *map(st.builds, (nn.Softplus, nn.Identity, nn.Dropout)), st.builds(nn.BatchNorm2d, st.just(1))
)
layers = st.one_of(conv, same, pool, pointwise)
residual = st.builds(
    lambda k, d: nn.Residual(nn.Conv2d(1, 1, k, padding="same", dilation=d), nn.Softplus()),
    st.sampled_from([2, 3, 4]),
    st.integers(1, 2),
)
chains = st.lists(layers, min_size=1, max_size=4).map(lambda made: nn.Sequential(*made))
chains = st.one_of(
    chains,
    st.builds(lambda a, r, b: nn.Sequential(a, nn.Sequential(r, b)), chains, residual, conv),
)


def positive(model):
    """No weight is 0 or negative: what a pixel adds is never cancelled by another way."""
    for p in model.parameters():
        nn.init.uniform_(p, 0.5, 1.0)
    return model.double()


def seen(model, size, position):
    """The smallest window that holds every pixel of the image that moves the output pixel."""
    x = mg.tensor(np.random.default_rng(0).random((1, 1, *size)))
    rows, columns = effective_receptive_field(model, x, position=position).numpy().nonzero()
    return (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)


def inner_pixel(field, outputs, size):
    """An output pixel whose field lies inside the image."""
    for i in range(outputs[0]):
        for j in range(outputs[1]):
            (top, bottom), (left, right) = field.window(i, j)
            if min(top, left) >= 0 and bottom <= size[0] and right <= size[1]:
                return i, j
    return None


@given(chains)
def test_the_gradient_reaches_exactly_the_computed_field(model):
    field = receptive_field(positive(model))
    size = tuple(r + 2 * s + 1 for r, s in zip(field.size, field.stride))
    assume(max(size) <= 60)
    with mg.no_grad():
        out = model.eval()(mg.zeros(1, 1, *size, dtype=mg.float64))
    position = inner_pixel(field, out.shape[2:], size)
    assume(position is not None)
    assert seen(model, size, position) == field.window(*position)


@pytest.mark.parametrize("wrong", ["size", "stride", "start"])
def test_negative_control_another_field_is_noticed(wrong):
    model = positive(nn.Sequential(nn.Conv2d(1, 1, 3), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3)))
    field = receptive_field(model)
    pairs = getattr(field, wrong)
    other = field._replace(**{wrong: (pairs[0] + 1, pairs[1])})
    assert seen(model, (20, 20), (1, 1)) == field.window(1, 1) != other.window(1, 1)


def test_stacked_small_windows_see_as_much_as_one_large_one():
    def stacked(n, k):
        return nn.Sequential(*[nn.Conv2d(64, 64, k, padding=k // 2, bias=False) for _ in range(n)])

    def weights(model):
        return sum(p.size for p in model.parameters())

    for n, k in (2, 5), (3, 7):
        wanted = ReceptiveField((k, k), (1, 1), (-n, -n))
        assert receptive_field(stacked(n, 3)) == receptive_field(stacked(1, k)) == wanted
    assert (weights(stacked(2, 3)), weights(stacked(1, 5))) == (18 * 64**2, 25 * 64**2)
    assert (weights(stacked(3, 3)), weights(stacked(1, 7))) == (27 * 64**2, 49 * 64**2)


def test_the_published_fields():
    # Araujo et al. (2019), table: VGG-16 before its last pooling 196, with it 212.
    fields = list(receptive_fields(nn.models.vgg16(width=1).features).values())
    assert [field.size[0] for field in fields[-2:]] == [196, 212]
    assert [field.stride[0] for field in fields[-2:]] == [16, 32]


def test_every_layer_by_its_name():
    shared = nn.Conv2d(1, 1, 3)
    model = nn.Sequential(nn.Sequential(shared, nn.ReLU()), nn.MaxPool2d(2, padding=1), shared)
    assert receptive_fields(model) == {
        "0.0": ((3, 3), (1, 1), (0, 0)),
        "0.1": ((3, 3), (1, 1), (0, 0)),
        "1": ((4, 4), (2, 2), (-1, -1)),
        "2": ((8, 8), (2, 2), (-1, -1)),
    }
    skip = nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Residual(nn.Conv2d(1, 1, 2, padding="same")))
    assert list(receptive_fields(skip)) == ["0", "1.0", "1"]
    assert receptive_field(nn.Sequential()) == receptive_field(nn.ReLU()) == ReceptiveField()
    assert receptive_field(shared).size == (3, 3)


def test_the_largest_of_a_window_moves_with_the_image():
    # One image shows one pixel of a max pooling; many show its whole window.
    model, field = nn.MaxPool2d(3), receptive_field(nn.MaxPool2d(3))
    x = mg.tensor(np.random.default_rng(0).random((200, 1, 9, 9)))
    one = effective_receptive_field(model, x[:1]).numpy()
    many = effective_receptive_field(model, x).numpy()
    assert (one > 0).sum() == 1
    (top, bottom), (left, right) = field.window(1, 1)
    assert (many[top:bottom, left:right] > 0).all() and (many > 0).sum() == 9


def test_the_gradient_of_one_pixel_by_hand():
    model = nn.Conv2d(2, 3, 3, padding=1).double()
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 5))
    wanted = np.zeros((5, 5))
    weight = model.weight.detach().numpy()
    wanted[2:5, 1:4] = np.abs(weight.sum(0)).sum(0)  # output channels, then |…| of the image's
    found = effective_receptive_field(model, x, position=(3, 2))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    centre = effective_receptive_field(nn.Sequential(model), x, "0")
    np.testing.assert_array_equal(np.argwhere(centre.numpy()).mean(0), (2, 2))


def test_an_output_that_does_not_depend_on_the_image():
    class Constant(nn.Module):
        def forward(self, x):
            return mg.ones(1, 1, 3, 3)

    assert not effective_receptive_field(Constant(), mg.ones(1, 1, 4, 4)).numpy().any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: receptive_field(nn.models.LeNet()), TypeError, "LeNet.*not a chain.*features"),
        (lambda: receptive_field(nn.Sequential(nn.Linear(1, 1))), TypeError, "'0'.*Linear"),
        (lambda: receptive_field(nn.Softmax()), TypeError, "Softmax"),
        (lambda: receptive_field(nn.AdaptiveAvgPool2d(1)), TypeError, "Adaptive"),
        (lambda: effective_receptive_field(nn.ReLU(), mg.rand(3, 3)), ValueError, r"\(3, 3\)"),
        (lambda: effective_receptive_field(nn.Flatten(), mg.rand(1, 1, 3, 3)), ValueError, "9"),
        (lambda: effective_receptive_field(nn.ReLU(), mg.rand(1, 1, 3, 3), "x"), ValueError, "'x'"),
        (
            lambda: effective_receptive_field(nn.ReLU(), mg.rand(1, 1, 3, 3), position=(3, 0)),
            IndexError,
            "3",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
