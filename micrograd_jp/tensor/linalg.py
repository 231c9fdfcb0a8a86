"""`mg.linalg`: 行列の関数を、PyTorch の `torch.linalg` の名前で。

>>> import micrograd_jp as mg
>>> mg.linalg.norm(mg.tensor([3.0, 4.0])).item()
5.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.on_demand import teller
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.functions import FUNCTIONS as _FUNCTIONS
from micrograd_jp.tensor.functions.arranging import vander as _vander
from micrograd_jp.tensor.functions.decompositions import LINALG as _LINALG
from micrograd_jp.tensor.functions.decompositions import cross as _cross
from micrograd_jp.tensor.functions.decompositions import matrix_norm as _matrix_norm
from micrograd_jp.tensor.functions.decompositions import vector_norm as _vector_norm
from micrograd_jp.tensor.functions.index import diagonal as _diagonal
from micrograd_jp.tensor.registry import torch_names

_SHARED = ("cholesky", "det", "inv", "matmul", "matrix_power", "slogdet", "solve")
globals().update({name: _FUNCTIONS[name] for name in _SHARED}, **_LINALG)

__all__ = [*_SHARED, *_LINALG, "cross", "diagonal", "norm", "vander"]


@torch_names(A="x")
def diagonal(x: Any, *, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """最後の 2 つの軸の対角成分。"""
    return _diagonal(x, offset, axis1, axis2)


@torch_names()
def cross(x: Any, other: Any, *, axis: int = -1) -> Tensor:
    """長さ 3 の軸に沿った外積 (cross product)。"""
    return _cross(x, other, axis)


@torch_names()
def vander(x: Any, N: int | None = None) -> Tensor:
    """ヴァンデルモンド行列: 列が x の 0 乗、1 乗、2 乗、…。"""
    return _vander(x, N, increasing=True)


@torch_names(A="x")
def norm(
    x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, *, dtype: Any = None
) -> Tensor:  # fmt: skip
    """ベクトルか行列のノルム。

    `ord` がなければ、すべての要素の 2 乗の和の平方根。`axis` が 2 つか、`axis` がなくて 2 次元なら
    行列のノルム、そうでなければベクトルのノルム。

    Raises:
        ValueError: `ord` があるのに、1 次元でも 2 次元でもない。
    """
    t = as_tensor(x)
    if ord is None:
        return _vector_norm(t, 2, axis, keepdims, dtype=dtype)
    pair = axis if axis is not None else (tuple(range(t.ndim)) if t.ndim in (1, 2) else ())
    if pair == ():
        raise ValueError(
            f"linalg.norm に ord を渡すなら、1 次元か 2 次元、または dim が要ります "
            f"(expected 1-d or 2-d): 形は {t.shape} です。"
        )
    if not isinstance(pair, int) and len(pair) == 2:
        return _matrix_norm(t, ord, pair, keepdims, dtype=dtype)
    return _vector_norm(t, ord, pair, keepdims, dtype=dtype)


explain_all(globals())

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
