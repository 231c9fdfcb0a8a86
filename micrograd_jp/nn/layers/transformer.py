"""Transformer の符号化器 (encoder) と復号器 (decoder)。

Vaswani et al. (2017) "Attention Is All You Need"。名前、引数、既定値は PyTorch と同じ。
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import inf
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.layers.attention import MultiheadAttention
from micrograd_jp.nn.layers.containers import ModuleList
from micrograd_jp.nn.layers.dropout import Dropout
from micrograd_jp.nn.layers.linear import Linear
from micrograd_jp.nn.layers.norm import LayerNorm
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.creation import full

__all__ = [
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
    "TransformerEncoderLayer",
]  # fmt: skip

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": F.relu, "gelu": F.gelu}


class _Layer(Module):
    """What the layers of the encoder and of the decoder have in common: steps with residuals."""

    self_attn: MultiheadAttention
    linear1: Linear
    linear2: Linear
    dropout: Dropout
    norm_first: bool
    activation: Callable[[Any], Any]

    def _step(self, x: Any, i: int, step: Callable[[Any], Any]) -> Any:
        """The i-th step: x + step(x), with the norm before (Xiong et al. 2020) or after it."""
        norm, drop = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
        if self.norm_first:
            return x + drop(step(norm(x)))
        return norm(x + drop(step(x)))

    def _attend_to_itself(self, x: Any, mask: Any, padding: Any, causal: bool) -> Any:
        return self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False,
            is_causal=causal,
        )[0]  # fmt: skip

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """符号化器の 1 層: 自己注意 (self-attention) と 2 層の全結合。

    Args:
        d_model: 次元 E。
        nhead: 頭の数。
        dim_feedforward: 全結合の中間の次元。
        dropout: ドロップアウトの確率。
        activation: 中間の活性化関数。`"relu"`、`"gelu"`、または関数。
        layer_norm_eps: 層正規化の eps。
        batch_first: 真なら (N, L, E)、偽なら (L, N, E)。
        norm_first: 真なら、層正規化を注意と全結合の前に (pre-norm)。
        bias: バイアスを持つか。
        dtype: 型。

    Raises:
        ValueError: 数が正しくない、知らない活性化関数。呼んだとき、形が合わない。
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for i in (1, 2):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for i in (1, 2):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Tensor:
        """`src` と同じ形。マスクは `MultiheadAttention` の `attn_mask` と `key_padding_mask`。"""
        x = self._step(as_tensor(src), 1, lambda x: self._attend_to_itself(
            x, src_mask, src_key_padding_mask, is_causal))  # fmt: skip
        out: Tensor = self._step(x, 2, self._feed_forward)
        return out


class TransformerDecoderLayer(_Layer):
    """復号器の 1 層: 自己注意、符号化器の出力への注意、2 層の全結合。

    引数は `TransformerEncoderLayer` と同じ。
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        for name in ("self_attn", "multihead_attn"):
            setattr(self, name, MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype))  # fmt: skip
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for i in (1, 2, 3):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for i in (1, 2, 3):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    multihead_attn: MultiheadAttention

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """`tgt` と同じ形。

        Args:
            tgt: 復号器の入力。
            memory: 符号化器の出力。
            tgt_mask: 自己注意の `attn_mask`。
            memory_mask: `memory` への注意の `attn_mask`。
            tgt_key_padding_mask: 自己注意の `key_padding_mask`。
            memory_key_padding_mask: `memory` への注意の `key_padding_mask`。
            tgt_is_causal: `tgt_mask` が因果的だという知らせ。
            memory_is_causal: `memory_mask` が因果的だという知らせ。
        """
        memory = as_tensor(memory)

        def look(x: Any) -> Any:
            return self.multihead_attn(
                x, memory, memory, attn_mask=memory_mask, key_padding_mask=memory_key_padding_mask,
                need_weights=False, is_causal=memory_is_causal,
            )[0]  # fmt: skip

        x = self._step(as_tensor(tgt), 1, lambda x: self._attend_to_itself(
            x, tgt_mask, tgt_key_padding_mask, tgt_is_causal))  # fmt: skip
        out: Tensor = self._step(self._step(x, 2, look), 3, self._feed_forward)
        return out


class TransformerEncoder(Module):
    """符号化器: 層の写しを `num_layers` 個重ねる。

    Args:
        encoder_layer: 写す層。
        num_layers: 層の数。
        norm: 最後に掛ける層正規化。
        enable_nested_tensor: PyTorch の引数。使われない（埋めた所の出力も計算される）。
        mask_check: PyTorch の引数。使われない。

    Raises:
        ValueError: 数が 1 以上の整数でない。
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:
        """`src` と同じ形。"""
        x = src
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, bool(is_causal))
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """復号器: 層の写しを `num_layers` 個重ねる。引数は `TransformerEncoder` と同じ。"""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """`tgt` と同じ形。引数は `TransformerDecoderLayer` と同じ。"""
        x = tgt
        for layer in self.layers:
            x = layer(
                x, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                bool(tgt_is_causal), memory_is_causal,
            )  # fmt: skip
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """符号化器と復号器。

    Args:
        d_model: 次元 E。
        nhead: 頭の数。
        num_encoder_layers: 符号化器の層の数。
        num_decoder_layers: 復号器の層の数。
        dim_feedforward: 全結合の中間の次元。
        dropout: ドロップアウトの確率。
        activation: 中間の活性化関数。
        custom_encoder: 代わりの符号化器。
        custom_decoder: 代わりの復号器。
        layer_norm_eps: 層正規化の eps。
        batch_first: 真なら (N, L, E)、偽なら (L, N, E)。
        norm_first: 真なら、層正規化を注意と全結合の前に。
        bias: バイアスを持つか。
        dtype: 型。

    Raises:
        ValueError: 数が正しくない。呼んだとき、形が合わない。
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        how = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias, dtype,
        )  # fmt: skip

        def norm() -> Module:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*how), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*how), num_decoder_layers, norm()
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """`src` を読み、`tgt` と同じ形の出力を作る。マスクは層のものと同じ。"""
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """因果的なマスク (sz, sz): 後の場所は −∞、ほかは 0。"""
        return full((sz, sz), -inf, device=device, dtype=dtype).triu(1)


def _copies(owner: str, layer: Module, num_layers: int) -> ModuleList:
    require_positive(owner, num_layers=num_layers)
    if not isinstance(layer, Module):
        raise TypeError(
            f"{owner} には、写す層を渡します (expected a Module): "
            f"{type(layer).__name__} が渡されました。"
        )
    return ModuleList([deepcopy(layer) for _ in range(num_layers)])


def _activation(given: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    if callable(given):
        return given
    if not isinstance(given, str) or given not in _ACTIVATIONS:
        raise ValueError(
            f"activation は 'relu' か 'gelu' か関数です (unknown activation): {given!r}。"
        )
    return _ACTIVATIONS[given]


explain_all(globals())
