"""層と活性化関数と損失の、関数の形 (`nn.functional`)。PyTorch の名前で、`F` として使う。

>>> import micrograd_jp as mg
>>> import micrograd_jp.nn.functional as F
>>> F.linear(mg.tensor([1.0, 2.0]), mg.tensor([[3.0, 4.0]])).tolist()
[11.0]
"""

from typing import TYPE_CHECKING

from micrograd_jp.nn.functional.activations import *  # noqa: F403
from micrograd_jp.nn.functional.attention import *  # noqa: F403
from micrograd_jp.nn.functional.bags import *  # noqa: F403
from micrograd_jp.nn.functional.dropouts import *  # noqa: F403
from micrograd_jp.nn.functional.embeddings import *  # noqa: F403
from micrograd_jp.nn.functional.norms import *  # noqa: F403
from micrograd_jp.nn.functional.padding import *  # noqa: F403
from micrograd_jp.nn.functional.patches import *  # noqa: F403
from micrograd_jp.nn.functional.pieces import *  # noqa: F403
from micrograd_jp.nn.functional.resizing import *  # noqa: F403
from micrograd_jp.nn.functional.signals import *  # noqa: F403
from micrograd_jp.nn.functional.softmaxes import *  # noqa: F403
from micrograd_jp.nn.functional.unpooling import *  # noqa: F403
from micrograd_jp.nn.functional.volumes import *  # noqa: F403
from micrograd_jp.nn.losses.distances import *  # noqa: F403
from micrograd_jp.nn.losses.elements import *  # noqa: F403
from micrograd_jp.nn.losses.likelihoods import *  # noqa: F403
from micrograd_jp.nn.losses.margins import *  # noqa: F403
from micrograd_jp.nn.losses.robust import *  # noqa: F403
from micrograd_jp.nn.losses.similarity import *  # noqa: F403
from micrograd_jp.on_demand import teller
from micrograd_jp.tensor.functions.conv import conv2d as conv2d
from micrograd_jp.tensor.functions.conv import conv_transpose2d as conv_transpose2d
from micrograd_jp.tensor.functions.linalg import linear as linear
from micrograd_jp.tensor.functions.pool import adaptive_avg_pool2d as adaptive_avg_pool2d
from micrograd_jp.tensor.functions.pool import adaptive_max_pool2d as adaptive_max_pool2d
from micrograd_jp.tensor.functions.pool import avg_pool2d as avg_pool2d
from micrograd_jp.tensor.functions.pool import max_pool2d as max_pool2d

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
