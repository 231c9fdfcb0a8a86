"""深さ (depth): 畳み込みを重ねるだけのネットワークと、スキップ接続のあるもの。8 層から 56 層まで。

1. He ら (2016) の図 6 と同じ比べ方をする。3 × 3 の畳み込みとバッチ正規化 (batch normalization) を
   重ねたネットワーク (plain) と、2 層ごとに入力を足す、スキップ接続 (skip connection) のあるもの
   (residual)。近道にパラメータはないので、同じ深さの 2 つは、同じ重みから学習を始める。

2. 学習前の勾配。バッチ正規化は層の出力の大きさをそろえるが、勾配はそろえない。z が平均 0、分散 1 の
   正規分布なら、ReLU のあとの分散は

       Var[relu(z)] = 1/2 − 1/(2π)

   He の初期値の畳み込みはこれを 2 倍の 1 − 1/π にし、次の正規化はその平方根で割る。逆伝播の勾配も
   同じ数で割られるので、1 層戻るごとに、およそ

       √(π / (π − 1)) ≈ 1.21 倍

   になる (Yang et al. 2019)。これは幅の広い極限での値で、ここでは約 1.16 倍。それでも 55 層で
   3,000 倍になる。バッチ正規化のある深いネットワークでは、勾配は消えるのでなく、爆発する。
   スキップ接続があれば、i 番めのブロックの入力の分散はおよそ i になり、F を通る勾配はその平方根で
   割られる。倍率の積は、深さの指数でなく、およそ累乗になる。

3. 少ない予算（10,000 枚を 4 エポック）での学習。重ねるだけのネットワークは、深いほど
   訓練データの損失さえ下がらない。過学習ではなく、学習そのものが難しくなる (degradation)。
   スキップ接続があれば、56 層も 8 層と同じように学習できる。

学習は途中で止められ、同じコマンドで続きから始まる。

    python demos/depth.py --out out
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command import options, save
from digit_data import Digits, load, log_scale, smooth
from image_training import Recipe, Trained, folder_for, train, warm_cosine

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import TensorDataset
from micrograd_jp.viz import figures

SEED = 0
DEPTHS = (8, 20, 32, 56)
WIDTH = 4
IMAGES, DEVELOPMENT = 10_000, 1_000
EPOCHS = 4
BATCH = 100
KINDS = {False: "重ねるだけ (plain)", True: "スキップ接続 (residual)"}
SHADES = ("#E69F00", "#D55E00", "#8A2A6B", "#000000")
"""浅いネットワークは明るく、深いネットワークは暗く。"""
PER_LAYER = (np.pi / (np.pi - 1)) ** 0.5
"""スキップ接続のないネットワークで、1 層戻るごとに勾配が何倍になるか（理論）。"""


class Run(NamedTuple):
    """1 つのネットワークの学習と、その前後の勾配（`gradient_norms`）。"""

    depth: int
    residual: bool
    trained: Trained
    before: list[float]
    after: list[float]

    @property
    def name(self) -> str:
        """種類と深さ。"""
        return f"{KINDS[self.residual]} {self.depth} 層"


def halved(data: Digits) -> Digits:
    """画像を 2 × 2 画素の平均で 14 × 14 に縮めたもの。"""
    parts = (data.training, data.development, data.test)
    return Digits(data.name, *(_halved(part) for part in parts))


def _halved(part: TensorDataset) -> TensorDataset:
    x, t = part[:]
    count, channels, side, _ = x.shape
    cells = x.numpy().reshape(count, channels, side // 2, 2, side // 2, 2)
    return TensorDataset(cells.mean((3, 5)), t)


def recipe(depth: int, residual: bool, epochs: int = EPOCHS, width: int = WIDTH) -> Recipe:
    """学習のしかた。最適化手法は He ら (2016) と同じ。学習率だけは余弦で下げる。"""
    return Recipe(
        f"{'residual' if residual else 'plain'}_{depth}",
        partial(nn.models.resnet_small, depth, width=width, residual=residual),
        partial(optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-4),
        epochs, batch_size=BATCH, schedule=warm_cosine, seed=SEED,
    )  # fmt: skip


def gradient_norms(model: nn.Module, x: mg.Tensor, t: mg.Tensor) -> list[float]:
    """1 つのミニバッチの損失の、正規化した各層の出力 h での勾配のノルム ‖∂L/∂h‖。

    h はどの層でも分散 1 から始まるので、層どうしを比べられる。

    Returns:
        入力に近い層から順に。
    """
    outputs: list[mg.Tensor] = []

    def keep(layer: nn.Module, inputs: Any, output: mg.Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    handles = [layer.register_forward_hook(keep) for layer in layers]
    model.train()
    mg.cross_entropy(model(x), t).backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    return [float(np.linalg.norm(h.grad.numpy())) for h in outputs]


def compare(
    data: Digits, folder: Path, depths: Sequence[int] = DEPTHS, epochs: int = EPOCHS
) -> list[Run]:
    """深さごとに、2 種類のネットワークを学習する。"""
    x, t = data.training[:BATCH]
    runs = []
    for depth in depths:
        for residual in KINDS:
            plan = recipe(depth, residual, epochs)
            mg.manual_seed(plan.seed)  # the weights that `train` starts from
            before = gradient_norms(plan.model(), x, t)
            trained = train(plan, data, folder)
            after = gradient_norms(trained.model, x, t)
            runs.append(Run(depth, residual, trained, before, after))
    return runs


def table(runs: Sequence[Run]) -> str:
    """結果の表。訓練損失は最後のエポックの平均、勾配は最初の層のものを最後の層で割った倍率。"""
    lines = ["パラメータ  積和 (1 枚)  訓練損失    開発    評価   勾配（前）   （後）     秒"]
    for run in runs:
        trained, side = run.trained, 28 // 2
        counted = trained.model.summary((1, 1, side, side))
        lines.append(
            f"{counted.parameters:10,}{counted.multiply_adds:13,}"
            f"{trained.history.column('loss')[-1]:10.4f}"
            f"{trained.development:8.2%}{trained.test:8.2%}"
            f"{run.before[0] / run.before[-1]:13,.1f}{run.after[0] / run.after[-1]:9,.1f}"
            f"{trained.history.seconds:7.0f}  {run.name}"
        )
    return "\n".join(lines)


# ---- 図 -------------------------------------------------------------------------------------


def draw(runs: Sequence[Run]) -> Any:
    """上から学習曲線、学習前の勾配、学習後の勾配。左が重ねるだけのネットワーク、右がスキップ接続のあるネットワーク。"""
    figure, axes = figures.subplots(3, 2, size=(11, 10), sharey="row")
    for (top, *below), (residual, kind) in zip(axes.T, KINDS.items(), strict=True):
        mine = [run for run in runs if run.residual == residual]
        theory = PER_LAYER ** np.arange(max(len(run.before) for run in mine))
        for run, shade in zip(mine, SHADES, strict=False):
            line = {"color": shade, "linestyle": "-"}
            label = f"{run.depth} 層: 開発 {run.trained.development:.1%}"
            top.plot(*smooth(run.trained.history.losses, 20), label=label, **line)
            for axis, norms in zip(below, (run.before, run.after), strict=True):
                curve = _backwards(norms)
                axis.plot(curve, **line)
                axis.annotate(
                    f"{run.depth} 層", (len(curve) - 1, curve[-1]), color=shade,
                    xytext=(0, 5), textcoords="offset points", ha="center",
                )  # fmt: skip
        if not residual:
            below[0].plot(theory, color="0.85", linewidth=6, zorder=0, label="√(π/(π − 1)) の累乗")
            below[0].legend(fontsize=9, loc="upper left")
        top.set(title=f"{kind}: 訓練損失", xlabel="更新の回数")
        top.legend(fontsize=9)
        for axis, when in zip(below, ("学習前", "学習後"), strict=True):
            axis.set(title=f"{kind}: {when}の勾配", xlabel="最後から戻った層の数", yscale="log")
            axis.margins(y=0.15)
        for axis in (top, *below):
            axis.grid(alpha=0.3)
    log_scale(axes[0, 0], (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2))
    axes[0, 0].set_ylabel("交差エントロピー誤差（20 回の平均）")
    for axis in axes[1:, 0]:
        axis.set_ylabel("‖∂L/∂h‖（最後の層を 1 として）")
    return figure


def _backwards(norms: Sequence[float]) -> list[float]:
    return [norm / norms[-1] for norm in reversed(norms)]


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    sizes = (300, 100, 100) if given.quick else (IMAGES, DEVELOPMENT)
    data = halved(load(given.quick, SEED).as_images().first(*sizes))
    print(
        f"{data.name} (14 × 14): 訓練 {len(data.training):,}・開発 {len(data.development):,}・"
        f"評価 {len(data.test):,} 枚、種 (seed) {SEED}"
    )
    with folder_for(given.out, given.quick) as folder:
        runs = compare(data, folder, (8, 20), 1) if given.quick else compare(data, folder)
    print(table(runs))
    save(draw(runs), given.out / "depth.png")


if __name__ == "__main__":
    main()
