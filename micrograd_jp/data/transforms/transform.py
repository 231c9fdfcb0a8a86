"""`Transform`: 画像のバッチの変換の土台。受け渡しと検査だけをし、計算は派生クラスがする。"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all, explained, undefined
from micrograd_jp.data.pictures import channels_first, is_picture, picture_of, pixels_of
from micrograd_jp.data.seeds import generator_of
from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor

Range = tuple[float, float]


class Transform:
    """画像のバッチの変換。派生クラスは `apply(images, generator)` を書く。

    Attributes:
        makes_tensor: 真なら、画像 1 枚を `Tensor` にする (`ToTensor`)。
        reads_pixels: 真なら、画像 1 枚の代わりに画素の配列 (H, W)、(H, W, C) も受け取る。
        one_by_one: 真なら 3 次元の入力は画像 1 枚 (C, H, W)、偽なら灰色の画像のバッチ (N, H, W)。
    """

    makes_tensor = False
    reads_pixels = False
    one_by_one = False

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """変換の中身。

        Args:
            images: (N, C, H, W) の uint8 か小数。書き換えてはならない。
            generator: 乱数はすべてここから取る。

        Returns:
            同じ型の (N, C, H', W')。
        """
        raise undefined(self, "apply(self, images, generator)")

    @explained
    def __call__(
        self, x: Any, *labels: Any, generator: np.random.Generator | int | None = None
    ) -> Any:
        """`transform(x)` は変換した x、`transform(x, t, …)` は (変換した x, t, …)。

        Args:
            x: (N, C, H, W) か (N, H, W) の `Tensor` か配列。型は uint8 か小数。または Pillow の
                画像 1 枚: `ToTensor` と、それより後だけが `Tensor` を、ほかは Pillow の画像を返す。
            *labels: そのまま返されるもの。
            generator: 乱数の生成器か種。省略すると、このパッケージの生成器 (`mg.manual_seed`)。

        Raises:
            TypeError: 画像の型が uint8 でも小数でもない。
            ValueError: 画像の次元の数や大きさが合わない。
        """
        drawn = generator if isinstance(generator, np.random.Generator) else generator_of(generator)
        alone = is_picture(x) or (self.one_by_one and np.ndim(data_of(x)) < 4)
        made = self.of_one(x, drawn) if alone else self._of_many(x, drawn)
        return (made, *labels) if labels else made

    def of_one(self, x: Any, generator: np.random.Generator) -> Any:
        """画像 1 枚に: Pillow の画像、(C, H, W) の `Tensor` か配列。

        `reads_pixels` なら、配列は (H, W) か (H, W, C)。
        """
        if is_picture(x):
            pixels = pixels_of(x)
        else:
            pixels = np.asarray(data_of(x))
            if self.reads_pixels and pixels is x:
                pixels = channels_first(pixels)
        _require_images(type(self).__name__, pixels[None])
        out = self.apply(pixels[None], generator)[0]
        if is_picture(x):
            return Tensor(_apart(out, pixels)) if self.makes_tensor else picture_of(out, x.mode)
        made = _as_given(_apart(out, pixels), x)
        return Tensor(made) if self.makes_tensor and not isinstance(made, Tensor) else made

    def _of_many(self, x: Any, generator: np.random.Generator) -> Any:
        images = np.asarray(data_of(x))
        _require_images(type(self).__name__, images)
        grey = images.ndim == 3
        batch = images[:, None] if grey else images
        out = self.apply(batch, generator) if len(batch) else self._empty(batch, generator)
        out = _apart(out, images)
        return _as_given(out[:, 0] if grey else out, x)

    def _empty(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """No images: the shape still follows from what one image would become."""
        one = np.zeros((1, *batch.shape[1:]), batch.dtype)
        return self.apply(one, generator)[:0]

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if not (name.startswith("_") or hasattr(Transform, name))
        )
        return f"{type(self).__name__}({settings})"


def _apart(out: np.ndarray, images: np.ndarray) -> np.ndarray:
    """In memory of its own."""
    return out.copy() if np.may_share_memory(out, images) else out


def _as_given(out: np.ndarray, x: Any) -> Any:
    """The kind of array that came: a Tensor, NumPy's, JAX's."""
    data = data_of(x)
    made = out if isinstance(data, np.ndarray) else namespace.of(data).array(out)
    return Tensor(made) if isinstance(x, Tensor) else made


def _require_images(owner: str, images: np.ndarray) -> None:
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise TypeError(
            f"{owner} は uint8 か小数の画像を受け取ります (expected uint8 or floating images): "
            f"型は {images.dtype} です。x.astype(np.uint8) などで直してください。"
        )
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise ValueError(
            f"{owner} は (N, C, H, W) か (N, H, W) の画像を受け取ります (expected images): "
            f"形は {images.shape} です。x.reshape(-1, 1, 28, 28) のように直してください。"
        )


# ---- 引数の検査 --------------------------------------------------------------------------------


def range_of(name: str, given: Any, centre: float = 0.0, least: float | None = None) -> Range:
    """数 a なら centre ± a、組ならその (下限, 上限)。

    Args:
        name: エラーに書く引数の名前。
        given: 数か、2 つの数の組。
        centre: 数のときの範囲の中心。
        least: 範囲の下限がこれより小さければ断る。数のときは、下限をこれに切り上げる。

    Raises:
        TypeError: 数でも 2 つの数の組でもない。
        ValueError: 逆の範囲、負の幅、小さすぎる、または有限でない。
    """
    try:
        if isinstance(given, tuple | list):
            low, high = (float(x) for x in given)
        else:
            width = float(given)
            low, high = centre - width, centre + width
            low = low if least is None or width < 0 else max(low, least)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} は数か (下限, 上限) の組です (expected a number or a pair): {given!r}。"
        ) from None
    if not (low <= high and isfinite(low) and isfinite(high)):
        raise ValueError(
            f"{name} の範囲が正しくありません (invalid range): {given!r}。"
            "0 以上の有限の数か、下限 ≤ 上限の組にしてください。"
        )
    if least is not None and low < least:
        raise ValueError(
            f"{name} の下限は {least} 以上です (lower bound too small): {given!r} が渡されました。"
        )
    return low, high


def probability(name: str, p: Any) -> float:
    """0 以上 1 以下の数であることを確かめる。

    Raises:
        ValueError: そうでない。
    """
    if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
        raise ValueError(f"{name} は 0 以上 1 以下の確率です (expected a probability): {p!r}。")
    return float(p)


def drawn(generator: np.random.Generator, limits: Range, n: int) -> np.ndarray:
    """範囲の中の一様乱数 n 個 (float64)。幅が 0 なら、ちょうどその値。"""
    low, high = limits
    return low + (high - low) * generator.random(n)


def as_dtype(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """計算に使った小数を、もとの型に戻す（uint8 は丸める。範囲の中にあること）。"""
    if dtype.kind != "f":
        values = np.rint(values)
    return values.astype(dtype, copy=False)


explain_all(globals())
