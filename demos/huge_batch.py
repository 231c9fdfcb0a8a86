"""巨大ミニバッチ (huge mini-batch): エポック数を変えずに 64 枚から 16,384 枚まで大きくする。

たくさんの計算機で 1 つの学習を分け合うと、1 更新で見る枚数が増え、同じエポック数での更新の回数が
減る。大規模な分散学習は、巨大ミニバッチの学習である。更新が 1/k 回になったら、1 更新で k 倍進めば
よいように見える。どこまで続くかを比べる。

- 同じ学習率: 更新の回数だけが減り、学習が終わらない。
- 線形 (linear scaling): 学習率を k 倍にする。重みがほとんど動かない間、k 回の小さな歩みの和は
  1 回の k 倍の歩みに等しい (Goyal et al. 2017)。始めは重みが大きく動くので、この近似が壊れる。
- 線形 + warm-up: 始めの 2 割の更新で、学習率を 1/100 から上げる。
- √ + warm-up: 学習率を √k 倍にする。平均の標準偏差は 1/√k 倍なので、1 歩の雑音の分散が保たれる
  (Krizhevsky 2014)。
- LARS + warm-up: 層ごとに、1 歩の長さを重みの長さの一定の割合にする (You et al. 2017)。学習率は
  SGD と別に決め、枚数の √ に比例させる。

MNIST の 55,000 枚で、中間層が 200 個の 2 層のネットワークを 10 エポック学習する。更新は 8,600 回
から 40 回に減る。線形は 1,024 枚まで保ち（warm-up があれば、64 枚と同じ）、4,096 枚で崖のように
落ちる。warm-up は崖を遠ざけるが、16,384 枚の 40 回の更新では防げない。LARS は、4,096 枚でも
97.7 % を保つ。

どれも始めの重みと順序は同じで、学習率は余弦の形で 0 まで下げる。3 つの種 (seed) の平均を描き、
最小と最大を帯で示す。合わせて CPU で 13 分ほど。

1 枚の GPU に大きなミニバッチが載らないときは、`mg.fit(…, accumulate=k)` が k 個のミニバッチの勾配を
足してから更新する。k 倍のミニバッチと丸めの分しか違わない。

    python demos/huge_batch.py --out out
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from command import options, save
from digit_data import Digits, load, log_scale, network
from image_training import cosine

import micrograd_jp as mg
from micrograd_jp import optim
from micrograd_jp.columns import display_width, left_aligned
from micrograd_jp.data import DataLoader
from micrograd_jp.optim.lr_scheduler import LinearLR, LRScheduler, SequentialLR
from micrograd_jp.training import NonFiniteError
from micrograd_jp.viz import figures

BATCHES = (64, 256, 1024, 4096, 16_384)
SEEDS = (0, 1, 2)
EPOCHS = 10
WARM = 0.2
"""warm-up の、学習全体に対する割合。"""
HIDDEN = 200
RATE, MOMENTUM = 0.05, 0.9
"""最も小さなミニバッチでの、SGD の学習率とモーメンタム。"""
LARS_RATE, TRUST = 0.125, 0.02


def warm_cosine(optimizer: optim.Optimizer, updates: int) -> LRScheduler:
    """はじめの 2 割で 1/100 から上げ (warm-up)、あとは余弦の形で 0 まで下げる。"""
    rising = max(1, round(WARM * updates))
    warm = LinearLR(optimizer, 0.01, total_iters=rising)
    return SequentialLR(optimizer, [warm, cosine(optimizer, max(1, updates - rising))], [rising])


class Rule(NamedTuple):
    """ミニバッチを k 倍にしたときの、学習率の決め方。"""

    name: str
    rate: Callable[[float], float]
    schedule: Callable[[optim.Optimizer, int], LRScheduler]
    optimizer: Callable[..., optim.Optimizer] = partial(optim.SGD, momentum=MOMENTUM)


RULES = {
    "same": Rule("同じ学習率", lambda k: RATE, cosine),
    "linear": Rule("線形", lambda k: RATE * k, cosine),
    "linear_warm": Rule("線形 + warm-up", lambda k: RATE * k, warm_cosine),
    "sqrt_warm": Rule("√ + warm-up", lambda k: RATE * k**0.5, warm_cosine),
    "lars": Rule(
        "LARS + warm-up", lambda k: LARS_RATE * k**0.5, warm_cosine,
        partial(optim.LARS, momentum=MOMENTUM, trust_coefficient=TRUST),
    ),
}  # fmt: skip


class Result(NamedTuple):
    """1 つの決め方と大きさの、種ごとの評価データの正解率。発散した学習は 0。"""

    rule: str
    batch: int
    updates: int
    test: list[float]

    @property
    def mean(self) -> float:
        """種の平均。"""
        return float(np.mean(self.test))


def compare(
    data: Digits, batches: Sequence[int] = BATCHES, seeds: Sequence[int] = SEEDS,
    epochs: int = EPOCHS,
) -> list[Result]:  # fmt: skip
    """すべての決め方と大きさで学習する。"""
    results = []
    for batch in batches:
        updates = epochs * -(-len(data.training) // batch)
        known: dict[Any, list[float]] = {}  # at k = 1 some rules are the same
        for name, rule in RULES.items():
            rate = rule.rate(batch / BATCHES[0])
            key = (rate, *rule[2:])
            if key not in known:
                known[key] = [_accuracy(rule, rate, batch, seed, data, epochs) for seed in seeds]
            results.append(Result(name, batch, updates, known[key]))
            print(f"{batch:,} 枚、{rule.name}: {results[-1].mean:.2%}", flush=True)
    return results


def _accuracy(rule: Rule, rate: float, batch: int, seed: int, data: Digits, epochs: int) -> float:
    mg.manual_seed(seed)
    model = network(data.pixels, HIDDEN, 10)
    optimizer = rule.optimizer(model.parameters(), lr=rate)
    loader = DataLoader(data.training, batch, shuffle=True, seed=seed)
    try:
        mg.fit(
            model, loader, mg.cross_entropy, optimizer, epochs, progress=False,
            scheduler=rule.schedule(optimizer, epochs * len(loader)), schedule="update",
        )  # fmt: skip
    except NonFiniteError:
        return 0.0
    return float(mg.training.evaluate(model, data.test).metric or 0)


def table(results: Sequence[Result]) -> str:
    """評価データの正解率（種の平均）の表。1 行が 1 つの大きさ。"""
    cells = {(r.batch, r.rule): r for r in results}
    titles = ["ミニバッチ", "更新", *(rule.name for rule in RULES.values())]
    rows = [
        [f"{batch:,}", f"{cells[batch, 'same'].updates:,}"]
        + [f"{cells[batch, rule].mean:.2%}" for rule in RULES]
        for batch in sorted({r.batch for r in results})
    ]
    return "\n".join(
        "  ".join(
            left_aligned(x, display_width(title)) for x, title in zip(row, titles, strict=True)
        )
        for row in [titles, *rows]
    )


def draw(results: Sequence[Result], epochs: int) -> Any:
    """大きさと誤り率。線は種の平均、帯は最小から最大。発散した学習の誤り率は 100 %。"""
    figure, axes = figures.subplots(size=(8, 4.8))
    for (name, rule), color in zip(RULES.items(), figures.COLORS, strict=False):
        mine = [r for r in results if r.rule == name]
        x = [r.batch for r in mine]
        errors = 100 - 100 * np.array([r.test for r in mine])
        axes.plot(x, errors.mean(1), color=color, marker="o", markersize=4, label=rule.name)
        axes.fill_between(x, errors.min(1), errors.max(1), color=color, alpha=0.15, linewidth=0)
    axes.axhline(90, color="gray", linewidth=0.8, linestyle=":", label="でたらめに答える")
    sizes = sorted({r.batch for r in results})
    axes.set(
        xscale="log", xlabel="ミニバッチの枚数（対数目盛り）",
        ylabel="評価データの誤り率 [%]（対数目盛り）",
        title=f"同じ {epochs} エポックで、ミニバッチを大きくする",
    )  # fmt: skip
    log_scale(axes, (2, 5, 10, 20, 50, 100))
    axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
    axes.xaxis.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    data = load(given.quick)
    batches, seeds, epochs = ((64, 512), (0,), 4) if given.quick else (BATCHES, SEEDS, EPOCHS)
    print(
        f"{data.name}: 訓練 {len(data.training):,}・評価 {len(data.test):,} 枚、{epochs} エポック、"
        f"種 (seed) {', '.join(map(str, seeds))}"
    )
    results = compare(data, batches, seeds, epochs)
    print(table(results))
    save(draw(results, epochs), given.out / "huge_batch.png")


if __name__ == "__main__":
    main()
