"""データ拡張 (data augmentation): 画像のバッチを、見本ごとに違う乱数で少しずつ変える。

どれも (N, C, H, W) か (N, H, W) の `Tensor` か配列を受け取り、同じ次元の数、同じ型のものを返す。
uint8 は uint8 のまま、0 から 1 の小数はその範囲のまま。ラベルには触れず、入力も書き換えない。

>>> import numpy as np
>>> from micrograd_jp.data import transforms as T
>>> augment = T.Compose([T.RandomRotation(10), T.RandomTranslate(2), T.ElasticTransform(20, 4)])
>>> x, t = augment(np.zeros((8, 1, 28, 28), np.float32), np.arange(8), generator=0)
>>> x.shape
(8, 1, 28, 28)

torchvision の名前の `ToTensor`、`Normalize`、`Resize` などは、データセットの `transform=` に渡し、
画像 1 枚ずつに使う。`DataLoader(data, transform=augment)` に渡すと、乱数はバッチの番号で決まる。
"""

from typing import TYPE_CHECKING

from micrograd_jp.data.transforms.colors import ColorJitter as ColorJitter
from micrograd_jp.data.transforms.colors import GaussianBlur as GaussianBlur
from micrograd_jp.data.transforms.colors import Grayscale as Grayscale
from micrograd_jp.data.transforms.colors import RandomGrayscale as RandomGrayscale
from micrograd_jp.data.transforms.compose import Compose as Compose
from micrograd_jp.data.transforms.compose import RandomApply as RandomApply
from micrograd_jp.data.transforms.crops import CenterCrop as CenterCrop
from micrograd_jp.data.transforms.crops import Pad as Pad
from micrograd_jp.data.transforms.crops import RandomCrop as RandomCrop
from micrograd_jp.data.transforms.geometry import ElasticTransform as ElasticTransform
from micrograd_jp.data.transforms.geometry import Geometric as Geometric
from micrograd_jp.data.transforms.geometry import RandomAffine as RandomAffine
from micrograd_jp.data.transforms.geometry import RandomHorizontalFlip as RandomHorizontalFlip
from micrograd_jp.data.transforms.geometry import RandomRotation as RandomRotation
from micrograd_jp.data.transforms.geometry import RandomScale as RandomScale
from micrograd_jp.data.transforms.geometry import RandomTranslate as RandomTranslate
from micrograd_jp.data.transforms.geometry import RandomVerticalFlip as RandomVerticalFlip
from micrograd_jp.data.transforms.pixels import GaussianNoise as GaussianNoise
from micrograd_jp.data.transforms.pixels import RandomBrightness as RandomBrightness
from micrograd_jp.data.transforms.pixels import RandomContrast as RandomContrast
from micrograd_jp.data.transforms.pixels import RandomErasing as RandomErasing
from micrograd_jp.data.transforms.resize import InterpolationMode as InterpolationMode
from micrograd_jp.data.transforms.resize import RandomResizedCrop as RandomResizedCrop
from micrograd_jp.data.transforms.resize import Resize as Resize
from micrograd_jp.data.transforms.tensors import Lambda as Lambda
from micrograd_jp.data.transforms.tensors import Normalize as Normalize
from micrograd_jp.data.transforms.tensors import PILToTensor as PILToTensor
from micrograd_jp.data.transforms.tensors import ToPILImage as ToPILImage
from micrograd_jp.data.transforms.tensors import ToTensor as ToTensor
from micrograd_jp.data.transforms.transform import Transform as Transform
from micrograd_jp.on_demand import teller

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
