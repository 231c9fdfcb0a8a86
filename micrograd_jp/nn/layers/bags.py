"""`EmbeddingBag`: 長さの違う番号の列を、1 つずつのベクトルにする層。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.layers.linear import Embedding, pretrained
from micrograd_jp.tensor.array import Tensor

__all__ = ["EmbeddingBag"]


class EmbeddingBag(Embedding):
    """番号の袋ごとに、埋め込みをまとめる。計算とエラーは `nn.functional.embedding_bag` と同じ。

    Args:
        num_embeddings: 番号の数。
        embedding_dim: ベクトルの次元。
        max_norm: 選ばれるベクトルのノルムをこの数までに縮める（重みを書き換える）。
        norm_type: そのノルムの種類 p。
        scale_grad_by_freq: 勾配を、その番号が現れた回数で割るか。
        mode: `"sum"`、`"mean"`、`"max"`。
        sparse: PyTorch の引数。勾配はいつも密な配列である。
        _weight: 初期値の代わりの重み。
        include_last_offset: 真なら、`offsets` の最後は番号の数である。
        padding_idx: 袋に入れない番号。
        dtype: 型。
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
        sparse: bool = False, _weight: Any = None, include_last_offset: bool = False,
        padding_idx: int | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, _weight, dtype,
        )  # fmt: skip
        self.mode, self.include_last_offset = mode, include_last_offset

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, embeddings: Any, freeze: bool = True, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
        sparse: bool = False, include_last_offset: bool = False, padding_idx: int | None = None,
    ) -> EmbeddingBag:  # fmt: skip
        """学習済みの重み (番号の数, 次元) から作る。

        Args:
            embeddings: 重み。
            freeze: 真なら学習しない。
            max_norm: ほかの引数は `EmbeddingBag` と同じ。
            norm_type: 同上。
            scale_grad_by_freq: 同上。
            mode: 同上。
            sparse: 同上。
            include_last_offset: 同上。
            padding_idx: 同上。
        """
        rows = pretrained(embeddings)
        n, d = rows.shape
        made = cls(
            n, d, max_norm, norm_type, scale_grad_by_freq, mode, sparse, rows,
            include_last_offset, padding_idx,
        )  # fmt: skip
        made.weight.requires_grad_(not freeze)
        return made

    def forward(self, x: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        """`x`: (B, L)、または `offsets` と (N,)。(B, 次元) を返す。"""
        return F.embedding_bag(
            x, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.mode, self.sparse, per_sample_weights, self.include_last_offset,
            self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        usually = {"max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False}
        for name, usual in usually.items():
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        text += f", mode={self.mode!r}"
        return text + ("" if self.padding_idx is None else f", padding_idx={self.padding_idx}")


explain_all(globals())
