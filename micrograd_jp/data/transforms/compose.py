"""変換をまとめる: 順につなぐ `Compose`、見本ごとに行うかどうかを決める `RandomApply`。"""

from __future__ import annotations

from collections.abc import Iterable
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
        transforms: `Transform` の列。

    Raises:
        TypeError: `Transform` でないもの。
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        self.transforms = _checked(type(self).__name__, transforms)
        self._runs = _runs(self.transforms)

    def apply(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """順に行う。"""
        for run in self._runs:
            if isinstance(run, Transform):
                images = run.apply(images, generator)
            else:
                images = warped(images, run, generator)
        return images


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


def _checked(owner: str, transforms: Any) -> tuple[Transform, ...]:
    given = tuple(transforms) if isinstance(transforms, Iterable) else (transforms,)
    for one in given:
        if not isinstance(one, Transform):
            kind = one.__name__ if isinstance(one, type) else type(one).__name__
            raise TypeError(
                f"{owner} には Transform を渡します (expected transforms): {kind} が渡されました。"
                "自分の変換は Transform の派生クラスに apply(images, generator) を書いてください。"
            )
    return given


def _runs(transforms: Iterable[Transform]) -> list[Transform | list[Geometric]]:
    """Neighbours that one resampling can do, together."""
    runs: list[Transform | list[Geometric]] = []
    for one in _flat(transforms):
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


def _flat(transforms: Iterable[Transform]) -> Iterable[Transform]:
    for one in transforms:
        if type(one) is Compose:
            yield from _flat(one.transforms)
        else:
            yield one


explain_all(globals())
