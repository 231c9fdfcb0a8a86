"""MNIST とその仲間を PyTorch の書き方で: `MNIST`、`FashionMNIST`、`KMNIST`（くずし字）、`EMNIST`。

    train = mg.data.datasets.KMNIST("data", train=True, download=True, transform=ToTensor())

torchvision の `root` のフォルダをそのまま使える。どのファイルも、公開されている MD5 を照合する
（展開後の MD5 が公開されていない、展開ずみの KMNIST と EMNIST だけは、形とラベルを確かめる）。
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.datasets.mnist import IMAGES, MNIST_FILES
from micrograd_jp.data.datasets.published import IdxFamily, IdxFile
from micrograd_jp.data.datasets.vision import Function, Pixels
from micrograd_jp.tensor.array import Tensor

# MD5: torchvision/datasets/mnist.py; of the decompressed, published beside it in several places.
_FASHION_FILES = IdxFamily(
    title="Fashion-MNIST",
    folder="fashionmnist",
    inner="FashionMNIST/raw",
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    files={
        True: (
            IdxFile("train-images-idx3-ubyte", 60_000 * IMAGES, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
            IdxFile("train-labels-idx1-ubyte", 60_000, "9018921c3c673c538a1fc5bad174d6f9"),
        ),
        False: (
            IdxFile("t10k-images-idx3-ubyte", 10_000 * IMAGES, "8181f5470baa50b63fa0f6fddb340f0a"),
            IdxFile("t10k-labels-idx1-ubyte", 10_000, "15d484375f8d13e6eb1aabb0c3f46965"),
        ),
    },
)


def _packed(name: str, count: int, images: str, labels: str) -> tuple[IdxFile, IdxFile]:
    """Files of which the MD5 is known as they are sent, compressed."""
    return (
        IdxFile(f"{name}-images-idx3-ubyte", count * IMAGES, packed_md5=images),
        IdxFile(f"{name}-labels-idx1-ubyte", count, packed_md5=labels),
    )


_KMNIST_FILES = IdxFamily(
    title="KMNIST",
    folder="kmnist",
    inner="KMNIST/raw",
    mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    files={
        True: _packed(
            "train", 60_000,
            "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
        ),
        False: _packed(
            "t10k", 10_000,
            "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    },
)  # fmt: skip

_MOST = 700_000  # images in any part of EMNIST
_EMNIST_MD5 = {
    ("byclass", "train"): ("712dda0bd6f00690f32236ae4325c377", "ee299a3ee5faf5c31e9406763eae7e43"),
    ("byclass", "test"): ("1435209e34070a9002867a9ab50160d7", "7a0f934bd176c798ecba96b36fda6657"),
    ("bymerge", "train"): ("4a792d4df261d7e1ba27979573bf53f3", "491be69ef99e1ab1f5b7f9ccc908bb26"),
    ("bymerge", "test"): ("8eb5d34c91f1759a55831c37ec2a283f", "c13f4cd5211cdba1b8fa992dae2be992"),
    ("balanced", "train"): ("4041b0d6f15785d3fa35263901b5496b", "7a35cc7b2b7ee7671eddf028570fbd20"),
    ("balanced", "test"): ("6818d20fe2ce1880476f747bbc80b22b", "acd3694070dcbf620e36670519d4b32f"),
    ("letters", "train"): ("8795078f199c478165fe18db82625747", "c16de4f1848ddcdddd39ab65d2a7be52"),
    ("letters", "test"): ("382093a19703f68edac6d01b8dfdfcad", "d4108920cd86601ec7689a97f2de7f59"),
    ("digits", "train"): ("d2662ecdc47895a6bbfce25de9e9a677", "2223fcfee618ac9c89ef20b6e48bcf9e"),
    ("digits", "test"): ("a159b8b3bd6ab4ed4793c1cb71a2f5cc", "8afde66ea51d865689083ba6bb779fac"),
    ("mnist", "train"): ("3663598a39195d030895b6304abb5065", "6c092f03c9bb63e678f80f8bc605fe37"),
    ("mnist", "test"): ("fb51b6430fc4dd67deaada1bf25d4524", "ae7f6be798a9a5d5f2bd32e078a402dd"),
}
_EMNIST_FILES = IdxFamily(
    title="EMNIST",
    folder="emnist",
    inner="EMNIST/raw",
    mirrors=(
        "https://biometrics.nist.gov/cs_links/EMNIST/",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
    ),
    files={
        (split, part): _packed(f"emnist-{split}-{part}", _MOST, *md5)
        for (split, part), md5 in _EMNIST_MD5.items()
    },
    archive="gzip.zip",
    most=1 << 30,
)


class MNIST(Pixels):
    """28×28 の手書き数字、訓練 60,000 枚と評価 10,000 枚。"""

    _files = MNIST_FILES
    classes: Sequence[str] = (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six",
        "7 - seven", "8 - eight", "9 - nine",
    )  # fmt: skip

    def _part(self) -> Any:
        return self.train

    def _load(self, download: bool) -> tuple[Any, Any]:
        images, labels = self._files.arrays([self._part()], self.root, download)
        sizes = (
            f"画像は {images.dtype} の {images.shape}、ラベルは {labels.dtype} の {labels.shape}"
        )
        fitting = images.shape == (len(labels), 28, 28) and labels.shape == (len(images),)
        if not fitting or {images.dtype, labels.dtype} != {np.dtype(np.uint8)}:
            raise ValueError(
                f"{self._files.title} のファイルではありません (wrong file): {sizes}。"
            )
        if len(labels) and labels.max() >= len(self.classes):
            raise ValueError(
                f"{self._files.title} のラベルではありません (wrong labels): {labels.max()} が"
                f"あります。ラベルは 0 から {len(self.classes) - 1} です。"
            )
        return Tensor(images), Tensor(labels.astype(np.int64))


class FashionMNIST(MNIST):
    """28×28 の衣類の写真、訓練 60,000 枚と評価 10,000 枚 (Xiao et al., 2017, arXiv:1708.07747)。"""

    _files = _FASHION_FILES
    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    )  # fmt: skip


class KMNIST(MNIST):
    """28×28 のくずし字、訓練 60,000 枚と評価 10,000 枚 (Clanuwat et al., 2018, arXiv:1812.01718)。

    『KMNIST データセット』（CODH 作成、『日本古典籍くずし字データセット』（国文研ほか所蔵）を翻案、
    doi:10.20676/00000341）。CC BY-SA 4.0。
    """

    _files = _KMNIST_FILES
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


_MERGED = set("cijklmopsuvwxyz")  # written alike in both cases
_ALL = sorted(string.digits + string.ascii_letters)
_DISTINCT = [x for x in _ALL if x not in _MERGED]


class EMNIST(MNIST):
    """28×28 の手書きの数字と文字 (Cohen et al., 2017, arXiv:1702.05373)。

    画像は、ファイルにあるとおり縦と横が入れ替わっている（torchvision と同じ）。`transform` で
    `x.mT` とすると、正しい向きになる。letters のラベルは 1 から 26 である。

    Args:
        root: `MNIST` と同じ。
        split: "byclass", "bymerge", "balanced", "letters", "digits", "mnist"。
        train: 以下、`MNIST` と同じ。
        transform: 画像に使う変換。
        target_transform: ラベルに使う変換。
        download: 真なら、手元にないときダウンロードする (562 MB)。

    Raises:
        ValueError: 知らない `split`。ほかは `MNIST` と同じ。
    """

    _files = _EMNIST_FILES
    _CLASSES: ClassVar = {
        "byclass": _ALL, "bymerge": _DISTINCT, "balanced": _DISTINCT,
        "letters": ["N/A", *string.ascii_lowercase], "digits": [*string.digits],
        "mnist": [*string.digits],
    }  # fmt: skip

    def __init__(
        self,
        root: Any = None,
        split: str = "balanced",
        train: bool = True,
        transform: Function | None = None,
        target_transform: Function | None = None,
        download: bool = False,
    ) -> None:
        if split not in self._CLASSES:
            raise ValueError(
                f"EMNIST の split は {', '.join(self._CLASSES)} のどれかです (unknown split): "
                f"{split!r} が渡されました。"
            )
        self.split, self.classes = split, self._CLASSES[split]
        super().__init__(root, train, transform, target_transform, download)

    def _part(self) -> Any:
        return self.split, "train" if self.train else "test"


explain_all(globals())
