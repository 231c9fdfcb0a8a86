"""注意機構 (attention): 問い合わせとキーの近さで、値を混ぜる。"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.functional.dropouts import dropout
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import broadcastable
from micrograd_jp.tensor.dtypes import bool_
from micrograd_jp.tensor.run import floating

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """縮尺付き内積注意 softmax(QKᵀ·scale)V (scaled dot-product attention)。

    Vaswani et al. (2017) "Attention Is All You Need" 式 1。どのキーも見てはいけない問い合わせの
    結果は 0（PyTorch と同じ）。

    Args:
        query: 問い合わせ Q (…, L, E)。
        key: キー K (…, S, E)。
        value: 値 V (…, S, Ev)。
        attn_mask: (…, L, S) に広げられる。真偽値なら、真のところだけを見る。小数なら、
            ソフトマックス関数の前に足す。
        dropout_p: 重みに掛けるドロップアウトの確率（`training` によらない）。
        is_causal: 真なら、i 番目の問い合わせは i 番目までのキーだけを見る。
        scale: 縮尺。既定は 1/√E。
        enable_gqa: 真なら、キーと値の頭 (軸 −3) を繰り返して、問い合わせの数に揃える。

    Returns:
        (…, L, Ev)。

    Raises:
        ValueError: 形が合わない、`is_causal` と `attn_mask` の両方がある。
    """
    q, k, v = floating(query), floating(key), floating(value)
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            "注意の形が合いません (attention shape mismatch): "
            f"query {q.shape}、key {k.shape}、value {v.shape}。"
            "query は (…, L, E)、key は (…, S, E)、value は (…, S, Ev) にしてください。"
        )
    if is_causal and attn_mask is not None:
        raise ValueError(
            "is_causal と attn_mask は、どちらか 1 つだけを渡します (both masks given)。"
        )
    if enable_gqa:
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    length, keys = q.shape[-2], k.shape[-2]
    if is_causal:
        attn_mask = Tensor(namespace.of(q._data).tril(_ones(q, (length, keys)), 0))
    bias = None
    if attn_mask is not None:
        bias = as_tensor(attn_mask)
        if not broadcastable(bias.shape, (*q.shape[:-1], keys)):
            raise ValueError(
                f"attn_mask の形 {bias.shape} は (…, L, S) = {(*q.shape[:-1], keys)} に"
                "広げられません (mask shape mismatch)。"
            )
        bias = additive(bias, q.dtype, taken=True)
        if not is_causal:
            shut: Tensor = mg.eq(bias.detach(), -inf)
            blind = shut.all(-1, keepdim=True)
            if namespace.is_traced(blind._data) or bool(blind.any().item()):
                # A row of −∞ alone has no softmax: it sees all, and what it saw is left out.
                bias = mg.where(blind, 0.0, bias)
                seen: Tensor = mg.where(blind, 0.0, attended(q, k, v, bias, scale, dropout_p)[0])
                return seen
    return attended(q, k, v, bias, scale, dropout_p)[0]


def attended(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """混ぜた値と、その重み。

    Args:
        q: 問い合わせ (…, L, E)。
        k: キー (…, S, E)。
        v: 値 (…, S, Ev)。
        bias: 近さに足す数 (…, L, S)。
        scale: 縮尺。既定は 1/√E。
        dropout_p: 重みに掛けるドロップアウトの確率。
    """
    near = (q * (1 / sqrt(q.shape[-1]) if scale is None else scale)) @ k.mT
    weights = mg.softmax(near if bias is None else near + bias, -1)
    weights = dropout(weights, dropout_p, dropout_p > 0)
    return weights @ v, weights


def additive(mask: Tensor, dtype: Any, taken: bool) -> Tensor:
    """近さに足すマスク。真偽値なら、見るところは 0、見ないところは −∞。

    Args:
        mask: マスク。
        dtype: 型。
        taken: 真偽値の真が、見るところか（偽なら、見ないところ）。
    """
    if mask.dtype != bool_:
        return mask
    m = namespace.of(mask._data)
    shut = ~mask._data if taken else mask._data
    return Tensor(m.astype(m.where(shut, -inf, 0.0), dtype))


def _ones(like: Tensor, shape: tuple[int, ...]) -> Any:
    return namespace.of(like._data).ones(shape, dtype=bool)


explain_all(globals())
