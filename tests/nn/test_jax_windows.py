"""畳み込みとプーリングの関数を `jax.jit` の中で: NumPy と同じ値と勾配。"""

import numpy as np
import pytest
from window_oracle import numbers

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax
import jax.numpy as jnp

import micrograd_jp as mg
import micrograd_jp.nn.functional as F


def network(x, v, w):
    """Every function of this kind once, on an image (2, 4, 9, 9)."""
    h = F.conv2d(x, v, padding="same", groups=2)
    h = F.max_pool2d(F.local_response_norm(h, 3), 3, 2, 1, ceil_mode=True)
    h = F.avg_pool2d(F.conv_transpose2d(h, w, None, 2, 1, 1), 3, 2, 1, True, False)
    pooled = [F.adaptive_avg_pool2d(h, 2), F.adaptive_max_pool2d(h, 2)]
    return mg.cat(pooled, 1).sin().sum()


def test_the_functions_agree_inside_jit():
    arrays = [a.astype(np.float32) for a in numbers((2, 4, 9, 9), (4, 2, 3, 2), (4, 2, 3, 3))]
    everything = mg.value_and_grad(network, argnums=(0, 1, 2))
    value, grads = everything(*map(mg.tensor, arrays))

    @jax.jit
    def on_jax(*arrays):
        value, grads = everything(*map(mg.tensor, arrays))
        return value._data, [g._data for g in grads]

    jax_value, jax_grads = on_jax(*map(jnp.asarray, arrays))
    np.testing.assert_allclose(jax_value, value.data, rtol=1e-4)
    for a, b in zip(jax_grads, grads):
        np.testing.assert_allclose(a, b.data, rtol=1e-3, atol=1e-4)
