"""日本語の図: 文字が豆腐にならないこと、利用者の設定が変わらないこと。"""

import importlib.util
import io
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from micrograd_jp.viz import figures, fonts

matplotlib = pytest.importorskip("matplotlib")
if not importlib.util.find_spec("matplotlib_fontja"):  # importing it would change rcParams
    pytest.skip("matplotlib_fontja がない", allow_module_level=True)


def picture(figure):
    from matplotlib.image import imread

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    buffer.seek(0)
    return imread(buffer)[..., :3]


def titled(text):
    figure, axes = figures.subplots(size=(3, 2))
    axes.set_title(text)
    return figure


def test_japanese_and_mathematical_signs_are_drawn():
    # A missing glyph is a warning, and warnings are errors in the tests.
    for text in (
        "損失 ∂E/∂w − α·∇f ½Σ(t−y)²",
        "初期値 s₀, x₁², Δp, Θ ∈ ℝⁿ → 高い",
        "傾き $x_1^2$ の谷",
    ):
        assert (picture(titled(text)).min(axis=2) < 0.5).mean() > 0.005
    assert not np.array_equal(picture(titled("損失")), picture(titled("勾配")))


@matplotlib.rc_context({"font.family": "DejaVu Sans"})
def test_text_that_the_user_adds_outside_is_readable_too():
    figure, axes = figures.subplots()
    axes.plot([1, 2], [1, 2], label="あとから")
    axes.legend()
    figure.suptitle("題")
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(io.BytesIO(), format="svg", bbox_inches="tight")


def test_negative_control_an_ordinary_figure_has_no_japanese_font():
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure()
        figure.suptitle("損失")
        with pytest.warns(UserWarning, match="missing from font"):
            figure.savefig(io.BytesIO())


def test_the_users_settings_stay_as_they_are():
    program = """
import matplotlib, sys
before = matplotlib.rcParams.copy()  # dict(rcParams) would choose a backend and import pyplot
from micrograd_jp.viz import figures
import io
figure, axes = figures.subplots()
axes.set_title("題")
figure.savefig(io.BytesIO())
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_lines_differ_in_colour_and_in_style():
    _, axes = figures.subplots()
    curves = {f"線 {i}": [i, i + 1] for i in range(len(figures.COLORS))}
    figures.plot_curves(axes, curves, xlabel="回", log=True)
    drawn = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
    assert len(set(drawn)) == len(figures.COLORS)
    assert all(a[1] != b[1] for a, b in pairwise(drawn))
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves)


def test_curves_that_are_empty_leave_no_line():
    _, axes = figures.subplots()
    figures.plot_curves(axes, {"訓練": [1.0, 0.5], "開発": []})
    assert len(axes.lines) == 1


@pytest.mark.parametrize("log", [False, True])
def test_no_curve_is_hidden_by_another(log):
    same, crossing = [2.0] * 20, np.linspace(1, 3, 20)
    _, axes = figures.subplots()
    figures.plot_curves(axes, {"い": same, "ろ": crossing, "は": same, "に": same}, log=log)
    first, other, second, last = (line.get_linewidth() for line in axes.lines)
    assert first > second + 2 > last + 4  # the edges of those below are seen
    assert other == last  # it only crosses


def test_negative_control_matplotlib_draws_one_curve_over_the_other():
    _, axes = figures.subplots(size=(3, 2))
    for _ in range(2):
        axes.plot([0, 1, 2], [1, 1, 1], "r-")
    assert axes.lines[0].get_linewidth() == axes.lines[1].get_linewidth()
    figures.finish_curves(axes)
    assert axes.lines[0].get_linewidth() > axes.lines[1].get_linewidth()


@pytest.mark.parametrize("decades", [1, 3, 9, 12, 44, 84, 300])
def test_ticks_of_a_logarithmic_axis_are_few_round_powers_of_ten(decades):
    _, axes = figures.subplots()
    figures.plot_curves(axes, {"損失": [10.0**-decades, 1.0, 5.0]}, log=True)
    figure_low, figure_high = axes.get_ylim()
    exponents = np.log10([t for t in axes.get_yticks() if figure_low <= t <= figure_high])
    steps = np.unique(np.diff(exponents).round(6))
    assert 1 <= len(exponents) <= 10
    if decades > 2:
        assert len(steps) == 1 and steps[0] in (1, 2, 5, 10, 20, 50)
        assert 0 in exponents.round(6)


def test_the_colour_bar_has_the_range_of_all_the_images():
    figure, axes = figures.subplots(1, 2)
    figures.show_images(axes, [np.zeros((2, 2)), np.full((2, 2), 3.0)], bar="画素")
    (bar,) = [axis for axis in figure.axes if axis not in list(axes)]
    assert bar.get_ylabel() == "画素"
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim() == (0, 3)
    picture(figure)


def test_contours_and_surfaces_show_the_function():
    figure = figures.new_figure((8, 4))
    flat = figure.add_subplot(1, 2, 1)
    deep = figure.add_subplot(1, 2, 2, projection="3d")

    def f(x, y):
        return 0.5 * x**2 + 5 * y**2

    figures.plot_contours(flat, f, (-3, 3), (-2, 2), xlabel="x₁", title="等高線")
    figures.plot_path(flat, [(2, 1), (1, 0.5), (0.5, 0)], label="α = 0.1")
    figures.plot_surface(deep, f, (-3, 3), (-2, 2))
    figures.plot_path(deep, [(2, 1, 7), (1, 0.5, 2)])
    assert (flat.get_xlabel(), flat.get_title()) == ("x₁", "等高線")
    assert flat.lines[0].get_xydata().tolist() == [[2, 1], [1, 0.5], [0.5, 0]]
    assert picture(figure).std() > 0.05


def test_the_grid_is_the_function():
    x, y, z = figures.on_grid(lambda x, y: x - 10 * y, (0, 1), (2, 4), n=3)
    assert x[0].tolist() == [0, 0.5, 1]
    assert y[:, 0].tolist() == [2, 3, 4]
    assert z.tolist() == [[-20, -19.5, -19], [-30, -29.5, -29], [-40, -39.5, -39]]
    assert figures.on_grid(lambda x, y: 1.0, (0, 1), (0, 1), n=2)[2].shape == (2, 2)


def test_images_are_placed_and_what_is_left_over_is_empty():
    _, axes = figures.subplots(1, 3)
    images = [np.array([[0.0, -2.0]]), np.array([[1.0, 0.0]])]
    figures.show_images(axes.flat, images, ["い", "ろ"], signed=True)
    assert [axis.axison for axis in axes.flat] == [True, True, False]
    assert axes[0].images[0].get_clim() == (-2.0, 2.0) == axes[1].images[0].get_clim()
    assert [axis.get_title() for axis in axes[:2]] == ["い", "ろ"]


def test_zero_is_white_in_signed_images():
    _, axes = figures.subplots()
    figures.show_images([axes], [np.array([[0.0, 1.0, -1.0]])], signed=True)
    shown = axes.images[0].to_rgba(axes.images[0].get_array())[0, :, :3]
    assert shown[0] == pytest.approx([1, 1, 1], abs=0.05)
    assert np.abs(shown[1] - shown[2]).max() > 0.3


@pytest.mark.parametrize("module", ["matplotlib", "matplotlib_fontja"])
def test_a_missing_extra_is_one_sentence(monkeypatch, module):
    if module == "matplotlib":
        monkeypatch.setitem(sys.modules, "matplotlib", None)
    else:
        monkeypatch.setattr(fonts.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r'pip install "micrograd_jp\[viz\]"'):
        figures.subplots()
