"""`Value`: 計算グラフの中の 1 つの数。"""

from micrograd_jp.engine.value import Value as Value
