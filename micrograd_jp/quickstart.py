"""はじめの一歩: 式の勾配、手書き数字の学習、図。

    python -m micrograd_jp（コマンド `micrograd-jp` も同じ）

1. 式を計算グラフにして勾配を求め、数値微分と並べる。
2. `Value` だけでできたネットワークに、本物の 8×8 手書き数字を覚えさせる。
3. 計算グラフ・学習曲線・読み間違えた数字を `out/` に描く。
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import micrograd_jp as mg
from micrograd_jp.engine.value import Value
from micrograd_jp.environment import progress_bar, require
from micrograd_jp.nn import MLP
from micrograd_jp.testing import numerical_gradient
from micrograd_jp.viz import figures

HELD_OUT = 360
HIDDEN = 16
BATCH = 16
LEARNING_RATE = 0.1
MOMENTUM = 0.9


# ---- 1. 式と勾配 ----------------------------------------------------------------------------


def loss_of_one_neuron(w: Any, x: Any, b: Any, t: Any) -> Any:
    """1 個のニューロンの損失 (tanh(w·x + b) − t)²。"""
    return (mg.tanh(w * x + b) - t) ** 2


def expression() -> Value:
    """式を計算し、勾配を数値微分と並べて印字する。計算グラフの根を返す。"""
    names, numbers = ("w", "x", "b", "t"), (0.8, 1.5, -0.4, 0.2)
    leaves = [Value(number, label=name) for name, number in zip(names, numbers, strict=True)]
    loss: Value = loss_of_one_neuron(*leaves)
    loss.label = "L"
    loss.backward()
    numeric = numerical_gradient(loss_of_one_neuron, *numbers)
    print("1. 計算グラフと勾配   L = (tanh(w·x + b) − t)²")
    print(f"   L = {loss.data:.6f}")
    print("          値    逆伝播 (backward)   数値微分 (finite difference)")
    for leaf, estimate in zip(leaves, numeric, strict=True):
        print(f"   {leaf.label} {leaf.data:9.2f}   {leaf.grad:17.10f}   {estimate:19.10f}")
    return loss


# ---- 2. 手書き数字 ---------------------------------------------------------------------------


@dataclass
class Digits:
    """8×8 の手書き数字。画素は 0〜1 の float の組。"""

    images: list[tuple[float, ...]]
    labels: list[int]


@dataclass
class Training:
    """学習の記録。"""

    model: MLP
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def load_digits(rng: random.Random) -> tuple[Digits, Digits]:
    """scikit-learn に同梱の 1,797 枚を、訓練用と評価用の 360 枚に分ける。"""
    bunch = require("sklearn.datasets", "data").load_digits()
    images = [tuple(image) for image in (bunch.data / 16.0).tolist()]
    order = list(range(len(images)))
    rng.shuffle(order)

    def subset(indices: list[int]) -> Digits:
        return Digits([images[i] for i in indices], [int(bunch.target[i]) for i in indices])

    return subset(order[HELD_OUT:]), subset(order[:HELD_OUT])


def predict(model: MLP, image: tuple[float, ...]) -> int:
    """最も大きなロジット (logit) の数字。"""
    with mg.no_grad():
        logits = model(image)
    return max(range(len(logits)), key=lambda digit: logits[digit].data)


def accuracy(model: MLP, digits: Digits) -> float:
    """正解率。"""
    hits = [predict(model, x) == t for x, t in zip(digits.images, digits.labels, strict=True)]
    return sum(hits) / len(hits)


def he_initialized(sizes: list[int]) -> MLP:
    """He の初期値（一様分布, He et al. 2015）の MLP。"""
    model = MLP(sizes[0], sizes[1:])
    for layer in model.layers:
        for neuron in layer.neurons:
            scale = (6 / len(neuron.w)) ** 0.5
            for weight in neuron.w:
                weight.data *= scale
    return model


def train(training: Digits, held_out: Digits, epochs: int, rng: random.Random) -> Training:
    """ミニバッチ SGD（モーメンタム、学習率は直線的に 0 へ）で交差エントロピー誤差を下げる。"""
    started = time.perf_counter()
    record = Training(he_initialized([64, HIDDEN, 10]))
    parameters = record.model.parameters()
    velocity = [0.0] * len(parameters)
    order = list(range(len(training.images)))
    steps = -(-len(order) // BATCH)
    bar = progress_bar()(total=epochs * steps, desc="   学習中", unit="回", mininterval=0.2)
    with bar:
        for epoch in range(epochs):
            rng.shuffle(order)
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                losses = []
                for i in batch:
                    logits = record.model(training.images[i])
                    losses.append(mg.logsumexp(logits) - logits[training.labels[i]])
                loss = mg.sum(losses) / len(batch)
                record.model.zero_grad()
                loss.backward()
                rate = LEARNING_RATE * (1 - (epoch * steps + start // BATCH) / (epochs * steps))
                for j, p in enumerate(parameters):
                    velocity[j] = MOMENTUM * velocity[j] - rate * p.grad
                    p.data += velocity[j]
                record.losses.append(loss.data)
                bar.update()
            record.accuracies.append(accuracy(record.model, held_out))
            bar.set_postfix_str(f"損失 {loss.data:.3f}, 正解率 {record.accuracies[-1]:.1%}")
    record.seconds = time.perf_counter() - started
    return record


# ---- 3. 図 --------------------------------------------------------------------------------


def draw_learning_curve(record: Training, path: Path) -> None:
    """損失と正解率の推移を 1 枚に描く。"""
    figure, (left, right) = figures.subplots(1, 2)
    steps = len(record.losses) // len(record.accuracies)
    means = [sum(record.losses[k : k + steps]) / steps for k in range(0, len(record.losses), steps)]
    epochs = range(1, len(means) + 1)
    left.plot(
        [k / steps for k in range(len(record.losses))],
        record.losses,
        color="0.8",
        label="ミニバッチごと",
    )
    left.plot([e - 0.5 for e in epochs], means, "o-", label="エポックの平均")
    left.set(xlabel="エポック (epoch)", ylabel="交差エントロピー誤差 (loss)", yscale="log")
    left.legend()
    figures.plot_curves(
        right, {"正解率": [100 * a for a in record.accuracies]}, x=epochs, marker="o",
        xlabel="エポック (epoch)", ylabel=f"評価データ {HELD_OUT} 枚の正解率 [%]",
    )  # fmt: skip
    figure.savefig(path)


def run(out: Path, seed: int = 1, epochs: int = 12) -> Training:
    """3 つの段階を順に行い、学習の記録を返す。

    Args:
        out: 図を置くフォルダ。なければ作る。
        seed: 乱数の種。
        epochs: エポック数。
    """
    out.mkdir(parents=True, exist_ok=True)
    root = expression()

    print(f"\n2. 手書き数字 (8×8, 1,797 枚) を、Value でできた 64-{HIDDEN}-10 の MLP で学習")
    random.seed(seed)  # the weights come from the module's generator, as in micrograd
    rng = random.Random(seed)
    training, held_out = load_digits(rng)
    record = train(training, held_out, epochs, rng)
    print(
        f"   評価データ {HELD_OUT} 枚の正解率: {record.accuracies[-1]:.1%}"
        f"（パラメータ {len(record.model.parameters()):,} 個、{record.seconds:.1f} 秒）"
    )

    mg.draw(root).save(out / "graph.svg")
    draw_learning_curve(record, out / "learning_curve.png")
    misread = mg.viz.misread(record.model, (held_out.images, held_out.labels), most=None)
    misread.savefig(out / "misread.png")
    wrong = round((1 - record.accuracies[-1]) * HELD_OUT)
    print("\n3. 図を書きました")
    for name, caption in (
        ("graph.svg", "式の計算グラフ（値・勾配・局所微分）"),
        ("learning_curve.png", "損失と正解率の推移"),
        ("misread.png", f"読み間違えた数字 {wrong} 枚"),
    ):
        print(f"   {out / name}  {caption}")
    return record


# ---- コマンド -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """はじめの一歩を実行する。失敗したら理由を 1 行で伝え、0 でない値を返す。"""
    parser = argparse.ArgumentParser(
        prog="micrograd-jp",
        description="計算グラフ・勾配・手書き数字の学習をひと通り動かします (quickstart)。",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="図を置くフォルダ（既定: out）"
    )
    parser.add_argument("--seed", type=int, default=1, help="乱数の種 (seed)")
    parser.add_argument("--epochs", type=_positive, default=12, help="エポック数 (epochs)")
    parser.add_argument("--version", action="version", version=mg.__version__)
    options = parser.parse_args(arguments)
    try:
        run(options.out, seed=options.seed, epochs=options.epochs)
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"図を書けませんでした (cannot write): {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n中断しました (interrupted)。", file=sys.stderr)
        return 130
    return 0


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"1 以上の整数を指定してください: {text!r}")
    return number
