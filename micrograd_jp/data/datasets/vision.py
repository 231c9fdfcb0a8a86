"""PyTorch の書き方の画像のデータセット: `transform=` は画像に、`target_transform=` はラベルに。"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all, require_function, undefined
from micrograd_jp.data.pictures import channels_first, picture_of
from micrograd_jp.data.seeds import generator_of
from micrograd_jp.data.transforms.transform import Transform
from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.keys import bad_index

Function = Callable[[Any], Any]


class VisionDataset:
    """画像とラベルの組を `data[i]` で出すデータセットの土台。派生クラスは `sample` を書く。

    Args:
        root: フォルダ。
        transform: 画像に使う変換。
        target_transform: ラベルに使う変換。

    Raises:
        TypeError: 変換が呼べない。
    """

    def __init__(
        self,
        root: Any = None,
        transform: Function | None = None,
        target_transform: Function | None = None,
    ) -> None:
        for name, f in (("transform", transform), ("target_transform", target_transform)):
            if f is not None:
                require_function(name, f)
        self.root = root
        self.transform, self.target_transform = transform, target_transform

    def sample(self, index: int) -> tuple[Any, Any]:
        """変換の前の (画像, ラベル)。"""
        raise undefined(self, "sample(self, index)")

    def __len__(self) -> int:
        raise undefined(self, "__len__(self)")

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        """(画像, ラベル)。

        Raises:
            IndexError: その番号の見本がない。
            ImportError: 画像を作るのに Pillow が要り、ない。
        """
        image, target = self.sample(self._row(index))
        return self._changed(image), self._label(target)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self[i] for i in range(len(self)))

    def __getitems__(self, indices: Any) -> Any:
        """番号の配列が指す見本のリスト。"""
        return [self[i] for i in indices.tolist()]

    def _row(self, index: Any) -> int:
        key = data_of(index)
        if np.ndim(key) or isinstance(key, bool | slice) or not hasattr(key, "__index__"):
            raise TypeError(
                f"{type(self).__name__} の番号は整数です (expected an int): {index!r} が渡され"
                "ました。一部を使うには Subset を。"
            )
        row = int(key)
        if not -len(self) <= row < len(self):
            raise bad_index((len(self),), IndexError(f"index {row} is out of range"))
        return row % len(self)

    def _changed(self, image: Any) -> Any:
        return image if self.transform is None else self.transform(image)

    def _label(self, target: Any) -> Any:
        return target if self.target_transform is None else self.target_transform(target)

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        lines += filter(None, self.extra_repr().splitlines())
        if self.transform is not None:
            lines.append(f"Transform: {self.transform!r}")
        return "\n    ".join([f"Dataset {type(self).__name__}", *lines])

    def extra_repr(self) -> str:
        """表示に加える行。"""
        return ""


class Pixels(VisionDataset):
    """同じ大きさの画像の配列を持つデータセット。派生クラスは `_load` を書く。

    `data[i]` の画像は Pillow の画像（`transform` があれば、それを変換したもの）。`transform` が
    `ToTensor` を含む、このパッケージの変換だけでできていれば、Pillow は要らず、`DataLoader` は
    バッチをまとめて変換する。

    Args:
        root: フォルダ。省くと、環境変数 `MICROGRAD_JP_DATA` のフォルダとキャッシュだけを探す。
        train: 真なら訓練データ、偽なら評価データ。
        transform: 画像に使う変換。
        target_transform: ラベルに使う変換。
        download: 真なら、手元にないときダウンロードし、`root` の下（なければキャッシュ）に置く。

    Attributes:
        data: uint8 の画素。
        targets: ラベル。
        classes: クラスの名前。

    Raises:
        FileNotFoundError: `download=False` で、手元にない。
        OSError: ダウンロードできない。
        ValueError: ファイルが壊れている、または違うファイル。
        ImportError: ダウンロードに必要な tqdm がない。
        TypeError: 変換が呼べない。
    """

    classes: Sequence[str] = ()
    data: Any
    targets: Any

    def __init__(
        self,
        root: Any = None,
        train: bool = True,
        transform: Function | None = None,
        target_transform: Function | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.train = bool(train)
        self.data, self.targets = self._load(bool(download))

    def _load(self, download: bool) -> tuple[Any, Any]:
        raise undefined(self, "_load(self, download)")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """クラスの名前から番号へ。"""
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def sample(self, index: int) -> tuple[Any, Any]:
        """変換の前の (画像の画素 (H, W) か (H, W, C), ラベル)。"""
        return np.asarray(data_of(self.data)[index]), int(data_of(self.targets)[index])

    def _changed(self, image: Any) -> Any:
        transform = self.transform
        if isinstance(transform, Transform) and transform.reads_pixels:
            return transform.of_one(image, generator_of(None))
        return super()._changed(picture_of(channels_first(image)))

    def __getitems__(self, indices: Any) -> Any:
        """番号の配列が指す見本: まとめて変換できれば、積み重ねた配列の組。"""
        transform = self.transform
        if not (isinstance(transform, Transform) and transform.makes_tensor):
            return super().__getitems__(indices)
        pixels = np.asarray(data_of(self.data))[indices]
        images = channels_first(pixels) if pixels.ndim > 3 else pixels[:, None]
        targets = data_of(self.targets)
        labels = [self._label(int(targets[i])) for i in indices.tolist()]
        changed = transform.apply(images, generator_of(None))
        return list(zip(changed, labels)) if self.target_transform else (changed, np.array(labels))

    def extra_repr(self) -> str:
        """訓練データか、評価データか。"""
        return f"Split: {'Train' if self.train else 'Test'}"


explain_all(globals())
