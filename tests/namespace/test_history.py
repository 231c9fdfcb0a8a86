"""積の丸めは、同じプロセスで前に何を計算したかによらない: 再開した学習も同じビットになる。"""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import native
from micrograd_jp.nn import functional as F


@pytest.mark.skipif(not native.available(), reason="needs llvmlite (extra fast)")
@pytest.mark.parametrize("shape", [(100, 1024, 50), (128, 400, 200)])
def test_a_linear_layer_has_the_same_bits_after_a_convolution(shape):
    n, k, o = shape
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s, dtype=np.float32) for s in ((n, k), (o, k), o))

    def step():
        leaves = [mg.tensor(a, requires_grad=True) for a in (x, w, b)]
        z = F.linear(*leaves)
        (z * z).sum().backward()
        return [z.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

    with native.disabled():
        first = step()
    images = mg.tensor(rng.standard_normal((64, 16, 28, 28), dtype=np.float32), requires_grad=True)
    kernels = mg.tensor(rng.standard_normal((16, 16, 3, 3), dtype=np.float32), requires_grad=True)
    F.conv2d(images, kernels, padding=1).relu().sum().backward()  # the threads have started
    for before, after in zip(first, step(), strict=True):
        np.testing.assert_array_equal(before, after)
