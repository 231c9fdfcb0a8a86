"""ニューラルネットワークの部品 (neural networks)。

`Module` の上に、`Tensor` の層、`Value` の `Neuron / Layer / MLP`、活性化関数、損失がある。
同じものの関数は `nn.functional`、重みの初期値は `nn.init`。
"""

from micrograd_jp.nn import functional as functional
from micrograd_jp.nn import init as init
from micrograd_jp.nn import models as models
from micrograd_jp.nn import utils as utils
from micrograd_jp.nn.layers.activations import ELU as ELU
from micrograd_jp.nn.layers.activations import GELU as GELU
from micrograd_jp.nn.layers.activations import SELU as SELU
from micrograd_jp.nn.layers.activations import Hardsigmoid as Hardsigmoid
from micrograd_jp.nn.layers.activations import Hardswish as Hardswish
from micrograd_jp.nn.layers.activations import LeakyReLU as LeakyReLU
from micrograd_jp.nn.layers.activations import LogSigmoid as LogSigmoid
from micrograd_jp.nn.layers.activations import LogSoftmax as LogSoftmax
from micrograd_jp.nn.layers.activations import Mish as Mish
from micrograd_jp.nn.layers.activations import ReLU as ReLU
from micrograd_jp.nn.layers.activations import Sigmoid as Sigmoid
from micrograd_jp.nn.layers.activations import SiLU as SiLU
from micrograd_jp.nn.layers.activations import Softmax as Softmax
from micrograd_jp.nn.layers.activations import Softplus as Softplus
from micrograd_jp.nn.layers.activations import Tanh as Tanh
from micrograd_jp.nn.layers.containers import ModuleDict as ModuleDict
from micrograd_jp.nn.layers.containers import ModuleList as ModuleList
from micrograd_jp.nn.layers.containers import Residual as Residual
from micrograd_jp.nn.layers.containers import Sequential as Sequential
from micrograd_jp.nn.layers.conv import BatchNorm2d as BatchNorm2d
from micrograd_jp.nn.layers.conv import Conv2d as Conv2d
from micrograd_jp.nn.layers.conv import ConvTranspose2d as ConvTranspose2d
from micrograd_jp.nn.layers.conv import Dropout2d as Dropout2d
from micrograd_jp.nn.layers.ensemble import Ensemble as Ensemble
from micrograd_jp.nn.layers.ensemble import TestTimeAugmentation as TestTimeAugmentation
from micrograd_jp.nn.layers.linear import Dropout as Dropout
from micrograd_jp.nn.layers.linear import Embedding as Embedding
from micrograd_jp.nn.layers.linear import Flatten as Flatten
from micrograd_jp.nn.layers.linear import Identity as Identity
from micrograd_jp.nn.layers.linear import Linear as Linear
from micrograd_jp.nn.layers.linear import Unflatten as Unflatten
from micrograd_jp.nn.layers.norm import BatchNorm1d as BatchNorm1d
from micrograd_jp.nn.layers.norm import LayerNorm as LayerNorm
from micrograd_jp.nn.layers.pool import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from micrograd_jp.nn.layers.pool import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from micrograd_jp.nn.layers.pool import AvgPool2d as AvgPool2d
from micrograd_jp.nn.layers.pool import LocalResponseNorm as LocalResponseNorm
from micrograd_jp.nn.layers.pool import MaxPool2d as MaxPool2d
from micrograd_jp.nn.layers.scalar import MLP as MLP
from micrograd_jp.nn.layers.scalar import Layer as Layer
from micrograd_jp.nn.layers.scalar import Neuron as Neuron
from micrograd_jp.nn.losses.modules import BCEWithLogitsLoss as BCEWithLogitsLoss
from micrograd_jp.nn.losses.modules import CrossEntropyLoss as CrossEntropyLoss
from micrograd_jp.nn.losses.modules import HingeLoss as HingeLoss
from micrograd_jp.nn.losses.modules import L1Loss as L1Loss
from micrograd_jp.nn.losses.modules import MSELoss as MSELoss
from micrograd_jp.nn.losses.modules import NLLLoss as NLLLoss
from micrograd_jp.nn.losses.modules import SumSquaredError as SumSquaredError
from micrograd_jp.nn.module.module import Module as Module
from micrograd_jp.nn.module.parameter import Parameter as Parameter
