"""余因子行列 ∂det/∂A と、その方向微分を、特異値から。割り算をしないので、正則でない A でも正しい。

A = U S Vᴴ の基底では A は対角で、det の k 階の導関数は、k 個の場所を除いた特異値の積の和になる。
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np

_PLACES = "abcdefgh"


def cofactors(m: Any, x: Any, *directions: Any) -> Any:
    """∂det/∂A を、方向ごとに 1 度ずつ微分したもの。どの方向についても線形で、順序によらない。

    Args:
        m: 名前空間。
        x: A (…, n, n)。
        directions: 方向。A と同じ形。
    """
    if len(directions) >= x.shape[-1]:  # det is a polynomial of degree n
        return m.zeros(x.shape, dtype=x.dtype)
    u, s, vt = m.svd(x)
    sign = m.linalg.det(u) * m.linalg.det(vt)
    u, vt = m.conj(u), m.conj(vt)  # of a complex matrix, too: back by the adjoints
    inside = [_turned(m, u) @ h @ _turned(m, vt) for h in directions]
    k, n = len(directions) + 1, x.shape[-1]
    others, rows = _products_of_others(m, s, k), _PLACES[:k]
    total = m.zeros(x.shape, dtype=x.dtype)
    # det is a sum over permutations: of the k places, the last one is left open.
    for seats in permutations(range(k)):
        *entries, last = [f"...{rows[i]}{rows[j]}" for i, j in enumerate(seats)]
        diagonal = seats[-1] == k - 1
        out = f"...{rows[-1]}" if diagonal else last
        term = m.einsum(f"{','.join([f'...{rows}', *entries])}->{out}", others, *inside)
        term = term[..., None] * m.eye(n, dtype=x.dtype) if diagonal else term
        total = total + term * (-1) ** sum(a > b for a, b in combinations(seats, 2))
    return sign[..., None, None] * (u @ total @ vt)


def _turned(m: Any, x: Any) -> Any:
    return m.swapaxes(x, -2, -1)


def _products_of_others(m: Any, s: Any, k: int) -> Any:
    """For k places (…, n, …, n): the product of the other s; 0 where two of the places are one."""
    n = s.shape[-1]
    places = [np.arange(n).reshape((1,) * i + (n,) + (1,) * (k - 1 - i)) for i in range(k)]
    if k == 1:
        return m.prod(m.where(np.eye(n, dtype=bool), 1, s[..., None, :]), axis=-1)
    product = m.ones((*s.shape[:-1], *(n,) * k), dtype=s.dtype)
    for i in range(n):  # one at a time: all at once would take n times the memory
        taken = sum(p == i for p in places)
        product = product * m.where(taken, 1, s[(..., i, *(None,) * k)])
    for p, q in combinations(places, 2):
        product = m.where(p == q, 0, product)
    return product
