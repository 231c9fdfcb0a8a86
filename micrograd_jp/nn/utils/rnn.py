"""長さの違う系列を 1 つの束に: 埋める (pad)、詰める (pack)。名前は PyTorch の `nn.utils.rnn`。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.node import data_of
from micrograd_jp.tensor.array import Tensor, as_tensor

__all__ = [
    "PackedSequence", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence(NamedTuple):
    """長さの違う系列を、埋めずに詰めたもの。作るのは `pack_padded_sequence` か `pack_sequence`。

    Attributes:
        data: 時刻 0 のすべての系列、時刻 1 の、…、と並べた行 (Σ長さ, …)。
        batch_sizes: 時刻ごとの行の数（減る一方）。
        sorted_indices: 長い順の何番目が、もとの何番目か。もとから長い順なら `None`。
        unsorted_indices: その逆。
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """`data` の型や置き場所を変える。"""
        return self._replace(data=self.data.to(*args, **kwargs))


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """長さの違う系列を、同じ長さになるように埋めて積む。

    Args:
        sequences: 系列 (長さ, …) の並び。長さのほかの形は同じ。
        batch_first: 真なら (系列の数, 最大の長さ, …)、偽なら (最大の長さ, 系列の数, …)。
        padding_value: 埋める数。
        padding_side: `"right"` なら後に、`"left"` なら前に埋める。

    Raises:
        ValueError: 系列がない、長さのほかの形が違う、知らない `padding_side`。
    """
    found = _sequences("pad_sequence", sequences)
    if padding_side not in ("left", "right"):
        raise ValueError(
            f"padding_side は 'left' か 'right' です (unknown side): {padding_side!r}。"
        )
    longest = max(len(s) for s in found)
    rest = [(0, 0)] * (found[0].ndim - 1)
    padded = []
    for s in found:
        missing = longest - len(s)
        width = (missing, 0) if padding_side == "left" else (0, missing)
        padded.append(mg.pad(s, [width, *rest], padding_value))
    return mg.stack(padded, 0 if batch_first else 1)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """埋めた系列を詰める。

    Args:
        input: (最大の長さ, N, …)、`batch_first` なら (N, 最大の長さ, …)。
        lengths: 系列ごとの長さ。整数の並びか `Tensor`。
        batch_first: 最初の軸が系列か。
        enforce_sorted: 真なら、長い順に並んでいることを求める。偽なら、ここで並べ替える（再帰層の
            状態は、もとの順で受け取り、もとの順で返す）。

    Raises:
        ValueError: 長さが 1 から最大の長さまででない、系列の数と合わない、長い順でない。
    """
    padded = as_tensor(input)
    padded = padded.swapaxes(0, 1) if batch_first else padded
    given = np.asarray(namespace.concrete(as_tensor(lengths)._data, "pack_padded_sequence"))
    if padded.ndim < 2 or given.shape != padded.shape[1:2] or given.dtype.kind not in "iu":
        raise ValueError(
            "lengths は系列ごとの長さ（整数）です (expected one length per sequence): "
            f"形 {given.shape}、型 {given.dtype} が渡されました。入力の形は {padded.shape} です。"
        )
    if given.size == 0 or given.min() < 1 or given.max() > len(padded):
        raise ValueError(
            f"長さは 1 から {len(padded)} までです (lengths out of range): {given.tolist()}。"
        )
    order = back = None
    if not enforce_sorted:
        by_length = np.argsort(-given, kind="stable")
        order, back = Tensor(by_length), Tensor(np.argsort(by_length))
        padded, given = mg.index_select(padded, 1, order), given[by_length]
    elif (np.diff(given) > 0).any():
        raise ValueError(
            f"系列が長い順に並んでいません (lengths not sorted): {given.tolist()}。"
            "並べ替えるか、enforce_sorted=False としてください。"
        )
    there = np.arange(given[0])[:, None] < given  # (length, N)
    rows = padded[: given[0]].reshape(-1, *padded.shape[2:])
    data = rows if there.all() else rows[np.flatnonzero(there)]
    return PackedSequence(data, Tensor(there.sum(1)), order, back)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """詰めた系列を、同じ長さになるように埋める。

    Args:
        sequence: 詰めた系列。
        batch_first: 真なら (N, 最大の長さ, …)、偽なら (最大の長さ, N, …)。
        padding_value: 埋める数。
        total_length: 埋めた後の長さ（既定は最大の長さ）。

    Returns:
        埋めた系列と、系列ごとの長さ。どちらも、詰める前の順。

    Raises:
        ValueError: `total_length` が最大の長さより短い。
        TypeError: `PackedSequence` でない。
    """
    sizes = _sizes("pad_packed_sequence", sequence)
    length = len(sizes) if total_length is None else total_length
    if length < len(sizes):
        raise ValueError(
            f"total_length は最大の長さ {len(sizes)} 以上です (total_length too small): {length}。"
        )
    there = np.zeros((length, sizes[0]), bool)
    there[: len(sizes)] = np.arange(sizes[0]) < sizes[:, None]
    if sequence.unsorted_indices is not None:
        back = np.asarray(data_of(sequence.unsorted_indices))
        rows = np.where(there, np.cumsum(there).reshape(there.shape) - 1, -1)[:, back]
    else:
        rows = np.where(there, np.cumsum(there).reshape(there.shape) - 1, -1)
    data, known = sequence.data, rows >= 0
    if known.all():
        padded = data[rows]
    else:
        mask = known.reshape(*known.shape, *(1,) * (data.ndim - 1))
        padded = mg.where(mask, data[np.maximum(rows, 0)], padding_value)
    out = padded.swapaxes(0, 1) if batch_first else padded
    return out, Tensor(known.sum(0))


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """長さの違う系列 (長さ, …) の並びを詰める。引数は `pack_padded_sequence` と同じ。

    Raises:
        ValueError: 系列がない、形が違う、長い順でない。
    """
    found = _sequences("pack_sequence", sequences)
    lengths = np.array([len(s) for s in found])
    return pack_padded_sequence(pad_sequence(found), lengths, enforce_sorted=enforce_sorted)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """埋めた系列を、もとの長さの系列のリストに戻す。引数は `pack_padded_sequence` と同じ。"""
    padded = as_tensor(padded_sequences)
    padded = padded if batch_first else padded.swapaxes(0, 1)
    return [s[: int(n)] for s, n in zip(padded, as_tensor(lengths).tolist(), strict=True)]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """詰めた系列を、もとの順と長さの系列のリストに戻す。"""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def _sequences(owner: str, sequences: Sequence[Any]) -> list[Tensor]:
    found = [as_tensor(s) for s in sequences]
    shapes = [s.shape for s in found]
    if not found or not all(shapes) or len({shape[1:] for shape in shapes}) != 1:
        raise ValueError(
            f"{owner} には、長さのほかの形が同じ系列を 1 つ以上渡します (shape mismatch): "
            f"形は {shapes} です。"
        )
    return found


def _sizes(owner: str, sequence: Any) -> Any:
    if not isinstance(sequence, PackedSequence):
        raise TypeError(
            f"{owner} は PackedSequence を受け取ります (expected a PackedSequence): "
            f"{type(sequence).__name__} が渡されました。pack_padded_sequence で作ってください。"
        )
    return np.asarray(data_of(sequence.batch_sizes))


explain_all(globals())
