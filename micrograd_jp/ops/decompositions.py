"""行列の分解の表: 固有値、特異値、QR、一般逆行列。

1 つの演算は 1 つの配列を作るので、分解の部分はどれも平らにして、最後の軸につないである
（`parts` が切り分ける）。規則は値 z から書いてあり、`m` が計算グラフなら何度でも微分できる。
微分の公式: 固有値は Giles (2008)、特異値は Townsend (2016) "Differentiating the Singular Value
Decomposition"、QR は Walter & Lehmann (2018)、一般逆行列は Golub & Pereyra (1973)。
"""

from __future__ import annotations

from math import prod
from typing import Any

from micrograd_jp.ops.arrays import array_op
from micrograd_jp.ops.linalg import transposed

Shape = tuple[int, ...]


def parts(m: Any, z: Any, shapes: tuple[Shape, ...]) -> list[Any]:
    """分解の部分: 平らな最後の軸を、これらの形に切り分ける。"""
    found, at = [], 0
    for shape in shapes:
        flat = m.getitem(z, (..., slice(at, at + prod(shape))))
        found.append(m.reshape(flat, (*z.shape[:-1], *shape)))
        at += prod(shape)
    return found


def eigh_shapes(x: Any) -> tuple[Shape, ...]:
    """固有値と固有ベクトルの形。"""
    n = x.shape[-1]
    return (n,), (n, n)


def svd_shapes(x: Any) -> tuple[Shape, ...]:
    """U、S、Vᵀ の形。"""
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    return (rows, k), (k,), (k, columns)


def qr_shapes(x: Any) -> tuple[Shape, ...]:
    """Q と R の形。"""
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    return (rows, k), (k, columns)


def _joined(m: Any, x: Any, found: Any, shapes: tuple[Shape, ...]) -> Any:
    batch = x.shape[:-2]
    flat = [m.reshape(p, (*batch, prod(s))) for p, s in zip(found, shapes, strict=True)]
    return m.concatenate(flat, axis=-1)


def _row(m: Any, x: Any) -> Any:
    return m.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


def _square(m: Any, x: Any) -> Any:
    """A vector per matrix, once in every row."""
    return m.broadcast_to(_row(m, x), (*x.shape, x.shape[-1]))


def _on_diagonal(m: Any, x: Any) -> Any:
    return m.tril(m.triu(x, 0), 0)


def _off_diagonal(m: Any, x: Any) -> Any:
    return m.tril(x, -1) + m.triu(x, 1)


def _gaps(m: Any, values: Any) -> Any:
    """λⱼ − λᵢ."""
    row = _square(m, values)
    return row - transposed(m, row)


def _over_gaps(m: Any, a: Any, gap: Any) -> Any:
    """aᵢⱼ / gapᵢⱼ beside the diagonal. Of two equal λ: 0 where a is 0, else infinite: there is
    no derivative.
    """
    a = _off_diagonal(m, a)  # a rounding of its own there, which XLA may leave, counts for much
    return a / m.where((gap == 0) & (a == 0), 1, gap)


# The columns of the table are set by hand.
# fmt: off


def _eigh_gradient(m: Any, g: Any, z: Any, x: Any) -> tuple[Any, ...]:
    (gw, gv), (w, v) = parts(m, g, eigh_shapes(x)), parts(m, z, eigh_shapes(x))
    vt = transposed(m, v)
    turned = _over_gaps(m, m.matmul(vt, gv), _gaps(m, w))
    share = m.matmul(v, m.matmul(turned + _on_diagonal(m, _square(m, gw)), vt))
    return (0.5 * (share + transposed(m, share)),)


eigh = array_op("eigh", "λ, V", "対称行列の固有値と固有ベクトル (eigh)",
    lambda m, x: _joined(m, x, m.eigh(x), eigh_shapes(x)), _eigh_gradient)


def _svd_gradient(m: Any, g: Any, z: Any, x: Any) -> tuple[Any, ...]:
    shapes = svd_shapes(x)
    (gu, gs, gvt), (u, s, vt) = parts(m, g, shapes), parts(m, z, shapes)
    ut, v = transposed(m, u), transposed(m, vt)
    of_u, of_v = m.matmul(ut, gu), m.matmul(vt, transposed(m, gvt))
    # σⱼ² − σᵢ², so factored that it is 0 where they are equal: XLA fuses a product and a sum.
    row, gap = _row(m, s), _gaps(m, s) * (_row(m, s) + transposed(m, _row(m, s)))
    inner = (
        _over_gaps(m, of_u - transposed(m, of_u), gap) * row
        + transposed(m, row) * _over_gaps(m, of_v - transposed(m, of_v), gap)
        + _on_diagonal(m, _square(m, gs))
    )
    share = m.matmul(u, m.matmul(inner, vt))
    if x.shape[-2] > s.shape[-1]:
        share = share + m.matmul((gu - m.matmul(u, of_u)) / row, vt)
    if x.shape[-1] > s.shape[-1]:
        share = share + m.matmul(u / row, gvt - m.matmul(m.matmul(gvt, v), vt))
    return (share,)


svd = array_op("svd", "U, Σ, Vᵀ", "特異値分解 (SVD)",
    lambda m, x: _joined(m, x, m.svd(x, full_matrices=False), svd_shapes(x)), _svd_gradient)


def _qr_gradient(m: Any, g: Any, z: Any, x: Any) -> tuple[Any, ...]:
    shapes = qr_shapes(x)
    (gq, gr), (q, r) = parts(m, g, shapes), parts(m, z, shapes)
    k, wide = r.shape[-2], x.shape[-1] > r.shape[-2]
    left, square = (..., slice(0, k)), r
    if wide:  # the columns behind the first k are Q times those of R
        rest = (..., slice(k, None))
        behind = m.getitem(gr, rest)
        gq = gq + m.matmul(m.getitem(x, rest), transposed(m, behind))
        gr, square = m.getitem(gr, left), m.getitem(r, left)
    inner = m.matmul(square, transposed(m, gr)) - m.matmul(transposed(m, gq), q)
    lower = m.tril(inner, 0) + transposed(m, m.tril(inner, -1))
    share = transposed(m, m.solve(square, transposed(m, gq + m.matmul(q, lower))))
    return (m.concatenate((share, m.matmul(q, behind)), axis=-1) if wide else share,)


qr = array_op("qr", "Q, R", "QR 分解 (QR)",
    lambda m, x: _joined(m, x, m.qr(x), qr_shapes(x)), _qr_gradient)


def _pinv(m: Any, x: Any, atol: float, rtol: float) -> Any:
    u, s, vt = m.svd(x, full_matrices=False)
    least = m.maximum(rtol * m.amax(s, axis=-1, keepdims=True), atol) if s.size else s
    inverse = m.where(s > least, 1 / m.where(s > least, s, 1), 0)
    return m.matmul(transposed(m, vt) * _row(m, inverse), transposed(m, u))


def _pinv_gradient(m: Any, g: Any, z: Any, x: Any, atol: float, rtol: float) -> tuple[Any, ...]:
    zt, gt = transposed(m, z), transposed(m, g)
    outside = m.matmul(gt, m.matmul(z, zt))
    inside = m.matmul(m.matmul(zt, z), gt)
    return (
        outside - m.matmul(x, m.matmul(z, outside))
        + inside - m.matmul(m.matmul(inside, z), x)
        - m.matmul(zt, m.matmul(g, zt)),
    )


pinv = array_op("pinv", "A⁺", "一般逆行列 (pseudo-inverse)", _pinv, _pinv_gradient)
