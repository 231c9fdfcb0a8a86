"""すぐに使えるデータセット。手書き数字と、平面上の小さな問題、PyTorch の書き方の画像。

手書き数字は `.images` と `.labels`、どれも `data[:]` で `(x, t)` の `Tensor` の組になる。
`MNIST`、`FashionMNIST`、`KMNIST`、`EMNIST`、`CIFAR10`、`ImageFolder` は torchvision のクラスの
名前と引数で、`data[i]` が変換 (`transform=`) した画像 1 枚とラベルになる。
"""

from typing import TYPE_CHECKING

from micrograd_jp.data.datasets.cifar import CIFAR10 as CIFAR10
from micrograd_jp.data.datasets.folder import ImageFolder as ImageFolder
from micrograd_jp.data.datasets.handwriting import EMNIST as EMNIST
from micrograd_jp.data.datasets.handwriting import KMNIST as KMNIST
from micrograd_jp.data.datasets.handwriting import MNIST as MNIST
from micrograd_jp.data.datasets.handwriting import FashionMNIST as FashionMNIST
from micrograd_jp.data.datasets.images import Images as Images
from micrograd_jp.data.datasets.images import digits as digits
from micrograd_jp.data.datasets.mnist import mnist as mnist
from micrograd_jp.data.datasets.toy import circles as circles
from micrograd_jp.data.datasets.toy import line as line
from micrograd_jp.data.datasets.toy import moons as moons
from micrograd_jp.data.datasets.toy import spiral as spiral
from micrograd_jp.data.datasets.toy import xor as xor
from micrograd_jp.data.datasets.vision import VisionDataset as VisionDataset
from micrograd_jp.on_demand import teller

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
