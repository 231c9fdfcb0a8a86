"""JAX の畳み込みとプーリング。値を調べないので、`jax.jit` の中でも動く。

転置は書かず、`jax.linear_transpose` に求めさせる。
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Size = tuple[int, ...]


def convolved(x: Any, w: Any, *b: Any, windows: Any, groups: int) -> Any:
    """Convolution (N, C, H, W) ∗ (O, C/groups, kh, kw), with a bias added."""
    x, w = _same_dtype(x, w)
    out = (x.shape[0], w.shape[0], *windows.outputs(x.shape[2:]))
    if 0 in (*out, *x.shape, *w.shape):
        z = jnp.zeros(out, x.dtype)
    else:
        z = lax.conv_general_dilated(
            x, w, windows.stride, windows.padding, rhs_dilation=windows.dilation,
            feature_group_count=groups,
        )  # fmt: skip
    return z + b[0][:, None, None] if b else z


def convolved_back(g: Any, w: Any, *, windows: Any, groups: int, size: Size) -> Any:
    """The gradient of the images, also called transposed convolution."""
    g, w = _same_dtype(g, w)
    images = jax.ShapeDtypeStruct((g.shape[0], groups * w.shape[1], *size), g.dtype)
    forward = lambda x: convolved(x, w, windows=windows, groups=groups)  # noqa: E731
    return _transposed(forward, images, g)


def correlated(x: Any, g: Any, *, windows: Any, groups: int) -> Any:
    """The gradient of the weights: for every pixel of the window, Σ x·g."""
    x, g = _same_dtype(x, g)
    shape = (g.shape[1], x.shape[1] // groups, *windows.kernel)
    forward = lambda w: convolved(x, w, windows=windows, groups=groups)  # noqa: E731
    return _transposed(forward, jax.ShapeDtypeStruct(shape, g.dtype), g)


def _same_dtype(x: Any, y: Any) -> tuple[Any, Any]:
    dtype = jnp.result_type(x, y)
    return jnp.asarray(x, dtype), jnp.asarray(y, dtype)


def _transposed(linear: Any, like: Any, g: Any) -> Any:
    if 0 in (*like.shape, *g.shape):
        return jnp.zeros(like.shape, g.dtype)
    return jax.linear_transpose(linear, like)(g)[0]


def window_max(x: Any, windows: Any) -> Any:
    """The largest pixel of every window; padding never wins."""
    return _reduced(x, windows, lax.max, -jnp.inf)


def window_sum(x: Any, windows: Any) -> Any:
    """The sum of every window."""
    return _reduced(x, windows, lax.add, 0.0)


def _reduced(x: Any, windows: Any, combine: Any, start: float) -> Any:
    return lax.reduce_window(
        x, np.array(start, x.dtype), combine, (1, 1, *windows.kernel), (1, 1, *windows.stride),
        ((0, 0), (0, 0), *windows.padding), window_dilation=(1, 1, *windows.dilation),
    )  # fmt: skip


def window_spread(g: Any, windows: Any, size: Size) -> Any:
    """The transpose of `window_sum`: every pixel gets the sum of its windows."""
    like = jax.ShapeDtypeStruct((*g.shape[:2], *size), g.dtype)
    return _transposed(lambda x: window_sum(x, windows), like, g)


def _taps(x: Any, windows: Any) -> Any:
    """(kh·kw, N, C, OH, OW): every pixel of the windows; zero in the padding."""
    outputs = windows.outputs(x.shape[2:])
    padded = jnp.pad(x, ((0, 0), (0, 0), *windows.padding))
    (kh, kw), (dy, dx), (sy, sx) = windows.kernel, windows.dilation, windows.stride
    return jnp.stack([
        padded[:, :, i * dy :: sy, j * dx :: sx][:, :, : outputs[0], : outputs[1]]
        for i in range(kh)
        for j in range(kw)
    ])  # fmt: skip


def window_places(x: Any, z: Any, windows: Any) -> Any:
    """Which pixel of each window is its maximum z: the first of equal ones."""
    pixels, inside = _taps(x, windows), _taps(jnp.ones_like(x, dtype=bool), windows)
    return jnp.argmax(inside & ((pixels == z) | jnp.isnan(pixels)), axis=0)


def window_pick(x: Any, places: Any, windows: Any) -> Any:
    """The pixel of each window that `places` names."""
    return jnp.take_along_axis(_taps(x, windows), jnp.asarray(places)[None], axis=0)[0]


def window_drop(g: Any, places: Any, windows: Any, size: Size) -> Any:
    """The transpose of `window_pick`: g added to the pixels that `places` names."""
    like = jax.ShapeDtypeStruct((*g.shape[:2], *size), g.dtype)
    return _transposed(lambda x: window_pick(x, places, windows), like, g)
