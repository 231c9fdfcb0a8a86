"""決定境界 (decision boundary): 平面のどこを、どのクラスと答えるか。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.viz import figures
from micrograd_jp.viz.samples import class_names, probabilities_of, require_classes, samples_of

_MARKERS = "o^sDvP*"


def decision_boundary(
    model: Any,
    data: Any,
    *,
    output: str = "logits",
    names: Sequence[str] | None = None,
    axes: Any = None,
    n: int = 101,
) -> Any:
    """2 次元の入力の、クラスの確率となめらかな境界に、データの点を重ねた図。

    確率は、出力が 1 つならシグモイド、2 つ以上ならソフトマックスで求める。モデルは推論中の状態で
    計算し、何も変わらない。

    Args:
        model: x (N, 2) から、ロジット (N,)、(N, 1)、(N, K) を作る `Module` か関数。`Value` で
            できた `mg.nn.MLP` でもよい。
        data: 点と正解。データセットか、組 (x (N, 2), t (N,))。t は 0, 1, … か ±1。
        output: モデルの出力。`"logits"` か `"probabilities"`。
        names: クラスの名前。省略すると「クラス 0」など。
        axes: 描く軸。省略すると、新しい図。
        n: 格子の 1 辺の点の数。

    Returns:
        matplotlib の図。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
        TypeError: 使えないモデルかデータ。
        ValueError: 入力が 2 次元でない、出力の形が合わない。
    """
    x, t = samples_of(data)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(
            "入力は 2 つの数の並び、形 (N, 2) です (expected 2-D points): "
            f"形 {x.shape} が渡されました。"
        )
    (left, low), (right, high) = x.min(axis=0), x.max(axis=0)
    margins = [0.15 * (b - a) or 1.0 for a, b in ((left, right), (low, high))]
    sides = (left - margins[0], right + margins[0]), (low - margins[1], high + margins[1])

    def probabilities(xs: Any, ys: Any) -> Any:
        points = np.stack([xs.ravel(), ys.ravel()], axis=1).astype(x.dtype)
        return probabilities_of(model, points, output)

    xs, ys = np.meshgrid(*(np.linspace(*side, n) for side in sides))
    p = probabilities(xs, ys)
    require_classes(p, t)
    p = p.reshape(n, n, -1)
    if axes is None:
        _, axes = figures.subplots(size=(5.2, 4.6))
    titles = class_names(names or [f"クラス {k}" for k in range(p.shape[2])], p.shape[2])
    (_draw_two if p.shape[2] == 2 else _draw_many)(axes, xs, ys, p, titles)
    for k in range(p.shape[2]):
        axes.plot(
            *x[t == k].T, _MARKERS[k % len(_MARKERS)], color=_color(k), label=titles[k],
            markersize=5, markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
    right_answers = (probabilities_of(model, x, output).argmax(axis=1) == t).mean()
    axes.set(xlim=sides[0], ylim=sides[1], xlabel="x₁", ylabel="x₂")
    axes.set_title(f"決定境界（正解率 {right_answers:.1%}）")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, fontsize=9)
    return axes.figure


def _color(k: int) -> str:
    return figures.COLORS[k % len(figures.COLORS)]


def _draw_two(axes: Any, xs: Any, ys: Any, p: np.ndarray, titles: list[str]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("", (_color(0), "white", _color(1)))
    levels = np.linspace(0, 1, 21)
    filled = axes.contourf(xs, ys, p[:, :, 1], levels, cmap=shades, alpha=0.7)
    axes.figure.colorbar(
        filled, ax=axes, label=f"「{titles[1]}」の確率", ticks=(0, 0.25, 0.5, 0.75, 1)
    )
    _draw_line(axes, xs, ys, p[:, :, 1] - 0.5)


def _draw_many(axes: Any, xs: Any, ys: Any, p: np.ndarray, titles: list[str]) -> None:
    from matplotlib.colors import to_rgb

    # The colours are mixed as the probabilities are: paler where the model is not sure.
    colors = 0.35 + 0.65 * np.array([to_rgb(_color(k)) for k in range(p.shape[2])])
    sides = (xs[0, 0], xs[0, -1], ys[0, 0], ys[-1, 0])
    sure = np.clip(p.max(axis=2, keepdims=True), 0, 1)
    mixed = 1 - (1 - p @ colors) * sure
    axes.imshow(
        np.clip(mixed, 0, 1), origin="lower", extent=sides, aspect="auto", interpolation="bilinear"
    )
    for k in range(p.shape[2]):
        others = np.delete(p, k, axis=2).max(axis=2)
        _draw_line(axes, xs, ys, p[:, :, k] - others)


def _draw_line(axes: Any, xs: Any, ys: Any, difference: np.ndarray) -> None:
    if difference.min() < 0 < difference.max():
        axes.contour(xs, ys, difference, levels=[0.0], colors="black", linewidths=1.2)


explain_all(globals())
