"""畳み込みの演算の表。

畳み込み z = x ∗ w と上流の勾配 g の内積 ⟨g, x ∗ w⟩ は、x, w, g のそれぞれについて線形である。
その 3 つの偏微分（g に対する畳み込み、x に対する転置畳み込み、w に対する相関）は、互いが互いの
微分になる。だから 3 行で、何階の微分でも閉じている。

計算そのもの（カーネル）は名前空間にあり、規則は形しか見ない。
"""

from __future__ import annotations

from micrograd_jp.ops.arrays import array_op

conv2d = array_op(
    "conv2d", "x ∗ w", "2 次元の畳み込み (convolution)",
    lambda m, x, w, *b, windows, groups: m.convolved(x, w, *b, windows=windows, groups=groups),
    (
        lambda m, g, z, x, w, *b, windows, groups: m.convolved_back(
            g, w, windows=windows, groups=groups, size=x.shape[2:]
        ),
        lambda m, g, z, x, w, *b, windows, groups: m.correlated(
            x, g, windows=windows, groups=groups
        ),
        lambda m, g, z, x, w, *b, windows, groups: m.sum(g, axis=(0, 2, 3)),
    ),
)  # fmt: skip

# ∂⟨g, x ∗ w⟩/∂x: every pixel of g spreads the weights over an image of the given size.
conv2d_input = array_op(
    "conv2d_input", "g ∗ᵀ w", "転置畳み込み (transposed convolution)",
    lambda m, g, w, windows, groups, size: m.convolved_back(
        g, w, windows=windows, groups=groups, size=size
    ),
    (
        lambda m, h, z, g, w, windows, groups, size: m.convolved(
            h, w, windows=windows, groups=groups
        ),
        lambda m, h, z, g, w, windows, groups, size: m.correlated(
            h, g, windows=windows, groups=groups
        ),
    ),
)  # fmt: skip

# ∂⟨g, x ∗ w⟩/∂w: how well g goes with x under every pixel of the window.
conv2d_weight = array_op(
    "conv2d_weight", "x ⋆ g", "窓の画素ごとの相関 (correlation, the weight gradient)",
    lambda m, x, g, windows, groups: m.correlated(x, g, windows=windows, groups=groups),
    (
        lambda m, v, z, x, g, windows, groups: m.convolved_back(
            g, v, windows=windows, groups=groups, size=x.shape[2:]
        ),
        lambda m, v, z, x, g, windows, groups: m.convolved(x, v, windows=windows, groups=groups),
    ),
)  # fmt: skip
