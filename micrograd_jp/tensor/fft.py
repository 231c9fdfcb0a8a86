"""`mg.fft`: 離散フーリエ変換 (discrete Fourier transform) を、PyTorch の `torch.fft` の名前で。

計算は NumPy か JAX の FFT がする。どれも微分できる。実数の信号には、負でない周波数だけを返す
`rfft` が速い。

>>> import micrograd_jp as mg
>>> wave = mg.cos(2 * mg.pi * mg.arange(8) / 8)
>>> mg.fft.rfft(wave).abs().round(decimals=3)
tensor([0., 4., 0., 0., 0.])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.on_demand import teller
from micrograd_jp.ops.complex import OPPOSITE, is_complex
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integer, integers, normalized_axes, one_axis, shape_of
from micrograd_jp.tensor.creation import as_tensor as _made
from micrograd_jp.tensor.dtypes import get_default_dtype
from micrograd_jp.tensor.functions.complexes import as_complex, conj, fourier
from micrograd_jp.tensor.functions.complexes import irfft as _samples
from micrograd_jp.tensor.functions.complexes import rfft as _spectrum
from micrograd_jp.tensor.functions.shape import pad, roll
from micrograd_jp.tensor.registry import torch_names
from micrograd_jp.tensor.run import floating

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2",
    "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft",
    "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

_LAST_TWO = (-2, -1)


def fft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """1 つの軸のフーリエ変換 Σⱼ xⱼ e^(−2πijk/n)。

    Args:
        x: 実数か複素数。
        n: 変換の長さ。短ければ切り、長ければ 0 を足す。
        axis: 軸。
        norm: 係数。"backward"（既定）は逆変換で 1/n、"ortho" はどちらも 1/√n、"forward" は
            この変換で 1/n。

    Returns:
        複素数の Tensor。
    """
    return _transformed("fft", x, n, axis, norm, inverse=False)


def ifft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """`fft` の逆変換。引数は同じ。"""
    return _transformed("ifft", x, n, axis, norm, inverse=True)


def fftn(x: Any, s: Any = None, axis: Any = None, norm: str | None = None) -> Tensor:
    """いくつもの軸のフーリエ変換。

    Args:
        x: 実数か複素数。
        s: 軸ごとの長さ。−1 はもとの長さ。
        axis: 軸の組。なければ、`s` があれば最後の `len(s)` 個、なければすべて。
        norm: `fft` と同じ（n は長さの積）。
    """
    return _transformed("fftn", x, s, axis, norm, inverse=False)


def ifftn(x: Any, s: Any = None, axis: Any = None, norm: str | None = None) -> Tensor:
    """`fftn` の逆変換。引数は同じ。"""
    return _transformed("ifftn", x, s, axis, norm, inverse=True)


def fft2(x: Any, s: Any = None, axis: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """最後の 2 つの軸の `fftn`。"""
    return _transformed("fft2", x, s, axis, norm, inverse=False)


def ifft2(x: Any, s: Any = None, axis: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """最後の 2 つの軸の `ifftn`。"""
    return _transformed("ifft2", x, s, axis, norm, inverse=True)


# ---- 実数の信号 --------------------------------------------------------------------------------


def rfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """実数のフーリエ変換のうち、負でない周波数。長さは n // 2 + 1。引数は `fft` と同じ。

    Raises:
        TypeError: 複素数。
    """
    return _of_real("rfft", x, n, axis, norm, inverse=False)


def irfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """`rfft` の逆変換。長さ n の実数（なければ 2·(長さ − 1)）。"""
    return _to_real("irfft", x, n, axis, norm, inverse=True)


def rfftn(x: Any, s: Any = None, axis: Any = None, norm: str | None = None) -> Tensor:
    """実数の `fftn` のうち、最後の軸の周波数が負でないもの。"""
    return _of_real("rfftn", x, s, axis, norm, inverse=False)


def irfftn(x: Any, s: Any = None, axis: Any = None, norm: str | None = None) -> Tensor:
    """`rfftn` の逆変換。"""
    return _to_real("irfftn", x, s, axis, norm, inverse=True)


def rfft2(x: Any, s: Any = None, axis: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """最後の 2 つの軸の `rfftn`。"""
    return _of_real("rfft2", x, s, axis, norm, inverse=False)


def irfft2(x: Any, s: Any = None, axis: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """最後の 2 つの軸の `irfftn`。"""
    return _to_real("irfft2", x, s, axis, norm, inverse=True)


# ---- エルミート対称な信号: 周波数の側が実数 -----------------------------------------------------


def hfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """負でない時刻だけのエルミート対称な信号 x(−t) = conj(x(t)) から、実数の周波数。"""
    return _to_real("hfft", x, n, axis, norm, inverse=False)


def ihfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """`hfft` の逆変換。"""
    return _of_real("ihfft", x, n, axis, norm, inverse=True)


def hfftn(x: Any, s: Any = None, axis: Any = None, norm: str | None = None) -> Tensor:
    """いくつもの軸の `hfft`。"""
    return _to_real("hfftn", x, s, axis, norm, inverse=False)


def ihfftn(x: Any, s: Any = None, axis: Any = None, norm: str | None = None) -> Tensor:
    """`hfftn` の逆変換。"""
    return _of_real("ihfftn", x, s, axis, norm, inverse=True)


def hfft2(x: Any, s: Any = None, axis: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """最後の 2 つの軸の `hfftn`。"""
    return _to_real("hfft2", x, s, axis, norm, inverse=False)


def ihfft2(x: Any, s: Any = None, axis: Any = _LAST_TWO, norm: str | None = None) -> Tensor:
    """最後の 2 つの軸の `ihfftn`。"""
    return _of_real("ihfft2", x, s, axis, norm, inverse=True)


# ---- 周波数の目盛り ----------------------------------------------------------------------------


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """長さ n のフーリエ変換の周波数。d は標本の間隔。"""
    return _made(
        _scale(np.fft.fftfreq, n, d, "fftfreq"), dtype=dtype or get_default_dtype(), device=device
    )


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """長さ n の実数のフーリエ変換の、負でない周波数。"""
    return _made(
        _scale(np.fft.rfftfreq, n, d, "rfftfreq"), dtype=dtype or get_default_dtype(), device=device
    )


def _scale(frequencies: Any, n: int, d: float, name: str) -> Any:
    (n,) = shape_of((n,), name)
    if n == 0 or d == 0:
        raise ValueError(
            f"{name} の長さ n は 1 以上、間隔 d は 0 でない数です (expected n > 0 and d != 0): "
            f"n={n}、d={d}。"
        )
    return frequencies(n, d)


def fftshift(x: Any, axis: Any = None) -> Tensor:
    """周波数 0 を真ん中に移す。"""
    return _shifted(x, axis, "fftshift", lambda n: n // 2)


def ifftshift(x: Any, axis: Any = None) -> Tensor:
    """`fftshift` の逆。"""
    return _shifted(x, axis, "ifftshift", lambda n: -(n // 2))


def _shifted(x: Any, axis: Any, name: str, steps: Any) -> Tensor:
    t = as_tensor(x)
    axes = normalized_axes(axis, t.ndim, name)
    return roll(t, tuple(steps(t.shape[a]) for a in axes), axes)


# ---- 引数を揃える ------------------------------------------------------------------------------


def _transformed(name: str, x: Any, s: Any, axis: Any, norm: Any, inverse: bool) -> Tensor:
    t, norm = as_complex(x), _norm(name, norm)
    axes, sizes = _axes(name, t, s, axis)
    t = _sized(t, axes, _whole(name, t, axes, sizes))
    return fourier(t, axes, norm, inverse) if axes else t


def _of_real(name: str, x: Any, s: Any, axis: Any, norm: Any, inverse: bool) -> Tensor:
    """From real numbers; the inverse of a transform has the signs of the frequencies turned."""
    t, norm = floating(x), _norm(name, norm)
    if is_complex(t):
        raise TypeError(
            f"{name} は実数の Tensor に使います (expected a real dtype): {t.dtype} が渡されました。"
            f"複素数には mg.fft.{name.replace('ihfft', 'ifft').replace('rfft', 'fft')} を使って"
            "ください。"
        )
    t = t if t.dtype.itemsize > 2 else t.float()
    axes, sizes = _axes(name, t, s, axis)
    _require_axes(name, axes)
    t = _sized(t, axes, _whole(name, t, axes, sizes))
    out = _spectrum(t, axes[-1], OPPOSITE[norm] if inverse else norm)
    out = conj(out) if inverse else out
    return fourier(out, axes[:-1], norm, inverse) if axes[:-1] else out


def _to_real(name: str, x: Any, s: Any, axis: Any, norm: Any, inverse: bool) -> Tensor:
    """To real numbers, from the half of the frequencies (or times) that is not negative."""
    t, norm = as_complex(x), _norm(name, norm)
    axes, sizes = _axes(name, t, s, axis)
    _require_axes(name, axes)
    last = axes[-1]
    n = 2 * (t.shape[last] - 1) if sizes[-1] is None else sizes[-1]
    whole = _whole(name, t, axes, [*sizes[:-1], n])
    t = _sized(t, axes, [*whole[:-1], n // 2 + 1])
    t = fourier(t, axes[:-1], norm, inverse) if axes[:-1] else t
    return _samples(t if inverse else conj(t), n, last, norm if inverse else OPPOSITE[norm])


def _norm(name: str, norm: Any) -> str:
    given: str = "backward" if norm is None else norm
    if given not in OPPOSITE:
        raise ValueError(
            f"{name} の norm は 'backward'、'ortho'、'forward' の 1 つです (invalid normalization "
            f"mode): {norm!r}。"
        )
    return given


def _axes(name: str, t: Tensor, s: Any, axis: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The axes, counted from the first, and the length wanted along each, `None` for its own."""
    if not name.endswith(("2", "n")):
        return (one_axis(axis, t.ndim, name),), [None if s is None else integer(s, name)]
    lengths = None if s is None else [None if n == -1 else n for n in integers((s,), name)]
    if axis is None:
        n = t.ndim if lengths is None else len(lengths)
        if n > t.ndim:
            raise ValueError(
                f"{name} の s は {n} 個ですが、軸は {t.ndim} 個です (more sizes than axes): "
                f"形は {t.shape} です。"
            )
        axes = tuple(range(t.ndim - n, t.ndim))
    else:
        axes = tuple(one_axis(a, t.ndim, name) for a in _listed(axis))
        if len(set(axes)) < len(axes):
            raise ValueError(f"{name} の軸が 2 度あります (dims must be unique): {axis}。")
    if lengths is not None and len(lengths) != len(axes):
        raise ValueError(
            f"{name} の s と軸の数が違います (different numbers of sizes and dims): {lengths} と "
            f"{axes}。"
        )
    return axes, [None] * len(axes) if lengths is None else lengths


def _listed(axis: Any) -> Sequence[Any]:
    return axis if isinstance(axis, list | tuple) else (axis,)


def _require_axes(name: str, axes: tuple[int, ...]) -> None:
    if not axes:
        raise ValueError(
            f"{name} には軸が 1 つ以上要ります (expected at least one dimension): "
            "1 つの数の Tensor は、t.reshape(1) で 1 次元にしてください。"
        )


def _whole(name: str, t: Tensor, axes: tuple[int, ...], sizes: Sequence[Any]) -> list[int]:
    """The lengths, of which none is less than 1."""
    found = [t.shape[a] if n is None else n for a, n in zip(axes, sizes, strict=True)]
    for n in found:
        if n < 1:
            raise ValueError(
                f"{name} の長さは 1 以上です (invalid number of data points): {n}、形は {t.shape} "
                "です。"
            )
    return found


def _sized(t: Tensor, axes: tuple[int, ...], sizes: Sequence[int]) -> Tensor:
    """Cut at the end, or filled up with zeros."""
    wanted = dict(zip(axes, sizes, strict=True))
    if any(n < t.shape[a] for a, n in wanted.items()):
        t = t[tuple(slice(wanted.get(a)) for a in range(t.ndim))]
    if any(n > t.shape[a] for a, n in wanted.items()):
        t = pad(t, [(0, wanted.get(a, k) - k) for a, k in enumerate(t.shape)])
    return t


for _name in __all__:
    globals()[_name] = torch_names()(globals()[_name])
explain_all(globals())

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
