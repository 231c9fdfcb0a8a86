"""フォルダの中の画像: `root/クラスの名前/画像のファイル` を 1 つのデータセットにする。

名前と約束は torchvision のもの。クラスの番号は、フォルダの名前の順である。
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.data.datasets.vision import Function, VisionDataset
from micrograd_jp.data.pictures import opened
from micrograd_jp.environment import expanded

IMG_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""画像とみなすファイルの名前の終わり。"""


class ImageFolder(VisionDataset):
    """フォルダの中の画像。`data[i]` は (RGB の Pillow の画像, クラスの番号)。

        root/猫/1.png  root/猫/2.png  root/犬/1.jpg

    Args:
        root: フォルダ。
        transform: 画像に使う変換。
        target_transform: クラスの番号に使う変換。
        loader: ファイルのパスから画像を作る関数。省くと Pillow で読み、RGB にする。
        is_valid_file: パスが画像なら真を返す関数。省くと、名前の終わりで決める (`IMG_EXTENSIONS`)。

    Attributes:
        classes: クラスの名前。
        class_to_idx: クラスの名前から番号へ。
        samples: (パス, クラスの番号) のリスト。`imgs` も同じもの。
        targets: クラスの番号のリスト。

    Raises:
        FileNotFoundError: フォルダがない、クラスのフォルダがない、画像のないクラスがある。
        TypeError: 関数でないもの。
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Function | None = None,
        target_transform: Function | None = None,
        loader: Callable[[str], Any] = opened,
        is_valid_file: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform)
        require_function("loader", loader)
        if is_valid_file is not None:
            require_function("is_valid_file", is_valid_file)
        self.loader = loader
        folder = expanded(os.fspath(root)) or Path(root)
        self.classes = _classes(folder)
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = [
            (path, i)
            for i, name in enumerate(self.classes)
            for path in _files(folder / name, is_valid_file or _named_as_image)
        ]
        self.targets = [i for _, i in self.samples]
        if empty := {*self.class_to_idx.values()} - {*self.targets}:
            names = "、".join(self.classes[i] for i in sorted(empty))
            raise FileNotFoundError(
                f"画像のないクラスがあります (no images): {folder} の {names}。"
                f"{' '.join(IMG_EXTENSIONS)} で終わるファイルを探しました。"
            )

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """`samples` と同じ。"""
        return self.samples

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, index: int) -> tuple[Any, Any]:
        """変換の前の (画像, クラスの番号)。"""
        path, target = self.samples[index]
        return self.loader(path), target


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f"フォルダがありません (no such folder): {folder}。")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if not names:
        raise FileNotFoundError(
            f"クラスのフォルダがありません (no class folders): {folder} の下に、クラスごとの"
            "フォルダを作り、画像を入れてください。"
        )
    return names


def _files(folder: Path, wanted: Callable[[str], bool]) -> list[str]:
    return [
        path
        for place, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
        if wanted(path := os.path.join(place, name))
    ]


def _named_as_image(path: str) -> bool:
    return path.lower().endswith(IMG_EXTENSIONS)


explain_all(globals())
