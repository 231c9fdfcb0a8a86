"""活性化関数: 公式は演算の宣言にあり、ここにあるのはその組み合わせ。

どれも `Tensor` にも `Value` にも使える。`inplace=True` と、名前が `_` で終わる関数は、`Tensor` を
書き換える（`Tensor` でないものには新しい値を返す）。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.functional.draws import uniform
from micrograd_jp.nn.functional.writing import in_place, written
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating, floats

__all__ = [
    "binarize", "celu", "celu_", "elu", "elu_", "gelu", "glu", "hardsigmoid", "hardswish",
    "leaky_relu", "leaky_relu_", "logsigmoid", "mish", "prelu", "relu", "relu_", "rrelu", "rrelu_",
    "selu", "selu_", "sigmoid", "silu", "softplus", "softsign", "tanh", "tanhshrink",
]  # fmt: skip

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def relu(input: Any, inplace: bool = False) -> Any:
    """正規化線形関数 max(x, 0) (ReLU)。"""
    return written("relu", mg.relu, input, inplace)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """負の側に傾き `negative_slope` を残す ReLU (leaky ReLU)。"""
    return written("leaky_relu", lambda x: mg.leaky_relu(x, negative_slope), input, inplace)


def prelu(input: Any, weight: Any) -> Any:
    """負の側の傾きを学習する ReLU (PReLU)。He et al. (2015) "Delving Deep into Rectifiers"。

    Args:
        input: (N, C, …)。傾きが 1 つなら、どの形でもよい。
        weight: 傾き。1 つ、またはチャネル（軸 1）ごと。

    Raises:
        ValueError: 傾きの数がチャネルの数と違う。
    """
    if not isinstance(weight, Tensor) or weight.numel() == 1:
        slope = weight.reshape(()) if isinstance(weight, Tensor) and weight.ndim else weight
        return mg.leaky_relu(input, slope)
    t = floating(input)
    if weight.ndim != 1 or t.ndim < 2 or weight.numel() != t.shape[1]:
        raise ValueError(
            "prelu の傾きの数が合いません (mismatch of parameter numbers and input channels): "
            f"入力 {t.shape} に傾き {weight.shape}。1 つか、チャネルごとに 1 つにしてください。"
        )
    return mg.leaky_relu(t, weight.reshape(-1, *(1,) * (t.ndim - 2)))


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """負の側の傾きが乱数の ReLU (randomized leaky ReLU)。Xu et al. (2015) arXiv:1505.00853。

    Args:
        input: 小数の `Tensor`（`training=False` なら `Value` でもよい）。
        lower: 傾きの最小値。
        upper: 傾きの最大値。
        training: 真なら、要素ごとに [lower, upper) の一様乱数。偽なら、その平均。
        inplace: 真なら、`input` を書き換える。

    Raises:
        ValueError: `lower` が `upper` より大きい。
        TypeError: 訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    if not lower <= upper:
        raise ValueError(
            f"lower は upper 以下の数です (lower should be <= upper): {lower} と {upper}。"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    t = floating(input)
    m = namespace.of(t._data)
    drawn = lower + (upper - lower) * uniform(t, t.shape, "rrelu")
    slopes = Tensor(m.astype(m.asarray(drawn), t.dtype))
    return written("rrelu", lambda x: mg.leaky_relu(x, slopes), t, inplace)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """指数線形関数: x ≤ 0 で alpha·(eˣ − 1)、正なら x (ELU)。"""
    return written("elu", lambda x: mg.elu(x, alpha), input, inplace)


def selu(input: Any, inplace: bool = False) -> Any:
    """自己正規化する ELU (SELU)。Klambauer et al. (2017) "Self-Normalizing Neural Networks"。"""
    return written("selu", lambda x: mg.elu(x, _SELU_ALPHA) * _SELU_SCALE, input, inplace)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """傾きが続く ELU: x ≤ 0 で alpha·(e^(x/alpha) − 1) (CELU)。Barron (2017) arXiv:1704.07483。

    Raises:
        ValueError: `alpha` が 0。
    """
    if alpha == 0:
        raise ValueError("celu の alpha は 0 でない数です (alpha cannot be 0)。")
    return written("celu", lambda x: mg.elu(x / alpha) * alpha, input, inplace)


def gelu(input: Any, approximate: str = "none") -> Any:
    """ガウス誤差線形関数 x·Φ(x) (GELU)。Hendrycks & Gimpel (2016) arXiv:1606.08415。

    Args:
        input: `Tensor` か `Value`。
        approximate: `"none"`、または `"tanh"`（Φ の近似 ½(1 + tanh(√(2/π)(x + 0.044715x³)))）。

    Raises:
        ValueError: 知らない近似。
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(
            "approximate は 'none' か 'tanh' です (approximate must be none or tanh): "
            f"{approximate!r} が渡されました。"
        )
    return mg.gelu(input) if approximate == "none" else _gelu_by_tanh(input)


def _gelu_by_tanh(x: Any) -> Any:
    x = floats(x)
    inner = (2 / 3.141592653589793) ** 0.5 * (x + 0.044715 * (x * x * x))
    return 0.5 * x * (1 + mg.tanh(inner))


def silu(input: Any, inplace: bool = False) -> Any:
    """x·σ(x) (SiLU, swish)。"""
    return written("silu", mg.silu, input, inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """x·tanh(softplus(x)) (Mish)。Misra (2019) arXiv:1908.08681。"""
    return written("mish", mg.mish, input, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x·hardsigmoid(x) (hard swish)。Howard et al. (2019) "Searching for MobileNetV3"。"""
    return written("hardswish", mg.hardswish, input, inplace)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """シグモイドの折れ線近似 clip(x/6 + 1/2, 0, 1) (hard sigmoid)。"""
    return written("hardsigmoid", mg.hard_sigmoid, input, inplace)


def sigmoid(input: Any) -> Any:
    """シグモイド関数 1/(1 + e⁻ˣ) (logistic sigmoid)。"""
    return mg.sigmoid(input)


def tanh(input: Any) -> Any:
    """双曲線正接 (tanh)。"""
    return mg.tanh(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """滑らかな ReLU log(1 + e^(beta·x))/beta (softplus)。

    Args:
        input: `Tensor` か `Value`。
        beta: 折れ点の鋭さ。
        threshold: beta·x がこれより大きいところは、x そのもの。
    """
    if beta == 1 and threshold == 20:  # where the two pieces differ by less than 2.1e-9
        return mg.softplus(input)
    return mg.where(input * beta > threshold, input, mg.softplus(input * beta) / beta)


def logsigmoid(input: Any) -> Any:
    """シグモイドの対数 −log(1 + e⁻ˣ) (log-sigmoid)。"""
    return -mg.softplus(-1.0 * input)  # a float: −x of a uint8 would wrap around


def softsign(input: Any) -> Any:
    """x/(1 + |x|) (softsign)。"""
    x = floats(input)  # |−128| is no int8
    return x / (1 + mg.abs(x))


def tanhshrink(input: Any) -> Any:
    """x − tanh(x) (tanhshrink)。"""
    return input - mg.tanh(input)


def glu(input: Any, dim: int = -1) -> Tensor:
    """軸 `dim` を半分ずつ a と b に分けて、a·σ(b) (gated linear unit)。Dauphin et al. (2017)。

    Raises:
        ValueError: 軸の長さが偶数でない。
    """
    t = floating(input)
    if not t.ndim or t.shape[dim] % 2:
        raise ValueError(
            "glu の軸の長さは偶数です (halving dimension must be even): "
            f"形は {t.shape}、dim={dim} です。"
        )
    a, b = mg.split(t, t.shape[dim] // 2, dim)
    out: Tensor = a * mg.sigmoid(b)
    return out


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
    near, numbers = t.clip(-1, 1), namespace.of(t._data)
    up = t._data >= 0
    if stochastic:
        up = uniform(t, t.shape, "binarize(stochastic=True)") < (near._data + 1) / 2
    signs = Tensor(numbers.astype(up, t.dtype) * 2 - 1)
    # What is added is 0, exactly: only the slope of `near` is left.
    out: Tensor = signs + (near - near.detach())
    return out


relu_, leaky_relu_, elu_ = in_place(relu), in_place(leaky_relu), in_place(elu)
selu_, celu_, rrelu_ = in_place(selu), in_place(celu), in_place(rrelu)

explain_all(globals())
