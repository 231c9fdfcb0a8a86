"""アンサンブル学習 (ensemble) とテスト時のデータ拡張 (test-time augmentation)。

どちらも、ロジットを返すモデルから、対数確率 (log-probabilities) を返すモデルを作る。対数確率は
ロジットの一種で (softmax(log p) = p)、`argmax`、`cross_entropy`、正解率、さらにアンサンブルにも、
ふつうのモデルと同じように使える。
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.layers.containers import ModuleList
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.creation import arange
from micrograd_jp.tensor.functions.reduce import logsumexp
from micrograd_jp.tensor.functions.shape import stack

__all__ = ["Ensemble", "TestTimeAugmentation"]


class _LogProbabilities(Module):
    def probabilities(self, x: Any) -> Tensor:
        """確率 (N, C)。行の和は 1。"""
        out: Tensor = self(x).exp()
        return out


class Ensemble(_LogProbabilities):
    """いくつかのモデルの予測をまとめる。

    `forward(x)` は対数確率 (N, C) を返す。`probabilities(x)` は確率。訓練中かどうかは変えないので、
    評価の前に `eval()` を呼ぶ。

    Args:
        models: ロジット (N, C) を返す `Module` の列。
        vote: 偽なら確率の平均。真なら多数決: 確率は得票の割合で、得票のないクラスの対数確率は
            −inf。多数決は微分できない。同数なら `argmax` は番号の小さいクラスになる。

    Raises:
        ValueError: モデルがない。呼んだとき、モデルの出力の形が違う。
        TypeError: `Module` でない。
    """

    def __init__(self, models: Iterable[Module], vote: bool = False) -> None:
        self.models = ModuleList(models)
        if not len(self.models):
            raise ValueError(
                "Ensemble には 1 つ以上のモデルが必要です (no models): "
                "Ensemble([model1, model2]) のように渡してください。"
            )
        self.vote = bool(vote)

    def forward(self, x: Any) -> Tensor:
        """入力 `x` に対する対数確率 (N, C)。"""
        logits = [model(x) for model in self.models]
        return _voted(logits) if self.vote else _averaged(logits)

    def extra_repr(self) -> str:
        """まとめ方。"""
        return f"vote={self.vote}"


class TestTimeAugmentation(_LogProbabilities):
    """入力を少しずつ変えたものへの予測を平均する。

    `forward(x)` は対数確率 (N, C) を返す。評価の前に `eval()` を呼ぶ。

    Args:
        model: ロジット (N, C) を返す `Module`。
        transform: データ拡張。`transform(x, generator=…)` と呼ばれる（`data.transforms` など）。
        views: 見る回数。最初の 1 回は元の入力のまま。
        seed: 乱数の種。同じ種なら、いつも同じ予測になる。

    Raises:
        TypeError: `model` が `Module` でない、`transform` が呼び出せない。
        ValueError: `views` が 1 以上の整数でない。
    """

    __test__ = False  # pytest would take the name for a class of tests

    def __init__(
        self, model: Module, transform: Callable[..., Any], views: int = 8, seed: int = 0
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(
                "TestTimeAugmentation には Module を渡します (expected a Module): "
                f"{type(model).__name__} が渡されました。"
            )
        if not callable(transform):
            raise TypeError(
                "transform は関数です (expected a callable): "
                f"{type(transform).__name__} が渡されました。"
            )
        require_positive("TestTimeAugmentation", views=views)
        self.model, self.transform = model, transform
        self.views, self.seed = views, seed

    def forward(self, x: Any) -> Tensor:
        """入力 `x` に対する対数確率 (N, C)。"""
        logits = [self.model(x)]
        for view in range(1, self.views):
            generator = np.random.default_rng((self.seed, view))
            logits.append(self.model(self.transform(x, generator=generator)))
        return _averaged(logits)

    def extra_repr(self) -> str:
        """見る回数と種。"""
        return f"views={self.views}, seed={self.seed}"


def _averaged(logits: list[Any]) -> Tensor:
    """log of the mean probability, without leaving the logarithm: no underflow."""
    _require_equal_shapes(logits)
    logs = stack([F.log_softmax(z, -1) for z in logits])
    return logsumexp(logs, axis=0) - log(len(logits))


def _voted(logits: list[Any]) -> Tensor:
    _require_equal_shapes(logits)
    classes = arange(logits[0].shape[-1])
    chosen = [z.detach().argmax(-1).unsqueeze(-1).eq(classes) for z in logits]
    share = stack([one.astype(logits[0].dtype) for one in chosen]).mean(0)
    return share.log()


def _require_equal_shapes(logits: list[Any]) -> None:
    shapes = {tuple(z.shape) for z in logits}
    if len(shapes) > 1:
        raise ValueError(
            "モデルの出力の形が違います (shape mismatch): "
            f"{'、'.join(map(str, sorted(shapes)))}。クラスの数を揃えてください。"
        )


explain_all(globals())
