"""ネットワークの図: 線の太さと種類は重み、円の数はそのときの出力。"""

import importlib.util

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn, viz

pytest.importorskip("matplotlib")
if not importlib.util.find_spec("matplotlib_fontja"):
    pytest.skip("matplotlib_fontja がない", allow_module_level=True)


def drawn(figure):
    """Every edge, from ((layer, height), (layer, height)) to its signed width."""
    (axes,) = figure.axes
    edges = {}
    for k, lines in enumerate(axes.collections):
        sign = 1 if k % 2 == 0 else -1
        dashed = lines.get_linestyle()[0][1] is not None if lines.get_segments() else sign < 0
        assert dashed is (sign < 0)
        for (start, end), width in zip(lines.get_segments(), lines.get_linewidths(), strict=False):
            edges[tuple(start), tuple(end)] = sign * width
    return edges


def numbers(figure, column):
    texts = [t for t in figure.axes[0].texts if t.get_position()[0] == column]
    inside = [t for t in texts if t.get_fontsize() == 8]
    return [t.get_text() for t in sorted(inside, key=lambda t: -t.get_position()[1])]


def test_widths_and_dashes_are_the_weights():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    model[0].weight.data = np.array([[1.0, -2.0], [0.5, 4.0], [0.0, 1.0]])
    edges = drawn(viz.network(model))
    heights = {2: [0.5, -0.5], 3: [1.0, 0.0, -1.0]}
    for (i, j), w in np.ndenumerate(model[0].weight.data):
        width = edges.get(((0.0, heights[2][j]), (1.0, heights[3][i])), 0.0)
        assert width == pytest.approx(3.5 * w / 4)
    assert len(edges) == 5 + 3


@pytest.mark.parametrize("scalar", [True, False])
def test_the_circles_hold_what_the_units_gave_out(scalar):
    if scalar:
        model = nn.MLP(2, [3, 1])
        hidden = [h.data for h in model.layers[0]([0.5, -1.0])]
    else:
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.9), nn.Linear(3, 1))
        hidden = model[:2](mg.tensor([[0.5, -1.0]])).detach().numpy()[0].tolist()
    before = [np.copy(p.data) for p in model.parameters()]
    figure = viz.network(model, [0.5, -1.0], names=(["x", "y"], ["犬"]))
    assert numbers(figure, 1) == [f"{h:.2g}".replace("-", "−") for h in hidden]
    assert {"x", "y", "犬"} <= {t.get_text() for t in figure.axes[0].texts}
    assert all(np.array_equal(a, p.data) for a, p in zip(before, model.parameters(), strict=True))


def test_wide_layers_are_elided_and_gradients_are_drawn_when_asked():
    model = nn.Sequential(nn.Linear(30, 2))
    figure = viz.network(model)
    assert "⋮" in [t.get_text() for t in figure.axes[0].texts]
    assert len(drawn(figure)) == 10 * 2
    with pytest.raises(ValueError, match="勾配がまだありません"):
        viz.network(model, show="grad")
    model(mg.ones(1, 30)).sum().backward()
    assert set(drawn(viz.network(model, show="grad")).values()) == {3.5}


@pytest.mark.parametrize(
    "bad",
    [
        lambda: viz.network(nn.Conv2d(1, 2, 3)),
        lambda: viz.network(nn.models.LeNet()),
        lambda: viz.network(3),
        lambda: viz.network(nn.Linear(2, 1), [1.0]),
        lambda: viz.network(nn.Linear(2, 1), show="bias"),
        lambda: viz.network(nn.Linear(2, 1), names=(["x"], ["y"])),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(bad):
    with pytest.raises((TypeError, ValueError), match=r"(?s)[ぁ-ん].*\([a-zA-Z].*。"):
        bad()
