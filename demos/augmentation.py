"""データ拡張の見本帳: 同じ手書き数字が、変換ごとにどう変わるかを 1 枚の図に並べる。

訓練データの画像を少しずつ変えて見せると、ネットワークは画素の並びを覚えられず、数字の形を学ぶ。ただし、
変換は答えを変えてはならない: 左右に反転した 2 は 2 でなく、180 度回した 6 は 9 になる。

    python demos/augmentation.py --out out          # MNIST
    python demos/augmentation.py --out out --quick  # scikit-learn の 8 × 8 の数字を拡大したもの
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from command import options, save

import micrograd_jp as mg
from micrograd_jp.data import transforms as T
from micrograd_jp.viz import figures

SEED = 0
DIGITS = (0, 2, 4, 6, 9)
COPIES = 2
"""1 つの数字から作る枚数。"""

ROWS: dict[str, T.Transform] = {
    "もとの画像": T.Compose([]),
    "回転 ±20°": T.RandomRotation(20),
    "平行移動 ±4 画素": T.RandomTranslate(4),
    "拡大縮小 0.7–1.3 倍": T.RandomScale((0.7, 1.3)),
    "せん断 ±25°": T.RandomAffine(shear=25),
    "切り出し（余白 4）": T.RandomCrop(28, padding=4),
    "左右反転（p = 0.5）": T.RandomHorizontalFlip(),
    "弾性変形 α = 34, σ = 4": T.ElasticTransform(34, 4),
    "明るさ 0.3–1.7 倍": T.RandomBrightness(0.7),
    "コントラスト 0.2–1.8 倍": T.RandomContrast(0.8),
    "雑音 σ = 0.2": T.GaussianNoise(0.2),
    "消去": T.RandomErasing(1.0, scale=(0.05, 0.2), value=0.5),
    "まとめて": T.Compose(
        [
            T.RandomAffine(10, (0.08, 0.08), (0.9, 1.1), 8),
            T.ElasticTransform(30, 4),
            T.RandomBrightness(0.2),
            T.GaussianNoise((0.0, 0.1)),
            T.RandomErasing(0.3, scale=(0.02, 0.1)),
        ]
    ),
}


def originals(quick: bool) -> np.ndarray:
    """`DIGITS` の画像を 1 枚ずつ (数, 1, 28, 28)。値は 0 から 1。"""
    if quick:
        x, t = mg.data.datasets.digits()[:]
        large = x.numpy().repeat(3, axis=1).repeat(3, axis=2)
        images = T.CenterCrop(28)(large)
    else:
        x, t = mg.data.datasets.mnist(train=False)[:]
        images = x.numpy()
    first = [int(np.flatnonzero(t.numpy() == digit)[0]) for digit in DIGITS]
    return np.asarray(images[first], dtype=np.float32)[:, None]


def contact_sheet(images: np.ndarray) -> Any:
    """行は変換、列は数字（`COPIES` 枚ずつ）。"""
    figure, axes = figures.subplots(
        len(ROWS), 1, size=(6.6, 0.55 * len(ROWS)), gridspec_kw={"hspace": 0.06}
    )
    repeated = images.repeat(COPIES, axis=0)
    for axis, (name, transform) in zip(axes, ROWS.items()):
        out = transform(repeated, generator=SEED)
        strip = np.concatenate(list(np.pad(out[:, 0], ((0, 0), (1, 1), (1, 1)))), axis=1)
        axis.imshow(1 - strip, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """見本帳を描く。"""
    given = options(__doc__, arguments)
    path: Path = given.out / "augmentation.png"
    save(contact_sheet(originals(given.quick)), path)


if __name__ == "__main__":
    main()
