"""損失の関数。引数の検査と、平均・総和の選択は `nn.functional` がする。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import data_of
from micrograd_jp.ops import loss as ops
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import floating, indexed, run


def softmax_cross_entropy(logits: Any, target: Any) -> Tensor:
    """ソフトマックス関数と交差エントロピー誤差を 1 つのノードで、サンプルごとに。

    Args:
        logits: 形 (N, C) のロジット。
        target: クラスの番号 (0 以上 C 未満の整数、形 (N,)) か、確率分布 (形 (N, C))。
            確率分布には勾配が流れる。

    Returns:
        形 (N,) の損失。

    Raises:
        IndexError: C 以上の番号。
    """
    x, t = floating(logits), data_of(target)
    if not namespace.is_array(t):
        t = np.asarray(t)
    if t.dtype.kind not in "iu":
        return run(ops.soft_cross_entropy, x, as_tensor(target))
    # A copy: the gradient must find the places that the loss came from.
    return indexed(ops.cross_entropy, x, (np.arange(t.shape[0]), t.copy()))
