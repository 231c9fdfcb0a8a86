"""手で計算できる直線の学習: 2 点を通る直線を、勾配降下法で見つける。

データは x = 3 のとき t = 7、x = 9 のとき t = 13。直線 y = wx + b を y = 3x − 8 から始める。

1. 順伝播。y は 1 と 19 なので、二乗和誤差 (sum of squares error) は

       E = ½ Σ (t − y)² = ½ (7 − 1)² + ½ (13 − 19)² = 18 + 18 = 36

2. 逆伝播。計算グラフを右から左へたどると、∂E/∂y = y − t は −6 と +6。y = wx + b だから、

       ∂E/∂w = (−6)·3 + 6·9 = 36        ∂E/∂b = (−6) + 6 = 0

   w と b はどちらの点の計算にも使われるので、2 つの道を戻ってきた勾配が足し合わされる。

3. 更新。勾配と逆の向きに、学習率 (learning rate) α = 0.02 だけ動かす。

       w ← 3 − 0.02 · 36 = 2.28         b ← −8 − 0.02 · 0 = −8

2 と 3 を繰り返すと、2 点を通る直線 y = x + 4 に近づく。

    python demos/line_by_hand.py --out out
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from command import options, save

import micrograd_jp as mg
from micrograd_jp.viz import figures

POINTS = ((3.0, 7.0), (9.0, 13.0))
START = (3.0, -8.0)
LEARNING_RATE = 0.02
SMALL = 1e-9
"""E がこれより小さくなったら終える。"""


class Step(NamedTuple):
    """学習の 1 歩の前の直線 y = wx + b と、その誤差 E。"""

    w: float
    b: float
    error: float


def squared_error(w: mg.Value, b: mg.Value) -> mg.Value:
    """二乗和誤差 E = ½ Σ (t − y)²。計算グラフに名前をつけながら計算する。"""
    terms = []
    for i, (x, t) in enumerate(POINTS, start=1):
        y = w * x + b
        y.label = f"y{i}"
        terms.append((t - y) ** 2)
    error = 0.5 * mg.sum(terms)
    error.label = "E"
    return error


def first_graph() -> tuple[mg.Value, mg.Value, mg.Value]:
    """はじめの直線 y = 3x − 8 での E、w、b。勾配まで求めてある。"""
    w, b = (mg.Value(number, label=name) for number, name in zip(START, "wb", strict=True))
    error = squared_error(w, b)
    error.backward()
    return error, w, b


def learn(learning_rate: float = LEARNING_RATE, small: float = SMALL) -> list[Step]:
    """E が `small` より小さくなるまで、w と b を勾配と逆の向きに動かす。

    この問題では E ≥ ½ · 0.39 · (距離)²（0.39 はヘッセ行列 ((90, 12), (12, 2)) の小さい方の
    固有値）なので、E < 1e−9 なら w も b も答えから 1e−4 と離れていない。

    Returns:
        各回の w、b、E。最後が学習の終わった直線。
    """
    w, b = mg.Value(START[0]), mg.Value(START[1])
    steps = []
    while True:
        error = squared_error(w, b)
        steps.append(Step(w.data, b.data, error.data))
        if error.data < small:
            return steps
        w.grad = b.grad = None
        error.backward()
        w.data -= learning_rate * w.grad
        b.data -= learning_rate * b.grad


def _equation(step: Step) -> str:
    return f"y = {step.w:.2f}x {'+' if step.b >= 0 else '−'} {abs(step.b):.2f}"


def _draw_line(axes: Any, step: Step, **line: Any) -> Any:
    ends = (0.0, 12.0)
    return axes.plot(ends, [step.w * x + step.b for x in ends], **line)[0]


def _draw_points(axes: Any) -> None:
    axes.plot(*zip(*POINTS, strict=True), "o", color="black", markersize=8, zorder=3)
    axes.set(xlabel="x", ylabel="y", xlim=(0, 12), ylim=(-10, 30))
    axes.grid(alpha=0.3)


def draw_learning(steps: list[Step]) -> Any:
    """動いていく直線と、回ごとの w、b、E の図。"""
    figure, (left, middle, right) = figures.subplots(1, 3, size=(13, 3.8))
    _draw_points(left)
    last = len(steps) - 1
    for color, k in zip(figures.COLORS[1:], (0, 1, 30, 100, 300), strict=False):
        if k < last:
            line = {"color": color, "linestyle": "--", "label": f"{k} 回: {_equation(steps[k])}"}
            _draw_line(left, steps[k], **line)
    final = {"color": figures.COLORS[0], "linewidth": 2.5}
    _draw_line(left, steps[-1], **final, label=f"{last} 回: {_equation(steps[-1])}")
    left.set_title("直線が 2 点に近づく")
    left.legend(fontsize=8)
    count = "更新の回数"
    figures.plot_curves(
        middle, {"w": [s.w for s in steps], "b": [s.b for s in steps]}, xscale="symlog",
        xlabel=f"{count}（対数目盛り）", title="w は 1 へ、b は 4 へ",
    )  # fmt: skip
    errors = [s.error for s in steps]
    figures.plot_curves(
        right, {"E": errors}, log=True, xlabel=count, ylabel="誤差 E", title="E = ½ Σ (t − y)²"
    )
    return figure


def animate(steps: list[Step], path: Path, frames: int = 30) -> None:
    """直線の動きを GIF にする。1 コマごとの更新の回数は、はじめは 1 回、だんだん増える。"""
    from matplotlib.animation import FuncAnimation, PillowWriter

    last = len(steps) - 1
    chosen = sorted({round((last + 1) ** (k / frames)) - 1 for k in range(frames + 1)})
    figure, axes = figures.subplots(size=(4, 3))
    figure.set_dpi(80)
    _draw_points(axes)
    line = _draw_line(axes, steps[0], color=figures.COLORS[0], linewidth=2)

    def show(k: int) -> None:
        step = steps[k]
        line.set_ydata([step.w * x + step.b for x in line.get_xdata()])
        axes.set_title(f"{k} 回: {_equation(step)}   E = {step.error:.2g}")

    FuncAnimation(figure, show, frames=chosen).save(path, writer=PillowWriter(fps=6))


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    error, w, b = first_graph()
    print(f"y = 3x − 8:  E = {error.data:g},  ∂E/∂w = {w.grad:g},  ∂E/∂b = {b.grad:g}")
    steps = learn(small=1e-2 if given.quick else SMALL)
    for k in (0, 1, 2, 3, len(steps) - 1):
        print(f"{k:5d} 回:  w = {steps[k].w:.5f}  b = {steps[k].b:.5f}  E = {steps[k].error:.3g}")
    save(mg.draw(error, style="textbook"), given.out / "line_by_hand_graph.svg")
    save(draw_learning(steps), given.out / "line_by_hand.png")
    animate(steps, given.out / "line_by_hand.gif", frames=3 if given.quick else 30)
    print(f"{given.out / 'line_by_hand.gif'} に書きました")


if __name__ == "__main__":
    main()
