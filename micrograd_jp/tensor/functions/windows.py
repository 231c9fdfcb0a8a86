"""窓 (kernel, stride, padding, dilation) の検査。画像に置けない窓は、計算を見せて断る。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.ops.windows import Pair, Windows
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.checks import integers
from micrograd_jp.tensor.run import floating

SIDES = ("高さ (height)", "幅 (width)")


_KINDS = {1: "整数", 2: "整数か、その組 (縦, 横)", 3: "整数か、その組 (奥行き, 縦, 横)"}


def several(given: Any, owner: str, name: str, axes: int, low: int = 1) -> Any:
    """整数 1 つか、軸ごとの整数。

    Raises:
        TypeError: 整数でない。
        ValueError: 1 つでも軸の数でもない、または `low` より小さい。
    """
    numbers = integers((given,), f"{owner} の {name}")
    if len(numbers) == 1:
        numbers *= axes
    if len(numbers) != axes or min(numbers) < low:
        raise ValueError(
            f"{owner} の {name} は {low} 以上の{_KINDS[axes]} です (invalid {name}): "
            f"{given!r} が渡されました。"
        )
    return numbers


def pair(given: Any, owner: str, name: str, low: int = 1) -> Pair:
    """整数 1 つか、(縦, 横) の 2 つ。エラーは `several` と同じ。"""
    vertical, horizontal = several(given, owner, name, 2, low)
    return vertical, horizontal


def margins(
    given: Any,
    owner: str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Any:
    """パディング: 整数、軸ごとの整数、`"valid"`（なし）、`"same"`（出力が入力と同じ大きさ）。

    Raises:
        ValueError: 知らない言葉、負の数、ストライドのある `"same"`。
    """
    if given == "valid":
        return ((0, 0),) * len(kernel)
    if given == "same":
        if max(stride) > 1:
            raise ValueError(
                f'{owner} の padding="same" はストライド 1 でだけ使えます '
                f"(same padding needs stride 1): stride={stride}。padding を数で渡してください。"
            )
        spare = (d * (k - 1) for d, k in zip(dilation, kernel))
        return tuple((n // 2, n - n // 2) for n in spare)
    if isinstance(given, str):
        raise ValueError(
            f'{owner} の padding は整数か、その組か、"same" か "valid" です '
            f"(unknown padding): {given!r}。"
        )
    return tuple((n, n) for n in several(given, owner, "padding", len(kernel), 0))


def images(x: Any, owner: str) -> tuple[Tensor, bool]:
    """小数の画像の束 (N, C, H, W) と、1 枚 (C, H, W) だけが渡されたか。

    Raises:
        ValueError: 3 次元でも 4 次元でもない。
    """
    t = floating(x)
    if t.ndim not in (3, 4):
        raise ValueError(
            f"{owner} の入力は (N, C, H, W) か (C, H, W) です (expected 3 or 4 dimensions): "
            f"形は {t.shape} です。x.reshape(N, C, H, W) としてください。"
        )
    return (t.unsqueeze(0), True) if t.ndim == 3 else (t, False)


def require_outputs(owner: str, windows: Windows, size: tuple[int, ...]) -> None:
    """窓を 1 つは置けることを確かめる。

    Raises:
        ValueError: 窓が画像より大きい。
    """
    for axis, outputs in enumerate(windows.outputs(size)):
        if outputs < 1:
            before, after = windows.padding[axis]
            k, d, s = (pairs[axis] for pairs in (windows.kernel, windows.dilation, windows.stride))
            margin = f"2·{before}" if before == after else f"({before} + {after})"
            span = str(k) if d == 1 else f"({d}·({k} − 1) + 1)"
            raise ValueError(
                f"{owner}: 窓が画像より大きく、出力がなくなります (kernel larger than the image): "
                f"{SIDES[axis]}は ⌊({size[axis]} + {margin} − {span})/{s}⌋ + 1 = {outputs}。"
                "窓を小さくするか、padding を増やしてください。"
            )


explain_all(globals())
