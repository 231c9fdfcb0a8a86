"""MNIST: 28×28 の手書き数字 70,000 枚 (Y. LeCun, C. Cortes, C. Burges)。

元の IDX ファイルを、環境変数 `MICROGRAD_JP_DATA` のフォルダ、キャッシュの順に探し、なければ
公開の取得先からキャッシュに置く。どこから来たものでも、展開後の MD5 を照合する。
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.datasets.images import Images, prepared
from micrograd_jp.data.download import download
from micrograd_jp.data.idx import parsed, read_idx
from micrograd_jp.environment import cache_folder, expanded

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""取得先。順に試す。"""

STATISTICS = (0.1307, 0.3081)
"""訓練画像の画素の平均と標準偏差（`normalize=True` が使う）。"""

_DATA, _FOLDER = "MICROGRAD_JP_DATA", "mnist"


class _File(NamedTuple):
    name: str
    md5: str  # of the decompressed bytes
    size: int  # bytes of pixels or labels


_IMAGES, _LABELS = 28 * 28, 1
_FILES = {
    True: (
        _File("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", 60_000 * _IMAGES),
        _File("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", 60_000 * _LABELS),
    ),
    False: (
        _File("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", 10_000 * _IMAGES),
        _File("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", 10_000 * _LABELS),
    ),
}


@overload
def mnist(
    train: None = None, *, flatten: bool = ..., normalize: bool = ..., download: bool = ...
) -> tuple[Images, Images]: ...


@overload
def mnist(
    train: Literal[True, False], *, flatten: bool = ..., normalize: bool = ..., download: bool = ...
) -> Images: ...


def mnist(
    train: bool | None = None,
    *,
    flatten: bool = False,
    normalize: bool = False,
    download: bool = True,
) -> Images | tuple[Images, Images]:
    """MNIST の手書き数字。

        train, test = mg.data.datasets.mnist()
        train.images.shape, train.labels.shape    # (60000, 28, 28), (60000,)

    Args:
        train: 真なら訓練データ 60,000 枚、偽なら評価データ 10,000 枚。省略すると両方の組。
        flatten: 真なら画像の形を (N, 784) にする。
        normalize: 真なら、訓練画像の平均 0.1307 を引き、標準偏差 0.3081 で割る。
            偽なら画素は 0 から 1。
        download: 偽なら、手元にないときダウンロードせずにエラーにする。

    Raises:
        FileNotFoundError: `download=False` で、手元にない。
        OSError: ダウンロードできない。
        ValueError: ファイルが壊れている、または MNIST でない。
        ImportError: ダウンロードに必要な tqdm がない。
    """
    wanted = (True, False) if train is None else (bool(train),)
    files = [file for part in wanted for file in _FILES[part]]
    with ThreadPoolExecutor() as pool:  # inflating and hashing run without the interpreter lock
        arrays = list(pool.map(lambda file: _load(file, download), files))
    statistics = STATISTICS if normalize else None
    parts = [
        prepared(images, labels, 255, flatten=flatten, statistics=statistics)
        for images, labels in zip(arrays[::2], arrays[1::2])
    ]
    return (parts[0], parts[1]) if train is None else parts[0]


def _load(file: _File, may_download: bool) -> Any:
    for path in _places(file.name):
        if os.path.isfile(path):  # False also where we may not look
            return read_idx(path, max_bytes=file.size, md5=file.md5)
    cache, name = cache_folder(), f"{file.name}.gz"
    if not may_download:
        here = "" if cache is None else f"か {cache / _FOLDER} "
        raise FileNotFoundError(
            f"MNIST の {file.name} が見つかりません (not found): 環境変数 {_DATA} のフォルダ{here}"
            "に置くか、download=True にしてください。"
        )

    def check(contents: bytes) -> Any:
        return parsed(io.BytesIO(contents), Path(name), file.size, file.md5)

    urls = [f"{mirror}{name}" for mirror in MIRRORS]
    # Compressed, no honest file is larger than what is in it.
    target = None if cache is None else cache / _FOLDER / name
    return download(urls, target, check, max_bytes=file.size + 1024)


def _places(name: str) -> Iterator[Path]:
    """Where the file may lie, first come first served."""
    cache = cache_folder()
    folders = [] if cache is None else [cache / _FOLDER]
    given = os.environ.get(_DATA)
    if given and (base := expanded(given)):
        folders = [base / _FOLDER, base, *folders]
    for folder in folders:
        yield folder / f"{name}.gz"
        yield folder / name


explain_all(globals())
