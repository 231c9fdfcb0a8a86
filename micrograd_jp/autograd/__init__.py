"""自動微分の道具 (autograd): `autograd.grad`、`autograd.Function`、`autograd.functional`。

名前、引数、答えは PyTorch のもの。関数の変換 `mg.grad`（JAX の名前）とは別で、ここの `grad` は、
計算し終えた値から、計算グラフをたどって勾配を返す。

>>> import micrograd_jp as mg
>>> x = mg.tensor(3.0, requires_grad=True)
>>> (g,) = mg.autograd.grad(x**3, x, create_graph=True)
>>> mg.autograd.grad(g, x)
(tensor(18.),)
"""

from typing import TYPE_CHECKING

from micrograd_jp.autograd import functional as functional
from micrograd_jp.autograd.gradients import Variable as Variable
from micrograd_jp.autograd.gradients import backward as backward
from micrograd_jp.autograd.gradients import grad as grad
from micrograd_jp.graph.anomaly import detect_anomaly as detect_anomaly
from micrograd_jp.graph.anomaly import set_detect_anomaly as set_detect_anomaly
from micrograd_jp.graph.modes import enable_grad as enable_grad
from micrograd_jp.graph.modes import inference_mode as inference_mode
from micrograd_jp.graph.modes import no_grad as no_grad
from micrograd_jp.graph.modes import set_grad_enabled as set_grad_enabled
from micrograd_jp.on_demand import teller
from micrograd_jp.tensor import custom as function
from micrograd_jp.tensor.custom import Function as Function
from micrograd_jp.testing.gradcheck import gradcheck as gradcheck

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "function", "functional",
    "grad", "gradcheck", "inference_mode", "no_grad", "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
