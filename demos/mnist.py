"""MNIST の手書き数字を読む: 1 層、3 層、そしてミニバッチ。

28×28 の画素 x ∈ ℝ⁷⁸⁴ から、10 個の得点 (logits) を計算し、最も大きな数字を答えとする。

1. **1 層**: p = Wx + b。1 つの数字につき 1 枚の「型紙」(W の 1 行) を持ち、画像との内積を得点に
   する。型紙は 1 枚だけなので、傾いた 1 とまっすぐな 1 を両方よく読むことはできない。
2. **3 層**: p = W₃ relu(W₂ relu(W₁x + b₁) + b₂) + b₃。途中の層が、組み合わせて使える部品を学ぶ。

どちらも最も単純な方法、訓練画像すべての損失の勾配を逆に 1 歩ずつ進む勾配降下法（バッチ法,
full-batch gradient descent）で学習する。1 歩ごとに 55,000 枚すべてを計算する。

       w ← w − α ∂L/∂w        L は交差エントロピー誤差 (cross entropy) の平均

3. **ミニバッチ**: 128 枚の平均の勾配は、55,000 枚の平均のよい近似になる。同じ計算量で 430 歩
   進めるので、ずっと速く、ずっと遠くまで行ける。最適化手法 Adam (Kingma & Ba 2015) と、
   過学習を防ぐドロップアウト (Srivastava et al. 2014) を使う。

設定は、訓練データから分けた開発データ 5,000 枚を見て決めた。評価データ 10,000 枚は、最後に
1 度だけ使う。

    python demos/mnist.py --out out
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from command import options, save
from digit_data import (
    Digits,
    accuracy,
    load,
    log_scale,
    network,
    probabilities,
)

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader
from micrograd_jp.viz import figures

SEED = 0
LEARNING_RATE = 0.5
UPDATES = 300
MEASURED_EVERY = 10
HIDDEN = (100, 50)

MINI_BATCH = 128
EPOCHS = 15
MINI_HIDDEN = (400, 200)
MINI_LEARNING_RATE = 1e-3
DROPOUT = 0.2


class Run(NamedTuple):
    """1 つの学習の記録。曲線の各点は、`updates` 回の更新のあと。"""

    name: str
    model: nn.Module
    batch_size: int
    updates: list[int]
    seconds: list[float]
    losses: list[float]  # of the training images, or the mean of an epoch's mini-batches
    accuracies: list[float]  # of the development images
    test: float


def full_batch(name: str, model: nn.Module, data: Digits, updates: int) -> Run:
    """バッチ法の勾配降下法。すべての訓練画像の損失の勾配で、1 歩ずつ進む。"""
    x, t = data.training[:]
    run = Run(name, model, len(x), [], [], [], [], 0.0)
    started = time.perf_counter()
    for update in range(1, updates + 1):
        loss = mg.cross_entropy(model(x), t)
        model.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            parameter.data -= LEARNING_RATE * parameter.grad.data
        if update == 1 or update % MEASURED_EVERY == 0:
            _measure(run, update, loss.item(), data, started)
    return run._replace(test=accuracy(model, data.test))


def mini_batch(name: str, model: nn.Module, data: Digits, epochs: int) -> Run:
    """ミニバッチ法。Adam で、学習率はコサインの形で 0 まで下げる。"""
    loader = DataLoader(data.training, MINI_BATCH, shuffle=True, seed=SEED)
    optimizer = optim.Adam(model.parameters(), lr=MINI_LEARNING_RATE)
    history = mg.fit(
        model, loader, mg.cross_entropy, optimizer, epochs,
        development=data.development, schedule="update",
        scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader)),
    )  # fmt: skip
    names = ("updates", "seconds", "loss", "metric")
    curves: list[Any] = [history.column(column) for column in names]
    return Run(name, model, MINI_BATCH, *curves, test=accuracy(model, data.test))


def _measure(run: Run, update: int, loss: float, data: Digits, started: float) -> None:
    run.updates.append(update)
    run.losses.append(loss)
    run.accuracies.append(accuracy(run.model, data.development))
    run.seconds.append(time.perf_counter() - started)


def learn(data: Digits, updates: int = UPDATES, epochs: int = EPOCHS) -> tuple[Run, Run, Run]:
    """3 つの学習。バッチ法の 1 層と 3 層、ミニバッチ法の 3 層。"""
    mg.manual_seed(SEED)
    n = data.pixels
    one, three = network(n, 10), network(n, *HIDDEN, 10)
    # One layer has a single minimum, wherever it starts; from 0 no noise stays in its templates.
    nn.init.zeros_(one[0].weight)
    larger = network(n, *MINI_HIDDEN, 10, dropout=DROPOUT)
    return (
        full_batch("1 層・バッチ法", one, data, updates),
        full_batch("3 層・バッチ法", three, data, updates),
        mini_batch("3 層・ミニバッチ法", larger, data, epochs),
    )


# ---- 図 -------------------------------------------------------------------------------------


def draw_curves(runs: Sequence[Run]) -> Any:
    """バッチ法の 1 層と 3 層の学習曲線と、3 つの誤り率を計算の量で比べた図。"""
    one, three, _ = runs
    figure, (left, middle, right) = figures.subplots(1, 3, size=(13, 4))
    by_update = {"x": one.updates, "xlabel": "更新の回数（バッチ法）"}
    figures.plot_curves(
        left, {run.name: run.losses for run in (one, three)},
        ylabel="交差エントロピー誤差", title="訓練データの損失", **by_update,
    )  # fmt: skip
    log_scale(left, (0.1, 0.2, 0.5, 1, 2))
    figures.plot_curves(
        middle, {run.name: [100 * a for a in run.accuracies] for run in (one, three)},
        ylabel="正解率 [%]", title="開発データの正解率", ylim=(60, 100), **by_update,
    )  # fmt: skip
    for run, color, style in zip(runs, figures.COLORS, figures.LINE_STYLES, strict=False):
        errors = [100 * (1 - a) for a in run.accuracies]
        label = f"{run.name}: 評価 {run.test:.2%}"
        images = [run.batch_size * update for update in run.updates]
        right.plot(images, errors, color=color, linestyle=style, label=label)
    right.set(
        xlabel="計算した訓練画像の数（延べ、対数目盛り）", ylabel="誤り率 [%]", xscale="log",
        title="開発データの誤り率と計算の量",
    )  # fmt: skip
    log_scale(right, (1, 2, 5, 10, 20, 50))
    right.xaxis.minorticks_off()
    right.grid(alpha=0.3)
    right.legend(fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    data = load(given.quick, SEED)
    print(
        f"{data.name}: 訓練 {len(data.training):,}・開発 {len(data.development):,}・"
        f"評価 {len(data.test):,} 枚、種 (seed) {SEED}"
    )
    runs = learn(data, 40, 3) if given.quick else learn(data)
    print("  更新      秒  訓練損失    開発    評価")
    for run in runs:
        print(
            f"{run.updates[-1]:6,} {run.seconds[-1]:7.1f}  {run.losses[-1]:8.4f} "
            f"{run.accuracies[-1]:7.2%} {run.test:7.2%}  {run.name}"
        )
    one, _, best = runs
    save(draw_curves(runs), given.out / "mnist.png")
    templates = mg.viz.templates(one.model)
    templates.suptitle("1 層の重み: 橙はその数字の得点を上げる画素、紫は下げる画素")
    save(templates, given.out / "mnist_templates.png")
    answers = probabilities(best.model, data.test)
    save(mg.viz.misread(answers, data.test), given.out / "mnist_misread.png")


if __name__ == "__main__":
    main()
