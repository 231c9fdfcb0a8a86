"""画像の窓を列に並べる (unfold, im2col) と、その逆 (fold, col2im)。"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.ops.windows import Windows
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.windows import images, pair, require_outputs
from micrograd_jp.tensor.run import floating

__all__ = ["fold", "unfold"]


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """画像の窓を、1 つずつ列に並べる (im2col)。

    Args:
        input: 画像 (N, C, H, W) か (C, H, W)。
        kernel_size: 窓の大きさ。整数か (縦, 横)。
        dilation: 窓の中の画素の間隔。
        padding: まわりに足す 0 の幅。
        stride: ストライド。

    Returns:
        (N, C·kh·kw, 窓の数)。input が 3 次元なら N はない。

    Raises:
        ValueError: 次元が合わない、窓が画像より大きい。
        TypeError: 窓の指定が整数でない。
    """
    (t, single), windows = (
        images(input, "unfold"),
        _windows("unfold", kernel_size, dilation, padding, stride),
    )
    require_outputs("unfold", windows, t.shape[2:])
    key = _key(windows, t.shape[2:])
    if any(map(any, windows.padding)):
        t = mg.pad(t, [(0, 0), (0, 0), *windows.padding])
    columns = t[key].reshape(t.shape[0], t.shape[1] * prod(windows.kernel), -1)
    return columns[0] if single else columns


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """`unfold` の列を画像に戻し、重なるところは足す (col2im)。

    Args:
        input: 列 (N, C·kh·kw, 窓の数) か (C·kh·kw, 窓の数)。
        output_size: 画像の大きさ。整数か (縦, 横)。
        kernel_size: 窓の大きさ。整数か (縦, 横)。
        dilation: 窓の中の画素の間隔。
        padding: まわりに足した 0 の幅。
        stride: ストライド。

    Returns:
        (N, C, H, W)。input が 2 次元なら N はない。

    Raises:
        ValueError: 列の長さや数が、窓に合わない。
        TypeError: 窓の指定が整数でない。
    """
    t, windows = floating(input), _windows("fold", kernel_size, dilation, padding, stride)
    size, single = pair(output_size, "fold", "output_size"), t.ndim == 2
    t = t.unsqueeze(0) if single else t
    require_outputs("fold", windows, size)
    outputs, taps = windows.outputs(size), prod(windows.kernel)
    if t.ndim != 3 or t.shape[1] % taps or t.shape[2] != prod(outputs):
        raise ValueError(
            f"fold の入力は (N, C·{taps}, {prod(outputs)}) です (shape mismatch): 形は {t.shape}。"
            f"大きさ {size} の画像に、窓 {windows.kernel} は {outputs} 個置けます。"
        )
    n, c = t.shape[0], t.shape[1] // taps
    grown = [s + sum(p) for s, p in zip(size, windows.padding)]
    columns = t.reshape(n, c, *windows.kernel, *outputs)
    out = mg.scattered(columns, _key(windows, size), (n, c, *grown))
    if any(map(any, windows.padding)):
        (top, _), (left, _) = windows.padding
        out = out[:, :, top : top + size[0], left : left + size[1]]
    return out[0] if single else out


def _windows(owner: str, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Windows:
    vertical, horizontal = pair(padding, owner, "padding", 0)
    return Windows(
        pair(kernel, owner, "kernel_size"), pair(stride, owner, "stride"),
        ((vertical, vertical), (horizontal, horizontal)), pair(dilation, owner, "dilation"),
    )  # fmt: skip


def _key(windows: Windows, size: tuple[int, ...]) -> tuple[Any, ...]:
    """The pixels of all windows of a padded image, (kh, kw, OH, OW)."""
    rows, columns = (
        np.arange(windows.kernel[i])[:, None] * windows.dilation[i]
        + np.arange(windows.outputs(size)[i]) * windows.stride[i]
        for i in (0, 1)
    )
    return slice(None), slice(None), rows[:, None, :, None], columns[None, :, None, :]


explain_all(globals())
