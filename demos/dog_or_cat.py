"""犬か猫か: 画像を数の並びとみて、関数 f_Θ: ℝⁿ → ℝ に学習させる。

1. パラメータをもつモデル (parametric model)。32×32 の画像を 1 列に並べると n = 1024 個の数 x に
   なる。Θ = (w, b) をパラメータ (parameter) として

       f_Θ(x) = w·x + b          正なら犬、負なら猫と答える

   Θ を 1 つ決めるごとに、関数が 1 つ決まる。学習とは、よい Θ を選ぶことである。

2. データ。画像 x と正解 t（犬は +1、猫は −1）の組を集める。ここでは、垂れた耳と鼻づらのある犬と、
   とがった耳とひげのある猫を、位置・大きさ・傾き・明るさを変えながら、このプログラムが描く。

3. 損失 (loss)。f_Θ(x) の符号が t と合い、しかも大きいほど小さくなる量を、データ全体で平均する。

       L(Θ) = (1/N) Σ log(1 + e^(−t f_Θ(x)))

   これは、犬である確率を σ(f_Θ(x))（σ はシグモイド）とみたときの交差エントロピー誤差である。

4. 降下 (descent)。L の勾配と逆の向きに Θ を少しずつ動かす。Θ ← Θ − α ∇L(Θ)

最後に、学習に使わなかった評価データ (test data) で確かめる。w も画像として見ることができ、
どの画素が明るいと犬らしく、どの画素が明るいと猫らしいのかが分かる。

    python demos/dog_or_cat.py --out out
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from command import options, save

import micrograd_jp as mg
from micrograd_jp.viz import figures

SIZE = 32
LEARNING_RATE = 0.02
DOG, CAT = 1.0, -1.0
NAMES = {DOG: "犬", CAT: "猫"}


# ---- 2. データ: 顔を描く ------------------------------------------------------------------------


class Canvas:
    """顔を 1 つ描く画用紙。座標は、顔の中心が (0, 0)、下が +y で、画面はおよそ −1〜1。"""

    def __init__(self, rng: np.random.Generator) -> None:
        side = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
        x, y = np.meshgrid(side, side)
        scale = rng.uniform(0.8, 1.05)
        angle = np.deg2rad(rng.uniform(-12, 12))
        x, y = (x - rng.uniform(-0.12, 0.12)) / scale, (y - rng.uniform(-0.12, 0.12)) / scale
        self.x = np.cos(angle) * x + np.sin(angle) * y
        self.y = np.cos(angle) * y - np.sin(angle) * x
        self.image = np.full((SIZE, SIZE), rng.uniform(0.7, 1.0))

    def _paint(self, distance: np.ndarray, shade: float) -> None:
        """Colour where the signed distance to an outline is negative, with soft edges."""
        covered = np.clip(0.5 - distance * SIZE / 2, 0, 1)
        self.image += covered * (shade - self.image)

    def ellipse(self, x: float, y: float, a: float, b: float, shade: float) -> None:
        """中心 (x, y)、半径 a, b の楕円。"""
        radius = np.hypot((self.x - x) / a, (self.y - y) / b)
        self._paint((radius - 1) * min(a, b), shade)

    def triangle(self, corners: Sequence[tuple[float, float]], shade: float) -> None:
        """3 つの頂点（画面で時計回り）をもつ三角形。"""
        distance = np.full_like(self.x, -np.inf)
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            dx, dy = x1 - x0, y1 - y0
            outside = (dy * (self.x - x0) - dx * (self.y - y0)) / np.hypot(dx, dy)
            distance = np.maximum(distance, outside)
        self._paint(distance, shade)

    def line(self, start: tuple[float, float], end: tuple[float, float], shade: float) -> None:
        """細い線分。"""
        (x0, y0), (dx, dy) = start, np.subtract(end, start)
        along = np.clip(((self.x - x0) * dx + (self.y - y0) * dy) / (dx**2 + dy**2), 0, 1)
        distance = np.hypot(self.x - x0 - along * dx, self.y - y0 - along * dy)
        self._paint(distance - 0.02, shade)


def draw_face(kind: float, rng: np.random.Generator) -> np.ndarray:
    """犬か猫の顔を 1 つ描く。形は (32, 32)、0 が黒、1 が白。"""
    canvas = Canvas(rng)
    fur, dark = rng.uniform(0.35, 0.65), rng.uniform(0.0, 0.15)
    width, height = rng.uniform(0.48, 0.58), rng.uniform(0.44, 0.54)
    tall = rng.uniform(0.8, 1.2)
    for side in (-1, 1):
        if kind == CAT:
            ear = [(0.12, -0.3), (0.42, -0.45 - 0.42 * tall), (0.55, -0.1)]
            corners = [(side * x, y) for x, y in ear]
            canvas.triangle(corners if side > 0 else corners[::-1], fur)
        else:
            canvas.ellipse(side * 0.56, -0.02, 0.17, 0.42 * tall, fur - 0.15)
    canvas.ellipse(0, 0, width, height, fur)
    eye = (0.06, 0.09) if kind == CAT else (0.07, 0.07)
    for side in (-1, 1):
        canvas.ellipse(side * 0.22, -0.12, *eye, dark)
    if kind == CAT:
        canvas.triangle([(-0.07, 0.1), (0.07, 0.1), (0.0, 0.19)], dark)
        for side in (-1, 1):
            for slope in (-0.12, 0.0, 0.12):
                canvas.line((side * 0.16, 0.2 + slope / 3), (side * 0.72, 0.18 + slope), dark)
    else:
        canvas.ellipse(0, 0.24, 0.26, 0.2, min(fur + 0.25, 1.0))
        canvas.ellipse(0, 0.15, 0.12, 0.08, dark)
        canvas.line((0, 0.2), (0, 0.36), dark)
    return np.clip(canvas.image + 0.06 * rng.standard_normal((SIZE, SIZE)), 0, 1)


class Data(NamedTuple):
    """画像 x (枚数, 1024) と正解 t (枚数,)。"""

    x: np.ndarray
    t: np.ndarray


def faces(count: int, seed: int) -> Data:
    """犬と猫を半分ずつ、`count` 枚描く。画素は 0 を中心に −0.5〜0.5 にする。"""
    rng = np.random.default_rng(seed)
    t = np.where(np.arange(count) % 2, DOG, CAT)
    return Data(np.stack([draw_face(kind, rng).ravel() - 0.5 for kind in t]), t)


# ---- 1. モデル、3. 損失、4. 降下 ----------------------------------------------------------------


class Classifier(mg.nn.Module):
    """f_Θ(x) = w·x + b。パラメータは Θ = (w, b)。"""

    def __init__(self) -> None:
        self.w = mg.nn.Parameter(np.zeros(SIZE * SIZE))
        self.b = mg.nn.Parameter(0.0)

    def forward(self, x: Any) -> mg.Tensor:
        """犬らしさ。x は (枚数, 1024) か (1024,)。"""
        return x @ self.w + self.b


def loss_of(model: Classifier, data: Data) -> mg.Tensor:
    """L(Θ) = (1/N) Σ log(1 + e^(−t f_Θ(x)))。"""
    return mg.softplus(-data.t * model(data.x)).mean()


def accuracy(model: Classifier, data: Data) -> float:
    """符号が正解と合う割合。"""
    with mg.no_grad():
        return float((np.sign(model(data.x).numpy()) == data.t).mean())


class History(NamedTuple):
    """更新ごとの、訓練データと評価データの損失。"""

    training: list[float]
    test: list[float]


def learn(model: Classifier, training: Data, test: Data, steps: int) -> History:
    """バッチ法の最急降下法で、`model` の Θ を `steps` 回動かす。"""
    optimizer = mg.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    history = History([], [])
    for _ in range(steps):
        loss = loss_of(model, training)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # Θ ← Θ − α ∇L(Θ)
        history.training.append(loss.item())
        with mg.no_grad():
            history.test.append(loss_of(model, test).item())
    return history


# ---- 図 --------------------------------------------------------------------------------------


def draw(model: Classifier, history: History, training: Data, test: Data) -> Any:
    """描いた顔、重み、損失、評価データへの答えの図。"""
    with mg.no_grad():
        f = model(test.x).numpy()
    correct = np.sign(f) == test.t
    wrong, right = np.flatnonzero(~correct), np.flatnonzero(correct)
    shown = [*right[:8], *wrong[:4], *right[8:]][:12]

    figure = figures.new_figure((12.5, 5.6))
    rows = figure.add_gridspec(3, 1, height_ratios=(1, 2, 1))
    samples, answers = (
        [figure.add_subplot(cell) for cell in rows[k].subgridspec(1, 12)] for k in (0, 2)
    )
    weights, curve, counts = (
        figure.add_subplot(cell) for cell in rows[1].subgridspec(1, 3, width_ratios=(1.2, 2, 2))
    )
    pixels = {"cmap": "gray", "vmin": -0.5, "vmax": 0.5}
    figures.show_images(samples, [_square(x) for x in training.x[:12]], **pixels)
    titles = [f"{NAMES[np.sign(f[i])]} {'◯' if correct[i] else '×'}" for i in shown]
    figures.show_images(answers, [_square(test.x[i]) for i in shown], titles, **pixels)
    samples[0].set_ylabel("訓練データ")
    answers[0].set_ylabel("答え")

    figures.show_images([weights], [_square(model.w.data)], signed=True, bar="")
    weights.set_title("重み w（橙: 明るいと犬、紫: 明るいと猫）", fontsize=9)
    figures.plot_curves(
        curve, {"訓練データ": history.training, "評価データ": history.test},
        xlabel="更新の回数", ylabel="損失 $L(Θ)$",
    )  # fmt: skip
    bins = np.linspace(f.min(), f.max(), 25)
    for kind, color, hatch in ((CAT, figures.COLORS[1], ""), (DOG, figures.COLORS[0], "///")):
        counts.hist(f[test.t == kind], bins, label=NAMES[kind], color=color, hatch=hatch, alpha=0.6)
    counts.axvline(0, color="black", linestyle=":")
    counts.set(xlabel="$f_Θ(x)$", ylabel="評価データの枚数", title=f"正解率 {correct.mean():.1%}")
    counts.legend()
    return figure


def _square(x: np.ndarray) -> np.ndarray:
    return x.reshape(SIZE, SIZE)


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    count, steps = (100, 30) if given.quick else (1000, 400)
    training, test = faces(count, seed=1), faces(count // 2, seed=2)
    model = Classifier()
    history = learn(model, training, test, steps)
    print(f"n = {SIZE * SIZE}, 訓練データ {count} 枚, 評価データ {count // 2} 枚")
    print(f"損失 {history.training[0]:.3f} → {history.training[-1]:.3f}")
    print(f"正解率: 訓練 {accuracy(model, training):.1%}, 評価 {accuracy(model, test):.1%}")
    save(draw(model, history, training, test), given.out / "dog_or_cat.png")


if __name__ == "__main__":
    main()
