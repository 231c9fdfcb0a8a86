"""3 次元の立体 (N, C, D, H, W) の畳み込みとプーリング: 画像の演算を 2 度に分けて計算する。"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.conv import conv2d
from micrograd_jp.tensor.functions.pool import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)
from micrograd_jp.tensor.functions.windows import margins, several
from micrograd_jp.tensor.run import floating

__all__ = ["adaptive_avg_pool3d", "adaptive_max_pool3d", "avg_pool3d", "conv3d", "max_pool3d"]

Sizes = Any
"""奥行き、縦、横。"""


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """3 次元の畳み込み (convolution): 窓の中の奥行きをチャネルに並べた、2 次元の畳み込み。

    Args:
        input: 立体 (N, C, D, H, W) か (C, D, H, W)。
        weight: 重み (O, C/groups, kd, kh, kw)。
        bias: バイアス (O,) か `None`。
        stride: ストライド。整数か (奥行き, 縦, 横)。
        padding: まわりに足す 0 の幅。整数か (奥行き, 縦, 横) か、`"same"`, `"valid"`。
        dilation: 窓の中の間隔。整数か (奥行き, 縦, 横)。
        groups: チャネルを分ける組の数。

    Returns:
        (N, O, OD, OH, OW)。

    Raises:
        ValueError: 次元やチャネルの数が合わない、窓が立体より大きい。
        TypeError: 窓の指定が整数でない。
    """
    owner = "conv3d"
    (t, single), w = _volumes(input, owner), floating(weight)
    if w.ndim != 5 or 0 in w.shape[2:] or t.shape[1] != w.shape[1] * groups:
        raise ValueError(
            f"conv3d の重みは (O, C/groups, kd, kh, kw) です (channel mismatch): 入力は {t.shape}、"
            f"重みは {w.shape}、groups は {groups} です。"
        )
    steps, spans = several(stride, owner, "stride", 3), several(dilation, owner, "dilation", 3)
    (front, back), *around = margins(padding, owner, w.shape[2:], steps, spans)
    margin = padding if isinstance(padding, str) else tuple(n for n, _ in around)
    (step, *moves), (gap, *gaps) = steps, spans
    depth, kernel = t.shape[2], w.shape[2]
    span = gap * (kernel - 1) + 1
    outputs = _outputs(owner, depth + front + back, span, step)
    t = mg.pad(t, [(0, 0), (0, 0), (front, back), (0, 0), (0, 0)]) if front or back else t
    places = np.arange(outputs)[:, None] * step + np.arange(kernel) * gap
    # (N, C, OD, kd, H, W): the depths in a window stand beside each other, as channels.
    taps = t[:, :, places].permute(0, 2, 1, 3, 4, 5)
    n, c = t.shape[:2]
    taps = taps.reshape(n * outputs, c * kernel, *t.shape[3:])
    flat = w.reshape(w.shape[0], w.shape[1] * kernel, *w.shape[3:])
    out = conv2d(taps, flat, bias, tuple(moves), margin, tuple(gaps), groups)
    whole: Tensor = out.reshape(n, outputs, *out.shape[1:]).swapaxes(1, 2)
    return whole[0] if single else whole


def max_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """3 次元の最大プーリング: (N, C, D, H, W) か (C, D, H, W)。引数は `max_pool2d` と同じ。

    窓の指定は、整数か (奥行き, 縦, 横)。場所は、立体を 1 列に並べたときの番号。
    """
    owner = "max_pool3d"
    size, moves, margin = _windows(owner, kernel_size, stride, padding)
    gaps = several(dilation, owner, "dilation", 3)

    def pooled(t: Tensor, images: bool) -> Any:
        how: dict[str, Any] = {"kernel_size": size, "stride": moves, "dilation": gaps}
        how = {name: _of(given, images) for name, given in how.items()}
        how |= {"ceil_mode": ceil_mode, "return_indices": return_indices}
        return max_pool2d(t, padding=_of(margin, images, 0), **how)

    return _in_two(input, owner, pooled)


def avg_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """3 次元の平均プーリング: (N, C, D, H, W) か (C, D, H, W)。引数は `avg_pool2d` と同じ。

    窓の指定は、整数か (奥行き, 縦, 横)。
    """
    owner = "avg_pool3d"
    size, moves, margin = _windows(owner, kernel_size, stride, padding)

    def pooled(t: Tensor, images: bool) -> Tensor:
        divisor = divisor_override
        if divisor is not None and images:
            divisor = 1  # the sum; the second time divides it
        return avg_pool2d(
            t, _of(size, images), _of(moves, images), _of(margin, images, 0), ceil_mode,
            count_include_pad, divisor,
        )  # fmt: skip

    whole: Tensor = _in_two(input, owner, pooled)
    return whole


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Tensor:
    """出力の大きさを決める平均プーリング。窓は `adaptive_avg_pool2d` と同じ。

    Args:
        input: (N, C, D, H, W) か (C, D, H, W)。
        output_size: 出力の大きさ。整数か (奥行き, 縦, 横)。`None` は入力と同じ。

    Raises:
        ValueError: 大きさが 1 以上の整数でない、立体が空。
    """
    return _adaptive(input, "adaptive_avg_pool3d", output_size, adaptive_avg_pool2d)


def adaptive_max_pool3d(input: Any, output_size: Any) -> Tensor:
    """出力の大きさを決める最大プーリング。引数は `adaptive_avg_pool3d` と同じ。

    Raises:
        ValueError: 大きさが 1 以上の整数でない、立体が空。
    """
    return _adaptive(input, "adaptive_max_pool3d", output_size, adaptive_max_pool2d)


def _adaptive(x: Any, owner: str, output_size: Any, pool: Any) -> Tensor:
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * 3
    if len(given) != 3:
        raise ValueError(
            f"{owner} の output_size は、整数か (奥行き, 縦, 横) です (invalid output_size): "
            f"{output_size!r}。"
        )
    depth, *image = given
    out: Tensor = _in_two(x, owner, lambda t, images: pool(t, image if images else (depth, None)))
    return out


def _windows(owner: str, kernel: Any, stride: Any, padding: Any) -> tuple[Sizes, Sizes, Sizes]:
    size = several(kernel, owner, "kernel_size", 3)
    moves = size if stride is None else several(stride, owner, "stride", 3)
    return size, moves, several(padding, owner, "padding", 3, 0)


def _of(numbers: Sizes, images: bool, nothing: int = 1) -> Sizes:
    """Of height and width; or of the depth, with what does nothing in the other direction."""
    return numbers[1:] if images else (numbers[0], nothing)


def _in_two(x: Any, owner: str, pooled: Any) -> Any:
    """Pool every depth as an image, then the depths of every pixel."""
    t, single = _volumes(x, owner)
    n, c, depth, *image = t.shape
    flat, inside = _and_indices(pooled(t.reshape(n, c * depth, *image), True))
    size, windows = flat.shape[2:], prod(flat.shape[2:])
    out, chosen = _and_indices(pooled(flat.reshape(n, c, depth, windows), False))
    whole = out.reshape(n, c, out.shape[2], *size)
    whole = whole[0] if single else whole
    if chosen is None:
        return whole
    # The number of a depth and of a window in it, where the pixel is known already.
    pixels = inside.reshape(n, c, -1).gather(-1, chosen.reshape(n, c, -1)).reshape(chosen.shape)
    return whole, (chosen // windows * prod(image) + pixels).reshape(whole.shape)


def _and_indices(given: Any) -> tuple[Any, Any]:
    return given if isinstance(given, tuple) else (given, None)


def _volumes(x: Any, owner: str) -> tuple[Tensor, bool]:
    t = floating(x)
    if t.ndim not in (4, 5):
        raise ValueError(
            f"{owner} の入力は (N, C, D, H, W) か (C, D, H, W) です "
            f"(expected 4 or 5 dimensions): 形は {t.shape} です。"
        )
    return (t.unsqueeze(0), True) if t.ndim == 4 else (t, False)


def _outputs(owner: str, size: int, span: int, step: int) -> int:
    if size < span:
        raise ValueError(
            f"{owner}: 窓が立体より奥に長く、出力がなくなります (kernel larger than the input): "
            f"奥行き {size} < {span}。窓を小さくするか、padding を増やしてください。"
        )
    return (size - span) // step + 1


explain_all(globals())
