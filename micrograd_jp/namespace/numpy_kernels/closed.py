"""閉じた門: 選んだ場所の数を、何であっても 0 にする。"""

from __future__ import annotations

from typing import Any

import numpy as np

_FEW = 2048  # numbers; up to here, filling takes less time than a pass over the bits
_WIDEST = 8  # bytes of the widest integer


def closed(x: Any, shut: Any, out: Any = None) -> Any:
    """`x` で、`shut` が真の場所だけ 0 にしたもの。nan や inf に 0 を掛けるのとは違い、必ず 0。"""
    if x.__class__ is not np.ndarray or shut.shape != x.shape or x.itemsize > _WIDEST:
        chosen = np.where(shut, x.dtype.type(0), x)
        return chosen if out is None else np.copyto(out, chosen)
    if x.size < _FEW:
        if out is None:
            out = x.copy("K")
        else:
            np.copyto(out, x)
        np.putmask(out, shut, 0)
        return out
    # The bits of the numbers times 0 or 1: ten times as fast as a choice.
    bits = f"i{x.itemsize}"
    out = np.empty_like(x) if out is None else out
    np.multiply(x.view(bits), np.logical_not(shut).view("i1"), out=out.view(bits))
    return out
