"""層と活性化関数と損失の、関数の形 (`nn.functional`)。PyTorch の名前で、`F` として使う。

>>> import micrograd_jp as mg
>>> import micrograd_jp.nn.functional as F
>>> F.linear(mg.tensor([1.0, 2.0]), mg.tensor([[3.0, 4.0]])).tolist()
[11.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
from micrograd_jp.graph.writes import writes
from micrograd_jp.nn.losses.elements import *  # noqa: F403
from micrograd_jp.nn.losses.targets import class_numbers, whole_numbers
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import int64
from micrograd_jp.tensor.functions.conv import conv2d as conv2d
from micrograd_jp.tensor.functions.conv import conv_transpose2d as conv_transpose2d
from micrograd_jp.tensor.functions.linalg import linear as linear
from micrograd_jp.tensor.functions.norm import batch_normalized, standardized
from micrograd_jp.tensor.functions.norm import local_response_norm as local_response_norm
from micrograd_jp.tensor.functions.pool import adaptive_avg_pool2d as adaptive_avg_pool2d
from micrograd_jp.tensor.functions.pool import adaptive_max_pool2d as adaptive_max_pool2d
from micrograd_jp.tensor.functions.pool import avg_pool2d as avg_pool2d
from micrograd_jp.tensor.functions.pool import max_pool2d as max_pool2d
from micrograd_jp.tensor.functions.shape import pad as pad
from micrograd_jp.tensor.generator import draw, generator, is_keyed
from micrograd_jp.tensor.run import floating, rounded

# ---- 活性化関数: 公式は演算の宣言にあり、ここにあるのはその組み合わせ -------------------------

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
        up = _uniform(t, t.shape, "binarize(stochastic=True)") < (near.data + 1) / 2
    signs = Tensor(numbers.astype(up, t.dtype) * 2 - 1)
    # What is added is 0, exactly: only the slope of `near` is left.
    out: Tensor = signs + (near - near.detach())
    return out


# ---- 埋め込み（全結合 linear は演算そのもの） ----------------------------------------------


def one_hot(x: Any, num_classes: int = -1) -> Tensor:
    """番号を、その場所だけ 1 のベクトル（int64）にする (one-hot)。

    Args:
        x: 整数の配列。
        num_classes: ベクトルの長さ（−1 なら、最大の番号 + 1）。

    Raises:
        TypeError: 整数でない。
        ValueError: 番号が範囲の外。
    """
    t = whole_numbers(x, "one_hot")
    n = num_classes
    if n == -1:
        n = int(namespace.concrete(t, "one_hot(num_classes=-1)").max(initial=-1)) + 1
    class_numbers(t, n, "one_hot")
    m = namespace.of(t)
    return Tensor(m.astype(t[..., None] == np.arange(n), m.available(int64)))


def embedding(x: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """埋め込み: 番号の場所の、重みの行を選ぶ。

    Args:
        x: 整数の配列（形は自由）。
        weight: (番号の数, 次元)。
        padding_idx: 勾配を流さない番号。

    Raises:
        TypeError: 番号が整数でない。
        ValueError: 番号が範囲の外。
    """
    w = as_tensor(weight)
    places = whole_numbers(x, "embedding")
    class_numbers(places, w.shape[0], "embedding")
    rows = w[places]
    if padding_idx is None:
        return rows
    padding = places == padding_row(padding_idx, w.shape[0])
    out: Tensor = mg.where(Tensor(padding[..., None]), rows.detach(), rows)
    return out


def padding_row(padding_idx: int | None, n: int) -> int | None:
    """埋める番号を 0 以上の番号にする。

    Raises:
        ValueError: 範囲の外。
    """
    if padding_idx is not None and not -n <= padding_idx < n:
        raise ValueError(
            f"padding_idx は {-n} から {n - 1} までです (out of range): {padding_idx}。"
        )
    return None if padding_idx is None else padding_idx % n


# ---- ドロップアウト ------------------------------------------------------------------------------


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """ドロップアウト: 訓練中、要素を確率 p で 0 にし、残りを 1/(1 − p) 倍する。

    Raises:
        ValueError: p が 0 以上 1 以下でない。
        TypeError: 訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    t = floating(x)
    return _dropped(t, t.shape, p, training)


def dropout2d(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """チャネルごとのドロップアウト: 訓練中、チャネルを丸ごと確率 p で 0 にする。

    Args:
        x: (N, C, H, W) か (C, H, W)。
        p: 0 にする確率。残りは 1/(1 − p) 倍する。
        training: 偽なら何もしない。

    Raises:
        ValueError: 3 次元でも 4 次元でもない、または p が 0 以上 1 以下でない。
        TypeError: 訓練中に（`mg.jit` でない）`jax.jit` の中で呼ばれた。
    """
    t = floating(x)
    if t.ndim not in (3, 4):
        raise ValueError(
            "dropout2d の入力は (N, C, H, W) か (C, H, W) です (expected 3 or 4 dimensions): "
            f"形は {t.shape} です。"
        )
    return _dropped(t, (*t.shape[:-2], 1, 1), p, training)


def _dropped(t: Tensor, shape: tuple[int, ...], p: float, training: bool) -> Tensor:
    """One draw for each element of the shape, which broadcasts to that of t."""
    if not training or probability(p) == 0:
        return t
    keep: Any = _uniform(t, shape, "dropout") >= p
    # Chosen, not multiplied by 0: 0 · ∞ would be nan.
    kept: Tensor = mg.where(keep, t, 0)
    return kept if p == 1 else kept * (1 / (1 - p))


def _uniform(t: Tensor, shape: tuple[int, ...], what: str) -> Any:
    """Numbers from 0 to 1 for a computation on t."""
    if is_keyed():
        return draw("uniform", shape)
    if namespace.is_traced(t.data):
        raise TypeError(
            f"jax.jit の中では乱数を引けません ({what} inside jax.jit): いつも同じ乱数になって"
            "しまいます。jax.jit の代わりに mg.jit(関数, model) を使うか、model.eval() として"
            "ください。"
        )
    return generator().random(shape, dtype=np.float32)


def probability(p: Any) -> float:
    """0 以上 1 以下であることを確かめる。

    Raises:
        ValueError: そうでない。
    """
    if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
        raise ValueError(f"確率は 0 以上 1 以下です (probability out of range): {p!r}。")
    return float(p)


# ---- 正規化 -------------------------------------------------------------------------------------


def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """バッチ正規化 (batch normalization): チャネル（軸 1）ごとに、平均 0、分散 1 にする。

    Ioffe & Szegedy (2015) "Batch Normalization"。訓練中はバッチの統計を使い、移動平均
    `running_mean`, `running_var`（不偏分散）をその場で更新する。

    Args:
        x: (N, C, …)。
        running_mean: 平均の移動平均 (C,) か `None`。
        running_var: 分散の移動平均 (C,) か `None`。
        weight: 倍率 (C,) か `None`。
        bias: ずらし (C,) か `None`。
        training: 真なら、バッチの統計を使う。
        momentum: 移動平均に新しい値が占める割合。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 2 次元未満、または訓練中に 1 チャネルに値が 1 つしかない。
        TypeError: （`mg.jit` でない）`jax.jit` の中で移動平均を更新しようとした。
    """
    t = floating(x)
    if t.ndim < 2:
        raise ValueError(
            f"バッチ正規化の入力は (N, C, …) です (expected at least 2 dimensions): {t.shape}。"
        )
    if not training:
        return batch_normalized(t, weight, bias, eps, running_mean, running_var)[0]
    n = t.numel() // max(t.shape[1], 1)
    if n < 2:
        raise ValueError(
            "訓練中のバッチ正規化には、1 チャネルに 2 つ以上の値が必要です "
            f"(expected more than 1 value per channel): 形は {t.shape} です。"
            "バッチを大きくするか、model.eval() としてください。"
        )
    out, mean, var = batch_normalized(t, weight, bias, eps)
    for running, now in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
        if running is not None:
            _update(running, now, momentum)
    return out


def layer_norm(
    x: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    """層正規化 (layer normalization): 最後のいくつかの軸で、平均 0、分散 1 にする。

    Ba, Kiros & Hinton (2016) arXiv:1607.06450。

    Args:
        x: 最後の次元が `normalized_shape` である入力。
        normalized_shape: 正規化する形。
        weight: 倍率（`normalized_shape` の形）か `None`。
        bias: ずらし（同じ形）か `None`。
        eps: 分散に足す小さな数。

    Raises:
        ValueError: 入力の最後の次元が `normalized_shape` でない。
    """
    t = floating(x)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or t.shape[-len(shape) :] != shape:
        raise ValueError(
            f"層正規化の形が合いません (layer norm shape mismatch): 入力 {t.shape}。"
            f"最後の次元を {shape} にしてください。"
        )
    axes = tuple(range(t.ndim - len(shape), t.ndim))
    own, t = t.dtype, t.astype(np.float32) if t.dtype.itemsize == 2 else t
    out = rounded(standardized(t, axes, eps), own)
    out = out if weight is None else out * as_tensor(weight)
    return out if bias is None else out + as_tensor(bias)


def _update(running: Tensor, now: Any, momentum: float) -> None:
    """Move a running average towards `now`, in place where the memory allows it."""
    if namespace.is_traced(now) and not namespace.is_traced(running.data):
        raise TypeError(
            "jax.jit の中では移動平均を更新できません (running statistics inside jax.jit): "
            "jax.jit の代わりに mg.jit(関数, model) を使うか、model.eval() としてください。"
        )
    moved = running.data + momentum * (now - running.data)
    if isinstance(running.data, np.ndarray) and isinstance(moved, np.ndarray):
        running.data[...] = moved
        writes.note(running.data)
    else:
        running.data = namespace.of(moved).astype(moved, running.dtype)


explain_all(globals())
