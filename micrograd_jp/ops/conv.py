"""畳み込みの演算の表。

畳み込み z = x ∗ w と上流の勾配 g の内積 ⟨g, x ∗ w⟩ は、x, w, g のそれぞれについて線形である。
その 3 つの偏微分（g に対する畳み込み、x に対する転置畳み込み、w に対する相関）は、互いが互いの
微分になる。だから 3 行で、何階の微分でも閉じている。

計算そのもの（カーネル）は名前空間にあり、規則は形しか見ない。`how` は窓の動き方 `windows` と、
グループの数 `groups`。
"""

from __future__ import annotations

from micrograd_jp.ops.arrays import array_op

# The columns of the table are set by hand.
# fmt: off

conv2d = array_op("conv2d", "x ∗ w", "2 次元の畳み込み (convolution)",
    lambda m, x, w, *b, **how: m.convolved(x, w, *b, **how),
    (lambda m, g, z, x, w, *b, **how: m.convolved_back(g, w, size=x.shape[2:], **how),
     lambda m, g, z, x, w, *b, **how: m.correlated(x, g, **how),
     lambda m, g, z, x, w, *b, **how: m.sum(g, axis=(0, 2, 3))))

# ∂⟨g, x ∗ w⟩/∂x: every pixel of g spreads the weights over an image of the given size.
conv2d_input = array_op("conv2d_input", "g ∗ᵀ w", "転置畳み込み (transposed convolution)",
    lambda m, g, w, size, **how: m.convolved_back(g, w, size=size, **how),
    (lambda m, h, z, g, w, size, **how: m.convolved(h, w, **how),
     lambda m, h, z, g, w, size, **how: m.correlated(h, g, **how)))

# ∂⟨g, x ∗ w⟩/∂w: how well g goes with x under every pixel of the window.
conv2d_weight = array_op("conv2d_weight", "x ⋆ g",
    "窓の画素ごとの相関 (correlation, the weight gradient)",
    lambda m, x, g, **how: m.correlated(x, g, **how),
    (lambda m, v, z, x, g, **how: m.convolved_back(g, v, size=x.shape[2:], **how),
     lambda m, v, z, x, g, **how: m.convolved(x, v, **how)))
