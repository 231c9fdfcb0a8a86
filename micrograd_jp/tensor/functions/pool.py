"""プーリング: 窓の中の最大値と平均、出力の大きさを決めるプーリング。"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.node import data_of
from micrograd_jp.ops import pool as ops
from micrograd_jp.ops.windows import Pair, Windows
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.reduce import max as _max
from micrograd_jp.tensor.functions.shape import stack
from micrograd_jp.tensor.functions.windows import SIDES, images, pair, require_outputs
from micrograd_jp.tensor.registry import RULES
from micrograd_jp.tensor.run import run

for _op in (
    ops.window_max, ops.window_pick, ops.window_drop, ops.window_sum, ops.window_spread,
):  # fmt: skip
    RULES[_op.name.removeprefix("tensor.")] = partial(run, _op)


def window_places(x: Any, z: Any, *, windows: Windows) -> Any:
    """窓の中の最大値の番号の配列。計算グラフには入らない。"""
    x, z = data_of(x), data_of(z)
    return namespace.of(x, z).window_places(x, z, windows)


RULES["window_places"] = window_places


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """最大プーリング (max pooling): 窓の中の最大値。

    勾配は最大値の画素 1 つに流れる（同じ値なら、窓の中で先のもの）。余白が選ばれることはない。

    Args:
        input: (N, C, H, W) か (C, H, W)。
        kernel_size: 窓の大きさ。整数か (縦, 横)。
        stride: ストライド（既定は窓の大きさ）。
        padding: 余白。窓の大きさの半分まで。
        dilation: 窓の中の画素の間隔。
        ceil_mode: 端数を切り上げ、ふちからはみ出す窓も置くか。
        return_indices: 真なら、最大値の場所も返す（`nn.functional.max_unpool2d` のために）。

    Returns:
        (N, C, OH, OW)。OH = ⌊(H + 2·padding − dilation·(kh − 1) − 1)/stride⌋ + 1。
        `return_indices` なら、これと、画像を 1 列に並べたときの番号 (int64) の組。

    Raises:
        ValueError: 余白が大きすぎる、窓が画像より大きい。
        TypeError: 窓の指定が整数でない。
    """
    t, single = images(input, "max_pool2d")
    windows = _windows("max_pool2d", t, kernel_size, stride, padding, dilation, ceil_mode)
    out = run(ops.window_max, t, windows=windows)
    if not return_indices:
        return out[0] if single else out
    m = namespace.of(t._data)
    numbers = np.broadcast_to(np.arange(prod(t.shape[2:])).reshape(t.shape[2:]), t.shape)
    places = m.window_places(t._data, out._data, windows)
    found = Tensor(m.window_pick(m.asarray(numbers), places, windows))
    return (out[0], found[0]) if single else (out, found)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """平均プーリング (average pooling): 窓の中の平均。

    Args:
        input: (N, C, H, W) か (C, H, W)。
        kernel_size: 窓の大きさ。整数か (縦, 横)。
        stride: ストライド（既定は窓の大きさ）。
        padding: 余白（0 で埋める）。窓の大きさの半分まで。
        ceil_mode: 端数を切り上げ、ふちからはみ出す窓も置くか。
        count_include_pad: 余白も数に入れて割るか。
        divisor_override: 割る数。`None` なら画素の数。

    Returns:
        (N, C, OH, OW)。

    Raises:
        ValueError: 余白が大きすぎる、窓が画像より大きい、割る数が 0。
        TypeError: 窓の指定が整数でない。
    """
    t, single = images(input, "avg_pool2d")
    if divisor_override == 0:
        raise ValueError("avg_pool2d の divisor_override は 0 にできません (divide by zero)。")
    windows = _windows("avg_pool2d", t, kernel_size, stride, padding, 1, ceil_mode)
    border = pair(padding, "avg_pool2d", "padding", 0) if count_include_pad else (0, 0)
    shares = _shares(windows, t.shape[2:], border, divisor_override)
    out = run(ops.window_sum, t, windows=windows)
    if shares.min() == shares.max():
        out = out * float(shares.flat[0])
    else:
        out = out * shares.astype(t.dtype)
    return out[0] if single else out


def _shares(windows: Windows, size: tuple[int, ...], border: Pair, divisor: int | None) -> Any:
    """One over the number of pixels in each window, of the image and so much of its border."""
    outputs = windows.outputs(size)
    if divisor is not None:
        return np.full(outputs, 1 / divisor)
    counts = []
    for axis in (0, 1):
        start = np.arange(outputs[axis]) * windows.stride[axis] - windows.padding[axis][0]
        end = np.minimum(start + windows.kernel[axis], size[axis] + border[axis])
        counts.append(end - np.maximum(start, -border[axis]))
    return 1 / np.outer(*counts)


def _windows(
    owner: str, t: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
) -> Windows:
    """The windows of a pooling; where they run over the edge, so much more padding."""
    sides = pair(kernel, owner, "kernel_size")
    moves = sides if stride is None else pair(stride, owner, "stride")
    border, gaps = pair(padding, owner, "padding", 0), pair(dilation, owner, "dilation")
    span = Windows(sides, dilation=gaps).span
    if any(2 * p > s for p, s in zip(border, span)):
        raise ValueError(
            f"{owner} の padding は窓の半分までです (padding larger than half the kernel): "
            f"{border} > {span}/2。余白だけの窓ができてしまいます。"
        )
    both = [(p, p) for p in border]
    for axis, (n, p, s) in enumerate(zip(t.shape[2:], border, moves) if ceil else ()):
        rest = n + 2 * p - span[axis]
        last = -(-rest // s)
        if last * s >= n + p:  # every window begins in the image or before it
            last -= 1
        both[axis] = (p, p + max(0, last * s - rest))
    windows = Windows(sides, moves, (both[0], both[1]), gaps)
    require_outputs(owner, windows, t.shape[2:])
    return windows


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """出力の大きさを決める平均プーリング。i 番目の窓は ⌊i·H/OH⌋ から ⌈(i + 1)·H/OH⌉ まで。

    Args:
        input: (N, C, H, W) か (C, H, W)。
        output_size: 出力の大きさ。整数か (縦, 横)。`None` は入力と同じ。

    Returns:
        (N, C, OH, OW)。

    Raises:
        ValueError: 大きさが 1 以上の整数でない、画像が空。
    """
    t, single = images(input, "adaptive_avg_pool2d")
    size, wanted = _adaptive("adaptive_avg_pool2d", t, output_size)
    if all(n % o == 0 for n, o in zip(size, wanted)):
        out = avg_pool2d(t, tuple(n // o for n, o in zip(size, wanted)))
    else:
        out = _averaged(_averaged(t, 2, wanted[0]), 3, wanted[1])
    return out[0] if single else out


def adaptive_max_pool2d(input: Any, output_size: Any) -> Tensor:
    """出力の大きさを決める最大プーリング。引数と窓は `adaptive_avg_pool2d` と同じ。

    Raises:
        ValueError: 大きさが 1 以上の整数でない、画像が空。
    """
    t, single = images(input, "adaptive_max_pool2d")
    size, wanted = _adaptive("adaptive_max_pool2d", t, output_size)
    if all(n % o == 0 for n, o in zip(size, wanted)):
        out: Tensor = max_pool2d(t, tuple(n // o for n, o in zip(size, wanted)))
    else:
        # The last pixel of a shorter window stands twice; the first of equal ones is chosen.
        rows, columns = (_places(n, o) for n, o in zip(size, wanted))
        pixels = t[:, :, rows[:, None, :, None], columns[None, :, None, :]]
        out = _max(pixels.reshape(*t.shape[:2], *wanted, -1), -1).values
    return out[0] if single else out


def _adaptive(owner: str, t: Tensor, output_size: Any) -> tuple[Pair, Pair]:
    size = (t.shape[2], t.shape[3])
    given = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(given) == 2:
        given = tuple(n if o is None else o for n, o in zip(size, given))
    for side, n in zip(SIDES, size):
        if n == 0:
            raise ValueError(
                f"{owner} の入力の{side}が 0 です (empty image): 形は {t.shape} です。"
            )
    return size, pair(given, owner, "output_size")


def _bounds(n: int, outputs: int) -> list[tuple[int, int]]:
    return [(i * n // outputs, -(-(i + 1) * n // outputs)) for i in range(outputs)]


def _averaged(t: Tensor, axis: int, outputs: int) -> Tensor:
    before = (slice(None),) * axis
    windows = [slice(*bounds) for bounds in _bounds(t.shape[axis], outputs)]
    return stack([t[(*before, window)].mean(axis) for window in windows], axis)


def _places(n: int, outputs: int) -> Any:
    """The pixels of each window, as many for each."""
    bounds = _bounds(n, outputs)
    longest = max(end - start for start, end in bounds)
    return np.array([np.minimum(np.arange(a, a + longest), b - 1) for a, b in bounds])


explain_all(globals())
