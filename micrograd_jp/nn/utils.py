"""PyTorch の `nn.utils` の名前: 勾配のクリッピング。"""

from micrograd_jp.optim.clipping import clip_grad_norm_ as clip_grad_norm_
from micrograd_jp.optim.clipping import clip_grad_value_ as clip_grad_value_
