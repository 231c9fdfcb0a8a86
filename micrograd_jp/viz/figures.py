"""matplotlib の図を作る、ただ 1 つの場所。日本語が描け、利用者の設定 (rcParams) は変わらない。

>>> from micrograd_jp.viz import figures
>>> figure, axes = figures.subplots(1, 2)
>>> figures.plot_curves(axes[0], {"訓練": [1.0, 0.5], "開発": [1.0, 0.7]}, xlabel="エポック")

図は pyplot に登録されない。`figure.savefig("x.png")` で保存する。Jupyter ではセルの最後に置く。
色は色覚の違いによらず見分けられる組 (Okabe and Ito 2008) で、線の種類も順に変わる。
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.viz import fonts

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
LINE_STYLES = ("-", "--", "-.", ":", "-", "--", "-.")
DIVERGING = "PuOr_r"
"""正負のある値のカラーマップ。0 が白になるように使う。"""
DOTS_PER_INCH = 120

Range = tuple[float, float]


def subplots(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] | None = None, **options: Any
) -> tuple[Any, Any]:
    """matplotlib の `plt.subplots` と同じく、図と軸 (Axes) を作る。

    Args:
        rows: 軸の行数。
        columns: 軸の列数。
        size: 図の幅と高さ（インチ）。省略すると軸 1 つにつき 5 × 3.6。
        **options: `Figure.subplots` にそのまま渡す（`squeeze`、`sharey` など）。

    Returns:
        (図, 軸)。軸は 1 つならそのもの、2 つ以上なら ndarray。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
    """
    figure = new_figure(size or (5.0 * columns, 3.6 * rows))
    return figure, figure.subplots(rows, columns, **options)


def new_figure(size: tuple[float, float]) -> Any:
    """軸のない図を作る。3 次元の軸は `figure.add_subplot(1, 2, 2, projection="3d")` で加える。

    Args:
        size: 図の幅と高さ（インチ）。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
    """
    fonts.register()
    with fonts.lock:
        return _figure_class()(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")


def _settings() -> AbstractContextManager[None]:
    """Our fonts and lines, for the length of a `with` block."""
    import matplotlib
    from cycler import cycler

    lines = cycler(color=COLORS) + cycler(linestyle=LINE_STYLES)
    return matplotlib.rc_context({"font.family": fonts.FAMILIES, "axes.prop_cycle": lines})


@cache
def _figure_class() -> Any:
    """A figure that is made and drawn with our settings, whoever asks it to draw and when."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    def ours(method: Callable[..., Any]) -> Callable[..., Any]:
        def with_settings(self: Any, *args: Any, **kwargs: Any) -> Any:
            with fonts.lock:
                usual = rcParams["font.family"]
                for text in self.findobj(Text):  # what the user added, with no font in mind
                    if text.get_fontfamily() == usual:
                        text.set_fontfamily(fonts.FAMILIES)
                with _settings():
                    return method(self, *args, **kwargs)

        return with_settings

    def png(self: Any) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    drawing = ("add_axes", "add_subplot", "draw", "get_tightbbox", "savefig")
    methods = {name: ours(getattr(Figure, name)) for name in drawing}
    return type("JapaneseFigure", (Figure,), {**methods, "_repr_png_": png})


# ---- 曲線 -----------------------------------------------------------------------------------


def plot_curves(
    axes: Any,
    curves: Mapping[str, Sequence[float]],
    *,
    x: Sequence[float] | None = None,
    log: bool = False,
    marker: str | None = None,
    **labels: Any,
) -> None:
    """学習曲線のような折れ線を、名前をつけて重ねる。

    Args:
        axes: 描く軸。
        curves: 凡例の名前から、y の並びへ。空の並びは描かない。
        x: 横軸の値。省略すると 0, 1, 2, …。
        log: 真なら縦軸を対数にする。
        marker: 点の印（"o" など）。
        **labels: `axes.set` に渡すもの（`xlabel`、`ylabel`、`title`、`ylim` など）。
    """
    for name, ys in curves.items():
        if len(ys):
            axes.plot(range(len(ys)) if x is None else x, ys, marker=marker, label=name)
    axes.set(**labels, **({"yscale": "log"} if log else {}))
    finish_curves(axes)
    if len(curves) > 1:
        axes.legend()


def finish_curves(axes: Any) -> None:
    """曲線を描き終えた軸を読みやすくする: 格子、切りのよい桁の目盛り、重なった曲線。

    Args:
        axes: 曲線を描いた軸。ほかの曲線の下に隠れた曲線は、太く淡い線になって縁が見える。
    """
    axes.grid(alpha=0.3)
    if axes.get_yscale() == "log":
        _round_decades(axes.yaxis)
    lines = axes.lines
    for i, line in enumerate(lines):
        above = sum(_lies_on(other, line) for other in lines[i + 1 :])
        if above:
            line.set(linewidth=line.get_linewidth() + 3 * above, alpha=0.5, linestyle="-")


def _lies_on(one: Any, other: Any) -> bool:
    """Whether a curve hides the other: nine points of ten at the same place of the picture."""
    axes, (x, y), (other_x, other_y) = one.axes, one.get_data(), other.get_data()
    if len(y) < 3 or not np.array_equal(x, other_x):
        return False
    places = [axes.transLimits.transform(axes.transScale.transform(np.stack([x, ys], 1)))
              for ys in (y, other_y)]  # fmt: skip
    return bool(np.mean(np.abs(places[0][:, 1] - places[1][:, 1]) < 0.005) > 0.9)


def _round_decades(axis: Any) -> None:
    """Ticks at every 1, 2, 5, 10, … decades: 10⁻²⁰, 10⁰ and not 10⁻¹⁸, 10⁻⁷."""
    low, high = np.log10(axis.get_view_interval())
    if not high - low > 2:  # the usual ticks, with 2 and 5 between
        return
    step = next(k for k in (1, 2, 5, 10, 20, 50, 100) if (high - low) / k <= 8.5)
    first = step * np.ceil(low / step)
    axis.set_ticks(10.0 ** np.arange(first, high + 1e-9, step))
    axis.minorticks_off()


# ---- 2 変数の関数 ----------------------------------------------------------------------------


def on_grid(
    f: Callable[[Any, Any], Any], x: Range, y: Range, n: int = 101
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """関数の値を格子の上で求める。

    Args:
        f: ndarray を 2 つ受け取り、同じ形の ndarray を返す関数。
        x: 横の範囲 (最小, 最大)。
        y: 縦の範囲。
        n: 1 辺の点の数。

    Returns:
        x, y, f(x, y)。どれも形は (n, n)。
    """
    xs, ys = np.meshgrid(np.linspace(*x, n), np.linspace(*y, n))
    return xs, ys, np.broadcast_to(f(xs, ys), xs.shape)


def plot_contours(
    axes: Any, f: Callable[[Any, Any], Any], x: Range, y: Range, *, levels: Any = 12, **labels: Any
) -> None:
    """2 変数の関数を等高線 (contour) で描く。濃いほど小さい。

    Args:
        axes: 描く軸。
        f: ndarray を 2 つ受け取る関数。
        x: 横の範囲 (最小, 最大)。
        y: 縦の範囲。
        levels: 等高線の数、または高さの並び。
        **labels: `axes.set` に渡すもの。
    """
    grid = on_grid(f, x, y)
    axes.contourf(*grid, levels=levels, cmap="Greys_r", alpha=0.4, extend="both")
    lines = axes.contour(*grid, levels=levels, colors="0.35", linewidths=0.6, linestyles="-")
    axes.clabel(lines, fontsize=7, fmt="%g")
    axes.set(**labels)


def plot_path(axes: Any, points: Iterable[Sequence[float]], **line: Any) -> None:
    """降下の道すじを、点と線で描く。最初の点は大きな白抜きにする。

    Args:
        axes: 2 次元か 3 次元の軸。
        points: 点の並び。形は (点の数, 2) か (点の数, 3)。
        **line: `axes.plot` に渡すもの（`label`、`color` など）。
    """
    coordinates = np.asarray(list(points), dtype=float).T
    (drawn,) = axes.plot(*coordinates, **{"marker": "o", "markersize": 3.5, "zorder": 10, **line})
    start = coordinates[:, :1]
    axes.plot(*start, "o", color=drawn.get_color(), markersize=9, fillstyle="none", zorder=10)


def plot_surface(
    axes: Any, f: Callable[[Any, Any], Any], x: Range, y: Range, **labels: Any
) -> None:
    """2 変数の関数を曲面で描く。

    Args:
        axes: 3 次元の軸 (`projection="3d"`)。
        f: ndarray を 2 つ受け取る関数。
        x: 横の範囲 (最小, 最大)。
        y: 奥行きの範囲。
        **labels: `axes.set` に渡すもの。
    """
    axes.plot_surface(
        *on_grid(f, x, y, 21), cmap="Blues_r", alpha=0.7, linewidth=0.3, edgecolor="0.5"
    )
    axes.set(**labels)


# ---- 画像 -----------------------------------------------------------------------------------


def show_images(
    axes: Iterable[Any], images: Sequence[Any], titles: Sequence[str] = (), *,
    signed: bool = False, bar: str | None = None, **options: Any,
) -> None:  # fmt: skip
    """画像を軸に 1 枚ずつ並べる。余った軸は消す。

    Args:
        axes: 軸の並び（`axes.flat` など）。
        images: 画像の並び。1 枚の形は (高さ, 幅)、色のあるものは (高さ, 幅, 3)。
        titles: それぞれの題。
        signed: 真なら正負のある値とみて、0 を白にする。偽なら 0 が白、大きいほど黒。
        bar: 値の名前。渡すと、色と値の対応（カラーバー, colour bar）を並べた軸の右に描く。
            `vmin` と `vmax` を渡さなければ、すべての画像に共通の範囲になる。
        **options: `axes.imshow` に渡すもの（`vmin`、`vmax` など）。
    """
    if signed:
        largest = max((float(np.abs(image).max()) for image in images), default=0.0) or 1.0
        options = {"cmap": DIVERGING, "vmin": -largest, "vmax": largest, **options}
    elif bar is not None and len(images):
        low, high = min(map(np.min, images)), max(map(np.max, images))
        options = {"vmin": low, "vmax": high, **options}
    axes = list(axes)
    for axis in axes[len(images) :]:
        axis.set_axis_off()
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        axis.imshow(image, **{"cmap": "gray_r", **options})
        axis.set(xticks=[], yticks=[])
        if i < len(titles):
            axis.set_title(titles[i], fontsize=9)
    if bar is not None and len(images):
        drawn = axes[0].figure.colorbar(axes[0].images[0], ax=axes, shrink=0.8, label=bar)
        drawn.ax.tick_params(labelsize=8)


explain_all(globals())
