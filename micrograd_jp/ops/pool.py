"""プーリングの演算の表: 窓の中の最大値と総和。

最大値は、窓ごとに選ばれた 1 つの画素（番号 `places`）を読むことで、その逆は同じ場所へ足すこと。
総和の逆は、窓の中へ配ること。どちらの組も、互いの転置だから、何階の微分でも閉じている。
"""

from __future__ import annotations

from micrograd_jp.ops.arrays import array_op

# The columns of the table are set by hand.
# fmt: off

window_max = array_op("window_max", "max", "窓の中の最大値 (max pooling)",
    lambda m, x, windows: m.window_max(x, windows=windows),
    lambda m, g, z, x, windows: (m.window_drop(
        g, places=m.window_places(x, z, windows=windows), windows=windows, size=x.shape[2:]),))
window_pick = array_op("window_pick", "[ ]", "窓ごとに 1 つの画素を読む (gather in windows)",
    lambda m, x, places, windows: m.window_pick(x, places=places, windows=windows),
    lambda m, g, z, x, places, windows: (
        m.window_drop(g, places=places, windows=windows, size=x.shape[2:]),))
window_drop = array_op("window_drop", "[ ] +=", "窓ごとに 1 つの画素へ足す (scatter in windows)",
    lambda m, g, places, windows, size: m.window_drop(g, places=places, windows=windows, size=size),
    lambda m, h, z, g, places, windows, size: (
        m.window_pick(h, places=places, windows=windows),))

window_sum = array_op("window_sum", "Σ", "窓の中の総和 (sum pooling)",
    lambda m, x, windows: m.window_sum(x, windows=windows),
    lambda m, g, z, x, windows: (m.window_spread(g, windows=windows, size=x.shape[2:]),))
window_spread = array_op("window_spread", "Σᵀ",
    "窓の中の画素すべてへ配る (the transpose of window_sum)",
    lambda m, g, windows, size: m.window_spread(g, windows=windows, size=size),
    lambda m, h, z, g, windows, size: (m.window_sum(h, windows=windows),))
