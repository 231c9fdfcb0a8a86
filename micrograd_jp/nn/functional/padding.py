"""まわりを埋める (padding)、PyTorch の形で: 最後の軸から順に (前, 後)。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import integers

__all__ = ["pad"]


def pad(
    input: Any, pad: Sequence[Any], mode: str = "constant", value: float | None = None
) -> Tensor:
    """まわりを埋める。

    Args:
        input: 入力。
        pad: 最後の軸から順に (前, 後, 前, 後, …)。負なら切り落とす（`"constant"` だけ）。NumPy の
            形、軸ごとの組の並び [(前, 後), …] も受け取り、`mg.pad` と同じ。
        mode: `"constant"`（同じ数）、`"reflect"`（端で折り返す）、`"replicate"`（端の値）、
            `"circular"`（反対の端）。
        value: `"constant"` の数。既定は 0。

    Raises:
        ValueError: 幅の数が合わない、知らない `mode`、折り返す幅が軸より長い。
    """
    t = as_tensor(input)
    if isinstance(pad, Sequence) and any(isinstance(p, tuple | list) for p in pad):
        return mg.pad(t, pad, 0.0 if value is None else value)
    widths = integers((pad,), "pad")
    axes = len(widths) // 2
    if len(widths) % 2 or axes > t.ndim:
        raise ValueError(
            "pad の幅は、最後の軸から順に (前, 後, 前, 後, …) です (invalid pad length): "
            f"{t.ndim} 次元に {widths}。"
        )
    pairs = [(widths[2 * i], widths[2 * i + 1]) for i in range(axes)][::-1]
    pairs = [(0, 0)] * (t.ndim - axes) + pairs
    if mode == "constant":
        cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, t.shape))
        if any(s.start > s.stop for s in cut):
            raise ValueError(
                f"pad で切り落とす幅が長すぎます (negative pad): {widths}、{t.shape}。"
            )
        t = t[cut] if min(widths, default=0) < 0 else t
        outside = [(max(a, 0), max(b, 0)) for a, b in pairs]
        return mg.pad(t, outside, 0.0 if value is None else value)
    if mode not in _PLACES:
        raise ValueError(
            f"pad の mode は 'constant', 'reflect', 'replicate', 'circular' です (unknown mode): "
            f"{mode!r}。"
        )
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            n = t.shape[axis]
            longest = {"reflect": n - 1, "circular": n}.get(mode, before + after)
            if max(before, after) > longest or min(before, after) < 0 or not n:
                raise ValueError(
                    f"pad(mode={mode!r}) の幅は 0 から {longest} までです (padding too large): "
                    f"軸 {axis} の長さは {n}、幅は {(before, after)} です。"
                )
            t = mg.take(t, _PLACES[mode](np.arange(-before, n + after), n), axis)
    return t


_PLACES: dict[str, Any] = {
    "reflect": lambda i, n: n - 1 - np.abs(n - 1 - np.abs(i)),
    "replicate": lambda i, n: np.clip(i, 0, n - 1),
    "circular": lambda i, n: i % n,
}
"""長さ n の軸の外の番号 i を、中の番号に。"""


explain_all(globals())
