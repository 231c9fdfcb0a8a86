"""正規化: バッチ正規化（引数の検査と移動平均は `nn.functional` がする）と、局所応答正規化。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import norm as ops
from micrograd_jp.ops import pool
from micrograd_jp.ops.windows import Windows
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions.windows import pair
from micrograd_jp.tensor.registry import RULES
from micrograd_jp.tensor.run import floating, run


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
    m = namespace.of(x._data)
    batch = mean is None
    if batch:
        with quiet.silence():
            mean, var = m.batch_statistics(x._data)
    else:  # copies: running averages change in place
        mean, var = (namespace.of(v).array(v) for v in map(data_of, (mean, var)))
    shape = (x.shape[1],)
    w = np.ones(shape, x.dtype) if weight is None else as_tensor(weight)
    b = np.zeros(shape, x.dtype) if bias is None else as_tensor(bias)
    out = run(ops.batch_norm, x, w, b, mean=mean, var=var, eps=eps, batch=batch)
    return out, mean, var


def standardized(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """軸 `axes` に沿って、平均を引き、√(分散 + eps) で割ったもの。

    Args:
        x: 小数の配列。
        axes: 0 以上の軸の番号。
        eps: 分散に足す小さな数。
    """
    return run(ops.standardized, x, axis=axes, eps=eps)


def layer_normalized(x: Tensor, w: Tensor, b: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """標準化·w + b。

    Args:
        x: 小数の配列。
        w: 倍率。x の軸 `axes` の形。
        b: ずらし。同じ形。
        axes: 最後のいくつかの軸の番号。
        eps: 分散に足す小さな数。
    """
    return run(ops.layer_norm, x, w, b, axis=axes, eps=eps)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """局所応答正規化 (local response normalization): 近くのチャネルの大きさで割る。

    b_c = a_c / (k + alpha/size · Σ a²)^beta。和は c のまわりの `size` 個のチャネル。
    Krizhevsky, Sutskever & Hinton (2012) "ImageNet Classification" §3.3
    （PyTorch と同じく、alpha を `size` で割る）。

    Args:
        input: (N, C, …)。3 次元以上。
        size: チャネルの数。
        alpha: 近くの大きさの重み。
        beta: 指数。
        k: 足す数。

    Raises:
        ValueError: 3 次元未満、`size` が 1 以上の整数でない。
    """
    t = floating(input)
    if t.ndim < 3:
        raise ValueError(
            "local_response_norm の入力は 3 次元以上です (expected at least 3 dimensions): "
            f"形は {t.shape} です。"
        )
    n, _ = pair(size, "local_response_norm", "size")
    windows = Windows((n, 1), padding=((n // 2, (n - 1) // 2), (0, 0)))
    # The channels become the rows of an image.
    squares = (t * t).reshape(t.shape[0], 1, t.shape[1], int(np.prod(t.shape[2:])))
    total = run(pool.window_sum, squares, windows=windows).reshape(t.shape)
    out: Tensor = t / (total * (alpha / n) + k) ** beta
    return out


explain_all(globals())
