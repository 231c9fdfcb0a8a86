"""1 次元の信号 (N, C, L) の畳み込みとプーリング: 高さが 1 の画像として計算する。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.conv import conv2d, conv_transpose2d
from micrograd_jp.tensor.functions.pool import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)
from micrograd_jp.tensor.functions.windows import several
from micrograd_jp.tensor.run import floating

__all__ = [
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "avg_pool1d", "conv1d", "conv_transpose1d",
    "max_pool1d",
]  # fmt: skip


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """1 次元の畳み込み (convolution)。引数とエラーは、長さだけの `conv2d` と同じ。

    Args:
        input: 信号 (N, C, L) か (C, L)。
        weight: 重み (O, C/groups, k)。
        bias: バイアス (O,) か `None`。
        stride: ストライド。
        padding: 前後に足す 0 の数か、`"same"`, `"valid"`。
        dilation: 窓の中の間隔。
        groups: チャネルを分ける組の数。

    Returns:
        (N, O, OL)。OL = ⌊(L + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1。

    Raises:
        ValueError: 次元やチャネルの数が合わない、窓が信号より長い。
        TypeError: 窓の指定が整数でない。
    """
    t, w = _signals(input, "conv1d"), _weights(weight, "conv1d")
    margin = padding if isinstance(padding, str) else _wide(padding, "conv1d", "padding", 0)
    moves, gaps = (
        _wide(n, "conv1d", name) for n, name in ((stride, "stride"), (dilation, "dilation"))
    )
    return conv2d(t, w, bias, moves, margin, gaps, groups).squeeze(-2)


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """1 次元の転置畳み込み。引数とエラーは、長さだけの `conv_transpose2d` と同じ。

    Args:
        input: (N, C, L) か (C, L)。
        weight: 重み (C, O/groups, k)。
        bias: バイアス (O,) か `None`。
        stride: ストライド。
        padding: 出力の前後から切り取る数。
        output_padding: 出力の後に足す数。
        groups: チャネルを分ける組の数。
        dilation: 窓の中の間隔。

    Raises:
        ValueError: 次元やチャネルの数が合わない、出力がなくなる。
        TypeError: 窓の指定が整数でない。
    """
    owner = "conv_transpose1d"
    t, w = _signals(input, owner), _weights(weight, owner)
    moves, gaps = (
        _wide(n, owner, name) for n, name in ((stride, "stride"), (dilation, "dilation"))
    )
    cut, extra = (
        _wide(n, owner, name, 0)
        for n, name in ((padding, "padding"), (output_padding, "output_padding"))
    )
    return conv_transpose2d(t, w, bias, moves, cut, extra, groups, gaps).squeeze(-2)


def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """1 次元の最大プーリング: (N, C, L) か (C, L)。引数は、長さだけの `max_pool2d` と同じ。"""
    owner = "max_pool1d"
    size, moves, margin = _windows(owner, kernel_size, stride, padding)
    gaps = _wide(dilation, owner, "dilation")
    t = _signals(input, owner)
    if not return_indices:
        return max_pool2d(t, size, moves, margin, gaps, ceil_mode).squeeze(-2)
    both = max_pool2d(t, size, moves, margin, gaps, ceil_mode, return_indices=True)
    return tuple([found.squeeze(-2) for found in both])


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """1 次元の平均プーリング: (N, C, L) か (C, L)。引数は、長さだけの `avg_pool2d` と同じ。"""
    owner = "avg_pool1d"
    how = *_windows(owner, kernel_size, stride, padding), ceil_mode, count_include_pad
    return avg_pool2d(_signals(input, owner), *how).squeeze(-2)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Tensor:
    """出力の長さを決める平均プーリング: (N, C, L) か (C, L) から、長さ `output_size` へ。

    Raises:
        ValueError: 長さが 1 以上の整数でない、信号が空。
    """
    owner = "adaptive_avg_pool1d"
    size = _wide(output_size, owner, "output_size")
    return adaptive_avg_pool2d(_signals(input, owner), size).squeeze(-2)


def adaptive_max_pool1d(input: Any, output_size: Any) -> Tensor:
    """出力の長さを決める最大プーリング。引数とエラーは `adaptive_avg_pool1d` と同じ。"""
    owner = "adaptive_max_pool1d"
    size = _wide(output_size, owner, "output_size")
    return adaptive_max_pool2d(_signals(input, owner), size).squeeze(-2)


def _signals(x: Any, owner: str) -> Tensor:
    t = floating(x)
    if t.ndim not in (2, 3):
        raise ValueError(
            f"{owner} の入力は (N, C, L) か (C, L) です (expected 2 or 3 dimensions): "
            f"形は {t.shape} です。"
        )
    return t.unsqueeze(-2)


def _weights(weight: Any, owner: str) -> Tensor:
    w = floating(weight)
    if w.ndim != 3:
        raise ValueError(
            f"{owner} の重みは 3 次元 (チャネル, チャネル, k) です "
            f"(expected 3-dimensional weights): 形は {w.shape} です。"
        )
    return w.unsqueeze(-2)


def _wide(given: Any, owner: str, name: str, low: int = 1) -> tuple[int, int]:
    """A number for the length, with what does nothing for the height."""
    (number,) = several(given, owner, name, 1, low)
    return low, number


def _windows(owner: str, kernel: Any, stride: Any, padding: Any) -> tuple[Any, Any, Any]:
    moves = None if stride is None or stride == () else _wide(stride, owner, "stride")
    return _wide(kernel, owner, "kernel_size"), moves, _wide(padding, owner, "padding", 0)


explain_all(globals())
