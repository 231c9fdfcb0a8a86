"""パラメータすべてを 1 本のベクトルに、ベクトルをパラメータに。"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.module.parameter import put
from micrograd_jp.tensor.array import Tensor, as_tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Any]) -> Tensor:
    """パラメータを順に平らに並べた 1 次元の `Tensor`。勾配は 1 つ 1 つに戻る。

    Raises:
        ValueError: パラメータがない。
    """
    return mg.cat([as_tensor(p).reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """ベクトルの数を、順にパラメータに入れる。

    Raises:
        ValueError: 1 次元でない、要素の数がパラメータの合計と違う。何も変更しない。
    """
    found, vector = list(parameters), as_tensor(vec).detach()
    total = sum(int(p.numel()) for p in found)
    if vector.shape != (total,):
        raise ValueError(
            f"ベクトルの要素の数が合いません (length mismatch): 形は {vector.shape}、"
            f"パラメータの要素は全部で {total} 個です。"
        )
    start = 0
    for p in found:
        end = start + int(p.numel())
        put(p, vector._data[start:end].reshape(p.shape))
        start = end


explain_all(globals())
