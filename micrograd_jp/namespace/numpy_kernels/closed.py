"""閉じた門: 選んだ場所の数を、何であっても 0 にする。"""

from __future__ import annotations

from typing import Any

import numpy as np

_FEW = 1024  # numbers; up to here, filling takes less time than two passes over the bits
_BITS = {size: np.dtype(f"i{size}") for size in (1, 2, 4, 8)}  # the integer as wide as a number


def closed(x: Any, shut: Any, out: Any = None) -> Any:
    """`x` で、`shut` が真の場所だけ 0 にしたもの。nan や inf に 0 を掛けるのとは違い、必ず 0。"""
    if x.__class__ is not np.ndarray or shut.shape != x.shape or x.itemsize not in _BITS:
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
    bits = _BITS[x.itemsize]
    open_ = np.logical_not(shut).astype(bits)
    if out is None:
        return np.multiply(x.view(bits), open_, out=open_).view(x.dtype)
    np.multiply(x.view(bits), open_, out=out.view(bits))
    return out
