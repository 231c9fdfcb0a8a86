"""名前空間 (namespace) が規則に約束すること。配列の名前空間に共通の部分。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.ops import norm


class ArrayNamespace:
    """配列のライブラリの関数を、規則が使う名前で。ライブラリにないものを補う。

    NumPy と JAX で計算のしかたが違うもの（カーネル）だけを、派生クラスが 1 つずつ書く。
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library, name)
        setattr(self, name, found)  # the next look-up is a plain attribute
        return found

    def logsumexp_along(self, x: Any, axis: tuple[int, ...]) -> Any:
        """Log Σ eˣ along axes, with the maximum taken out."""
        top = self.max(x, axis=axis, keepdims=True)
        top = self.where(self.isfinite(top), top, 0)  # inf − inf would make nan of a defined answer
        return self.log(self.sum(self.exp(x - top), axis=axis)) + self.reshape(
            top, tuple(n for i, n in enumerate(x.shape) if i not in axis)
        )

    def einsum(self, spec: str, *xs: Any) -> Any:
        """Einstein summation, in the order that costs least."""
        return self._library.einsum(spec, *xs, optimize=len(xs) > 1)

    def linear(self, x: Any, w: Any, *b: Any) -> Any:
        """`x wᵀ + b` for matrices; b may be left out."""
        z = self.matmul(x, w.T)
        return z + b[0] if b else z

    def weight_gradient(self, g: Any, x: Any, w: Any) -> Any:
        """`gᵀx`, the gradient of the w in `x wᵀ`."""
        return self.matmul(g.T, x)

    def bias_gradient(self, g: Any) -> Any:
        """The sum of the rows."""
        return self.sum(g, axis=0)

    def times(self, g: Any, d: Any) -> Any:
        """The upstream gradient times a partial derivative."""
        return g * d

    def batch_statistics(self, x: Any) -> tuple[Any, Any]:
        """Mean and variance (divided by n) of each channel."""
        return norm.statistics(self, x)

    def batch_normalized(self, x: Any, w: Any, b: Any, mean: Any, var: Any, eps: float) -> Any:
        """(x − mean)/√(var + eps)·w + b for each channel."""
        return norm.normalized(self, x, w, b, mean, var, eps)

    def batch_normalized_back(
        self, g: Any, x: Any, w: Any, *, mean: Any, var: Any, eps: float, batch: bool
    ) -> tuple[Any, Any, Any]:
        """The gradients of x, w and b."""
        return norm.gradients(self, g, x, w, mean, var, eps, batch)

    def solve(self, a: Any, b: Any) -> Any:
        """A⁻¹B for matrices."""
        return self.linalg.solve(a, b)

    def inv(self, x: Any) -> Any:
        """A⁻¹."""
        return self.linalg.inv(x)

    def det(self, x: Any) -> Any:
        """The determinant."""
        return self.linalg.det(x)

    def logabsdet(self, x: Any) -> Any:
        """Log |det|."""
        return self.linalg.slogdet(x)[1]

    def cholesky(self, x: Any) -> Any:
        """The lower triangular L of A = LLᵀ."""
        return self.linalg.cholesky(x)

    def cofactors(self, x: Any) -> Any:
        """∂det/∂A from the singular values; no division, so also where A is singular."""
        u, s, vt = self.linalg.svd(x)
        n = x.shape[-1]
        others = self.where(self.eye(n, dtype=bool), 1, s[..., None, :]).prod(axis=-1)
        sign = self.linalg.det(u) * self.linalg.det(vt)
        return sign[..., None, None] * self.matmul(u * others[..., None, :], vt)
