"""`Value`: 計算グラフの中の 1 つの数。演算の付いた、完成したクラスがここにある。"""

from micrograd_jp.engine import operations as operations  # attaches the operations
from micrograd_jp.engine.value import Value as Value
