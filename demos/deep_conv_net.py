"""MNIST の手書き数字を、畳み込みネットワーク DeepConvNet で読む。

python demos/deep_conv_net.py --out out
"""

from __future__ import annotations

from functools import partial

from image_training import Recipe, cosine, warm_cosine

from micrograd_jp import nn, optim
from micrograd_jp.data import transforms as T

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
