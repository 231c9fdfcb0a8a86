"""行列の積 (BLAS)。中くらいの積は、BLAS が 1 つのスレッドで計算する大きさに切る。

OpenBLAS のスレッドは、積が終わっても 20 ミリ秒あまり空回りして次を待ち、その間、畳み込みの
機械語や、並べて動かすほかの学習から CPU の核を奪う。1 つの核でもすぐ終わる積のために、起こす
ことはない。切り方は形だけで決まるので、積の丸めは、そのプロセスで前に何を計算したかにはよらない。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy_kernels import computed_in
from micrograd_jp.native.allocator import keep

ALONE = (1 << 19) - 1
"""OpenBLAS が 1 つのスレッドで計算する積和 (multiply-adds) の上限 (interface/gemm.c)。"""

WORTH_CUTTING = 1 << 21
"""積和がこれより少なければ、切って呼ぶ手間の方が、空回りより高い。"""

WORTH_THREADS = 1 << 23
"""積和がこれより多ければ、スレッドを起こすのに見合う。"""


def matmul(x: Any, y: Any, *b: Any) -> Any:
    """`x y`、または `x y + b`。半精度は単精度で計算し、1 度だけ丸める（BLAS に半精度はない）。"""
    work = x.size * y.shape[1] if _are_matrices(x, y) else 0
    if not work and (wide := computed_in(x.dtype)) is not x.dtype:
        return matmul(x.astype(wide), y.astype(wide), *b).astype(x.dtype)
    if work > ALONE:
        keep()
    z = _pieces(x, y) if WORTH_CUTTING <= work < WORTH_THREADS else np.matmul(x, y)
    if b and z.dtype == b[0].dtype:
        return np.add(z, b[0], out=z)
    return z + b[0] if b else z


def _are_matrices(x: Any, y: Any) -> bool:
    return (
        x.__class__ is y.__class__ is np.ndarray
        and x.ndim == y.ndim == 2
        and x.shape[1] == len(y)
        and x.dtype == y.dtype
        and x.dtype.char in "fd"
    )


def _pieces(x: Any, y: Any) -> Any:
    """The product, cut along its longest side."""
    (n, k), o = x.shape, y.shape[1]
    if o > max(n, k):
        each, out = max(1, ALONE // (n * k)), np.empty((n, o), x.dtype)
        each = each // 16 * 16 or each  # pieces that begin where a cache line does
        for a in range(0, o, each):
            np.matmul(x, y[:, a : a + each], out=out[:, a : a + each])
        return out
    if k > n:
        each = max(1, ALONE // (n * o))
        whole = k // each * each
        left = x[:, :whole].reshape(n, -1, each).transpose(1, 0, 2)
        z = np.add.reduce(np.matmul(left, y[:whole].reshape(-1, each, o)), axis=0)
        return z + np.matmul(x[:, whole:], y[whole:]) if whole < k else z
    each = max(1, ALONE // (k * o))
    whole, y = n // each * each, np.ascontiguousarray(y)  # the few rows of a piece read all of it
    out = np.empty((n, o), x.dtype)
    np.matmul(x[:whole].reshape(-1, each, k), y, out=out[:whole].reshape(-1, each, o))
    np.matmul(x[whole:], y, out=out[whole:])
    return out
