"""複素数の演算の表と、実数の演算を複素数に使うときの規則。

勾配の約束は PyTorch のもの: 実数の損失 L と z = x + iy から ∂L/∂x + i ∂L/∂y。最も急に増える向き
なので、最適化の式は実数のときと変わらない。演算 z ↦ Az（微分でもよい）の規則は Aᴴg になる。
表の規則は転置 Aᵀg だから、`hermitian` が両側で共役を取る: Aᴴg は、Aᵀ に g の共役を渡した結果の
共役である。引数が実数なら、その実部が勾配になる（`graph/shares.py` が型を合わせるときに取る）。

公式: Kreutz-Delgado (2009) "The Complex Gradient Operator and the CR-Calculus" arXiv:0906.4835。
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from micrograd_jp.ops.arrays import array_op
from micrograd_jp.ops.primitive import ArrayOp, Elementwise, Primitive, lookup


def is_complex(x: Any) -> bool:
    """配列か型が、複素数のものか。数や、ほかのものなら偽。"""
    return getattr(getattr(x, "dtype", x), "kind", "") == "c"


def _conjugated(rule: Callable[..., Any]) -> Callable[..., Any]:
    def share(m: Any, g: Any, *xs: Any, **params: Any) -> Any:
        out = rule(m, _conjugate(m, g), *xs, **params)
        if isinstance(out, tuple):
            return tuple([_conjugate(m, x) for x in out])
        return _conjugate(m, out)

    return share


def _conjugate(m: Any, x: Any) -> Any:
    return m.conj(x) if is_complex(x) else x


# The columns of the table are set by hand.
# fmt: off

# ---- 実数と複素数のあいだ ------------------------------------------------------------------------

real = array_op("real", "Re", "実部 (real part)",
    lambda m, x: m.real(x), lambda m, g, z, x: (m.astype(g, x.dtype),), views=True)
imag = array_op("imag", "Im", "虚部 (imaginary part)",
    lambda m, x: m.imag(x), lambda m, g, z, x: (m.complex(m.times(g, 0), g),), views=True)
complex = array_op("complex", "x + iy", "実部と虚部から複素数 (complex)",
    lambda m, x, y: m.complex(x, y), lambda m, g, z, x, y: (m.real(g), m.imag(g)))
conj = array_op("conj", "conj", "共役複素数 (complex conjugate)",
    lambda m, x: m.conj(x), lambda m, g, z, x: (m.conj(g),))


def _along(m: Any, g: Any, z: Any, x: Any) -> tuple[Any, ...]:
    """g in the direction of x; at 0, where there is none, 0."""
    return (g * m.where(z == 0, 0, x / m.where(z == 0, 1, z)),)


modulus = array_op("modulus", "|x|", "複素数の絶対値 (modulus)", lambda m, x: m.abs(x), _along)


def _slope_of_base(m: Any, g: Any, z: Any, x: Any, y: Any) -> Any:
    return g * m.where(y == 0, 0, y * x ** (y - 1))


def _slope_of_exponent(m: Any, g: Any, z: Any, x: Any, y: Any) -> Any:
    return g * z * m.log(m.where(x == 0, 1, x))


power = array_op("complex_pow", "xʸ", "複素数のべき乗 (complex power)",
    lambda m, x, y: x**y, (_conjugated(_slope_of_base), _conjugated(_slope_of_exponent)))

# ---- フーリエ変換 -------------------------------------------------------------------------------

OPPOSITE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
"""逆変換が、同じ行列の共役転置になる `norm`。"""


def _pairs_times(m: Any, g: Any, n: int, axis: int, factor: float) -> Any:
    """Times a number what stands for two conjugate frequencies and not for one; n samples."""
    first, last = 1, (n + 1) // 2
    single, pairs, half = (
        m.getitem(g, (*[slice(None)] * axis, slice(a, b)))
        for a, b in ((0, first), (first, last), (last, n // 2 + 1))
    )
    return m.concatenate([single, pairs * factor, half], axis=axis)


def _of_spectrum(m: Any, g: Any, z: Any, x: Any, axis: int, norm: str) -> tuple[Any, ...]:
    n = x.shape[axis]
    half = _pairs_times(m, g, n, axis, 0.5)  # `irfft` counts them twice
    return (m.irfft(half, n=n, axis=axis, norm=OPPOSITE[norm]),)


def _of_samples(m: Any, g: Any, z: Any, x: Any, n: int, axis: int, norm: str) -> tuple[Any, ...]:
    return (_pairs_times(m, m.rfft(g, axis=axis, norm=OPPOSITE[norm]), n, axis, 2),)


fourier = array_op("fourier", "FFT", "フーリエ変換 (discrete Fourier transform)",
    lambda m, x, axis, norm, inverse: m.fourier(x, axis=axis, norm=norm, inverse=inverse),
    lambda m, g, z, x, axis, norm, inverse: (
        m.fourier(g, axis=axis, norm=OPPOSITE[norm], inverse=not inverse),))
rfft = array_op("rfft", "RFFT", "実数のフーリエ変換 (real FFT)",
    lambda m, x, axis, norm: m.rfft(x, axis=axis, norm=norm), _of_spectrum)
irfft = array_op("irfft", "IRFFT", "実数に戻るフーリエ逆変換 (inverse real FFT)",
    lambda m, x, n, axis, norm: m.irfft(x, n=n, axis=axis, norm=norm), _of_samples)

# fmt: on

# ---- 実数の演算を複素数に ------------------------------------------------------------------------

_LINEAR = {
    "add", "sub", "neg", "clone", "where", "tensor.sum", "tensor.mean", "tensor.cumsum",
    "tensor.reshape", "tensor.transpose", "tensor.broadcast_to", "tensor.flip", "tensor.roll",
    "tensor.concatenate", "tensor.stack", "tensor.pad", "tensor.tril", "tensor.triu",
    "tensor.getitem", "tensor.diagonal", "tensor.scattered", "tensor.assigned", "tensor.zeroed",
    "tensor.current", "tensor.astype",
    *(op.name for op in (real, imag, complex, conj, modulus, power, fourier, rfft, irfft)),
}  # fmt: skip
"""係数が実数の線形な演算と、この表の演算: 規則は複素数でもそのまま。"""

_HOLOMORPHIC = {
    "mul", "div", "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    "tensor.matmul", "tensor.linear", "tensor.einsum", "tensor.solve", "tensor.inv", "tensor.det",
    "tensor.cofactors",
}  # fmt: skip
"""複素微分のできる (holomorphic) 演算。"""

_SLOPES: dict[str, Callable[..., Any]] = {
    "acosh": lambda m, z, x: 1 / (m.sqrt(x - 1) * m.sqrt(x + 1)),
}
"""実数の式では枝 (branch) の違う局所微分。"""

_INSTEAD = {"pow": power, "abs": modulus}


class Hermitian(ArrayOp):
    """複素数のために、規則の両側で共役を取る演算。名前と値は、もとの演算のもの。"""

    def __reduce__(self) -> tuple[Any, ...]:
        return hermitian, (lookup(self.name),)


@cache
def hermitian(op: Any) -> Hermitian:
    """微分 A の規則 Aᵀg から、Aᴴg を規則とする演算を作る。"""
    rules: Any
    if isinstance(op, Elementwise):
        slopes = (_SLOPES[op.name],) if op.name in _SLOPES else op.partials
        rules = tuple([_conjugated(_share_by(slope)) for slope in slopes])
    elif isinstance(op.vjp, tuple):
        rules = tuple(map(_conjugated, op.vjp))
    else:
        rules = _conjugated(op.vjp)
    return Hermitian(op.name, op.symbol, op.summary, op.value, rules)


def _share_by(rule: Any) -> Callable[..., Any]:
    return lambda m, g, z, *xs: m.times(g, 0 if rule is None else rule(m, z, *xs))


def on_complex(op: Primitive) -> Primitive:
    """複素数の引数で、`op` の代わりに実行して記録する演算。

    Raises:
        TypeError: 複素数では定義されないか、勾配の規則がない。
    """
    op = _INSTEAD.get(op.name, op)
    if op.name in _LINEAR:
        return op
    if op.name in _HOLOMORPHIC:
        return hermitian(op)
    raise only_for_real(op.name.removeprefix("tensor."))


def only_for_real(name: str) -> TypeError:
    """複素数を受け取らない演算のエラー。"""
    return TypeError(
        f"{name} は複素数の Tensor には使えません (not for complex dtypes): t.real、t.imag、"
        "t.abs()、mg.angle(t) のような実数にするか、mg.view_as_real(t) で実部と虚部を並べた "
        "Tensor にしてください。"
    )
