"""バッチ法・ミニバッチ法・オンライン法を同じ問題で比べ、2 つの損失関数を比べる。

**1 歩に何枚使うか。** 手書き数字を読む 2 層のネットワークを、同じ初期値から勾配降下法で学習する。

- バッチ法 (batch): 1 歩ごとに訓練画像すべての勾配を平均する。向きは正確だが、1 歩が高くつく。
- ミニバッチ法 (mini-batch): でたらめに選んだ 128 枚の平均。標準偏差 σ の雑音は σ/√128 に減る。
- オンライン法 (online): 1 枚ごとに更新する。1 歩は最も安いが、雑音は平均されない。

更新の回数で比べると、1 歩の向きが正確な方法ほど先に進む。秒で比べると、1 歩が最も高いバッチ法が
最も遅くなる。ミニバッチ法が最も速いのは、128 枚の行列積が 1 枚の計算を 128 回するよりずっと速く
（オンライン法より有利）、55,000 枚を見終わる前に 430 歩進める（バッチ法より有利）からである。
雑音が大きいほど学習率は小さくしなければならず、オンライン法の曲線はそれでも揺れ続ける
(Bottou, Curtis & Nocedal, "Optimization Methods for Large-Scale Machine Learning", 2018)。

**何を小さくするか。** 正解の得点と、最も大きな誤りの得点との差を m（余裕, margin）とする。

- 交差エントロピー誤差: 2 クラスなら log(1 + e⁻ᵐ)。m が大きくなっても勾配は 0 にならない。
- ヒンジ損失: max(0, 1 − m)。m ≥ 1 になった画像は、もう何も言わない (Crammer & Singer 2001)。

損失の値どうしは比べられないので、正解率で比べる。

    python demos/batch_minibatch_online.py --out out
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from command import options, save
from digit_data import Digits, accuracy, load, log_scale, network, scores

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader
from micrograd_jp.viz import figures

SEED = 0
HIDDEN = 32
MINI_BATCH = 128
POINTS_PER_DECADE = 12


class Method(NamedTuple):
    """1 歩に使う枚数と、それに合う学習率。`batch_size` が 0 なら訓練画像すべて。"""

    name: str
    batch_size: int
    learning_rate: float
    epochs: int


METHODS = (
    Method("バッチ法", 0, 0.5, 100),
    Method(f"ミニバッチ法 ({MINI_BATCH} 枚)", MINI_BATCH, 0.2, 10),
    Method("オンライン法 (1 枚)", 1, 0.01, 1),
)
QUICK_METHODS = tuple(
    method._replace(epochs=epochs) for method, epochs in zip(METHODS, (40, 5, 1), strict=True)
)

LOSSES: dict[str, Callable[..., mg.Tensor]] = {
    "交差エントロピー誤差": mg.cross_entropy,
    "ヒンジ損失": mg.hinge_loss,
}


class Run(NamedTuple):
    """1 つの学習の記録。曲線の各点は、`updates` 回の更新のあと。"""

    name: str
    updates: list[int]
    seconds: list[float]  # without the time of measuring
    losses: list[float]  # of the development images
    test: float


def compare_methods(data: Digits, methods: Sequence[Method] = METHODS) -> list[Run]:
    """同じ初期値から、それぞれの方法で学習する。"""
    return [_descend(method, data) for method in methods]


def _descend(method: Method, data: Digits) -> Run:
    n = len(data.training)
    size = method.batch_size or n
    loader = DataLoader(data.training, size, shuffle=size < n, seed=SEED)
    measured = _measuring_points(method.epochs * len(loader))
    model = _model(data)
    optimizer = optim.SGD(model.parameters(), lr=method.learning_rate)
    run = Run(method.name, [], [], [], 0.0)
    seconds, update, started = 0.0, 0, time.perf_counter()
    for _ in range(method.epochs):
        for x, t in loader:
            loss = mg.cross_entropy(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            update += 1
            if update in measured:
                seconds += time.perf_counter() - started
                run.updates.append(update)
                run.seconds.append(seconds)
                run.losses.append(_development_loss(model, data))
                started = time.perf_counter()
    return run._replace(test=accuracy(model, data.test))


def _model(data: Digits) -> nn.Sequential:
    """The same weights every time."""
    mg.manual_seed(SEED)
    return network(data.pixels, HIDDEN, 10)


def _measuring_points(last: int) -> set[int]:
    """Numbers of updates at equal distances on a logarithmic axis, the last one among them."""
    count = int(POINTS_PER_DECADE * np.log10(last)) + 2
    return set(np.geomspace(1, last, count).round().astype(int).tolist())


def _development_loss(model: nn.Module, data: Digits) -> float:
    x, t = data.development[:]
    return float(mg.cross_entropy(scores(model, x), t).item())


# ---- 損失関数 ---------------------------------------------------------------------------------


class Accuracies(NamedTuple):
    """エポックごとの正解率。"""

    training: list[float]
    development: list[float]
    test: float


def compare_losses(data: Digits, epochs: int = 15) -> dict[str, Accuracies]:
    """同じ初期値と同じ順序のミニバッチ法で、損失関数だけを変える。"""
    found = {}
    method = METHODS[1]
    for name, loss_function in LOSSES.items():
        model = _model(data)
        optimizer = optim.SGD(model.parameters(), lr=method.learning_rate)
        loader = DataLoader(data.training, method.batch_size, shuffle=True, seed=SEED)
        training: list[float] = []
        history = mg.fit(
            model, loader, loss_function, optimizer, epochs, development=data.development,
            callbacks=[lambda _, m=model, seen=training: seen.append(accuracy(m, data.training))],
        )  # fmt: skip
        found[name] = Accuracies(training, history.column("metric"), accuracy(model, data.test))
    return found


def losses_of_margin(margins: Any) -> dict[str, tuple[Any, Any]]:
    """2 クラスで、余裕 m の画像の損失と、その m についての微分。"""
    found = {}
    for name, loss_function in LOSSES.items():
        m = mg.tensor(margins, requires_grad=True)
        logits = mg.stack([m, mg.zeros_like(m)], 1)  # the correct class is 0
        losses = loss_function(logits, mg.zeros(len(m), dtype=mg.int64), reduction="none")
        losses.sum().backward()
        assert m.grad is not None
        found[name] = (losses.detach().numpy(), m.grad.numpy())
    return found


# ---- 図 -------------------------------------------------------------------------------------


def draw_methods(runs: Sequence[Run]) -> Any:
    """開発データの損失を、更新の回数と秒のそれぞれに対して描く。"""
    figure, (left, right) = figures.subplots(1, 2, size=(11, 4), sharey=True)
    for run, color in zip(runs, figures.COLORS, strict=False):
        line = {"color": color, "label": f"{run.name}: 評価 {run.test:.1%}"}
        left.plot(run.updates, run.losses, **line, linestyle="-")
        right.plot(run.seconds, run.losses, **line, linestyle="-")
    left.set(
        xlabel="更新の回数（対数目盛り）", ylabel="開発データの損失", xscale="log",
        title="更新の回数で比べると",
    )  # fmt: skip
    right.set(xlabel="秒（対数目盛り）", xscale="log", title="かかった時間で比べると")
    log_scale(left, (0.1, 0.2, 0.5, 1, 2))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    return figure


def draw_losses(found: dict[str, Accuracies]) -> Any:
    """2 つの損失関数の形と勾配、それぞれで学習したときの誤り率。"""
    figure, (left, middle, right) = figures.subplots(1, 3, size=(13, 4))
    # nan lifts the pen where the slope of the hinge jumps.
    margins = np.array([*np.linspace(-2, 1 - 1e-9, 61), np.nan, *np.linspace(1, 4, 61)])
    curves = losses_of_margin(margins)
    label = "余裕 m = 正解の得点 − 最大の誤りの得点"
    figures.plot_curves(
        left, {name: values for name, (values, _) in curves.items()}, x=margins, xlabel=label,
        title="損失",
    )  # fmt: skip
    figures.plot_curves(
        middle, {name: slopes for name, (_, slopes) in curves.items()}, x=margins, xlabel=label,
        title="損失の微分（引く力）",
    )  # fmt: skip
    middle.get_legend().remove()  # the same as in the left one
    for (name, run), color in zip(found.items(), figures.COLORS, strict=False):
        epochs = range(1, len(run.training) + 1)
        for kind, values, style in (
            ("開発", run.development, "-"), ("訓練", run.training, ":"),
        ):  # fmt: skip
            errors = [100 * (1 - a) for a in values]
            right.plot(epochs, errors, color=color, linestyle=style, label=f"{name}・{kind}")
    right.set(xlabel="エポック", ylabel="誤り率 [%]", title="誤り率", ylim=(0, None))
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
    runs = compare_methods(data, QUICK_METHODS if given.quick else METHODS)
    print("    更新      秒  開発の損失    評価")
    for run in runs:
        print(
            f"{run.updates[-1]:8,} {run.seconds[-1]:7.1f} {run.losses[-1]:11.4f} "
            f"{run.test:7.2%}  {run.name}"
        )
    found = compare_losses(data, 4 if given.quick else 15)
    print("    訓練    開発    評価")
    for name, accuracies in found.items():
        training, development, test = accuracies
        print(f" {training[-1]:7.2%} {development[-1]:7.2%} {test:7.2%}  {name}")
    save(draw_methods(runs), given.out / "batch_minibatch_online.png")
    save(draw_losses(found), given.out / "cross_entropy_and_hinge.png")


if __name__ == "__main__":
    main()
