"""バッチ正規化の計算。引数の検査と移動平均は `nn.functional` がする。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import norm as ops
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.registry import RULES
from micrograd_jp.tensor.run import run


def batch_normalized_back(
    g: Any, x: Any, w: Any, *, mean: Any, var: Any, eps: float, batch: bool
) -> tuple[Any, Any, Any]:
    """バッチ正規化の x, w, b の勾配。x から来た平均と分散は、x を通して微分できる。"""
    if batch:
        mean, var = ops.statistics(on_graph, x)
    return ops.gradients(on_graph, g, x, w, mean, var, eps, batch)


RULES["batch_normalized_back"] = batch_normalized_back


def batch_normalized(
    x: Tensor, weight: Any, bias: Any, eps: float, mean: Any = None, var: Any = None
) -> tuple[Tensor, Any, Any]:
    """チャネルごとに正規化したものと、使った平均と分散の配列 (C,)。

    Args:
        x: (N, C, …)。
        weight: 倍率 (C,) か `None`。
        bias: ずらし (C,) か `None`。
        eps: 分散に足す小さな数。
        mean: 平均 (C,)。`None` なら、平均も分散も x のもの。
        var: 分散 (C,)。
    """
    m = namespace.of(x.data)
    batch = mean is None
    if batch:
        mean, var = m.batch_statistics(x.data)
    else:  # copies: running averages change in place
        mean, var = (namespace.of(v).array(v) for v in map(data_of, (mean, var)))
    shape = (x.shape[1],)
    w = np.ones(shape, x.dtype) if weight is None else as_tensor(weight)
    b = np.zeros(shape, x.dtype) if bias is None else as_tensor(bias)
    out = run(ops.batch_norm, x, w, b, mean=mean, var=var, eps=eps, batch=batch)
    return out, mean, var
