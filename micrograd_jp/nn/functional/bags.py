"""埋め込みを袋 (bag) ごとにまとめる: 長さの違う番号の列から、1 つずつのベクトルへ。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.functional.embeddings import embedding, padding_row
from micrograd_jp.nn.losses.targets import whole_numbers
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.creation import zeros

__all__ = ["embedding_bag"]

_MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """番号の袋ごとの、埋め込みの和、平均、最大。

    Args:
        input: 袋が行である整数 (B, L)、または、すべての袋をつないだ整数 (N,)。
        weight: (番号の数, 次元)。
        offsets: つないだときの、袋の始まる場所 (B,)。はじめは 0。
        max_norm: 選ばれる行のノルムをこの数までに縮める（`weight` を書き換える）。
        norm_type: そのノルムの種類 p。
        scale_grad_by_freq: 勾配を、その番号が現れた回数で割るか。
        mode: `"sum"`、`"mean"`、`"max"`。空の袋は、どれでも 0 になる。
        sparse: PyTorch の引数。勾配はいつも密な配列である。
        per_sample_weights: 番号ごとの重み（`input` と同じ形。`mode="sum"` のときだけ）。
        include_last_offset: 真なら、`offsets` の最後は N である。
        padding_idx: 袋に入れない番号。

    Returns:
        (B, 次元)。

    Raises:
        TypeError: 番号が整数でない。
        ValueError: 形、`offsets`、`mode` が合わない、または番号が範囲の外。
    """
    if mode not in _MODES:
        raise ValueError(
            f"embedding_bag の mode は {', '.join(_MODES)} です (invalid mode): {mode!r}。"
        )
    numbers = whole_numbers(input, "embedding_bag")
    if numbers.ndim != (2 if offsets is None else 1):
        raise ValueError(
            "embedding_bag の番号は、(B, L) か、offsets と (N,) です (invalid shape): "
            f"形 {numbers.shape}、offsets {'なし' if offsets is None else 'あり'}。"
        )
    if offsets is None:
        count, length = numbers.shape
        bags = np.repeat(np.arange(count), length)
    else:
        ends = _offsets(offsets, len(numbers), include_last_offset)
        count = len(ends)
        bags = np.searchsorted(ends, np.arange(len(numbers)), side="right") - 1
    flat = numbers.reshape(-1)
    rows = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    m = namespace.of(flat)
    inside = m.astype(flat == flat, rows.dtype)
    if padding_idx is not None:
        inside = m.astype(flat != padding_row(padding_idx, as_tensor(weight).shape[0]), rows.dtype)
    kept = Tensor(inside).unsqueeze(-1)
    if per_sample_weights is not None:
        given = as_tensor(per_sample_weights)
        if mode != "sum" or given.shape != numbers.shape:
            raise ValueError(
                'per_sample_weights は、番号と同じ形で、mode="sum" のときに使います '
                f"(invalid per_sample_weights): 形 {given.shape}、番号 {numbers.shape}、"
                f"mode={mode!r}。"
            )
        kept = kept * given.reshape(-1, 1)
    empty = zeros(count, rows.shape[-1], dtype=rows.dtype)
    if mode == "max":
        places = np.broadcast_to(bags[:, None], rows.shape)
        lowest = rows.masked_fill(kept == 0, -np.inf)
        best = mg.scatter_reduce(empty, 0, places, lowest, "amax", include_self=False)
        return best.masked_fill(best == -np.inf, 0.0)
    total: Tensor = mg.index_add(empty, 0, bags, rows * kept)
    if mode == "sum":
        return total
    sizes = mg.index_add(zeros(count, 1, dtype=rows.dtype), 0, bags, kept)
    return total / sizes.clip(min=1)


def _offsets(given: Any, n: int, with_end: bool) -> Any:
    """Where the bags begin."""
    starts = namespace.concrete(whole_numbers(given, "embedding_bag"), "embedding_bag(offsets=…)")
    ends = starts[-1:] if with_end else []
    wrong = starts.ndim != 1 or (starts[:1] != 0).any() or (np.diff(starts) < 0).any()
    if (
        wrong
        or (with_end and not len(starts))
        or (len(ends) and ends[0] != n)
        or (len(starts) and starts[-1] > n)
    ):
        raise ValueError(
            "embedding_bag の offsets は、0 から始まる、減らない 1 次元の番号です "
            f"(invalid offsets): {starts.tolist()}、番号は {n} 個。"
        )
    return starts[:-1] if with_end else starts


explain_all(globals())
