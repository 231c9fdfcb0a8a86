"""MNIST: 28×28 の手書き数字 70,000 枚 (Y. LeCun, C. Cortes, C. Burges)。

元の IDX ファイルを、環境変数 `MICROGRAD_JP_DATA` のフォルダ、キャッシュの順に探し、なければ
公開の取得先からキャッシュに置く。どこから来たものでも、展開後の MD5 を照合する。
"""

from __future__ import annotations

from typing import Literal, overload

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.datasets.images import Images, prepared
from micrograd_jp.data.datasets.published import IdxFamily, IdxFile

STATISTICS = (0.1307, 0.3081)
"""訓練画像の画素の平均と標準偏差（`normalize=True` が使う）。"""

IMAGES = 28 * 28
"""画像 1 枚のバイト数。"""


MNIST_FILES = IdxFamily(
    title="MNIST",
    folder="mnist",
    inner="MNIST/raw",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files={
        True: (
            IdxFile("train-images-idx3-ubyte", 60_000 * IMAGES, "6bbc9ace898e44ae57da46a324031adb"),
            IdxFile("train-labels-idx1-ubyte", 60_000, "a25bea736e30d166cdddb491f175f624"),
        ),
        False: (
            IdxFile("t10k-images-idx3-ubyte", 10_000 * IMAGES, "2646ac647ad5339dbf082846283269ea"),
            IdxFile("t10k-labels-idx1-ubyte", 10_000, "27ae3e4e09519cfbb04c329615203637"),
        ),
    },
    bare=True,
)
"""どこから取り、何と照合するか。"""


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
    arrays = MNIST_FILES.arrays(wanted, None, download)
    statistics = STATISTICS if normalize else None
    parts = [
        prepared(images, labels, 255, flatten=flatten, statistics=statistics)
        for images, labels in zip(arrays[::2], arrays[1::2])
    ]
    return (parts[0], parts[1]) if train is None else parts[0]


explain_all(globals())
