"""PyTorch の `nn.utils` の名前: 勾配のクリッピング、長さの違う系列 (`rnn`)、
パラメータのベクトル。

`clip_weights_` は 2 値の層のためのもの。
"""

from typing import TYPE_CHECKING

from micrograd_jp.nn.layers.binary import clip_weights_ as clip_weights_
from micrograd_jp.nn.utils import rnn as rnn
from micrograd_jp.nn.utils.vectors import parameters_to_vector as parameters_to_vector
from micrograd_jp.nn.utils.vectors import vector_to_parameters as vector_to_parameters
from micrograd_jp.on_demand import teller
from micrograd_jp.optim.clipping import clip_grad_norm_ as clip_grad_norm_
from micrograd_jp.optim.clipping import clip_grad_value_ as clip_grad_value_

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
