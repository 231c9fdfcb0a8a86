"""活性化関数: 公式は演算の宣言にあり、ここにあるのはその組み合わせ。"""

from __future__ import annotations

from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.functions import elu as elu
from micrograd_jp.functions import gelu as gelu
from micrograd_jp.functions import hardswish as hardswish
from micrograd_jp.functions import leaky_relu as leaky_relu
from micrograd_jp.functions import mish as mish
from micrograd_jp.functions import relu as relu
from micrograd_jp.functions import sigmoid as sigmoid
from micrograd_jp.functions import silu as silu
from micrograd_jp.functions import softplus as softplus
from micrograd_jp.functions import tanh as tanh
from micrograd_jp.nn.functional.draws import uniform
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating

__all__ = [
    "binarize", "elu", "gelu", "hardsigmoid", "hardswish", "leaky_relu", "log_softmax",
    "logsigmoid", "mish", "relu", "selu", "sigmoid", "silu", "softmax", "softplus", "tanh",
]  # fmt: skip

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


hardsigmoid = mg.hard_sigmoid


def logsigmoid(x: Any) -> Any:
    """シグモイドの対数 −log(1 + e⁻ˣ) (log-sigmoid)。"""
    return -mg.softplus(-1.0 * x)  # a float: −x of a uint8 would wrap around


def selu(x: Any) -> Any:
    """自己正規化する ELU (SELU)。Klambauer et al. (2017) "Self-Normalizing Neural Networks"。"""
    return mg.elu(x, _SELU_ALPHA) * _SELU_SCALE


def softmax(x: Any, dim: int = -1) -> Any:
    """ソフトマックス関数 (softmax)。`Value` の並びからは `Value` のリスト。"""
    return mg.softmax(x, dim)


def log_softmax(x: Any, dim: int = -1) -> Any:
    """対数ソフトマックス (log-softmax)。`Value` の並びからは `Value` のリスト。"""
    return mg.log_softmax(x, dim)


def binarize(x: Any, stochastic: bool = False) -> Tensor:
    """2 値化 (binarization): +1 か −1 にする。勾配は、|x| ≤ 1 のところだけ、そのまま通す。

    符号の傾きはどこでも 0 なので、そのままでは学習できない。代わりに範囲 [−1, 1] への切り詰め
    (hard tanh) の傾きを使う (straight-through estimator)。Courbariaux, Hubara, Soudry, El-Yaniv &
    Bengio (2016) "Binarized Neural Networks" 式 (1)–(4)。

    Args:
        x: 小数の `Tensor`（形は自由）。nan は nan のまま。
        stochastic: 偽なら、x ≥ 0 のとき +1 (deterministic)。真なら、確率
            σ(x) = max(0, min(1, (x + 1)/2)) で +1 (stochastic)。

    Raises:
        TypeError: `stochastic` のとき、（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    t = floating(x)
    near, numbers = t.clip(-1, 1), namespace.of(t.data)
    up = t.data >= 0
    if stochastic:
        up = uniform(t, t.shape, "binarize(stochastic=True)") < (near.data + 1) / 2
    signs = Tensor(numbers.astype(up, t.dtype) * 2 - 1)
    # What is added is 0, exactly: only the slope of `near` is left.
    out: Tensor = signs + (near - near.detach())
    return out


explain_all(globals())
