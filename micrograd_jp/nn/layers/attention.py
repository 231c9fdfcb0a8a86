"""多頭注意 (multi-head attention) の層。"""

from __future__ import annotations

from typing import Any

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.functional.attention import additive, attended
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.run import floating

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """多頭注意 (multi-head attention): `num_heads` 個の注意を並べ、線形にまとめる。

    Vaswani et al. (2017) "Attention Is All You Need" §3.2.2。初期値は PyTorch と同じく、入力の
    重みは Xavier の一様乱数、バイアスは 0。

    Args:
        embed_dim: 全体の次元 E。
        num_heads: 頭の数。E を割り切ること。
        dropout: 重みに掛けるドロップアウトの確率。
        bias: バイアスを持つか。
        add_bias_kv: 学習するキーと値を 1 つ加えるか。
        add_zero_attn: 0 のキーと値を 1 つ加えるか。
        kdim: キーの次元（既定は E）。
        vdim: 値の次元（既定は E）。
        batch_first: 真なら (N, L, E)、偽なら (L, N, E)。
        dtype: 型。

    Attributes:
        in_proj_weight: 問い合わせ、キー、値の重みを並べたもの (3E, E)。`kdim` か `vdim` が違えば
            代わりに `q_proj_weight`, `k_proj_weight`, `v_proj_weight`。
        in_proj_bias: そのバイアス (3E,)。
        out_proj: まとめる `Linear(E, E)`。

    Raises:
        ValueError: 数が正しくない、E が頭の数で割り切れない。呼んだとき、形が合わない。
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: Any = None,
    ) -> None:
        require_positive("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                "embed_dim は num_heads で割り切れるようにします (embed_dim not divisible by "
                f"num_heads): {embed_dim} = {num_heads}·{embed_dim // num_heads} + "
                f"{embed_dim % num_heads}。"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, F.probability(dropout)
        self.head_dim, self.batch_first = embed_dim // num_heads, batch_first
        self.kdim, self.vdim = (embed_dim if d is None else d for d in (kdim, vdim))
        require_positive("MultiheadAttention", kdim=self.kdim, vdim=self.vdim)
        self.add_zero_attn = add_zero_attn

        def weight(*shape: int) -> Any:
            return empty_parameter(*shape, dtype=dtype)

        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = weight(3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight = weight(embed_dim, embed_dim)
            self.k_proj_weight = weight(embed_dim, self.kdim)
            self.v_proj_weight = weight(embed_dim, self.vdim)
        self.in_proj_bias = weight(3 * embed_dim) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype)
        self.bias_k = weight(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = weight(1, 1, embed_dim) if add_bias_kv else None
        self.reset_parameters()

    in_proj_weight: Any = None

    def reset_parameters(self) -> None:
        """初期値を入れ直す（`out_proj` の重みは、その層の初期値のまま）。"""
        for own in (self.in_proj_weight, *self._separate()):
            if own is not None:
                init.xavier_uniform_(own)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for own in (self.bias_k, self.bias_v):
            if own is not None:
                init.xavier_normal_(own)

    def _separate(self) -> list[Any]:
        return [vars(self).get(f"{name}_proj_weight") for name in "qkv"]

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """注意を計算する。マスクの真偽値は、`F.scaled_dot_product_attention` とは逆である。

        Args:
            query: 問い合わせ (L, N, E)。`batch_first` なら (N, L, E)、1 つだけなら (L, E)。
            key: キー (S, N, kdim)（並びは同様）。
            value: 値 (S, N, vdim)（並びは同様）。
            key_padding_mask: (N, S)。真のキーは見ない。小数なら近さに足す。
            need_weights: 重みも返すか。返さなければ、重みは `None`。
            attn_mask: (L, S) か (N·頭の数, L, S)。真のところは見ない。小数なら近さに足す。
            average_attn_weights: 真なら、重みを頭について平均する。
            is_causal: `attn_mask` が因果的だという知らせ。`attn_mask` も要る。

        Returns:
            `query` と同じ形の結果と、重み (N, L, S)、平均しなければ (N, 頭の数, L, S)。
        """
        xs = [floating(x) for x in (query, key, value)]
        xs[1] = xs[0] if key is query else xs[1]
        single = xs[0].ndim == 2
        if xs[0].ndim not in (2, 3) or any(x.ndim != xs[0].ndim for x in xs):
            raise ValueError(
                "MultiheadAttention の query, key, value は、どれも 3 次元か、どれも 2 次元です "
                f"(expected 3 dimensions): 形は {[x.shape for x in xs]} です。"
            )
        if is_causal and attn_mask is None:
            raise ValueError(
                "is_causal は attn_mask についての知らせです (is_causal needs attn_mask): "
                "attn_mask=nn.Transformer.generate_square_subsequent_mask(L) も渡してください。"
            )
        if single:
            xs = [x.unsqueeze(0) for x in xs]
        elif not self.batch_first:
            xs = [x.swapaxes(0, 1) for x in xs]
        self._require(xs)
        q, k, v = self._projected(xs)
        (batch, length), keys = xs[0].shape[:2], xs[1].shape[1]
        bias = self._bias(attn_mask, key_padding_mask, batch, length, keys, q.dtype)
        if bias is not None and k.shape[-2] > keys:  # what was added may always be seen
            bias = mg.pad(bias, [(0, 0)] * 3 + [(0, k.shape[-2] - keys)])
        dropped = self.dropout if self.training else 0.0
        if need_weights:
            out, weights = attended(q, k, v, bias, None, dropped)
        else:
            out, weights = F.scaled_dot_product_attention(q, k, v, bias, dropped), None
        out = out.swapaxes(1, 2).reshape(batch, length, self.embed_dim)
        out = self.out_proj(out)
        if single:
            out = out.squeeze(0)
        elif not self.batch_first:
            out = out.swapaxes(0, 1)
        if weights is not None:
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights.squeeze(0) if single else weights
        return out, weights

    def _projected(self, xs: list[Tensor]) -> list[Tensor]:
        """Queries, keys and values, (N, heads, length, E / heads)."""
        e = self.embed_dim
        parts = [slice(i * e, (i + 1) * e) for i in range(3)]
        weights = self._separate()
        if self.in_proj_weight is not None:
            # Slices of the weights: their gradients are small beside those of what they make.
            weights = [self.in_proj_weight[part] for part in parts]
        biases = [None if self.in_proj_bias is None else self.in_proj_bias[part] for part in parts]
        found = [F.linear(x, w, b) for x, w, b in zip(xs, weights, biases, strict=True)]
        batch = xs[0].shape[0]
        if self.bias_k is not None and self.bias_v is not None:
            for i, own in ((1, self.bias_k), (2, self.bias_v)):
                found[i] = mg.cat([found[i], own.expand(batch, 1, e)], 1)
        if self.add_zero_attn:
            for i in (1, 2):
                found[i] = mg.pad(found[i], [(0, 0), (0, 1), (0, 0)])
        heads = (self.num_heads, self.head_dim)
        return [t.reshape(batch, t.shape[1], *heads).swapaxes(1, 2) for t in found]

    def _bias(
        self, attn_mask: Any, padding: Any, batch: int, length: int, keys: int, dtype: Any
    ) -> Tensor | None:
        """What is added to the nearness, (N or 1, heads or 1, L or 1, S)."""
        total = None
        if attn_mask is not None:
            mask = as_tensor(attn_mask)
            if mask.shape not in ((length, keys), (batch * self.num_heads, length, keys)):
                raise ValueError(
                    f"attn_mask の形が合いません (mask shape mismatch): {mask.shape}。"
                    f"{(length, keys)} か {(batch * self.num_heads, length, keys)} にしてください。"
                )
            first = (1, 1) if mask.ndim == 2 else (batch, self.num_heads)
            total = additive(mask, dtype, taken=False).reshape(*first, length, keys)
        if padding is not None:
            mask = as_tensor(padding)
            if mask.shape not in ((batch, keys), (keys,) if batch == 1 else (batch, keys)):
                raise ValueError(
                    f"key_padding_mask の形が合いません (mask shape mismatch): {mask.shape}。"
                    f"(N, S) = {(batch, keys)} にしてください。"
                )
            own = additive(mask, dtype, taken=False).reshape(batch, 1, 1, keys)
            total = own if total is None else total + own
        return total

    def _require(self, xs: list[Tensor]) -> None:
        wanted = (self.embed_dim, self.kdim, self.vdim)
        alike = len({x.shape[0] for x in xs}) == 1 and xs[1].shape[1] == xs[2].shape[1]
        if not alike or tuple(x.shape[-1] for x in xs) != wanted:
            raise ValueError(
                "MultiheadAttention の形が合いません (shape mismatch): (N, 長さ, 次元) の順に "
                f"query {xs[0].shape}、key {xs[1].shape}、value {xs[2].shape}。最後の次元は "
                f"{wanted}、N はどれも同じ、key と value の長さも同じにしてください。"
            )

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """問い合わせ、キー、値の射影と、近さと、混ぜた値（`out_proj` は、その層が数える）。"""
        q, k, v = (as_tensor(x) for x in inputs[:3])
        each = self.embed_dim
        rows = [int(t.numel()) // t.shape[-1] for t in (q, k, v)]
        projections = (
            rows[0] * each * each + rows[1] * self.kdim * each + rows[2] * self.vdim * each
        )
        keys = k.shape[0 if k.ndim == 2 or not self.batch_first else 1]
        return projections + 2 * rows[0] * keys * each


explain_all(globals())
