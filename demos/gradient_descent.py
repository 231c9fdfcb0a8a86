"""勾配降下法: 坂を下る向きに少しずつ動く。速さと発散は学習率で決まる。

1. f(s) = s² を s₀ = 2 から、学習率 (learning rate) α = 0.2 で下る。f′(s) = 2s なので

       s ← s − α·2s = 0.6 s          2, 1.2, 0.72, 0.432, …

2. p = wx の損失地形 (loss landscape)。データが決まれば、損失 L = ½ Σ (t − wx)² は重み w だけの
   関数で、w の 2 次関数になる。学習とは、この谷を下ることである。

3. 2 変数では、傾きは勾配 (gradient) ∇f = (∂f/∂x₁, ∂f/∂x₂) になる。f = x₁² + x₂² の勾配は
   (2x₁, 2x₂)。等高線に直交し、最も急に上る向きを指す。その逆に進むのが最急降下法。

4. f = ½x₁² + 5x₂² の勾配は (x₁, 10x₂) で、1 歩ごとに x₁ は 1 − α 倍、x₂ は 1 − 10α 倍になる。
   |1 − 10α| < 1、つまり α < 2/10 でなければ、細い谷を横切る x₂ の向きで発散する。
   ここではその境目を、式からではなく、実際に下ってみた振る舞いから二分法で探す。

    python demos/gradient_descent.py --out out
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from command import options, save

import micrograd_jp as mg
from micrograd_jp.viz import figures

Function = Callable[..., Any]
Point = tuple[float, ...]

DATA = ((1.0, 2.0), (2.0, 3.0), (3.0, 7.0))
"""(x, t) の組。p = wx をあてはめる。"""
VALLEY_START = (4.0, 1.5)
LEARNING_RATES = (0.02, 0.1, 0.19, 0.205)


def square(s: Any) -> Any:
    """f(s) = s²。"""
    return s**2


def loss_of_weight(w: Any) -> Any:
    """p = wx の損失 L(w) = ½ Σ (t − wx)²。"""
    return sum(0.5 * (t - w * x) ** 2 for x, t in DATA)


def bowl(x1: Any, x2: Any) -> Any:
    """f(x₁, x₂) = x₁² + x₂²。"""
    return x1**2 + x2**2


def valley(x1: Any, x2: Any) -> Any:
    """f(x₁, x₂) = ½x₁² + 5x₂²。x₂ の向きの曲がりは x₁ の向きの 10 倍。"""
    return 0.5 * x1**2 + 5 * x2**2


def descend(f: Function, start: Point, learning_rate: float, steps: int) -> list[Point]:
    """最急降下法 x ← x − α∇f(x)。

    Args:
        f: `Value` をいくつか受け取り、1 つの `Value` を返す関数。
        start: はじめの点。
        learning_rate: 学習率 α。
        steps: 歩数。

    Returns:
        はじめの点から順に、steps + 1 個の点。
    """
    point = [mg.Value(x) for x in start]
    path = [start]
    for _ in range(steps):
        f(*point).backward()
        for x in point:
            x.data -= learning_rate * x.grad
            x.grad = None
        path.append(tuple(x.data for x in point))
    return path


def diverges(f: Function, start: Point, learning_rate: float, steps: int = 200) -> bool:
    """下るはずの f が増えていくか。歩みの後半の、はじめと終わりの f を比べる。"""
    path = descend(f, start, learning_rate, steps)
    return bool(f(*path[-1]) > f(*path[steps // 2]))


def critical_learning_rate(f: Function, start: Point, tolerance: float = 1e-6) -> float:
    """発散する学習率の境目を、二分法 (bisection) で `tolerance` まで追いつめる。"""
    small = large = tolerance
    while not diverges(f, start, large):
        small, large = large, 2 * large
    while large - small > tolerance:
        middle = (small + large) / 2
        if diverges(f, start, middle):
            large = middle
        else:
            small = middle
    return (small + large) / 2


def gradient_field(f: Function, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """格子のすべての点での勾配を、1 度の逆伝播で求める（和の勾配は、点ごとの勾配）。"""
    points = mg.tensor(x1, requires_grad=True), mg.tensor(x2, requires_grad=True)
    f(*points).sum().backward()
    along, across = (point.grad.numpy() for point in points)
    return along, across


def draw_one_dimension(steps: int) -> Any:
    """s² を下る点と、p = wx の損失地形を転がる点の図。"""
    figure, (left, right) = figures.subplots(1, 2, size=(11, 4))
    s = np.linspace(-2.3, 2.3, 100)
    path = [point for (point,) in descend(square, (2.0,), 0.2, steps)]
    left.plot(s, square(s), color="0.5")
    figures.plot_path(left, [(x, square(x)) for x in path])
    for x in path[:4]:
        left.annotate(f"{x:g}", (x, square(x)), xytext=(8, -6), textcoords="offset points")
    left.set(xlabel="s", ylabel="f(s) = s²", title="s ← s − α·2s,  α = 0.2")

    w = np.linspace(-0.6, 4.6, 100)
    right.plot(w, loss_of_weight(w), color="0.5")
    for learning_rate, start in ((0.02, -0.4), (0.12, 4.4)):
        track = descend(loss_of_weight, (start,), learning_rate, steps)
        figures.plot_path(
            right, [(x, loss_of_weight(x)) for (x,) in track], label=f"α = {learning_rate}"
        )
    best = sum(x * t for x, t in DATA) / sum(x * x for x, _ in DATA)
    right.axvline(best, color="0.7", linestyle=":", label=f"最小 w = Σxt / Σx² = {best:.3g}")
    right.set(xlabel="重み w", ylabel="損失 L(w)", title="p = wx の損失地形 L = ½ Σ (t − wx)²")
    right.legend()
    return figure


def draw_gradient() -> Any:
    """x₁² + x₂² の勾配を、等高線の上の矢印と、曲面の上の降下で見せる図。"""
    figure = figures.new_figure((10, 4.6))
    flat = figure.add_subplot(1, 2, 1, aspect="equal")
    deep = figure.add_subplot(1, 2, 2, projection="3d")
    sides = ((-2.2, 2.2), (-2.2, 2.2))
    start, learning_rate = (1.9, 1.2), 0.1
    path = descend(bowl, start, learning_rate, 12)
    names = {"xlabel": "x₁", "ylabel": "x₂"}
    figures.plot_contours(
        flat, bowl, *sides, levels=range(10), **names, title="等高線と、勾配 ∇f = (2x₁, 2x₂)"
    )
    x1, x2 = np.meshgrid(*[np.linspace(-1.8, 1.8, 7)] * 2)
    along, across = gradient_field(bowl, x1, x2)
    tenth = {"angles": "xy", "scale_units": "xy", "scale": 10}
    flat.quiver(
        x1, x2, along, across, color=figures.COLORS[0], label="勾配 ∇f（長さは 1/10）", **tenth
    )
    line = {"color": figures.COLORS[1], "label": f"最急降下法 α = {learning_rate}"}
    figures.plot_path(flat, path, **line)
    figures.plot_surface(
        deep, bowl, *sides, **names, title="曲面 f = x₁² + x₂² と、その下の床に描いた ∇f"
    )
    floor, level = np.full_like(x1, -5.0), np.zeros_like(x1)
    # Heads of arrows would stand upright in the plane; a dot at the tail shows the direction.
    lines = {"length": 0.1, "arrow_length_ratio": 0.0, "linewidth": 1.2}
    deep.quiver(x1, x2, floor, along, across, level, color=figures.COLORS[0], **lines)
    deep.plot(x1.ravel(), x2.ravel(), floor.ravel(), "o", color=figures.COLORS[0], markersize=2)
    deep.set(zlim=(-5, 10), zticks=(0, 5, 10))
    figures.plot_path(deep, [(*point, bowl(*point) + 0.1) for point in path], **line)
    deep.set_zlabel("f")
    deep.view_init(45, -120)
    figure.legend(*flat.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def draw_learning_rates(critical: float, steps: int) -> Any:
    """½x₁² + 5x₂² を下る道すじと、発散する学習率の境目の図。"""
    figure, axes = figures.subplots(2, 2, size=(11, 5.8))
    for axis, learning_rate in zip(axes.flat, LEARNING_RATES, strict=True):
        path = descend(valley, VALLEY_START, learning_rate, steps)
        figures.plot_contours(
            axis, valley, (-5, 5), (-3, 3), levels=(0.5, 2, 5, 10, 20, 40),
            xlabel="x₁", ylabel="x₂", xlim=(-5, 5), ylim=(-3, 3),
        )  # fmt: skip
        figures.plot_path(axis, path, color=figures.COLORS[1])
        fate = "（発散する）" if learning_rate > critical else ""
        axis.set_title(f"α = {learning_rate:g}: {steps} 歩のあと f = {valley(*path[-1]):.3g}{fate}")
    figure.suptitle("f = ½x₁² + 5x₂² を下る（数は等高線の f、○ は出発点）")
    return figure


def draw_divergence(critical: float, steps: int) -> Any:
    """学習率と、決まった歩数のあとの f の図。見つけた境目を縦線で示す。"""
    figure, axes = figures.subplots(size=(7, 4))
    rates = np.linspace(0.005, 0.25, 99)
    reached = [valley(*descend(valley, VALLEY_START, rate, steps)[-1]) for rate in rates]
    figures.plot_curves(
        axes, {f"{steps} 歩のあとの f": reached}, x=rates, log=True,
        xlabel="学習率 α", ylabel="f = ½x₁² + 5x₂²", title="学習率が大きすぎると発散する",
    )  # fmt: skip
    border = {"color": figures.COLORS[1], "linestyle": "--", "label": f"境目 α = {critical:.4f}"}
    axes.axvline(critical, **border)
    axes.axhline(valley(*VALLEY_START), color="0.5", linestyle=":", label="はじめの f")
    axes.legend()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    steps = 10 if given.quick else 30
    path = [point for (point,) in descend(square, (2.0,), 0.2, 5)]
    print("f = s², α = 0.2:  s =", ", ".join(f"{s:.4g}" for s in path), "…")
    critical = critical_learning_rate(valley, VALLEY_START, 1e-3 if given.quick else 1e-6)
    print(f"½x₁² + 5x₂² は α = {critical:.6f} を超えると発散する（2/10 = 0.2）")
    save(draw_one_dimension(steps), given.out / "descent.png")
    save(draw_gradient(), given.out / "gradient.png")
    save(draw_learning_rates(critical, steps), given.out / "learning_rates.png")
    save(draw_divergence(critical, steps), given.out / "divergence.png")


if __name__ == "__main__":
    main()
