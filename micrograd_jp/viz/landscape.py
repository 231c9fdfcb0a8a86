"""損失地形 (loss landscape): 関数か、重みを 1 つか 2 つの向きに動かしたときの損失。"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.nn.module.calling import array_of, number_of, stepper
from micrograd_jp.nn.module.evaluating import evaluating
from micrograd_jp.tensor.array import tensor
from micrograd_jp.viz import figures
from micrograd_jp.viz.samples import samples_of

KINDS = ("curve", "contour", "surface")
_POINTS = {"curve": 201, "contour": 61, "surface": 31}
Range = tuple[float, float]


def loss_landscape(
    f: Any,
    x: Range | None = None,
    y: Range | None = None,
    *,
    kind: str = "contour",
    path: Sequence[Any] | None = None,
    n: int | None = None,
    seed: int = 0,
    axes: Any = None,
) -> Any:
    """損失地形を、曲線 (1 次元)、等高線、曲面で描く。降下の道すじも重ねられる。

    2 つの使い方がある。

    - `f` が関数: `f(w)`（`kind="curve"`）か `f(w1, w2)` の値を描く。数の代わりに `Value` や
      ndarray を渡されてもよい式で書く。
    - `f` が組 `(model, loss, data)`: いまの重み θ から θ + x d₁ + y d₂ へ動かしたときの、データの
      損失。向き d は、出力ごとに重みと同じ大きさにそろえた乱数 (filter normalization; Li et al.
      2018)。`path` があれば、その主成分 (PCA)。バイアスなど 1 次元のパラメータは、乱数の向きでは
      動かさない。終わると重みは元に戻る。

    Args:
        f: 関数、または組 (model, loss, data)。loss は `loss(y, t)`、data はデータセットか (x, t)。
        x: 横の範囲 (最小, 最大)。省略すると (−1, 1)、`path` があればそれを含む範囲。
        y: 縦（曲面では奥行き）の範囲。`kind="curve"` では使わない。
        kind: `"curve"`、`"contour"`、`"surface"`。
        path: 道すじ。関数なら点の並び（`kind="curve"` では数の並び）、モデルなら重みの並び: どの
            要素も `[p.detach().clone() for p in model.parameters()]` の形。
        n: 1 辺の点の数。省略すると、曲線 201、等高線 61、曲面 31。
        seed: 乱数の向きの種。
        axes: 描く軸（曲面なら 3 次元の軸）。省略すると、新しい図。

    Returns:
        matplotlib の図。

    Raises:
        ImportError: matplotlib か matplotlib_fontja がない。
        TypeError: 関数でもモデルの組でもない。
        ValueError: 知らない `kind`、範囲や道すじの形が合わない。
    """
    if kind not in KINDS:
        raise ValueError(
            f"kind は {', '.join(map(repr, KINDS))} のどれかです (unknown kind): {kind!r}。"
        )
    flat = kind == "curve"
    dimensions = 1 if flat else 2
    names = ("w",) if flat else ("w₁", "w₂")
    if isinstance(f, tuple) and len(f) == 3:
        model, loss, data = f
        weights = _Weights(model, loss, data)
        weights.turn(dimensions, path, seed)
        points = None if path is None else weights.coordinates(path)
        value: Callable[..., Any] = weights.loss
        names = ("d₁",) if flat else ("d₁", "d₂")
        title = "損失地形（0 が今の重み）"
    elif callable(f):
        value, title = _on_arrays(f), "損失地形 (loss landscape)"
        points = None if path is None else _points(path, dimensions)
    else:
        raise TypeError(
            "f は関数か、組 (model, loss, data) です (expected a function or a tuple): "
            f"{type(f).__name__} が渡されました。"
        )
    ranges = [_range(given, points, i) for i, given in enumerate((x, y)[:dimensions])]
    if axes is None:
        figure = figures.new_figure((6.0, 4.6))
        axes = figure.add_subplot(projection="3d" if kind == "surface" else None)
    grids = np.meshgrid(*(np.linspace(*side, n or _POINTS[kind]) for side in ranges))
    heights = value(*grids)
    labels = dict(zip(("xlabel", "ylabel"), names, strict=False)) | {"title": title}
    if flat:
        axes.plot(grids[0], heights, color="0.5", linestyle="-")
        axes.set(**labels, ylabel="損失")
        axes.grid(alpha=0.3)
    elif kind == "contour":
        levels = _levels(heights)
        filled = axes.contourf(*grids, heights, levels=levels, cmap="Greys_r", alpha=0.6)
        axes.contour(*grids, heights, levels=levels, colors="0.35", linewidths=0.6)
        axes.figure.colorbar(filled, ax=axes, label="損失", format="%.3g")
        axes.set(**labels)
    else:
        axes.plot_surface(
            *grids, heights, cmap="Blues_r", alpha=0.7, linewidth=0.3, edgecolor="0.5"
        )
        axes.set(**labels, zlabel="損失")
        axes.locator_params(nbins=5)
    if points is not None:
        lifted = points if kind == "contour" else np.column_stack([points, value(*points.T)])
        figures.plot_path(
            axes, lifted, color=figures.COLORS[1], linestyle="-", label="道すじ（○ から）"
        )
        axes.legend()
    return axes.figure


def _levels(heights: np.ndarray) -> np.ndarray:
    """Heights of lines: denser near the bottom, where the descent ends; infinite ones left out."""
    finite = heights[np.isfinite(heights)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if not high > low:
        high = low + 1.0
    return np.asarray(low + (high - low) * np.linspace(0, 1, 16) ** 2)


def _range(given: Range | None, points: np.ndarray | None, i: int) -> Range:
    if given is None and points is not None:
        low, high = float(points[:, i].min()), float(points[:, i].max())
        margin = 0.2 * (high - low) or 1.0
        return low - margin, high + margin
    low, high = given or (-1.0, 1.0)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"範囲は (最小, 最大) です (expected (low, high)): {given!r}。")
    return low, high


def _points(path: Any, dimensions: int) -> np.ndarray:
    points = np.array([np.reshape(array_of(point), -1) for point in path], dtype=float)
    if points.ndim != 2 or points.shape[1] != dimensions or len(points) == 0:
        raise ValueError(
            f"path は {dimensions} 個の数でできた点の並びです "
            f"(expected {dimensions}-D points): 形 {points.shape} が渡されました。"
        )
    return points


def _on_arrays(f: Callable[..., Any]) -> Callable[..., Any]:
    """f on arrays of numbers: at once where f can, else one number at a time."""

    def value(*grids: np.ndarray) -> np.ndarray:
        try:
            found = np.asarray(array_of(f(*grids)), dtype=float)
            if found.shape == grids[0].shape:
                return found
        except (TypeError, ValueError, AttributeError):  # written for single numbers
            pass
        with no_grad():
            flat = [float(array_of(f(*map(Value, at)))) for at in zip(*(g.ravel() for g in grids))]
        return np.reshape(flat, grids[0].shape)

    return value


class _Weights:
    """The loss of a model as a function of steps along one or two directions."""

    def __init__(self, model: Any, loss: Any, data: Any) -> None:
        if not hasattr(model, "parameters"):
            raise TypeError(
                "組は (model, loss, data) で、model は Module です (expected a Module): "
                f"{type(model).__name__} が渡されました。"
            )
        self.model, self.step = model, stepper(model, loss)
        self.parameters = list(model.parameters())
        if not self.parameters:
            raise ValueError("モデルにパラメータがありません (no parameters)。")
        x, t = samples_of(data)
        self.batch = tensor(x), tensor(t)
        self.start = [np.array(p._data, copy=True) for p in self.parameters]
        self.directions: list[np.ndarray] = []

    def turn(self, dimensions: int, path: Any, seed: int) -> None:
        """Choose the directions: those of the path, or random ones."""
        if path is None:
            rng = np.random.default_rng(seed)
            # Biases stay, as in the paper; unless the model has nothing else.
            still = 1 if any(w.ndim > 1 for w in self.start) else -1
            self.directions = [
                np.concatenate([_like(rng, w).ravel() * (w.ndim != still) for w in self.start])
                for _ in range(dimensions)
            ]
            return
        moved = self._flat(path) - np.concatenate([w.ravel() for w in self.start])
        if len(moved) < dimensions:
            raise ValueError(f"path には {dimensions} つ以上の重みが要ります (too short)。")
        *_, axes = np.linalg.svd(moved, full_matrices=False)
        self.directions = list(axes[:dimensions])

    def coordinates(self, path: Any) -> np.ndarray:
        """Where the weights of the path are in the plane of the directions."""
        moved = self._flat(path) - np.concatenate([w.ravel() for w in self.start])
        return np.asarray(moved @ np.stack(self.directions, 1))

    def _flat(self, path: Any) -> np.ndarray:
        rows = [[np.asarray(array_of(w)) for w in weights] for weights in path]
        shapes = [w.shape for w in self.start]
        if not rows or any([w.shape for w in row] != shapes for row in rows):
            raise ValueError(
                "path の要素は、どれも [p.detach().clone() for p in model.parameters()] です "
                "(expected the weights of the model): 個数か形が違います。"
            )
        return np.stack([np.concatenate([w.ravel() for w in row]) for row in rows]).astype(float)

    def loss(self, *steps: np.ndarray) -> np.ndarray:
        """The losses after these steps along the directions; afterwards the weights are back."""
        found = []
        ends = np.cumsum([w.size for w in self.start])[:-1]
        originals = [p._data for p in self.parameters]
        try:
            with evaluating(self.model), no_grad():
                for at in zip(*(s.ravel() for s in steps), strict=True):
                    moved = sum(a * d for a, d in zip(at, self.directions, strict=True))
                    for p, w, change in zip(
                        self.parameters, self.start, np.split(np.asarray(moved), ends), strict=True
                    ):
                        new = w + change.reshape(w.shape)
                        p.data = float(new) if isinstance(p, Value) else new.astype(w.dtype)
                    found.append(number_of(self.step(self.batch)))
        finally:
            for p, data in zip(self.parameters, originals, strict=True):
                p.data = data
        return np.reshape(found, steps[0].shape)


def _like(rng: np.random.Generator, w: np.ndarray) -> np.ndarray:
    """A random direction whose every row is as long as that of the weights."""
    d = rng.standard_normal(w.shape)
    rows = tuple(range(1, w.ndim))
    lengths = np.sqrt((w**2).sum(rows, keepdims=True) / (d**2).sum(rows, keepdims=True))
    return np.asarray(d * lengths)


explain_all(globals())
