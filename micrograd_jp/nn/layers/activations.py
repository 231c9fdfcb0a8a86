"""活性化関数の部品。公式は演算の宣言 (`ops/elementwise.py`) にあり、ここでは名前だけが付く。

`Tensor` にも、`Value` 1 つにも、`Value` の並びにも使える。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.module.module import Module
from micrograd_jp.ops.elementwise import (
    elu,
    gelu,
    hard_sigmoid,
    leaky_relu,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from micrograd_jp.ops.primitive import Elementwise


class Activation(Module):
    """要素ごとの活性化関数。`op` を与えた派生クラスは、その演算の引数を受け取る。"""

    _function: Any
    _arguments: dict[str, float]

    def __init_subclass__(cls, op: Elementwise | None = None, function: Any = None) -> None:
        if op is not None:
            cls._function = staticmethod(getattr(mg, op.name))
            cls._arguments = dict(zip(op.arguments[1:], op.defaults, strict=True))
            cls.__doc__ = cls.__doc__ or f"{op.summary}。"
        elif function is not None:
            cls._function, cls._arguments = staticmethod(function), {}
            cls.__doc__ = cls.__doc__ or function.__doc__

    def __init__(self, *args: float, **kwargs: float) -> None:
        names = list(self._arguments)
        given = dict(zip(names, args)) | kwargs
        if len(args) > len(names) or not kwargs.keys() <= set(names[len(args) :]):
            raise TypeError(
                f"{type(self).__name__}({', '.join(names)}) の引数が合いません (wrong arguments): "
                f"{len(args)} 個の引数と {sorted(kwargs)} が渡されました。"
            )
        for name, default in self._arguments.items():
            setattr(self, name, given.get(name, default))

    def forward(self, x: Any) -> Any:
        """要素ごとに計算する。形は変わらない。"""
        if isinstance(x, list | tuple):
            return [self.forward(v) for v in x]
        return self._function(x, *[getattr(self, name) for name in self._arguments])

    def extra_repr(self) -> str:
        """引数。"""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._arguments)


class ReLU(Activation, op=relu): ...  # noqa: D101


class LeakyReLU(Activation, op=leaky_relu): ...  # noqa: D101


class ELU(Activation, op=elu): ...  # noqa: D101


class Sigmoid(Activation, op=sigmoid): ...  # noqa: D101


class Hardsigmoid(Activation, op=hard_sigmoid): ...  # noqa: D101


class Tanh(Activation, op=tanh): ...  # noqa: D101


class Softplus(Activation, op=softplus): ...  # noqa: D101


class GELU(Activation, op=gelu): ...  # noqa: D101


class SiLU(Activation, op=silu): ...  # noqa: D101


class LogSigmoid(Activation, function=F.logsigmoid): ...  # noqa: D101


class Mish(Activation, function=F.mish): ...  # noqa: D101


class Hardswish(Activation, function=F.hardswish): ...  # noqa: D101


class SELU(Activation, function=F.selu): ...  # noqa: D101


class _AlongAxis(Module):
    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def extra_repr(self) -> str:
        """軸。"""
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """ソフトマックス関数 (softmax)。学習では使わない: `CrossEntropyLoss` はロジットを受け取る。"""

    def forward(self, x: Any) -> Any:
        """軸 `dim` に沿って、正で和が 1 の数にする。"""
        return F.softmax(x, self.dim)


class LogSoftmax(_AlongAxis):
    """対数ソフトマックス (log-softmax)。`nll_loss` と合わせて使う。"""

    def forward(self, x: Any) -> Any:
        """軸 `dim` に沿った log softmax。"""
        return F.log_softmax(x, self.dim)
