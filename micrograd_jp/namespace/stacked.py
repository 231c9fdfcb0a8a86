"""リストの要素が配列で、はじめの軸に積まれているときの名前空間 (stacked)。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.namespace.numpy import NumPy


class Stacked(NumPy):
    """リストをまとめる規則 (`ops/lists.py`) を、積まれたリストの全部について 1 度に計算する。"""

    def sum(self, x: Any, axis: Any = 0, keepdims: Any = False) -> Any:
        """Σ."""
        return super().sum(np.asarray(x), axis=axis, keepdims=keepdims)

    def prod(self, xs: Any) -> Any:
        """Π."""
        return np.prod(xs, axis=0)

    def dot(self, ws: Any, xs: Any) -> Any:
        """Σ wx."""
        return self.sum(ws * xs)

    def logsumexp(self, xs: Any) -> Any:
        """Log Σ eˣ."""
        return self.logsumexp_along(xs, (0,))


stacked = Stacked(np)
