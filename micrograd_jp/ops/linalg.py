"""行列の演算の表: 積、縮約、連立方程式、行列式、コレスキー分解。

ブロードキャストの逆は `arrays.py` が 1 度だけ行うので、ここの規則は形を気にしない。
微分の公式: Giles (2008) "Collected Matrix Derivative Results"、コレスキー分解は Murray (2016)
"Differentiation of the Cholesky decomposition" §3。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.ops.arrays import array_op


def transposed(m: Any, x: Any) -> Any:
    """最後の 2 つの軸を入れ替えた x。"""
    n = len(x.shape)
    return m.transpose(x, (*range(n - 2), n - 1, n - 2))


def _as_matrices(m: Any, x: Any) -> Any:
    """One number per matrix, with the two axes of the matrices put back."""
    return m.reshape(x, (*x.shape, 1, 1))


# The columns of the table are set by hand.
# fmt: off

matmul = array_op("matmul", "@", "行列の積 (matrix product)",
    lambda m, a, b: m.matmul(a, b),
    (lambda m, g, z, a, b: m.matmul(g, transposed(m, b)),
     lambda m, g, z, a, b: m.matmul(transposed(m, a), g)))

# A fully connected layer in one node, the weights as in torch.nn.functional.linear. The third
# rule is the bias's: where there is none, it is not asked.
linear = array_op("linear", "xWᵀ + b", "全結合 xWᵀ + b (linear)",
    lambda m, x, w, *b: m.linear(x, w, *b),
    (lambda m, g, z, x, w, *b: m.matmul(g, w),
     lambda m, g, z, x, w, *b: m.weight_gradient(g, x, w),
     lambda m, g, z, x, w, *b: m.bias_gradient(g)))


def _einsum_gradient(m: Any, g: Any, z: Any, *xs: Any, labels: Any, out: str) -> tuple[Any, ...]:
    """einsum again, with the output in the place of the operand.

    Every label stands once per operand and in the output or in another operand too
    (`tensor/functions/linalg.py` sees to that), so no label of the operand is missing here.
    """
    shares = []
    for i, own in enumerate(labels):
        others = [*labels[:i], *labels[i + 1 :]]
        spec = f"{','.join([out, *others])}->{own}"
        shares.append(m.einsum(spec, g, *xs[:i], *xs[i + 1 :]))
    return tuple(shares)


einsum = array_op("einsum", "einsum", "アインシュタインの縮約 (Einstein summation)",
    lambda m, *xs, labels, out: m.einsum(f"{','.join(labels)}->{out}", *xs), _einsum_gradient)


def _solve_gradient(m: Any, g: Any, z: Any, a: Any, b: Any) -> tuple[Any, ...]:
    gb = m.solve(transposed(m, a), g)
    return (-m.matmul(gb, transposed(m, z)), gb)


solve = array_op("solve", "A⁻¹B", "連立 1 次方程式 AX = B (solve)",
    lambda m, a, b: m.solve(a, b), _solve_gradient)


def _inverse_gradient(m: Any, g: Any, z: Any, a: Any) -> tuple[Any, ...]:
    """−A⁻ᵀ g A⁻ᵀ."""
    zt = transposed(m, z)
    return (-m.matmul(zt, m.matmul(g, zt)),)


inv = array_op("inv", "A⁻¹", "逆行列 (inverse)", lambda m, a: m.inv(a), _inverse_gradient)
signdet = array_op("signdet", "sign det", "行列式の符号 (sign of the determinant)",
    lambda m, x: m.signdet(x), lambda m, g, z, x: (m.times(x, 0),))
logabsdet = array_op("logabsdet", "log|det|", "行列式の絶対値の対数 (log |det|)",
    lambda m, x: m.logabsdet(x),
    lambda m, g, z, x: (_as_matrices(m, g) * transposed(m, m.inv(x)),))

# ∂det/∂A is the matrix of cofactors, also where A is singular.
det = array_op("det", "det", "行列式 (determinant)",
    lambda m, x: m.det(x),
    lambda m, g, z, x: (_as_matrices(m, g) * m.cofactors(x),))


# Differentiated along directions it is linear in each and symmetric in all, so it is closed: for A
# one more direction, the upstream gradient; for a direction, the upstream gradient in its place.
cofactors = array_op("cofactors", "cof", "余因子行列と、その方向微分 (matrix of cofactors)",
    lambda m, x, *hs: m.cofactors(x, *hs),
    lambda m, g, z, x, *hs: (m.cofactors(x, *hs, g), *[
        m.cofactors(x, *hs[:i], g, *hs[i + 1 :]) for i in range(len(hs))]))


def _cholesky_gradient(m: Any, g: Any, z: Any, x: Any) -> tuple[Any, ...]:
    p = m.tril(m.matmul(transposed(m, z), g), 0)
    p = 0.5 * (p + m.tril(p, -1))  # the lower triangle with half the diagonal, Φ
    lt = transposed(m, z)
    s = transposed(m, m.solve(lt, transposed(m, m.solve(lt, p))))
    return (0.5 * (s + transposed(m, s)),)


cholesky = array_op("cholesky", "chol", "コレスキー分解 A = LLᵀ の L (Cholesky)",
    lambda m, x: m.cholesky(x), _cholesky_gradient)
