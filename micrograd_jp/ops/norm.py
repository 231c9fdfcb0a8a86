"""正規化の演算の表: チャネル（軸 1）ごと、または標本ごとに、平均を引いて標準偏差で割る。

逆伝播の式は 1 つ (`gradients`) で、計算グラフの上でも配列の上でも動く。NumPy だけは、同じ式を
少ない回数でメモリを読むように計算する (`namespace/numpy_kernels/norm.py`)。
"""

from __future__ import annotations

from math import prod
from typing import Any

from micrograd_jp.ops.arrays import array_op, count, deviation


def _axes(x: Any) -> tuple[int, ...]:
    return (0, *range(2, len(x.shape)))


def along_channels(m: Any, v: Any, x: Any) -> Any:
    """1 チャネルに 1 つの値 (C,) を、x にブロードキャストできる形に。"""
    return m.reshape(v, (1, x.shape[1], *(1,) * (len(x.shape) - 2)))


def statistics(m: Any, x: Any) -> tuple[Any, Any]:
    """チャネルごとの平均と分散（n で割る）。どちらも (C,)。"""
    n = max(prod(x.shape[i] for i in _axes(x)), 1)
    mean = m.sum(x, axis=_axes(x)) / n
    deviation = x - along_channels(m, mean, x)
    return mean, m.sum(deviation * deviation, axis=_axes(x)) / n


def normalized(m: Any, x: Any, w: Any, b: Any, mean: Any, var: Any, eps: float) -> Any:
    """(x − 平均)/√(分散 + eps)·w + b。"""
    scale = along_channels(m, w / m.sqrt(var + eps), x)
    return (x - along_channels(m, mean, x)) * scale + along_channels(m, b, x)


def gradients(
    m: Any, g: Any, x: Any, w: Any, mean: Any, var: Any, eps: float, batch: bool
) -> tuple[Any, Any, Any]:
    """x, w, b の勾配。`batch` が真なら、平均と分散も x から来ている。

    Ioffe & Szegedy (2015) "Batch Normalization" §3 の式をまとめたもの。
    """
    inverse = 1 / m.sqrt(var + eps)
    unit = (x - along_channels(m, mean, x)) * along_channels(m, inverse, x)
    for_w, for_b = m.sum(g * unit, axis=_axes(x)), m.sum(g, axis=_axes(x))
    if batch:
        n = max(prod(x.shape[i] for i in _axes(x)), 1)
        g = g - along_channels(m, for_b / n, x) - unit * along_channels(m, for_w / n, x)
    return g * along_channels(m, w * inverse, x), for_w, for_b


# fmt: off
batch_norm = array_op("batch_norm", "正規化", "チャネルごとの正規化 (batch normalization)",
    lambda m, x, w, b, mean, var, eps, batch: m.batch_normalized(x, w, b, mean, var, eps),
    lambda m, g, z, x, w, b, mean, var, eps, batch: m.batch_normalized_back(
        g, x, w, mean=mean, var=var, eps=eps, batch=batch))


def _inverse_spread(m: Any, d: Any, axis: tuple[int, ...], eps: float) -> Any:
    """1/√(variance + eps), of the deviations."""
    return 1 / m.sqrt(m.sum(d * d, axis=axis, keepdims=True) / count(d, axis) + eps)


def standardized_along(m: Any, x: Any, axis: tuple[int, ...], eps: float) -> Any:
    """(x − 平均)/√(分散 + eps)、軸 `axis` に沿って。"""
    d = deviation(m, x, axis)
    return d * _inverse_spread(m, d, axis, eps)


def standardized_back(
    m: Any, g: Any, z: Any, x: Any, axis: tuple[int, ...], eps: float
) -> Any:
    """その x の勾配: 平均と分散を通る分を引いたもの。"""
    inverse = _inverse_spread(m, deviation(m, x, axis), axis, eps)
    along = m.sum(g * z, axis=axis, keepdims=True) / count(x, axis)
    return (deviation(m, g, axis) - z * along) * inverse


standardized = array_op("standardized", "標準化", "軸ごとの標準化 (平均 0、分散 1)",
    lambda m, x, axis, eps: m.standardized_along(x, axis=axis, eps=eps),
    lambda m, g, z, x, axis, eps: (m.standardized_back(g, z, x, axis=axis, eps=eps),))


def layer_normalized(
    m: Any, x: Any, w: Any, b: Any, axis: tuple[int, ...], eps: float
) -> Any:
    """標準化·w + b。w と b は、最後のいくつかの軸 `axis` の形。"""
    return standardized_along(m, x, axis, eps) * w + b


def layer_normalized_back(
    m: Any, g: Any, x: Any, w: Any, axis: tuple[int, ...], eps: float
) -> tuple[Any, Any, Any]:
    """x, w, b の勾配。w と b は、残りの軸のすべての行にかかる。"""
    unit, rows = standardized_along(m, x, axis, eps), tuple(range(axis[0]))
    for_x = standardized_back(m, g * w, unit, x, axis, eps)
    return for_x, m.sum(g * unit, axis=rows), m.sum(g, axis=rows)


# NumPy computes it, like what it is made of, row by row (`namespace/numpy_kernels/rows.py`).
layer_norm = array_op("layer_norm", "層正規化", "標準化、倍率、ずらし (layer normalization)",
    lambda m, x, w, b, axis, eps: m.layer_normalized(x, w, b, axis=axis, eps=eps),
    lambda m, g, z, x, w, b, axis, eps: m.layer_normalized_back(g, x, w, axis=axis, eps=eps))
