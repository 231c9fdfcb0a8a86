"""PyTorch の `nn.utils` の名前: 勾配のクリッピング。`clip_weights_` は 2 値の層のためのもの。"""

from micrograd_jp.nn.layers.binary import clip_weights_ as clip_weights_
from micrograd_jp.optim.clipping import clip_grad_norm_ as clip_grad_norm_
from micrograd_jp.optim.clipping import clip_grad_value_ as clip_grad_value_
