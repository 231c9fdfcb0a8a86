"""JAX の畳み込みとプーリング。値を調べないので、`jax.jit` の中でも動く。

転置は書かず、`jax.linear_transpose` に求めさせる。JAX は、はじめて使うときに読み込まれる。
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from micrograd_jp.namespace.base import ArrayNamespace
from micrograd_jp.namespace.numpy_kernels import computed_in
from micrograd_jp.ops import norm

Size = tuple[int, ...]


def _in_float32(f: Any, rounded: bool = True) -> Any:
    """A kernel that adds up what comes in half precision in float32, and rounds its results once.

    XLA's own sums do so, but not its windows, nor a mean that is used before it is rounded.
    """

    @functools.wraps(f)
    def kernel(self: Any, x: Any, *xs: Any, **how: Any) -> Any:
        wide = computed_in(x.dtype)
        if wide is x.dtype:
            return f(self, x, *xs, **how)
        out = f(
            self, *[self.astype(y, wide) if hasattr(y, "dtype") else y for y in (x, *xs)], **how
        )
        return self.jax.tree.map(lambda z: z.astype(x.dtype), out) if rounded else out

    return kernel


class JAXWindows(ArrayNamespace):
    """窓の演算のカーネル。"""

    def __init__(self) -> None:
        import jax.numpy

        super().__init__(jax.numpy)
        self.jax, self.lax = jax, jax.lax

    def convolved(self, x: Any, w: Any, *b: Any, windows: Any, groups: int) -> Any:
        """Convolution (N, C, H, W) ∗ (O, C/groups, kh, kw), with a bias added."""
        x, w = self._same_dtype(x, w)
        out = (x.shape[0], w.shape[0], *windows.outputs(x.shape[2:]))
        if 0 in (*out, *x.shape, *w.shape):
            z = self.zeros(out, x.dtype)
        else:
            z = self.lax.conv_general_dilated(
                x, w, windows.stride, windows.padding, rhs_dilation=windows.dilation,
                feature_group_count=groups,
            )  # fmt: skip
        return z + b[0][:, None, None] if b else z

    def convolved_back(self, g: Any, w: Any, *, windows: Any, groups: int, size: Size) -> Any:
        """The gradient of the images, also called transposed convolution."""
        g, w = self._same_dtype(g, w)
        images = self.jax.ShapeDtypeStruct((g.shape[0], groups * w.shape[1], *size), g.dtype)
        forward = lambda x: self.convolved(x, w, windows=windows, groups=groups)  # noqa: E731
        return self._transposed(forward, images, g)

    def correlated(self, x: Any, g: Any, *, windows: Any, groups: int) -> Any:
        """The gradient of the weights: for every pixel of the window, Σ x·g."""
        x, g = self._same_dtype(x, g)
        shape = (g.shape[1], x.shape[1] // groups, *windows.kernel)
        x, windows = self._as_large_as_the_gradient(x, g, windows)
        forward = lambda w: self.convolved(x, w, windows=windows, groups=groups)  # noqa: E731
        return self._transposed(forward, self.jax.ShapeDtypeStruct(shape, g.dtype), g)

    def _as_large_as_the_gradient(self, x: Any, g: Any, windows: Any) -> tuple[Any, Any]:
        """The same windows over images with a part of the padding made real.

        XLA slides g over the images to compute the gradient of the weights, and on the CPU takes
        twenty times as long where g is the larger one.
        """
        padding, real = list(windows.padding), []
        for axis in (0, 1):
            low, high = padding[axis]
            missing = (g.shape[2 + axis] - 1) * windows.stride[axis] + 1 - x.shape[2 + axis]
            before = min(max(missing // 2, 0), max(low, 0))
            after = min(max(missing - before, 0), max(high, 0))
            real.append((before, after))
            padding[axis] = (low - before, high - after)
        if any(map(any, real)):
            x = self.pad(x, ((0, 0), (0, 0), *real))
            windows = windows._replace(padding=tuple(padding))
        return x, windows

    def _same_dtype(self, x: Any, y: Any) -> tuple[Any, Any]:
        dtype = self.result_type(x, y)
        return self.asarray(x, dtype), self.asarray(y, dtype)

    def _transposed(self, linear: Any, like: Any, g: Any) -> Any:
        if 0 in (*like.shape, *g.shape):
            return self.zeros(like.shape, g.dtype)
        return self.jax.linear_transpose(linear, like)(g)[0]

    def window_max(self, x: Any, windows: Any) -> Any:
        """The largest pixel of every window; padding never wins."""
        return self._reduced(x, windows, self.lax.max, -np.inf)

    @_in_float32
    def window_sum(self, x: Any, windows: Any) -> Any:
        """The sum of every window."""
        return self._reduced(x, windows, self.lax.add, 0.0)

    def _reduced(self, x: Any, windows: Any, combine: Any, start: float) -> Any:
        return self.lax.reduce_window(
            x, np.array(start, x.dtype), combine, (1, 1, *windows.kernel), (1, 1, *windows.stride),
            ((0, 0), (0, 0), *windows.padding), window_dilation=(1, 1, *windows.dilation),
        )  # fmt: skip

    @_in_float32
    def window_spread(self, g: Any, windows: Any, size: Size) -> Any:
        """The transpose of `window_sum`: every pixel gets the sum of its windows."""
        like = self.jax.ShapeDtypeStruct((*g.shape[:2], *size), g.dtype)
        return self._transposed(lambda x: self.window_sum(x, windows), like, g)

    batch_statistics = _in_float32(norm.statistics, rounded=False)
    batch_normalized = _in_float32(norm.normalized)
    batch_normalized_back = _in_float32(norm.gradients)

    def _taps(self, x: Any, windows: Any) -> list[Any]:
        """Every pixel of the windows, an array (N, C, OH, OW) each; zero in the padding."""
        outputs = windows.outputs(x.shape[2:])
        padded = self.pad(x, ((0, 0), (0, 0), *windows.padding))
        (kh, kw), (dy, dx), (sy, sx) = windows.kernel, windows.dilation, windows.stride
        return [
            padded[:, :, i * dy :: sy, j * dx :: sx][:, :, : outputs[0], : outputs[1]]
            for i in range(kh)
            for j in range(kw)
        ]

    # One choice after the other, which XLA makes one loop of: an argmax, a gather or a scatter
    # takes several times as long on the CPU.

    def window_places(self, x: Any, z: Any, windows: Any) -> Any:
        """Which pixel of each window is its maximum z: the first of equal ones."""
        pixels, inside = self._taps(x, windows), self._taps(self.ones_like(x, dtype=bool), windows)
        places = self.zeros(z.shape, np.min_scalar_type(len(pixels)))
        for number, (pixel, there) in reversed(list(enumerate(zip(pixels, inside, strict=True)))):
            hit = there & ((pixel == z) | self.isnan(pixel))
            places = self.where(hit, number, places).astype(places.dtype)
        return places

    def window_pick(self, x: Any, places: Any, windows: Any) -> Any:
        """The pixel of each window that `places` names."""
        out, places = self.zeros(places.shape, x.dtype), self.asarray(places)
        for number, pixel in enumerate(self._taps(x, windows)):
            out = self.where(places == number, pixel, out)
        return out

    def window_drop(self, g: Any, places: Any, windows: Any, size: Size) -> Any:
        """The transpose of `window_pick`: g added to the pixels that `places` names."""
        out, places = self.zeros((*g.shape[:2], *size), g.dtype), self.asarray(places)
        for number in range(windows.kernel[0] * windows.kernel[1]):
            edges = [
                _edges(windows, axis, tap, size[axis], g.shape[2 + axis])
                for axis, tap in enumerate(divmod(number, windows.kernel[1]))
            ]
            chosen = self.where(places == number, g, 0)
            out = out + self.lax.pad(chosen, np.zeros((), g.dtype), ((0, 0, 0), (0, 0, 0), *edges))
        return out


def _edges(windows: Any, axis: int, tap: int, n: int, outputs: int) -> tuple[int, int, int]:
    """How a pixel of every window spreads to n pixels: zeros before, behind and between."""
    before = tap * windows.dilation[axis] - windows.padding[axis][0]
    stride = windows.stride[axis]
    return before, n - before - ((outputs - 1) * stride + 1), stride - 1
