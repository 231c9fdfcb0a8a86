"""複素数の関数: 実部、虚部、共役、偏角、実数の Tensor との行き来。

複素数の Tensor の勾配は ∂L/∂x + i ∂L/∂y である（`ops/complex.py`）。

>>> import micrograd_jp as mg
>>> z = mg.tensor([3 + 4j], requires_grad=True)
>>> z.abs().backward()
>>> z.grad
tensor([0.6+0.8j], dtype=complex64)
"""

from __future__ import annotations

from math import pi
from typing import Any

from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import complex as ops
from micrograd_jp.ops.complex import is_complex
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import category, complex_of, float16
from micrograd_jp.tensor.functions.pointwise import isnan
from micrograd_jp.tensor.functions.shape import broadcast_tensors, stack
from micrograd_jp.tensor.registry import RULES, function
from micrograd_jp.tensor.run import floating, run


def _part(op: Any, t: Tensor) -> Tensor:
    out = run(op, t)
    if not out.requires_grad:
        out._base = (t, op, {})
    return out


@function(method=False, torch={"input": "x"})
def real(x: Any) -> Tensor:
    """実部のビュー (view): 書けば、もとの複素数も変わる。実数ならそのまま。"""
    t = as_tensor(x)
    return _part(ops.real, t) if is_complex(t) else t


@function(method=False, torch={"input": "x"})
def imag(x: Any) -> Tensor:
    """虚部のビュー (view): 書けば、もとの複素数も変わる。

    Raises:
        TypeError: 実数の Tensor。
    """
    return _part(ops.imag, _complex(x, "imag"))


def _complex(x: Any, name: str) -> Tensor:
    t = as_tensor(x)
    if not is_complex(t):
        raise TypeError(
            f"{name} は複素数の Tensor に使います (expected a complex dtype): {t.dtype} が渡され"
            "ました。虚部が 0 なら mg.zeros_like(t)、複素数にするなら t.to(mg.complex64) と"
            "書いてください。"
        )
    return t


@function()
def conj(x: Any) -> Tensor:
    """共役複素数 x − iy (complex conjugate)。実数ならそのまま。"""
    t = as_tensor(x)
    return run(ops.conj, t) if is_complex(t) else t


@function(in_place=True)
def conj_physical(x: Any) -> Tensor:
    """`conj` と同じ (PyTorch の名前)。"""
    return conj(x)


@function()
def angle(x: Any) -> Tensor:
    """偏角 (phase)、ラジアン。実数では、負なら π、そうでなければ 0。"""
    t = as_tensor(x)
    if is_complex(t):
        out: Tensor = on_graph.atan2(imag(t), real(t))
    else:
        t = floating(t)
        out = on_graph.where(isnan(t), t, (t < 0).to(t.dtype) * pi)
    return out


@function(in_place=True)
def sgn(x: Any) -> Tensor:
    """複素数なら x/|x|（0 では 0）、実数なら符号 −1、0、1。"""
    t = as_tensor(x)
    if is_complex(t):
        size = on_graph.abs(t)
        out: Tensor = t / on_graph.where(size == 0, 1.0, size)
    else:
        out = on_graph.sign(t)
    return out


@function()
def isreal(x: Any) -> Tensor:
    """要素ごとに、虚部が 0 か。勾配はない。"""
    t = as_tensor(x).detach()
    return imag(t) == 0 if is_complex(t) else (t == t) | (t != t)


@function(method=False, torch={"real": "x", "imag": "y"})
def complex(x: Any, y: Any) -> Tensor:
    """実部 x と虚部 y から複素数の Tensor。

    Raises:
        TypeError: 同じ小数の型（float32 か float64）でない。
    """
    a, b = broadcast_tensors(as_tensor(x), as_tensor(y))
    if a.dtype != b.dtype or category(a.dtype) != 2 or a.dtype.itemsize == float16.itemsize:
        raise TypeError(
            "complex の実部と虚部は、同じ型の float32 か float64 です (expected floats of one "
            f"dtype): {a.dtype} と {b.dtype} が渡されました。x.float() のように揃えてください。"
        )
    return run(ops.complex, a, b)


@function(method=False, torch={"abs": "radius"})
def polar(radius: Any, angle: Any) -> Tensor:
    """絶対値と偏角から複素数の Tensor: r·cos θ + i r·sin θ。"""
    return complex(radius * on_graph.cos(angle), radius * on_graph.sin(angle))


@function(method=False)
def view_as_real(x: Any) -> Tensor:
    """複素数の Tensor を、最後に長さ 2 の軸 (実部、虚部) をもつ実数の Tensor にする（写し）。

    Raises:
        TypeError: 実数の Tensor。
    """
    t = _complex(x, "view_as_real")
    return stack([real(t), imag(t)], -1)


@function(method=False)
def view_as_complex(x: Any) -> Tensor:
    """最後に長さ 2 の軸 (実部、虚部) をもつ実数の Tensor を、複素数の Tensor にする（写し）。

    Raises:
        ValueError: 最後の軸の長さが 2 でない。
    """
    t = as_tensor(x)
    if not t.ndim or t.shape[-1] != 2:
        raise ValueError(
            "view_as_complex の最後の軸は、実部と虚部の 2 つです (last dimension must be 2): "
            f"形は {t.shape} です。mg.complex(実部, 虚部) とも書けます。"
        )
    return complex(t[..., 0], t[..., 1])


def as_complex(x: Any) -> Tensor:
    """複素数の Tensor にする。小数の細かさは変わらない。"""
    t = floating(x)
    if is_complex(t):
        return t
    return t.astype(complex_of(t.dtype))


# ---- フーリエ変換: `mg.fft` と、規則が使う ------------------------------------------------------


def fourier(x: Any, axis: Any, norm: str, inverse: bool) -> Tensor:
    """複素数の Tensor の、軸 `axis` に沿った離散フーリエ変換か、その逆変換。"""
    return run(ops.fourier, x, axis=axis, norm=norm, inverse=inverse)


def rfft(x: Any, axis: int, norm: str) -> Tensor:
    """実数の変換の、負でない周波数。"""
    return run(ops.rfft, x, axis=axis, norm=norm)


def irfft(x: Any, n: int, axis: int, norm: str) -> Tensor:
    """負でない周波数から、n 個の実数。"""
    return run(ops.irfft, x, n=n, axis=axis, norm=norm)


RULES.update(fourier=fourier, rfft=rfft, irfft=irfft)
