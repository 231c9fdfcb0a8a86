"""`Tensor`: 計算グラフの中の 1 つの配列。演算の付いた、完成したクラスがここにある。"""

from micrograd_jp.tensor import fft as fft
from micrograd_jp.tensor import functions as functions  # attaches methods, fills the graph's table
from micrograd_jp.tensor import inplace as inplace
from micrograd_jp.tensor import linalg as linalg
from micrograd_jp.tensor import operations as operations
from micrograd_jp.tensor.array import Tensor as Tensor
from micrograd_jp.tensor.array import as_tensor as as_tensor
from micrograd_jp.tensor.array import tensor as tensor
from micrograd_jp.tensor.run import elementwise as elementwise
from micrograd_jp.tensor.run import floating as floating
from micrograd_jp.tensor.run import run as run
