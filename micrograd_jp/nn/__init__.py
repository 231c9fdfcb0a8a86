"""ニューラルネットワークの部品 (neural networks)。

`Module` の上に、`Tensor` の層、`Value` の `Neuron / Layer / MLP`、活性化関数、損失がある。
同じものの関数は `nn.functional`、重みの初期値は `nn.init`。
"""

from typing import TYPE_CHECKING

from micrograd_jp.nn import functional as functional
from micrograd_jp.nn import init as init
from micrograd_jp.nn import models as models
from micrograd_jp.nn import utils as utils
from micrograd_jp.nn.layers.activations import *  # noqa: F403
from micrograd_jp.nn.layers.attention import *  # noqa: F403
from micrograd_jp.nn.layers.bags import *  # noqa: F403
from micrograd_jp.nn.layers.binary import *  # noqa: F403
from micrograd_jp.nn.layers.containers import *  # noqa: F403
from micrograd_jp.nn.layers.conv import *  # noqa: F403
from micrograd_jp.nn.layers.dropout import *  # noqa: F403
from micrograd_jp.nn.layers.ensemble import *  # noqa: F403
from micrograd_jp.nn.layers.held import *  # noqa: F403
from micrograd_jp.nn.layers.lazy import *  # noqa: F403
from micrograd_jp.nn.layers.linear import *  # noqa: F403
from micrograd_jp.nn.layers.norm import *  # noqa: F403
from micrograd_jp.nn.layers.padding import *  # noqa: F403
from micrograd_jp.nn.layers.pool import *  # noqa: F403
from micrograd_jp.nn.layers.recurrent import *  # noqa: F403
from micrograd_jp.nn.layers.resizing import *  # noqa: F403
from micrograd_jp.nn.layers.scalar import *  # noqa: F403
from micrograd_jp.nn.layers.shape import *  # noqa: F403
from micrograd_jp.nn.layers.transformer import *  # noqa: F403
from micrograd_jp.nn.losses.modules import *  # noqa: F403
from micrograd_jp.nn.module.module import Module as Module
from micrograd_jp.nn.module.parameter import Parameter as Parameter
from micrograd_jp.nn.packed.network import PackedNetwork as PackedNetwork
from micrograd_jp.on_demand import teller

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
