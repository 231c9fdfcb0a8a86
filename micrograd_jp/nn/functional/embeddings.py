"""埋め込み、番号のベクトル (one-hot)、双線形。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.losses.targets import class_numbers, whole_numbers
from micrograd_jp.nn.module.parameter import put
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.dtypes import int64
from micrograd_jp.tensor.functions.reduce import norm

__all__ = ["bilinear", "embedding", "one_hot", "padding_row"]


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """番号を、その場所だけ 1 のベクトル（int64）にする (one-hot)。

    Args:
        tensor: 整数の配列。
        num_classes: ベクトルの長さ（−1 なら、最大の番号 + 1）。

    Raises:
        TypeError: 整数でない。
        ValueError: 番号が範囲の外。
    """
    t = whole_numbers(tensor, "one_hot")
    n = num_classes
    if n == -1:
        n = int(namespace.concrete(t, "one_hot(num_classes=-1)").max(initial=-1)) + 1
    class_numbers(t, n, "one_hot")
    m = namespace.of(t)
    return Tensor(m.astype(t[..., None] == np.arange(n), m.available(int64)))


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """埋め込み: 番号の場所の、重みの行を選ぶ。

    Args:
        input: 整数の配列（形は自由）。
        weight: (番号の数, 次元)。
        padding_idx: 勾配を流さない番号。
        max_norm: はじめに、選ばれる行のノルムをこの数までに縮める（`weight` を書き換える）。
        norm_type: そのノルムの種類 p。
        scale_grad_by_freq: 勾配を、input にその番号が現れた回数で割るか。
        sparse: PyTorch の引数。勾配はいつも密な配列である。

    Raises:
        TypeError: 番号が整数でない。
        ValueError: 番号が範囲の外。
    """
    w = as_tensor(weight)
    places = whole_numbers(input, "embedding")
    class_numbers(places, w.shape[0], "embedding")
    m = namespace.of(places)
    if max_norm is not None:
        rows = Tensor(w._data)[places.reshape(-1)]
        norms = norm(rows, norm_type, -1, keepdims=True)
        shorter = mg.where(mg.gt(norms, max_norm), rows * (max_norm / (norms + 1e-7)), rows)
        put(w, namespace.of(w._data).assigned(w._data, (places.reshape(-1),), shorter._data))
    rows = w[places]
    if scale_grad_by_freq:
        counts = m.sum(places[..., None] == m.reshape(places, -1), axis=-1)
        # What is added is 0, exactly: only its slope is left.
        near = rows.detach()
        rows = near + (rows - near) * Tensor(m.astype(1 / counts[..., None], w.dtype))
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


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """双線形 (bilinear): y_k = x₁ᵀ W_k x₂ + b_k。

    Args:
        input1: (…, in1)。
        input2: (…, in2)。前の軸は input1 と同じ。
        weight: (out, in1, in2)。
        bias: (out,) か `None`。

    Returns:
        (…, out)。

    Raises:
        ValueError: 形が合わない。
    """
    a, b, w = (as_tensor(x) for x in (input1, input2, weight))
    fits = a.ndim and b.ndim and a.shape[:-1] == b.shape[:-1]
    if not fits or w.shape[1:] != (a.shape[-1], b.shape[-1]):
        raise ValueError(
            f"bilinear の形が合いません (bilinear shape mismatch): input1 {a.shape}、"
            f"input2 {b.shape}、weight {w.shape}。input1 は (…, in1)、input2 は (…, in2)、"
            "weight は (out, in1, in2) です。"
        )
    out = mg.einsum("...i,kij,...j->...k", a, w, b)
    return out if bias is None else out + as_tensor(bias)


explain_all(globals())
