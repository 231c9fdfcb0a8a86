"""最大プーリングの逆 (max unpooling): 値を、選ばれた場所に戻す。"""

from __future__ import annotations

from math import prod
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integers
from micrograd_jp.tensor.functions.windows import several
from micrograd_jp.tensor.run import floating

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """`max_pool2d(…, return_indices=True)` の値を、もとの場所に戻す。ほかは 0。

    Zeiler & Fergus (2014) "Visualizing and Understanding Convolutional Networks"。

    Args:
        input: 値 (N, C, OH, OW) か (C, OH, OW)。
        indices: 同じ形の整数: 画像を 1 列に並べたときの番号。
        kernel_size: プーリングの窓の大きさ。
        stride: プーリングのストライド（既定は窓の大きさ）。
        padding: プーリングの余白。
        output_size: 戻す大きさ（前に N や C があってもよい）。窓に入らなかった端の数は、窓の指定
            からは決まらない。省けば (OH − 1)·stride − 2·padding + kh。

    Returns:
        (N, C, H, W)。

    Raises:
        ValueError: 次元や形が違う、`output_size` がそのプーリングの入力の大きさではない。
        TypeError: `indices` か `output_size` が整数でない。
        IndexError: 番号が画像の外。
    """
    return _unpooled("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """`max_pool1d` の逆: (N, C, L) か (C, L)。引数とエラーは `max_unpool2d` と同じ。"""
    return _unpooled("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Tensor:  # fmt: skip
    """`max_pool3d` の逆: (N, C, D, H, W) か (C, D, H, W)。引数とエラーは `max_unpool2d` と同じ。"""
    return _unpooled("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _unpooled(
    owner: str, axes: int, x: Any, indices: Any, kernel: Any, stride: Any, padding: Any, size: Any
) -> Tensor:
    t, places = floating(x), as_tensor(indices)
    if t.ndim not in (axes + 1, axes + 2) or places.shape != t.shape:
        raise ValueError(
            f"{owner} は {axes + 1} 次元か {axes + 2} 次元の値と、同じ形の indices を受け取ります "
            f"(shape mismatch): 形は {t.shape} と {places.shape} です。"
        )
    sides = several(kernel, owner, "kernel_size", axes)
    moves = sides if stride is None else several(stride, owner, "stride", axes)
    margin = several(padding, owner, "padding", axes, 0)
    outputs = t.shape[-axes:]
    whole = [(n - 1) * s - 2 * p + k for n, s, p, k in zip(outputs, moves, margin, sides)]
    if size is not None:
        given = integers((size,), f"{owner} の output_size")
        wanted = given[-axes:]
        fit = (abs(n - w) < s for n, w, s in zip(wanted, whole, moves))
        if len(wanted) != axes or not all(fit):
            raise ValueError(
                f"{owner} の output_size が合いません (invalid output_size): {given} が渡され"
                f"ました。{tuple(whole)} との差が、どの軸でもストライド {tuple(moves)} より小さい"
                "大きさにしてください。"
            )
        whole = [*wanted]
    before = t.shape[:-axes]
    empty = t.detach().new_zeros(*before, prod(whole))
    filled = empty.scatter(-1, places.reshape(*before, -1), t.reshape(*before, -1))
    return filled.reshape(*before, *whole)


explain_all(globals())
