"""学習の図: 境界は確率の等しいところ、地形は損失そのもの、終わるとモデルは何も変わらない。"""

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import nn, viz
from micrograd_jp.data import DataLoader, TensorDataset

pytest.importorskip("matplotlib")
if not importlib.util.find_spec("matplotlib_fontja"):
    pytest.skip("matplotlib_fontja がない", allow_module_level=True)

POINTS = np.array([[-1.0, -1.0], [1.0, 1.0], [0.5, -0.5], [-0.3, 0.8]])


def linear(W, b):
    layer = nn.Linear(len(W[0]), len(W)).double()
    layer.weight.data, layer.bias.data = np.array(W, float), np.array(b, float)
    return layer


def lines(figure):
    """The points of the black lines of a decision boundary."""
    found = [c for c in figure.axes[0].collections if type(c).__name__ == "QuadContourSet"]
    return [v for c in found if not c.filled for path in c.get_paths() for v in path.vertices]


def everything(model):
    state = {name: array._data.copy() for name, array in model.state_dict().items()}
    return state, [m.training for m in model.modules()]


def same(one, other):
    return (
        all(np.array_equal(one[name], other[name]) for name in one) and one.keys() == other.keys()
    )


# ---- 決定境界 ---------------------------------------------------------------------------------


@given(st.floats(-2, 2), st.floats(0.3, 2), st.floats(-0.5, 0.5))
@settings(max_examples=3, deadline=None)
def test_the_boundary_is_where_the_classes_are_equally_probable(a, b, c):
    for model, t in (
        (linear([[a, b]], [c]), [0, 1, 1, 0]),  # one logit: the sigmoid is 1/2
        (linear([[0, 0], [a, b]], [0, c]), [-1, 1, 1, -1]),  # the second of two
    ):
        drawn = lines(viz.decision_boundary(model, (POINTS, t), n=21))
        assert drawn
        assert np.array(drawn) @ [a, b] + c == pytest.approx(0, abs=1e-2)


def test_between_three_classes_the_two_best_are_equal():
    model = linear([[1, 0], [-1, 1], [0, -1]], [0, 0.1, 0.2])
    figure = viz.decision_boundary(model, (POINTS, [0, 1, 2, 1]), n=41, names=["い", "ろ", "は"])
    p = np.sort(np.array(lines(figure)) @ model.weight._data.T + model.bias._data)
    assert np.quantile(p[:, 2] - p[:, 1], 0.9) < 0.05
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["い", "ろ", "は"]


def test_a_model_of_values_has_the_same_boundary():
    model = nn.MLP(2, [1])
    w, b = [x.data for x in model.layers[0].neurons[0].w], model.layers[0].neurons[0].b.data
    ours = lines(viz.decision_boundary(model, (POINTS, [0, 1, 0, 1]), n=9))
    theirs = lines(viz.decision_boundary(linear([w], [b]), (POINTS, [0, 1, 0, 1]), n=9))
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_probabilities_are_taken_as_they_are():
    def model(x):
        return mg.sigmoid(x[:, :1])

    drawn = lines(viz.decision_boundary(model, (POINTS, [0, 1, 1, 0]), output="probabilities"))
    assert np.array(drawn)[:, 0] == pytest.approx(0, abs=1e-3)


# ---- 損失地形 ---------------------------------------------------------------------------------

X = np.array([[1.0], [2.0], [-1.0]])
T = np.array([1, 0, 1])


def squares(y, t):
    return ((y[:, 0] - t.double()) ** 2).mean()


@pytest.mark.parametrize("scalar", [False, True])
def test_a_curve_is_the_function(scalar):
    def f(w):
        return ((w - 1) ** 2).relu() if scalar else (w - 1) ** 2

    (axes,) = viz.loss_landscape(f, (-1, 3), kind="curve", path=[3.0, 2.0], n=5).axes
    np.testing.assert_allclose(axes.lines[0].get_xydata()[:, 1], [4, 1, 0, 1, 4])
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[3, 4], [2, 1]])


def test_the_slice_goes_through_the_present_loss_and_the_weights_come_back():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    before, mode = everything(model)
    data = X.astype(np.float32), T
    (axes,) = viz.loss_landscape((model, mg.cross_entropy, data), kind="curve", n=3).axes
    expected = mg.training.evaluate(model, TensorDataset(*data), mg.cross_entropy).loss
    assert axes.lines[0].get_xydata()[1] == pytest.approx([0, expected])
    after, mode_after = everything(model)
    assert same(before, after) and mode == mode_after

    calls = []

    def broken(y, t):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("途中")
        return mg.cross_entropy(y, t)

    with pytest.raises(RuntimeError, match="途中"):
        viz.loss_landscape((model, broken, data), n=3)
    assert same(before, everything(model)[0])


def test_the_path_lies_on_the_landscape():
    """With two weights the plane of the path is the whole space: its heights are the losses."""
    model = linear([[3.0]], [-1.0])
    path = []
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(6):
        path.append([p._data.copy() for p in model.parameters()])
        loss = squares(model(X), mg.tensor(T))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    figure = viz.loss_landscape((model, squares, (X, T)), kind="surface", path=path, n=5)
    x, y, z = figure.axes[0].lines[0].get_data_3d()
    np.testing.assert_allclose(z, losses, rtol=1e-12)
    end = np.concatenate([p.data.ravel() for p in model.parameters()])
    distances = [np.linalg.norm(np.concatenate([w.ravel() for w in at]) - end) for at in path]
    np.testing.assert_allclose(np.hypot(x, y), distances, rtol=1e-9)


def test_negative_control_another_loss_is_another_height():
    model = linear([[3.0]], [-1.0])
    data = TensorDataset(X, T)
    heights = [
        viz.loss_landscape((model, loss, data), kind="curve", n=3).axes[0].lines[0].get_ydata()[1]
        for loss in (squares, lambda y, t: 2 * squares(y, t))
    ]
    assert heights[1] == pytest.approx(2 * heights[0])


# ---- 答えと重み -------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
@settings(max_examples=4, deadline=None)
def test_the_confusion_matrix_counts(pairs):
    t, answers = np.array(pairs).T
    figure = viz.confusion_matrix(np.eye(4)[answers], (np.zeros((len(t), 1)), t))
    axes = figure.axes[0]
    found = np.zeros((4, 4), int)
    for text in axes.texts:
        j, i = text.get_position()
        found[i, j] = int(text.get_text())
    expected = np.zeros((4, 4), int)
    for i, j in pairs:
        expected[i, j] += 1
    np.testing.assert_array_equal(found, expected)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("モデルの答え", "正解")
    assert f"{np.mean(t == answers):.2%}" in axes.get_title()


def test_every_row_of_the_weights_is_a_picture():
    layer = linear(np.arange(24.0).reshape(2, 12) - 11, [0, 0])
    figure = viz.templates(nn.Sequential(layer), shape=(4, 3), names=["犬", "猫"])
    pictures = [axes.images[0].get_array() for axes in figure.axes[:2]]
    np.testing.assert_array_equal(np.reshape(pictures, (2, 12)), layer.weight._data)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["犬", "猫"]
    assert len(viz.templates(nn.Conv2d(1, 3, 5)).axes) == 3 + 1  # and the colour bar


def test_a_model_reads_what_its_probabilities_say():
    model = linear([[1, 0, 0, 0], [0, 1, 0, 0]], [0, 0])
    x, t = np.array([[1.0, 0, 0, 0], [0, 0.5, 0, 0], [0, 3, 0, 0]]), [1, 0, 1]
    axes = viz.misread(model, (x, t)).axes[0]
    assert [text.get_text()[:5] for text in axes.texts] == ["1 → 0", "0 → 1"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1, 0], [0, 0]])


# ---- 学習率 -----------------------------------------------------------------------------------


def finder():
    mg.manual_seed(1)
    rng = np.random.default_rng(0)
    data = TensorDataset(rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 2, 40))
    loader = DataLoader(data, 8, shuffle=True, seed=0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 2))
    return model, loader, mg.optim.Adam(model.parameters(), lr=0.5)


def one_epoch(model, loader, optimizer):
    mg.fit(model, loader, mg.cross_entropy, optimizer, 1, progress=False)
    return {name: array._data.copy() for name, array in model.state_dict().items()}


def test_training_after_the_finder_is_training_without_it():
    expected = one_epoch(*finder())
    model, loader, optimizer = finder()
    found = viz.lr_finder(model, loader, mg.cross_entropy, optimizer, steps=20)
    assert len(found.rates) == len(found.losses) <= 20
    assert found.suggestion in found.rates
    assert same(one_epoch(model, loader, optimizer), expected)
    assert found._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("curvature", [0.5, 5.0])
def test_it_stops_soon_after_the_rate_that_diverges(curvature):
    """½ a w² under gradient descent shrinks below the rate 2 / a and grows above it."""
    w = nn.Linear(1, 1, bias=False).double()
    w.weight.data = np.array([[1.0]])
    found = viz.lr_finder(
        w, [(np.ones((1, 1)), np.zeros((1, 1)))], lambda y, t: 0.5 * curvature * (y * y).sum(),
        mg.optim.SGD(w.parameters(), lr=0.1), low=1e-3 / curvature, high=1e3 / curvature, steps=200,
    )  # fmt: skip
    assert 0.01 / curvature < found.suggestion < 2 / curvature
    assert 2 / curvature < found.rates[-1] < 100 / curvature


def test_a_fall_from_a_height_is_no_suggestion():
    """Where the rate is too large, the loss rises, and may fall back faster than it ever did."""
    heights = [*np.linspace(2, 1, 50), *np.linspace(1, 3.5, 25), *np.linspace(3.5, 1.2, 25)]
    given = iter(heights)
    layer = nn.Linear(1, 1)
    found = viz.lr_finder(
        layer, [(mg.ones(1, 1), mg.ones(1, 1))], lambda y, t: y.sum() * 0 + next(given),
        mg.optim.SGD(layer.parameters(), lr=0.1), steps=100,
    )  # fmt: skip
    assert len(found.losses) == 100
    assert found.rates.index(found.suggestion) <= int(np.argmin(found.losses)) < 60


# ---- 使えないもの -----------------------------------------------------------------------------

MODEL = linear([[1, 1]], [0])
BAD = {
    "3 次元の点": lambda: viz.decision_boundary(MODEL, (np.zeros((4, 3)), [0, 1, 0, 1])),
    "小数の正解": lambda: viz.decision_boundary(MODEL, (POINTS, [0.5, 1, 0, 1])),
    "長さ": lambda: viz.decision_boundary(MODEL, (POINTS, [0, 1])),
    "空": lambda: viz.decision_boundary(MODEL, (np.zeros((0, 2)), np.zeros(0, int))),
    "クラスの数": lambda: viz.decision_boundary(MODEL, (POINTS, [0, 1, 2, 1])),
    "出力の種類": lambda: viz.decision_boundary(MODEL, (POINTS, [0, 1, 0, 1]), output="確率"),
    "モデルでない": lambda: viz.decision_boundary(3, (POINTS, [0, 1, 0, 1])),
    "データでない": lambda: viz.decision_boundary(MODEL, 3),
    "名前の数": lambda: viz.decision_boundary(MODEL, (POINTS, [0, 1, 0, 1]), names=["い"]),
    "地形の種類": lambda: viz.loss_landscape(lambda w: w, kind="3d"),
    "関数でない": lambda: viz.loss_landscape(3),
    "範囲": lambda: viz.loss_landscape(lambda w: w, (1, 1), kind="curve"),
    "道すじの次元": lambda: viz.loss_landscape(lambda v, w: v * w, path=[1, 2]),
    "道すじの重み": lambda: viz.loss_landscape((MODEL, squares, (POINTS, T)), path=[[POINTS]]),
    "Module でない": lambda: viz.loss_landscape((3, squares, (X, T))),
    "画像でない": lambda: viz.misread(np.eye(2)[[0]], (np.zeros((1, 5)), [1])),
    "層が 2 つ": lambda: viz.templates(nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 4))),
    "型紙の形": lambda: viz.templates(nn.Linear(12, 2), shape=(5, 5)),
    "ベクトル": lambda: viz.templates(np.zeros(4)),
    "学習率の範囲": lambda: viz.lr_finder(MODEL, [], squares, None, low=1.0, high=0.1),
    "最適化手法でない": lambda: viz.lr_finder(MODEL, [], squares, 0.1),
    "学習するデータがない": lambda: viz.lr_finder(
        MODEL, [], squares, mg.optim.SGD(MODEL.parameters(), lr=0.1)
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(bad):
    with pytest.raises((TypeError, ValueError), match=r"(?s)[ぁ-ん].*\([a-zA-Z].*。"):
        bad()


def test_the_figures_are_found_where_the_readme_says():
    assert mg.viz.figures.subplots is importlib.import_module("micrograd_jp.viz.figures").subplots
