"""`Tensor`: 計算グラフの中の 1 つの配列。"""

from micrograd_jp.tensor.array import Tensor as Tensor
from micrograd_jp.tensor.array import as_tensor as as_tensor
from micrograd_jp.tensor.array import elementwise as elementwise
from micrograd_jp.tensor.array import floating as floating
from micrograd_jp.tensor.array import run as run
from micrograd_jp.tensor.array import tensor as tensor
