"""機械語 (extra `fast`): 配列と番地だけを知り、計算グラフは知らない。

どの計算も、できないもの・小さいものには `None` を返す。NumPy に任せるのは `namespace/numpy.py`。
"""

from micrograd_jp.native.machine_code import available as available
from micrograd_jp.native.machine_code import disabled as disabled
from micrograd_jp.native.machine_code import enabled as enabled
from micrograd_jp.on_demand import later

# Programs without images and without llvmlite load none of their code.
later(__name__, dict.fromkeys(("blockwise", "conv", "norm", "pool", "recurrent", "rows")))
