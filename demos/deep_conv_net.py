"""畳み込みネットワーク DeepConvNet で手書き数字を読む。工夫なしと、工夫を重ねたもの。

DeepConvNet（斎藤『ゼロから作る Deep Learning』8.1 節）は、3 × 3 の畳み込み 6 層と全結合 2 層を
重ねた VGG 風のネットワークである。

1. **工夫なし**: 画像はそのまま。本の設定（Adam、100 枚のミニバッチ、20 エポック）で学習し、学習率
   だけは最後に 0 まで下げる。本の正解率は 99.38 %。
2. **工夫**: 訓練画像を毎回少し変え（データ拡張, data augmentation）、畳み込みのあとで値の幅を揃え
   （バッチ正規化, batch normalization; Ioffe & Szegedy 2015）、学習率を上げてから下げる。
3. **アンサンブル** (ensemble): 乱数の種だけが違うネットワーク 5 つの、確率の平均を答えとする。
   間違え方はネットワークごとに違うので、平均すると打ち消し合う。さらに、どのネットワークにも画像を
   少しずつ変えて 8 回見せて平均する（テスト時のデータ拡張, test-time augmentation）。

学習の設定はよく使われる値で、比べて選んではいない。評価のときの変え方だけは、訓練データから分けた
開発データ 5,000 枚（学習には使わない）で選んだ。評価データ 10,000 枚は、学習が終わってから正解率を
知るためだけに使う。

長い学習は `out/runs` に途中を書くので、いつ止めても、同じコマンドで続きから始まる。

    python demos/deep_conv_net.py --out out
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command import options, save
from digit_data import Digits, load, log_scale, probabilities
from image_training import Recipe, Trained, cosine, folder_for, table, train, warm_cosine

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import TensorDataset
from micrograd_jp.data import transforms as T
from micrograd_jp.training import accuracy
from micrograd_jp.viz import figures

SEED = 0
MEMBERS = 5

PLAIN = Recipe(
    "deep_conv_net",
    nn.models.DeepConvNet,
    partial(optim.Adam, lr=1e-3),
    epochs=20,
    batch_size=100,
    schedule=cosine,
    seed=SEED,
)
"""実験 1: 工夫なし。最適化手法、ミニバッチ、エポックの数は本のもの。学習率だけは余弦で下げる。"""

AUGMENTATION = T.Compose(
    [T.RandomAffine(10, (0.08, 0.08), (0.9, 1.1), 10), T.ElasticTransform(20, 4)]
)
"""±10 度、±2 画素、0.9–1.1 倍、せん断 ±10 度と、弱い弾性変形。数字の読みが変わらない範囲。"""

TRICKS = Recipe(
    "deep_conv_net_bn",
    partial(nn.models.DeepConvNet, hidden=128, dropout=0.25, batch_norm=True),
    partial(optim.AdamW, lr=3e-3, weight_decay=0.01),
    epochs=15,
    batch_size=100,
    schedule=warm_cosine,
    augmentation=AUGMENTATION,
    seed=SEED,
)
"""実験 2: データ拡張、バッチ正規化、学習率の減衰。"""


def member(seed: int) -> Recipe:
    """アンサンブルの 1 つ: 乱数の種だけが違う。"""
    return TRICKS._replace(name=f"{TRICKS.name}_{seed}", seed=seed)


VIEWS = 8
VIEW = T.RandomAffine(5, (0.04, 0.04), (0.95, 1.05), 5)
"""評価のときの変え方。開発データの誤りは、学習と同じだけ変えると増え、これで減った（種 0 と 1 の
平均で、変えずに 22 枚、学習と同じ変え方で 25 枚、この変え方で 18 枚）。
"""


class Results(NamedTuple):
    """学習の終わったネットワークと、アンサンブルの答え（評価データの確率 (N, 10)）。"""

    plain: Trained
    members: list[Trained]
    ensemble: np.ndarray
    viewed: np.ndarray
    """テスト時のデータ拡張も使ったもの。"""
    labels: mg.Tensor

    @property
    def accuracies(self) -> dict[str, float]:
        """名前から、評価データの正解率へ。"""
        return {
            "工夫なし": self.plain.test,
            **{f"工夫 種 {run.recipe.seed}": run.test for run in self.members},
            f"{len(self.members)} つのアンサンブル": accuracy(self.ensemble, self.labels),
            "+ 少しずつ変えて見る": accuracy(self.viewed, self.labels),
        }


def learn(data: Digits, folder: Path, recipes: Sequence[Recipe], views: int = VIEWS) -> Results:
    """`recipes` の最初を工夫なし、残りをアンサンブルのものとして、順に学習する。"""
    plain, *members = [train(recipe, data, folder) for recipe in recipes]
    models = [run.model for run in members]
    viewed = [nn.TestTimeAugmentation(model, VIEW, views, SEED) for model in models]
    answers = [probabilities(nn.Ensemble(several), data.test) for several in (models, viewed)]
    return Results(plain, members, *answers, data.test[:][1])


def quick(recipe: Recipe) -> Recipe:
    """同じ設定の、細いネットワークと短い学習。"""
    batch_norm = recipe.augmentation is not None
    return recipe._replace(
        model=partial(nn.models.DeepConvNet, width=4, dropout=0.1, batch_norm=batch_norm),
        optimizer=partial(optim.Adam, lr=1e-2),
        epochs=1,
        batch_size=20,
    )


# ---- 図 -------------------------------------------------------------------------------------


def draw(results: Results) -> Any:
    """学習曲線と、評価データの誤り率。"""
    figure, (left, middle, right) = figures.subplots(1, 3, size=(13, 4))
    first = results.members[0]
    names = {"工夫なし": results.plain, "工夫（種 0）": first}
    for (name, run), color in zip(names.items(), figures.COLORS, strict=False):
        rows, line = run.history, {"color": color, "marker": "."}
        epochs = rows.column("epoch")
        left.plot(epochs, rows.column("loss"), linestyle=":", label=f"{name}: 訓練", **line)
        left.plot(
            epochs, rows.column("development_loss"), linestyle="-", label=f"{name}: 開発", **line
        )
        errors = [100 * (1 - a) for a in rows.column("metric")]
        middle.plot(epochs, errors, linestyle="-", label=name, **line)
    left.set(xlabel="エポック", ylabel="交差エントロピー誤差", title="損失 (loss)")
    middle.set(xlabel="エポック", ylabel="誤り率 [%]", title="開発データの誤り率")
    log_scale(left, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1))
    log_scale(middle, (0.2, 0.5, 1, 2, 5))
    tests = results.accuracies
    kinds = [0, *[1] * len(results.members), 2, 2]
    bars = right.barh(
        range(len(tests)), [100 * (1 - a) for a in tests.values()],
        color=[figures.COLORS[kind] for kind in kinds],
    )  # fmt: skip
    right.bar_label(bars, fmt="%.2f", padding=3)
    right.set_yticks(range(len(tests)), labels=list(tests))
    right.invert_yaxis()
    right.margins(x=0.15)
    right.set(xlabel="誤り率 [%]", title="評価データの誤り率")
    for axes in (left, middle):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    data = load(given.quick, SEED).as_images()
    if given.quick:
        data = data._replace(training=TensorDataset(*data.training[:1000]))
    print(
        f"{data.name}: 訓練 {len(data.training):,}・開発 {len(data.development):,}・"
        f"評価 {len(data.test):,} 枚"
    )
    recipes = [PLAIN, *map(member, range(2 if given.quick else MEMBERS))]
    with folder_for(given.out, given.quick) as folder:
        if given.quick:
            results = learn(data, folder, [*map(quick, recipes)], views=2)
        else:
            results = learn(data, folder, recipes)
    print(table([results.plain, *results.members]))
    for name, right in results.accuracies.items():
        print(f"        {right:8.2%}  {name}")
    save(draw(results), given.out / "deep_conv_net.png")
    page = mg.viz.misread(results.viewed, data.test, most=40 if given.quick else None)
    save(page, given.out / "deep_conv_net_misread.png")


if __name__ == "__main__":
    main()
