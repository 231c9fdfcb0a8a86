"""手書き数字のデモに共通のもの: 分けたデータ、ネットワークの初期値、正解率、いくつかの図。"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import DataLoader, Subset, TensorDataset, datasets, random_split

IMAGE_SIDE = 28
"""畳み込みのネットワークに渡す画像の一辺。"""


class Digits(NamedTuple):
    """手書き数字。どの部分も `(画像 (N, 画素), ラベル (N,))` の `TensorDataset`。"""

    name: str
    training: TensorDataset
    development: TensorDataset
    test: TensorDataset

    @property
    def pixels(self) -> int:
        """1 枚の画素の数。"""
        return prod(self.training.tensors[0].shape[1:])

    def as_images(self) -> Digits:
        """画像を畳み込みの入力の形 (N, 1, 28, 28) にしたもの。8×8 の画像は、3 倍に拡大する。"""
        side = round(self.pixels**0.5)
        parts = (self.training, self.development, self.test)
        return Digits(self.name, *(_as_images(part, side) for part in parts))

    def first(self, training: int, development: int, test: int | None = None) -> Digits:
        """それぞれの、始めのこれだけの枚数。"""
        sizes = (training, development, test)
        parts = zip((self.training, self.development, self.test), sizes, strict=True)
        return Digits(self.name, *(TensorDataset(*part[:n]) for part, n in parts))


def load(quick: bool = False, seed: int = 0) -> Digits:
    """MNIST を訓練 55,000・開発 5,000・評価 10,000 枚に分ける。

    `quick` なら、手元の MNIST から 2,000・500・500 枚。手元になければ、ダウンロードせずに
    scikit-learn の 8×8 の数字を 1,197・300・300 枚に分ける。
    """
    if not quick:
        train, test = datasets.mnist(flatten=True)
        parts = random_split(train, (55_000, 5_000), seed=seed, stratify=train.labels)
        return Digits("MNIST", *_arrays(*parts), test)
    try:
        train, test = datasets.mnist(flatten=True, download=False)
    except FileNotFoundError:
        small = datasets.digits(flatten=True)
        return Digits("8×8 の数字", *_arrays(*random_split(small, (1197, 300, 300), seed=seed)))
    rows = Subset(train, range(2_500))
    parts = random_split(rows, (2_000, 500), seed=seed)
    return Digits("MNIST の一部", *_arrays(*parts, Subset(test, range(500))))


def _as_images(part: TensorDataset, side: int) -> TensorDataset:
    x, t = part[:]
    images = x.numpy().reshape(-1, 1, side, side)
    scale = IMAGE_SIDE // side
    margin = (IMAGE_SIDE - scale * side) // 2
    large = images.repeat(scale, axis=2).repeat(scale, axis=3)
    return TensorDataset(np.pad(large, ((0, 0), (0, 0), *[(margin, margin)] * 2)), t)


def _arrays(*parts: Subset) -> list[TensorDataset]:
    """Arrays of their own: batches are then gathered from one array, not through two indices."""
    return [TensorDataset(*part[:]) for part in parts]


def network(*sizes: int, dropout: float = 0.0) -> nn.Sequential:
    """全結合層と ReLU を重ねた MLP。重みは He の初期値、バイアスは 0。

    Args:
        sizes: 入力、中間、出力の数。`network(784, 100, 10)` は 2 層。
        dropout: 中間層の出力を落とす確率。入力はその半分の確率で落とす。
    """
    *hidden, last = pairwise(sizes)
    layers: list[nn.Module] = [nn.Dropout(dropout / 2)] if dropout else []
    for n, m in hidden:
        layers += [_linear(n, m), nn.ReLU()] + ([nn.Dropout(dropout)] if dropout else [])
    return nn.Sequential(*layers, _linear(*last))


def _linear(n: int, m: int) -> nn.Linear:
    linear = nn.Linear(n, m)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return linear


def scores(model: nn.Module, x: mg.Tensor) -> mg.Tensor:
    """推論 (inference) のときのロジット: ドロップアウトなし、計算グラフなし。"""
    model.eval()
    with mg.no_grad():
        logits: mg.Tensor = model(x)
    model.train()
    return logits


def accuracy(model: nn.Module, data: TensorDataset) -> float:
    """正解率 (accuracy): ロジットの最も大きな数字がラベルと同じ画像の割合。"""
    x, t = data[:]
    return float((scores(model, x).numpy().argmax(1) == t.numpy()).mean())


def smooth(losses: Sequence[float], n: int) -> tuple[list[int], list[float]]:
    """学習曲線をなめらかにする。続く `n` 回の平均の、最後の更新の番号（1 から）と値。

    短い曲線では `n` を減らす。
    """
    n = max(1, min(n, len(losses) // 5))
    means = np.convolve(losses, np.full(n, 1 / n), mode="valid")
    return list(range(n, len(losses) + 1)), means.tolist()


def probabilities(model: nn.Module, data: TensorDataset) -> np.ndarray:
    """推論のときの確率 (N, 10)。メモリを使いすぎないように、少しずつ計算する。"""
    parts = [scores(model, x).softmax(1).numpy() for x, _ in DataLoader(data, 500)]
    return np.concatenate(parts)


def log_scale(axes: Any, ticks: Sequence[float]) -> None:
    """縦軸を対数にし、目盛りを 10 の累乗でなく、ふつうの数で書く。"""
    axes.set_yscale("log")
    axes.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.yaxis.minorticks_off()
