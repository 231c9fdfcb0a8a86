"""大きさを変える: 補間 (interpolation)、画素の並べ替え (pixel shuffle)。"""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import floating

__all__ = ["channel_shuffle", "interpolate", "pixel_shuffle", "pixel_unshuffle", "upsample"]

_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
_MODES = ("nearest", "nearest-exact", *_LINEAR)


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """補間 (interpolation) で大きさを変える。

    Args:
        input: (N, C, L)、(N, C, H, W)、(N, C, D, H, W) のどれか。
        size: 変えた後の大きさ。整数か、軸ごとの整数。
        scale_factor: 何倍にするか。数か、軸ごとの数。`size` と、どちらか 1 つ。
        mode: `"nearest"`（最も近い画素）、`"nearest-exact"`（画素の中心どうしで最も近いもの）、
            `"linear"`（3 次元）、`"bilinear"`（4 次元）、`"trilinear"`（5 次元）。
        align_corners: 線形の補間で、両端の画素の中心を揃えるか（既定は、画素のふちを揃える）。
        recompute_scale_factor: 真なら、場所を、倍率ではなく、整数にした大きさの比で決める。

    Raises:
        ValueError: 次元と `mode` が合わない、`size` と `scale_factor` が片方でない、大きさが 0。
    """
    t = floating(input)
    n = t.ndim - 2
    if not 1 <= n <= 3 or mode not in _MODES or _LINEAR.get(mode, n) != n:
        raise ValueError(
            f"interpolate の mode {mode!r} は形 {t.shape} に使えません (wrong mode): "
            "'nearest' か、3 次元には 'linear'、4 次元には 'bilinear'、5 次元には 'trilinear' を"
            "渡してください。"
        )
    if align_corners is not None and mode not in _LINEAR:
        raise ValueError(f"align_corners は線形の補間だけのものです (not for {mode!r})。")
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "interpolate には size か scale_factor の、どちらか 1 つを渡します (expected one of "
            f"them): size={size!r}、scale_factor={scale_factor!r}。"
        )
    given = size if scale_factor is None else scale_factor
    each = tuple(given) if isinstance(given, tuple | list) else (given,) * n
    if len(each) != n:
        raise ValueError(
            f"interpolate の大きさは {n} 個です (expected {n} sizes): {given!r} が渡されました。"
        )
    factors = None if scale_factor is None or recompute_scale_factor else each
    if scale_factor is not None:
        each = tuple(floor(length * float(s)) for length, s in zip(t.shape[2:], each))
    if any(not isinstance(s, int | np.integer) or s < 1 for s in each) or 0 in t.shape[2:]:
        raise ValueError(
            f"interpolate の大きさは 1 以上の整数です (output would be empty): {t.shape} から"
            f" {each}。"
        )
    for i, wanted in enumerate(each):
        length = t.shape[i + 2]
        ratio = length / wanted if factors is None else 1 / float(factors[i])
        if mode in _LINEAR:
            t = _between(t, i + 2, int(wanted), ratio, bool(align_corners))
        elif wanted != length or ratio != 1:
            shift = 0.5 if mode == "nearest-exact" else 0.0
            # In float32, as PyTorch has it: elsewhere another pixel would be the nearest.
            places = (np.arange(wanted, dtype=np.float32) + np.float32(shift)) * np.float32(ratio)
            t = mg.take(t, np.minimum(np.floor(places).astype(int), length - 1), i + 2)
    return t


def _between(t: Tensor, axis: int, wanted: int, ratio: float, corners: bool) -> Tensor:
    """Linear interpolation along one axis."""
    length = t.shape[axis]
    if corners:
        places = np.arange(wanted) * ((length - 1) / (wanted - 1) if wanted > 1 else 0.0)
    else:
        places = np.maximum((np.arange(wanted) + 0.5) * ratio - 0.5, 0)
    first = np.minimum(np.floor(places).astype(int), length - 1)
    second = np.minimum(first + 1, length - 1)
    shape = tuple(wanted if i == axis else 1 for i in range(t.ndim))
    share = (places - first).reshape(shape).astype(t.dtype)
    out: Tensor = mg.take(t, first, axis) * (1 - share) + mg.take(t, second, axis) * share
    return out


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """`interpolate` の古い名前 (PyTorch)。"""
    return interpolate(input, size, scale_factor, mode, align_corners)


def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """チャネルを画素に並べ替える: (…, C·r², H, W) から (…, C, H·r, W·r)。

    Shi et al. (2016) "Real-Time Single Image and Video Super-Resolution Using an Efficient
    Sub-Pixel Convolutional Neural Network"。

    Raises:
        ValueError: 3 次元未満、チャネルが r² で割り切れない。
    """
    t, r = as_tensor(input), upscale_factor
    if t.ndim < 3 or not isinstance(r, int) or r < 1 or t.shape[-3] % (r * r):
        raise ValueError(
            f"pixel_shuffle の入力は (…, C·r², H, W) です (channels not divisible): {t.shape}、"
            f"r = {r!r}。"
        )
    *batch, c, h, w = t.shape
    t = t.reshape(*batch, c // (r * r), r, r, h, w)
    k = len(batch)
    t = t.permute(*range(k), k, k + 3, k + 1, k + 4, k + 2)
    return t.reshape(*batch, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """`pixel_shuffle` の逆: (…, C, H·r, W·r) から (…, C·r², H, W)。

    Raises:
        ValueError: 3 次元未満、高さか幅が r で割り切れない。
    """
    t, r = as_tensor(input), downscale_factor
    if t.ndim < 3 or not isinstance(r, int) or r < 1 or t.shape[-2] % r or t.shape[-1] % r:
        raise ValueError(
            f"pixel_unshuffle の入力は (…, C, H·r, W·r) です (size not divisible): {t.shape}、"
            f"r = {r!r}。"
        )
    *batch, c, h, w = t.shape
    t = t.reshape(*batch, c, h // r, r, w // r, r)
    k = len(batch)
    t = t.permute(*range(k), k, k + 2, k + 4, k + 1, k + 3)
    return t.reshape(*batch, c * r * r, h // r, w // r)


def channel_shuffle(input: Any, groups: int) -> Tensor:
    """チャネルを `groups` 個の組に分け、組から 1 つずつ取って並べる (channel shuffle)。

    Zhang et al. (2018) "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
    Mobile Devices"。

    Args:
        input: (N, C, …)。
        groups: 組の数。C を割り切る。

    Raises:
        ValueError: 3 次元未満、チャネルが組の数で割り切れない。
    """
    t = as_tensor(input)
    if t.ndim < 3 or not isinstance(groups, int) or groups < 1 or t.shape[1] % groups:
        raise ValueError(
            f"channel_shuffle の入力は (N, C, …) で、groups は C を割り切ります "
            f"(channels not divisible): {t.shape}、groups = {groups!r}。"
        )
    n, c, *rest = t.shape
    out: Tensor = t.reshape(n, groups, c // groups, *rest).swapaxes(1, 2).reshape(t.shape)
    return out


explain_all(globals())
