"""配列のメモリの並び: チャネルが隣り合う画像 (N, H, W, C) と、使い回す作業用のメモリ。"""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

KEPT_BYTES = 8 << 20
"""これより大きなメモリ（大きな画像 1 枚など）は、持っておくのに見合わない。"""

_held = threading.local()


def channels_first(x: Any) -> Any:
    """(N, H, W, C) as a view (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def channels_last(x: Any) -> Any:
    """(N, C, H, W) as a view (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def scratch(role: str, shape: tuple[int, ...], kind: Any) -> Any:
    """Memory for use within one call, of any content.

    Each thread keeps what it used last: fresh memory from the system costs more than the sums.
    """
    size = prod(shape) * int(np.dtype(kind).itemsize)
    memory = getattr(_held, role, None)
    if memory is None or memory.size < size:
        memory = np.empty(size, np.uint8)
        if size <= KEPT_BYTES:
            setattr(_held, role, memory)
    return memory[:size].view(kind).reshape(shape)
