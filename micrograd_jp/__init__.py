"""micrograd_jp: 読める・描ける・確かめられる自動微分 (automatic differentiation)。

>>> import micrograd_jp as mg
>>> x = mg.Value(3.0)
>>> y = x**2 + mg.sin(x)
>>> y.backward()
>>> round(x.grad, 4)
5.01

公開する名前の表は `names.py` にある。どれも、はじめて尋ねられたときに読み込まれる。
"""

from micrograd_jp.columns import make_printable
from micrograd_jp.names import EXTRA, MODULES, SINGLE, WHOLE
from micrograd_jp.on_demand import hand_out

__version__ = "0.2.0"

make_printable()
hand_out(__name__, {**{name: (name, "") for name in MODULES}, **SINGLE}, WHOLE, EXTRA)
