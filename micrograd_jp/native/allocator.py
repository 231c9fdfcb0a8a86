"""配列のメモリを、OS に返さず使い回す。

大きな配列を作るたびに、glibc は OS から新しいメモリをもらい、捨てるたびに返す。もらったメモリは
触るたびに OS が 1 ページずつ用意するので、学習の 1 ステップの時間の 3 割にもなる。
返す境目を上げておけば、同じ大きさの配列を作っては捨てる訓練で、同じメモリが使われ続ける。
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys

KEPT_BYTES = 1 << 29
"""返さずに持っておくメモリの上限。"""

LARGEST = 1 << 25
"""これより大きな配列は、いつも OS からもらう（glibc の上限）。"""

MAPPED = 1 << 16
"""このくらいのバイト数から、glibc は配列ごとに OS からメモリをもらうようになる。"""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


@functools.cache
def keep() -> bool:
    """glibc の `malloc` の境目を上げる。1 度だけ、大きな配列の計算か DataLoader が呼ぶ。

    プロセス全体の設定なので、環境変数 `MALLOC_TRIM_THRESHOLD_`、`MALLOC_MMAP_THRESHOLD_`、
    `GLIBC_TUNABLES` のどれかがあれば、それに従って何もしない。

    Returns:
        変えたか。
    """
    chosen = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if sys.platform != "linux" or any(name in os.environ for name in chosen):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST) and mallopt(_TRIM_THRESHOLD, KEPT_BYTES))
