"""2 次元の畳み込みと転置畳み込み。引数を検査し、窓の形を決める。"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.modes import autocasting
from micrograd_jp.ops import conv as ops
from micrograd_jp.ops.windows import Windows
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.windows import images, margins, pair, require_outputs
from micrograd_jp.tensor.registry import RULES
from micrograd_jp.tensor.run import floating, run

# What the rules call on the graph: the operations themselves, unchecked.
convolved = RULES["convolved"] = partial(run, ops.conv2d)
convolved_back = RULES["convolved_back"] = partial(run, ops.conv2d_input)
RULES["correlated"] = partial(run, ops.conv2d_weight)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """2 次元の畳み込み (convolution): 重みの窓を滑らせ、重なった画素との積を足す。

    z[n, o, i, j] = b[o] + Σ_{c,p,q} w[o, c, p, q]·x[n, c, i·s + p·d − 余白, j·s + q·d − 余白]。
    PyTorch と同じく窓は裏返さない（数学でいう相互相関）。LeCun et al. (1998)
    "Gradient-Based Learning Applied to Document Recognition" §II。

    Args:
        input: 画像 (N, C, H, W) か (C, H, W)。
        weight: 重み (O, C/groups, kh, kw)。
        bias: バイアス (O,) か `None`。
        stride: ストライド。整数か (縦, 横)。
        padding: まわりに足す 0 の幅。整数か (縦, 横) か、`"same"`, `"valid"`。
        dilation: 窓の中の画素の間隔。整数か (縦, 横)。
        groups: チャネルを分ける組の数。C も O も割り切れること。

    Returns:
        (N, O, OH, OW)。OH = ⌊(H + 2·padding − dilation·(kh − 1) − 1)/stride⌋ + 1。
        input が 3 次元なら (O, OH, OW)。

    Raises:
        ValueError: 次元やチャネルの数が合わない、窓が画像より大きい。
        TypeError: 窓の指定が整数でない。
    """
    (t, single), w = images(input, "conv2d"), _weights(weight, "conv2d")
    kernel = (w.shape[2], w.shape[3])
    moves, gaps = pair(stride, "conv2d", "stride"), pair(dilation, "conv2d", "dilation")
    padding = margins(padding, "conv2d", kernel, moves, gaps)
    windows = Windows(kernel, moves, padding, gaps)
    _require_groups("conv2d", groups, {"入力": t.shape[1], "出力": w.shape[0]})
    if t.shape[1] != w.shape[1] * groups:
        raise ValueError(
            f"conv2d のチャネルの数が合いません (channel mismatch): 入力 {t.shape} は "
            f"{t.shape[1]} チャネル、重み {w.shape} は {w.shape[1]}·{groups} (groups) = "
            f"{w.shape[1] * groups} チャネルです。"
        )
    b = _biases(bias, w.shape[0], "conv2d")
    require_outputs("conv2d", windows, t.shape[2:])
    out = convolved(t, w, *b, windows=windows, groups=groups)
    return out[0] if single else out


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """転置畳み込み (transposed convolution): 同じ設定の `conv2d` の、画像についての微分。

    1 つの画素を重みの窓の形に広げて足し合わせ、画像を大きくする。逆畳み込み (deconvolution)
    とも呼ばれる。Zeiler et al. (2010) "Deconvolutional Networks"。

    Args:
        input: (N, C, H, W) か (C, H, W)。
        weight: 重み (C, O/groups, kh, kw)。入力のチャネルが先に来る。
        bias: バイアス (O,) か `None`。
        stride: ストライド。整数か (縦, 横)。
        padding: 出力のまわりから切り取る幅。整数か (縦, 横)。
        output_padding: 出力の下と右に足す幅。`stride` か `dilation` より小さいこと。
        groups: チャネルを分ける組の数。
        dilation: 窓の中の画素の間隔。

    Returns:
        (N, O, OH, OW)。
        OH = (H − 1)·stride − 2·padding + dilation·(kh − 1) + output_padding + 1。

    Raises:
        ValueError: 次元やチャネルの数が合わない、出力がなくなる。
        TypeError: 窓の指定が整数でない。
    """
    owner = "conv_transpose2d"
    (t, single), w = images(input, owner), _weights(weight, owner)
    kernel = (w.shape[2], w.shape[3])
    moves, gaps = pair(stride, owner, "stride"), pair(dilation, owner, "dilation")
    vertical, horizontal = pair(padding, owner, "padding", 0)
    extra = pair(output_padding, owner, "output_padding", 0)
    # What is added to the output is not cut off from it.
    margin = ((vertical, vertical - extra[0]), (horizontal, horizontal - extra[1]))
    windows = Windows(kernel, moves, margin, gaps)
    _require_groups(owner, groups, {"入力": t.shape[1]})
    if t.shape[1] != w.shape[0]:
        raise ValueError(
            f"{owner} のチャネルの数が合いません (channel mismatch): 入力 {t.shape} は "
            f"{t.shape[1]} チャネル、重み {w.shape} は {w.shape[0]} チャネルです。"
            "重みは (入力のチャネル, 出力のチャネル/groups, kh, kw) です。"
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, moves, gaps)):
        raise ValueError(
            f"{owner} の output_padding は stride か dilation より小さくします "
            f"(output_padding too large): {extra}、stride={moves}、dilation={gaps}。"
        )
    b = _biases(bias, w.shape[1] * groups, owner)
    size = tuple(
        (n - 1) * s - sum(cut) + span
        for n, s, cut, span in zip(t.shape[2:], moves, windows.padding, windows.span)
    )
    if min(size) < 1 or 0 in t.shape[2:]:
        raise ValueError(
            f"{owner}: 出力がなくなります (output would be empty): 大きさは {size} = "
            f"({t.shape[2:]} − 1)·{moves} − 2·{(vertical, horizontal)} + {windows.span} + {extra}。"
            "padding を小さくしてください。"
        )
    out = convolved_back(t, w, windows=windows, groups=groups, size=size)
    if b:
        added = b[0] if autocasting() is None else b[0].astype(out.dtype)
        out = out + added.reshape(-1, 1, 1)
    return out[0] if single else out


def _weights(weight: Any, owner: str) -> Tensor:
    w = floating(weight)
    if w.ndim != 4 or 0 in w.shape[2:]:
        raise ValueError(
            f"{owner} の重みは 4 次元 (チャネル, チャネル, kh, kw) です "
            f"(expected 4-dimensional weights): 形は {w.shape} です。"
        )
    return w


def _biases(bias: Any, channels: int, owner: str) -> tuple[Tensor, ...]:
    if bias is None:
        return ()
    b = floating(bias)
    if b.shape != (channels,):
        raise ValueError(
            f"{owner} のバイアスの形が合いません (bias shape mismatch): {b.shape}。"
            f"出力のチャネルの数だけ ({channels},) にしてください。"
        )
    return (b,)


def _require_groups(owner: str, groups: Any, channels: dict[str, int]) -> None:
    if not isinstance(groups, int | np.integer) or isinstance(groups, bool) or groups < 1:
        raise ValueError(f"{owner} の groups は 1 以上の整数です (invalid groups): {groups!r}。")
    for name, n in channels.items():
        if n % groups:
            raise ValueError(
                f"{owner}: {name}のチャネルの数 {n} は groups = {groups} で割り切れません "
                f"(channels not divisible by groups): {n} = {groups}·{n // groups} + {n % groups}。"
            )


explain_all(globals())
