"""MNIST の手書き数字を、畳み込みネットワーク DeepConvNet で読む。

python demos/deep_conv_net.py --out out
"""

from __future__ import annotations

from functools import partial

from image_training import Recipe, cosine

from micrograd_jp import nn, optim

SEED = 0

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
