"""活性化関数の部品。公式は演算の宣言 (`ops/elementwise.py`) にあり、ここでは名前だけが付く。

`Tensor` にも、`Value` 1 つにも、`Value` の並びにも使える。
"""
# ruff: noqa: D101 - a class's docstring comes from its operation

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.function import FunctionModule
from micrograd_jp.ops import elementwise as ops
from micrograd_jp.ops.primitive import Elementwise

__all__ = [
    "ELU", "GELU", "SELU", "Hardsigmoid", "Hardswish", "LeakyReLU", "LogSigmoid", "LogSoftmax",
    "Mish", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip


class Activation(FunctionModule):
    """要素ごとの活性化関数。`op` を与えた派生クラスは、その演算の引数を受け取る。

    Attributes:
        operation: その演算（いくつもの演算でできた関数では `None`）。
    """

    operation: ClassVar[Elementwise | None] = None
    _defaults: ClassVar[dict[str, float]] = {}

    def __init_subclass__(cls, op: Elementwise | None = None, function: Any = None) -> None:
        if op is not None:
            super().__init_subclass__(getattr(mg, op.name))
            cls.operation = op
            cls._defaults = dict(zip(op.arguments[1:], op.defaults, strict=True))
            cls.__doc__ = cls.__doc__ or f"{op.summary}。"
        elif function is not None:
            super().__init_subclass__(function)
            cls._defaults, cls.__doc__ = {}, cls.__doc__ or function.__doc__
        cls._arguments = list(cls._defaults)

    def __init__(self, *args: float, **kwargs: float) -> None:
        names = self._arguments
        given = dict(zip(names, args)) | kwargs
        if len(args) > len(names) or not kwargs.keys() <= set(names[len(args) :]):
            raise TypeError(
                f"{type(self).__name__}({', '.join(names)}) の引数が合いません (wrong arguments): "
                f"{len(args)} 個の引数と {sorted(kwargs)} が渡されました。"
            )
        vars(self).update(self._defaults | given)

    def forward(self, x: Any) -> Any:
        """要素ごとに計算する。形は変わらない。"""
        if isinstance(x, list | tuple):
            return [self.forward(v) for v in x]
        return self._function(x, *[getattr(self, name) for name in self._arguments])


# fmt: off
class ReLU(Activation, op=ops.relu): ...
class LeakyReLU(Activation, op=ops.leaky_relu): ...
class ELU(Activation, op=ops.elu): ...
class Sigmoid(Activation, op=ops.sigmoid): ...
class Hardsigmoid(Activation, op=ops.hard_sigmoid): ...
class Tanh(Activation, op=ops.tanh): ...
class Softplus(Activation, op=ops.softplus): ...
class GELU(Activation, op=ops.gelu): ...
class SiLU(Activation, op=ops.silu): ...
class LogSigmoid(Activation, function=F.logsigmoid): ...
class Mish(Activation, op=ops.mish): ...
class Hardswish(Activation, op=ops.hardswish): ...
class SELU(Activation, function=F.selu): ...
# fmt: on


class _AlongAxis(FunctionModule):
    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class Softmax(_AlongAxis, function=F.softmax):
    """ソフトマックス関数 (softmax): 軸 `dim` に沿って、正で和が 1 の数にする。

    学習では使わない: `CrossEntropyLoss` はロジットを受け取る。
    """


class LogSoftmax(_AlongAxis, function=F.log_softmax):
    """対数ソフトマックス (log-softmax): 軸 `dim` に沿う。`nll_loss` と合わせて使う。"""


explain_all(globals())
