"""VGG、GoogLeNet、ResNet を、幅を狭めて MNIST で学習し、並べて比べる。

1 枚の画像にかかる積和 (multiply-adds) をおよそ 500 万にそろえると、3 つの設計の違いが、
パラメータの数に現れる。

- **VGG**（11 層、Simonyan & Zisserman 2015）: 3 × 3 の畳み込みを重ね、最後に大きな全結合層を 3 つ
  置く。パラメータの 3 分の 2 は全結合層にある。
- **GoogLeNet**（22 層、Szegedy et al. 2015）: 大きさの違う畳み込みを並べ、1 × 1 の畳み込みで
  チャネルを減らす。全結合層は、画像の全体で平均したあとに 1 つだけ。
- **ResNet**（14 層、He et al. 2016 §4.2）: 2 層ごとに入力を足す (skip connection)。全結合層は同じく
  1 つだけ。

学習のしかたは 3 つとも同じで、データ拡張はしない。設定は、訓練データから分けた開発データ
5,000 枚を見て決めた。評価データ 10,000 枚は、最後に 1 度だけ使う。

学習は途中で止められ、同じコマンドで続きから始まる。

    python demos/image_networks.py --out out
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from command import options, save
from digit_data import IMAGE_SIDE, Digits, load, log_scale, smooth
from image_training import Recipe, Trained, folder_for, train, warm_cosine

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.nn.models.googlenet import BasicConv2d
from micrograd_jp.viz import figures

SEED = 0
EPOCHS = 4
BATCH = 100
DIGIT = {"num_classes": 10, "in_channels": 1}


class DigitGoogLeNet(nn.models.GoogLeNet):
    """28 × 28 の画像のための GoogLeNet。

    最初の畳み込みは、7 × 7 で半分に縮める代わりに、3 × 3 で縮めない（そのままでは、28 × 28 の画像は
    途中で 1 画素になる）。補助の分類器はない。

    Args:
        width: 最初のチャネルの数。
    """

    def __init__(self, width: int) -> None:
        super().__init__(**DIGIT, width=width, aux_logits=False)
        self.conv1 = BasicConv2d(1, width, 3, padding=1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "VGG": partial(nn.models.vgg11_bn, **DIGIT, width=13, pooled=1),
    "GoogLeNet": partial(DigitGoogLeNet, 16),
    "ResNet": partial(nn.models.resnet_small, 14, **DIGIT, width=8),
}
NARROW: dict[str, Callable[[], nn.Module]] = {
    "VGG": partial(nn.models.vgg11_bn, **DIGIT, width=4, pooled=1),
    "GoogLeNet": partial(DigitGoogLeNet, 4),
    "ResNet": partial(nn.models.resnet_small, 8, **DIGIT, width=4),
}
"""手早い設定のネットワーク。"""


def recipe(name: str, model: Callable[[], nn.Module], epochs: int) -> Recipe:
    """3 つに共通の学習のしかた。"""
    return Recipe(
        name.lower(), model, partial(optim.AdamW, lr=3e-3, weight_decay=1e-2),
        epochs, batch_size=BATCH, schedule=warm_cosine, seed=SEED,
    )  # fmt: skip


def compare(
    data: Digits,
    folder: Path,
    networks: dict[str, Callable[[], nn.Module]] = NETWORKS,
    epochs: int = EPOCHS,
) -> dict[str, Trained]:
    """3 つのネットワークを学習する。"""
    return {
        name: train(recipe(name, model, epochs), data, folder) for name, model in networks.items()
    }


def counted(model: nn.Module) -> Any:
    """画像 1 枚での `summary`: パラメータと積和の数。"""
    return model.summary((1, 1, IMAGE_SIDE, IMAGE_SIDE))


def update_seconds(model: nn.Module, repeats: int = 3) -> float:
    """訓練中のモデルの、1 回の更新（100 枚の順伝播と逆伝播）の CPU 時間 [秒] の中央値。"""
    rng = np.random.default_rng(SEED)
    x = mg.tensor(rng.random((BATCH, 1, IMAGE_SIDE, IMAGE_SIDE), dtype=np.float32))
    t = mg.tensor(rng.integers(0, 10, BATCH))
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        mg.cross_entropy(model(x), t).backward()
        seconds.append(time.process_time() - started)
        model.zero_grad()
    return median(seconds)


def table(runs: dict[str, Trained]) -> str:
    """並べた結果の表。学習の秒は経過時間で、ほかの計算と並べて動かすと延びる。"""
    lines = ["パラメータ  積和 (1 枚)    開発    評価  エポック   学習 秒  1 更新の CPU ミリ秒"]
    for name, run in runs.items():
        summary, fresh = counted(run.model), run.recipe.model()
        lines.append(
            f"{summary.parameters:10,}{summary.multiply_adds:13,}"
            f"{run.development:8.2%}{run.test:8.2%}{len(run.history.epochs):10}"
            f"{run.history.seconds:10,.0f}{1000 * update_seconds(fresh):21.0f}  {name}"
        )
    return "\n".join(lines)


# ---- 図 -------------------------------------------------------------------------------------


def draw(runs: dict[str, Trained]) -> Any:
    """学習曲線と、パラメータがどの層にあるか。"""
    figure, (left, middle, right) = figures.subplots(1, 3, size=(13, 4.2))
    for i, (name, run) in enumerate(runs.items()):
        line = {"color": figures.COLORS[i], "linestyle": figures.LINE_STYLES[i]}
        left.plot(*smooth(run.history.losses, 50), label=name, **line)
        errors = [100 * (1 - accuracy) for accuracy in run.history.column("metric")]
        label = f"{name}: 評価 {run.test:.2%}"
        middle.plot(range(1, len(errors) + 1), errors, marker="o", label=label, **line)
    left.set(xlabel="更新の回数", ylabel="交差エントロピー誤差（50 回の平均）", title="訓練損失")
    log_scale(left, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2))
    middle.set(xlabel="エポック", ylabel="誤り率 [%]", title="開発データの誤り率")
    middle.xaxis.get_major_locator().set_params(integer=True)
    log_scale(middle, (0.5, 1, 2, 5, 10))
    for axis in (left, middle):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    _draw_parameters(right, runs)
    return figure


def _draw_parameters(axes: Any, runs: dict[str, Trained]) -> None:
    summaries = [counted(run.model) for run in runs.values()]
    fully = [
        sum(layer.parameters for layer in summary.model if layer.kind == "Linear")
        for summary in summaries
    ]
    others = [summary.parameters - n for summary, n in zip(summaries, fully, strict=True)]
    names = [
        f"{name}\n積和 {summary.multiply_adds / 1e6:.1f} M"
        for name, summary in zip(runs, summaries, strict=True)
    ]
    axes.bar(names, others, color=figures.COLORS[5], label="畳み込みと正規化")
    bars = axes.bar(names, fully, bottom=others, color=figures.COLORS[6], label="全結合層")
    axes.bar_label(bars, [f"{summary.parameters:,}" for summary in summaries], padding=3)
    axes.set(title="パラメータの数")
    axes.margins(y=0.12)
    axes.yaxis.set_major_formatter(lambda n, _: f"{n / 1e6:g} M")
    axes.legend(fontsize=8)


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    data = load(given.quick, SEED).as_images()
    data = data.first(200, 100, 100) if given.quick else data
    print(
        f"{data.name}: 訓練 {len(data.training):,}・開発 {len(data.development):,}・"
        f"評価 {len(data.test):,} 枚、種 (seed) {SEED}"
    )
    with folder_for(given.out, given.quick) as folder:
        runs = compare(data, folder, NARROW, 1) if given.quick else compare(data, folder)
    print(table(runs))
    save(draw(runs), given.out / "image_networks.png")


if __name__ == "__main__":
    main()
