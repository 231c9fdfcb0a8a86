"""CIFAR-10: 32×32 の写真 60,000 枚 (Krizhevsky, 2009)。

配られているのは pickle の入った tar.gz である。MD5 が公開されているものと等しいときだけ、
ndarray しか作らない読み手で読む。torchvision の `root` のフォルダ（展開ずみでもよい）を使える。
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.datasets.published import damaged, folders, keeping, obtained, require_md5
from micrograd_jp.data.datasets.vision import Pixels

_URL = "https://www.cs.toronto.edu/~kriz/"
_MOST = 200_000_000  # bytes of the archive
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}  # all that the files of 2009 call


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _NAMES[module, name]


def _batch(raw: IO[bytes], path: Path, md5: str) -> dict[str, Any]:
    require_md5(raw, path, md5)
    try:
        found: dict[str, Any] = _ArraysOnly(raw, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError) as error:
        raise damaged(path, str(error), "not a batch of CIFAR") from error
    return found


class CIFAR10(Pixels):
    """32×32 のカラー写真、10 クラス、訓練 50,000 枚と評価 10,000 枚。

    `data` は uint8 の ndarray (N, 32, 32, 3)、`targets` はラベルのリスト（torchvision と同じ）。
    """

    # MD5: torchvision/datasets/cifar.py.
    _folder, _archive = "cifar-10-batches-py", "cifar-10-python.tar.gz"
    _archive_md5 = "c58f30108f718f92721af3b95e74349a"
    _batches: ClassVar = {
        True: {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        False: {"test_batch": "40351d587109b95175f43aff81a1287e"},
    }
    classes: Sequence[str] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip

    def _load(self, download: bool) -> tuple[Any, Any]:
        wanted = self._batches[self.train]
        within = folders("cifar", self.root)
        for folder in within:
            paths = [folder / self._folder / name for name in wanted]
            if all(path.is_file() for path in paths):
                batches = []
                for path, md5 in zip(paths, wanted.values()):
                    with path.open("rb") as raw:
                        batches.append(_batch(raw, path, md5))
                break
        else:
            target = keeping("cifar", self.root)
            batches = obtained(
                type(self).__name__,
                [folder / self._archive for folder in within],
                self._from_archive,
                urls=[_URL + self._archive],
                target=None if target is None else target / self._archive,
                most=_MOST,
                may_download=download,
            )
        return self._joined(batches)

    def _from_archive(self, raw: IO[bytes], path: Path) -> list[dict[str, Any]]:
        require_md5(raw, path, self._archive_md5)
        wanted = self._batches[self.train]
        found = {}
        try:
            with tarfile.open(fileobj=raw, mode="r:gz") as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    if name in wanted and (file := archive.extractfile(member)) is not None:
                        inside = path / member.name
                        found[name] = _batch(io.BytesIO(file.read()), inside, wanted[name])
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise damaged(path, "tar.gz として読めません", "corrupt archive") from error
        if missing := [name for name in wanted if name not in found]:
            raise damaged(path, f"中に {missing[0]} がありません", "missing member")
        return [found[name] for name in wanted]

    def _joined(self, batches: list[dict[str, Any]]) -> tuple[Any, Any]:
        rows = np.concatenate([batch["data"] for batch in batches])
        labels = [label for batch in batches for label in batch["labels"]]
        images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), labels


explain_all(globals())
