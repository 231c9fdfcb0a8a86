"""再帰層の計算: 1 つの層の 1 つの向きを、すべての時刻について。

入力の射影は、すべての時刻を 1 つの行列積で計算する。時刻ごとの計算は、演算
(`ops/recurrent.py`) の中にある。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.ops import recurrent as ops
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import float32
from micrograd_jp.tensor.functions.linalg import linear
from micrograd_jp.tensor.run import rounded, run

_OPS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN_TANH": (ops.rnn, {"relu": False}), "RNN_RELU": (ops.rnn, {"relu": True}),
    "LSTM": (ops.lstm, {}), "GRU": (ops.gru, {}),
}  # fmt: skip

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
"""種類 (PyTorch の `mode`) から、入力の射影に並ぶ門の数へ。"""


def direction(
    mode: str,
    x: Tensor,
    sizes: tuple[int, ...],
    states: Sequence[Tensor],
    weights: Sequence[Any],
    backwards: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """1 つの層の 1 つの向き。

    Args:
        mode: 種類。`GATES` の名前。
        x: 入力を時刻の順に並べた行 (Σ sizes, in)。
        sizes: 時刻ごとの行の数。減る一方。
        states: はじめの状態 (B, 隠れ層の大きさ)。LSTM は h と c。
        weights: `weight_ih, weight_hh, bias_ih, bias_hh, weight_hr`。ないものは `None`。
        backwards: 最後の時刻から始めるか。

    Returns:
        時刻ごとの h の行 (Σ sizes, out) と、系列ごとの最後の状態 (B, …)。
    """
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    extra = () if w_hr is None else (w_hr,)
    if mode == "GRU":  # its reset gate lets part of the bias through
        extra = () if b_hh is None else (b_hh,)
    elif b_hh is not None:
        b_ih = b_ih + b_hh
    projected = linear(x, w_ih, b_ih)
    operands, own = (projected, w_hh, *states, *extra), projected.dtype
    if own.itemsize == 2:  # rounded once, not in every step
        operands = tuple([t.astype(float32) for t in operands])
    op, how = _OPS[mode]
    rows = rounded(run(op, *operands, sizes=sizes, backwards=backwards, **how), own)
    end, parts = rows.shape[1], []
    for state in states:  # the last columns are h, and c before them
        parts.append(rows if end == state.shape[1] else rows[:, end - state.shape[1] : end])
        end -= state.shape[1]
    last = _last(sizes, backwards)
    return parts[0], [part[last] for part in parts]


def _last(sizes: tuple[int, ...], backwards: bool) -> Any:
    """The row of the last step of every sequence."""
    batch, rows = sizes[0], sum(sizes)
    if backwards:
        return slice(0, batch)
    if sizes[-1] == batch:
        return slice(rows - batch, rows)
    steps = (np.array(sizes)[:, None] > np.arange(batch)).sum(0)
    starts = np.cumsum([0, *sizes[:-1]])
    return starts[steps - 1] + np.arange(batch)
