"""変換をまとめる: 順につなぐ `Compose`、見本ごとに行うかどうかを決める `RandomApply`。"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.transforms.geometry import ElasticTransform, Geometric, warped
from micrograd_jp.data.transforms.transform import Transform, probability


class Compose(Transform):
    """変換を順に行う。

    続いている幾何の変換 (`Geometric`) は 1 つの写像にまとめ、画素の補間は 1 度だけ行う: 速く、
    ぼやけず、画面の外に出てから戻る画素も失われない。`ElasticTransform` はそのまとまりの最後に
    なる（そのあとの幾何の変換は、次のまとまり）。`fill` の違うものはまとめない。

    Args:
        transforms: `Transform` の列。自分の関数も置ける。そのときは画像 1 枚ずつ (Pillow の画像、
            (C, H, W) の `Tensor`) に使い、関数には、そこまでの結果が渡される。

    Raises:
        TypeError: 変換でも関数でもないもの。呼んだとき、自分の関数があるのに画像のバッチ。
    """

    def __init__(self, transforms: Iterable[Callable[..., Any]]) -> None:
        self.transforms = _checked(type(self).__name__, transforms, functions=True)
        flat = list(_flat(self.transforms))
        own = all(isinstance(one, Transform) for one in flat)
        self._runs = _runs(flat) if own else []
        self._steps = [] if own else _steps(flat)
        self.makes_tensor = own and any(one.makes_tensor for one in flat)
        self.reads_pixels = self.makes_tensor or (
            bool(self._steps) and getattr(self._steps[0], "reads_pixels", False)
        )
        self.one_by_one = not own or any(one.one_by_one for one in flat)

    def of_one(self, x: Any, generator: np.random.Generator) -> Any:
        """画像 1 枚に、順に行う。"""
        if not self._steps:
            return super().of_one(x, generator)
        for step in self._steps:
            x = step.of_one(x, generator) if isinstance(step, Transform) else step(x)
        return x

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """順に行う。"""
        if self._steps:
            raise TypeError(
                "自分の関数の入った Compose は、画像 1 枚ずつに使います (one image at a time): "
                f"形 {images.shape} のバッチが渡されました。データセットの transform= に渡して"
                "ください。"
            )
        for run in self._runs:
            if isinstance(run, Transform):
                images = run.apply(images, generator)
            else:
                images = warped(images, run, generator)
        return images

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


class RandomApply(Transform):
    """見本ごとに、確率 p で変換を行う（行わない見本は、ちょうど元のまま）。

    Args:
        transforms: `Transform`、またはその列。
        p: 行う確率。

    Raises:
        TypeError: `Transform` でないもの。
        ValueError: p が確率でない。呼んだとき、変換が画像の大きさを変える。
    """

    def __init__(self, transforms: Transform | Iterable[Transform], p: float = 0.5) -> None:
        given = [transforms] if isinstance(transforms, Transform) else transforms
        self.transforms = _checked(type(self).__name__, given)
        self.p = probability("p", p)
        self._all = Compose(self.transforms)
        self.one_by_one = self._all.one_by_one

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """選ばれた見本だけを変える。"""
        chosen = np.flatnonzero(generator.random(len(images)) < self.p)
        if not len(chosen):
            return images
        changed = self._all.apply(images[chosen], generator)
        if changed.shape[1:] != images.shape[1:]:
            raise ValueError(
                "RandomApply の中で画像の大きさは変えられません (size changes): "
                f"{images.shape[2:]} が {changed.shape[2:]} になりました。"
                "CenterCrop や RandomCrop は RandomApply の外に置いてください。"
            )
        out = images.copy()
        out[chosen] = changed
        return out


def _checked(owner: str, transforms: Any, functions: bool = False) -> tuple[Any, ...]:
    given = tuple(transforms) if isinstance(transforms, Iterable) else (transforms,)
    for one in given:
        known = isinstance(one, Transform) or (functions and callable(one))
        if isinstance(one, type) or not known:
            kind = one.__name__ if isinstance(one, type) else type(one).__name__
            raise TypeError(
                f"{owner} には Transform を渡します (expected transforms): {kind} が渡されました。"
                "自分の変換は Transform の派生クラスに apply(images, generator) を書いてください。"
            )
    return given


def _runs(transforms: Iterable[Transform]) -> list[Transform | list[Geometric]]:
    """Neighbours that one resampling can do, together."""
    runs: list[Transform | list[Geometric]] = []
    for one in transforms:
        if not isinstance(one, Geometric):
            runs.append(one)
            continue
        last = runs[-1] if runs else None
        # A displacement field is known at the pixels of the result only: it must come last.
        if (
            isinstance(last, list)
            and not isinstance(last[-1], ElasticTransform)
            and last[-1].fill == one.fill
        ):
            last.append(one)
        else:
            runs.append([one])
    return runs


def _steps(transforms: Iterable[Any]) -> list[Any]:
    """Neighbouring transforms together, and functions alone."""
    steps: list[Any] = []
    for own, some in groupby(transforms, lambda one: isinstance(one, Transform)):
        found = list(some)
        steps += [Compose(found)] if own else found
    return steps


def _flat(transforms: Iterable[Any]) -> Iterable[Any]:
    for one in transforms:
        if type(one) is Compose:
            yield from _flat(one.transforms)
        else:
            yield one


explain_all(globals())
