"""モデルの答えを見る: 混同行列 (confusion matrix)、読み間違えた画像、1 層の重みの型紙。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.nn.module.calling import array_of
from micrograd_jp.viz import figures
from micrograd_jp.viz.samples import class_names, probabilities_of, require_classes, samples_of

_COLUMNS = 8


def confusion_matrix(
    model: Any, data: Any, *, names: Sequence[str] | None = None, axes: Any = None
) -> Any:
    """混同行列: 正解が i の見本のうち、j と答えたものの数。対角線が正しい答え。

    色は、正解ごと（行ごと）の割合。数は見本の数。

    Args:
        model: x (N, …) から、ロジット (N,)、(N, 1)、(N, K) を作る `Module` か関数。または、
            既に求めた確率の配列 (N, K)。
        data: データセットか、組 (x, t)。t は (N,) のクラスの番号 0, 1, … か ±1。
        names: クラスの名前。省略すると番号。
        axes: 描く軸。省略すると、新しい図。

    Returns:
        matplotlib の図。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
        TypeError: 使えないモデルかデータ。
        ValueError: 出力の形かクラスの数が合わない。
    """
    x, t = samples_of(data)
    p = probabilities_of(model, x)
    require_classes(p, t)
    count = p.shape[1]
    titles = class_names(names, count)
    counts = np.zeros((count, count), dtype=int)
    np.add.at(counts, (t, p.argmax(axis=1)), 1)
    if axes is None:
        side = 2.2 + 0.42 * count
        _, axes = figures.subplots(size=(side + 0.8, side))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(counts):
        if n:
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{n:,}", ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(count), labels=titles[:count])
    axes.set_yticks(range(count), labels=titles[:count])
    axes.set(xlabel="モデルの答え", ylabel="正解")
    axes.set_title(f"混同行列（正解率 {np.trace(counts) / len(t):.2%}）")
    axes.figure.colorbar(image, ax=axes, label="正解ごとの割合", shrink=0.8)
    return axes.figure


def misread(
    model: Any, data: Any, *, most: int | None = 24, names: Sequence[str] | None = None
) -> Any:
    """読み間違えた画像を、自信のある間違いから順に並べた図。

    Args:
        model: ロジット (N, K) を作る `Module` か関数。または、既に求めた確率の配列 (N, K)。
        data: データセットか、組 (x, t)。1 つの見本は、白黒の画像 (H, W)、(1, H, W)、または
            正方形の画像をほどいた (H·H,)。値は 0 が白、1 が黒。
        most: 並べる枚数の上限。`None` なら、すべて。
        names: クラスの名前。省略すると番号。

    Returns:
        matplotlib の図。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
        TypeError: 使えないモデルかデータ。
        ValueError: 画像でない、出力の形かクラスの数が合わない。
    """
    x, t = samples_of(data)
    if most is not None:
        require_count("most", most)
    p = probabilities_of(model, x)
    require_classes(p, t)
    titles = class_names(names, p.shape[1])
    answers = p.argmax(axis=1)
    wrong = np.flatnonzero(answers != t)
    chosen = wrong[p[wrong].max(axis=1).argsort()[::-1]][:most]
    images = [picture_of(x[i]) for i in chosen] or [picture_of(x[0])]
    # One axis for all: an axis for each of a hundred images would take longer than reading them.
    high, wide = images[0].shape
    rows = max(1, -(-len(chosen) // _COLUMNS))
    across, down = wide + 0.25 * max(high, wide), high + 0.4 * max(high, wide)
    figure, axes = figures.subplots(size=(11, 0.5 + 1.5 * rows * down / across / 1.12))
    for place, i in enumerate(chosen):
        row, column = divmod(place, _COLUMNS)
        left, top = column * across, row * down
        axes.imshow(
            images[place], cmap="gray_r", vmin=0, vmax=1,
            extent=(left, left + wide, top + high, top),
        )  # fmt: skip
        title = f"{titles[t[i]]} → {titles[answers[i]]} ({p[i].max():.1%})"
        axes.text(left + wide / 2, top - 0.06 * high, title, ha="center", fontsize=9)
    axes.set(
        xlim=(-1, _COLUMNS * across - 0.25 * wide + 1),
        ylim=(rows * down - 0.4 * high + 1, -0.3 * high),
    )
    axes.set_axis_off()
    figure.suptitle(
        f"読み間違い (misread): {len(t):,} 枚のうち {len(wrong):,} 枚。"
        "自信のあるものから、正解 → 答え（確率）"
    )
    return figure


def picture_of(sample: np.ndarray) -> np.ndarray:
    """1 つの見本か重みを、画像 (H, W) にする。

    Raises:
        ValueError: 画像の形でない。
    """
    if sample.ndim == 3 and sample.shape[0] == 1:
        sample = sample[0]
    side = round(sample.size**0.5)
    if sample.ndim == 1 and side * side == sample.size:
        sample = sample.reshape(side, side)
    if sample.ndim != 2:
        raise ValueError(
            "白黒の画像 (H, W)、(1, H, W)、または正方形をほどいた (H·H,) を描きます "
            f"(not an image): 形 {sample.shape} です。"
        )
    return sample


def templates(
    weight: Any, *, shape: tuple[int, int] | None = None, names: Sequence[str] | None = None
) -> Any:
    """全結合層や畳み込みの層の重みを、出力ごとに 1 枚の画像（型紙）にした図。0 が白。

    1 層のネットワーク p = Wx + b では、W の k 行めと画像の内積が、クラス k の得点になる。

    Args:
        weight: 重み (出力の数, 入力の数) か (出力の数, 1, H, W)。`Linear` か `Conv2d` の層、
            それだけでできた `Sequential` でもよい。
        shape: 画像の (高さ, 幅)。省略すると正方形。
        names: 出力の名前。省略すると番号。

    Returns:
        matplotlib の図。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
        TypeError: 重みのある層でない。
        ValueError: 画像の形にならない。
    """
    found = [weight] if hasattr(weight, "weight") else []
    if hasattr(weight, "modules") and not found:
        found = [layer for layer in weight.modules() if getattr(layer, "weight", None) is not None]
        if len(found) != 1:
            raise TypeError(
                "重みのある層 1 つを渡してください (expected one layer): "
                f"{type(weight).__name__} には {len(found)} 個あります。"
                "model[0] のように選んでください。"
            )
    W = array_of(found[0].weight if found else weight)
    if W.ndim < 2 or W.dtype.kind not in "fiu":
        raise ValueError(
            "重みの形は (出力の数, 入力の数) か (出力の数, 1, H, W) です (not a weight): "
            f"形 {W.shape} です。"
        )
    if shape is not None:
        if np.prod(shape) != W[0].size:
            raise ValueError(
                f"重み {W[0].size} 個は、{shape[0]}×{shape[1]} の画像になりません (wrong shape)。"
            )
        W = W.reshape(len(W), *shape)
    columns = min(len(W), 5 if len(W) <= 10 else _COLUMNS)
    rows = -(-len(W) // columns)
    figure, axes = figures.subplots(
        rows, columns, size=(1.6 * columns + 1, 1.9 * rows), squeeze=False
    )
    titles = class_names(names, len(W))
    figures.show_images(axes.flat, [picture_of(w) for w in W], titles, signed=True, bar="重み")
    return figure


explain_all(globals())
