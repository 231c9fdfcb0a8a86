"""ニューラルネットワークの部品 (neural networks)。

`Module` の上に、`Tensor` の層、`Value` の `Neuron / Layer / MLP`、活性化関数、損失がある。
同じものの関数は `nn.functional`、重みの初期値は `nn.init`。
"""

from micrograd_jp.nn import functional as functional
from micrograd_jp.nn import init as init
from micrograd_jp.nn import models as models
from micrograd_jp.nn import utils as utils
from micrograd_jp.nn.activations import ELU as ELU
from micrograd_jp.nn.activations import GELU as GELU
from micrograd_jp.nn.activations import SELU as SELU
from micrograd_jp.nn.activations import Hardsigmoid as Hardsigmoid
from micrograd_jp.nn.activations import Hardswish as Hardswish
from micrograd_jp.nn.activations import LeakyReLU as LeakyReLU
from micrograd_jp.nn.activations import LogSigmoid as LogSigmoid
from micrograd_jp.nn.activations import LogSoftmax as LogSoftmax
from micrograd_jp.nn.activations import Mish as Mish
from micrograd_jp.nn.activations import ReLU as ReLU
from micrograd_jp.nn.activations import Sigmoid as Sigmoid
from micrograd_jp.nn.activations import SiLU as SiLU
from micrograd_jp.nn.activations import Softmax as Softmax
from micrograd_jp.nn.activations import Softplus as Softplus
from micrograd_jp.nn.activations import Tanh as Tanh
from micrograd_jp.nn.containers import ModuleDict as ModuleDict
from micrograd_jp.nn.containers import ModuleList as ModuleList
from micrograd_jp.nn.containers import Residual as Residual
from micrograd_jp.nn.containers import Sequential as Sequential
from micrograd_jp.nn.conv import BatchNorm2d as BatchNorm2d
from micrograd_jp.nn.conv import Conv2d as Conv2d
from micrograd_jp.nn.conv import ConvTranspose2d as ConvTranspose2d
from micrograd_jp.nn.conv import Dropout2d as Dropout2d
from micrograd_jp.nn.ensemble import Ensemble as Ensemble
from micrograd_jp.nn.ensemble import TestTimeAugmentation as TestTimeAugmentation
from micrograd_jp.nn.layers import Dropout as Dropout
from micrograd_jp.nn.layers import Embedding as Embedding
from micrograd_jp.nn.layers import Flatten as Flatten
from micrograd_jp.nn.layers import Identity as Identity
from micrograd_jp.nn.layers import Linear as Linear
from micrograd_jp.nn.layers import Unflatten as Unflatten
from micrograd_jp.nn.loss_modules import BCEWithLogitsLoss as BCEWithLogitsLoss
from micrograd_jp.nn.loss_modules import CrossEntropyLoss as CrossEntropyLoss
from micrograd_jp.nn.loss_modules import HingeLoss as HingeLoss
from micrograd_jp.nn.loss_modules import L1Loss as L1Loss
from micrograd_jp.nn.loss_modules import MSELoss as MSELoss
from micrograd_jp.nn.loss_modules import NLLLoss as NLLLoss
from micrograd_jp.nn.loss_modules import SumSquaredError as SumSquaredError
from micrograd_jp.nn.module import Module as Module
from micrograd_jp.nn.norm import BatchNorm1d as BatchNorm1d
from micrograd_jp.nn.norm import LayerNorm as LayerNorm
from micrograd_jp.nn.parameter import Parameter as Parameter
from micrograd_jp.nn.pool import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from micrograd_jp.nn.pool import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from micrograd_jp.nn.pool import AvgPool2d as AvgPool2d
from micrograd_jp.nn.pool import LocalResponseNorm as LocalResponseNorm
from micrograd_jp.nn.pool import MaxPool2d as MaxPool2d
from micrograd_jp.nn.scalar import MLP as MLP
from micrograd_jp.nn.scalar import Layer as Layer
from micrograd_jp.nn.scalar import Neuron as Neuron
