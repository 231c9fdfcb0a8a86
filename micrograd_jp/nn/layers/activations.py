"""活性化関数の部品。引数も計算も `nn.functional` の関数のもので、ここでは名前だけが付く。

`Tensor` にも、`Value` 1 つにも、`Value` の並びにも使える。
"""
# ruff: noqa: D101 - a class's docstring comes from its operation or its function

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive
from micrograd_jp.nn.module.function import FunctionModule, OfFunction
from micrograd_jp.nn.module.module import Module
from micrograd_jp.ops import elementwise as ops
from micrograd_jp.ops.primitive import Elementwise
from micrograd_jp.tensor.array import Tensor

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SiLU",
    "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Threshold",
]  # fmt: skip


class Activation(OfFunction):
    """要素ごとの活性化関数: コンストラクタは、関数の 2 つ目からの引数を受け取る。

    Attributes:
        operation: それと同じ演算（いくつもの演算でできた関数では `None`）。
    """

    operation: ClassVar[Elementwise | None] = None

    def __init_subclass__(
        cls,
        function: Callable[..., Any] | None = None,
        op: Elementwise | None = None,
        without: str = "",
    ) -> None:
        """派生クラスを作る。`op` は、関数がその 1 つであるような演算。"""
        if function is not None:
            cls.operation = op
            cls.__doc__ = cls.__doc__ or (f"{op.summary}。" if op else function.__doc__)
        super().__init_subclass__(function, without=without)

    def forward(self, x: Any) -> Any:
        """要素ごとに計算する。形は変わらない。"""
        if isinstance(x, list | tuple):
            return [self.forward(v) for v in x]
        return self._function(x, *[getattr(self, name) for name in self._arguments])

    def extra_repr(self) -> str:
        """設定とその値。"""
        shown = {name: getattr(self, name) for name in self._arguments}
        if not shown.get("inplace", True):
            del shown["inplace"]
        return ", ".join(f"{name}={x!r}" for name, x in shown.items())


# fmt: off
class ReLU(Activation, function=F.relu, op=ops.relu): ...
class ReLU6(Activation, function=F.relu6): ...
class LeakyReLU(Activation, function=F.leaky_relu, op=ops.leaky_relu): ...
class ELU(Activation, function=F.elu, op=ops.elu): ...
class CELU(Activation, function=F.celu): ...
class SELU(Activation, function=F.selu): ...
class Sigmoid(Activation, function=F.sigmoid, op=ops.sigmoid): ...
class LogSigmoid(Activation, function=F.logsigmoid): ...
class Hardsigmoid(Activation, function=F.hardsigmoid, op=ops.hard_sigmoid): ...
class Tanh(Activation, function=F.tanh, op=ops.tanh): ...
class Hardtanh(Activation, function=F.hardtanh): ...
class Tanhshrink(Activation, function=F.tanhshrink): ...
class Softplus(Activation, function=F.softplus, op=ops.softplus): ...
class Softsign(Activation, function=F.softsign): ...
class GELU(Activation, function=F.gelu, op=ops.gelu): ...
class SiLU(Activation, function=F.silu, op=ops.silu): ...
class Mish(Activation, function=F.mish, op=ops.mish): ...
class Hardswish(Activation, function=F.hardswish, op=ops.hardswish): ...
class Hardshrink(Activation, function=F.hardshrink): ...
class Softshrink(Activation, function=F.softshrink): ...
class Threshold(Activation, function=F.threshold): ...
class GLU(Activation, function=F.glu): ...
# fmt: on


class RReLU(Activation, function=F.rrelu, without="training"):
    """負の側の傾きが乱数の ReLU (`rrelu`): 推論中は、傾きの平均を使う。"""

    lower: float
    upper: float
    inplace: bool

    def forward(self, x: Any) -> Any:
        """要素ごとに計算する。形は変わらない。"""
        return F.rrelu(x, self.lower, self.upper, self.training, self.inplace)


class PReLU(Module):
    """負の側の傾き `weight` を学習する ReLU (`prelu`)。

    Args:
        num_parameters: 傾きの数: 1 か、チャネルの数。
        init: 傾きのはじめの値。
        device: 置く装置。
        dtype: 型。

    Raises:
        ValueError: 数が 1 以上の整数でない。
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        require_positive("PReLU", num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, init
        self.weight = empty_parameter(num_parameters, dtype=dtype)
        self.reset_parameters()
        if device is not None:
            self.to(device)

    def reset_parameters(self) -> None:
        """傾きを、はじめの値に戻す。"""
        init.constant_(self.weight, self.init)

    def forward(self, x: Any) -> Tensor:
        """`x` と同じ形。"""
        out: Tensor = F.prelu(x, self.weight)
        return out

    def extra_repr(self) -> str:
        """傾きの数。"""
        return f"num_parameters={self.num_parameters}"


class _AlongAxis(FunctionModule):
    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim


class Softmax(_AlongAxis, function=F.softmax):
    """ソフトマックス関数 (softmax): 軸 `dim` に沿って、正で和が 1 の数にする。

    学習では使わない: `CrossEntropyLoss` はロジットを受け取る。
    """


class LogSoftmax(_AlongAxis, function=F.log_softmax):
    """対数ソフトマックス (log-softmax): 軸 `dim` に沿う。`nll_loss` と合わせて使う。"""


class Softmin(_AlongAxis, function=F.softmin):
    """−x のソフトマックス関数 (softmin): 軸 `dim` に沿う。"""


class Softmax2d(Module):
    """画素ごとの、チャネルについてのソフトマックス関数。

    Raises:
        ValueError: 呼んだとき、入力が 3 次元でも 4 次元でもない。
    """

    def forward(self, x: Any) -> Tensor:
        """`x`: (N, C, H, W) か (C, H, W)。同じ形を返す。"""
        if getattr(x, "ndim", 0) not in (3, 4):
            raise ValueError(
                "Softmax2d の入力は (N, C, H, W) か (C, H, W) です (expected 3 or 4 dimensions): "
                f"{getattr(x, 'shape', type(x).__name__)} が渡されました。"
            )
        out: Tensor = F.softmax(x, -3)
        return out


explain_all(globals())
