"""再帰層 (recurrent layers): RNN、LSTM、GRU。1 時刻分 (cell) は `cells`。"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn.functional.recurrence import direction
from micrograd_jp.nn.layers.cells import GRUCell, LSTMCell, Recurrent, RNNCell, mode_of
from micrograd_jp.nn.layers.parameters import require_positive
from micrograd_jp.nn.utils.rnn import PackedSequence
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]


class RecurrentLayer(Recurrent):
    """再帰層。派生クラスは、1 時刻の計算の種類だけを決める。

    系列を時刻の順に読み、状態を次の時刻に渡す。`bidirectional` なら、逆の順にも読む。初期値は
    PyTorch と同じく、どのパラメータも [−1/√H, 1/√H] の一様乱数。

    Args:
        input_size: 入力の大きさ I。
        hidden_size: 隠れ層の大きさ H。
        num_layers: 重ねる層の数。
        bias: バイアスを持つか。
        batch_first: 真なら、入力も出力も (N, L, …)。状態の形は変わらない。
        dropout: 最後の層のほかの出力に掛けるドロップアウトの確率。
        bidirectional: 逆の順にも読むか。
        dtype: 型。

    Attributes:
        weight_ih_l0: 入力の重み (門の数·H, I)。次の層は l1、逆の順は l0_reverse、…。
        weight_hh_l0: 状態の重み (門の数·H, H)。
        bias_ih_l0: バイアス (門の数·H,)。
        bias_hh_l0: バイアス (門の数·H,)。

    Raises:
        ValueError: 数が正しくない。呼んだとき、入力や状態の形が合わない、長さが 0。
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
        *,
        proj_size: int = 0,
    ) -> None:
        owner = type(self).__name__
        require_positive(
            owner, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers
        )
        if not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{owner} の proj_size は 0 以上、hidden_size = {hidden_size} 未満の整数です "
                f"(invalid proj_size): {proj_size!r}。"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, F.probability(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        if dropout and num_layers == 1:
            warnings.warn(
                f"{owner} の dropout は最後の層の後には掛からないので、num_layers=1 では働きません "
                "(dropout needs more than one layer)。",
                UserWarning,
                stacklevel=3,
            )
        n_in, n_out = input_size, proj_size or hidden_size
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                self._add(suffix, n_in, n_out, bias, dtype)
            n_in = n_out * (1 + bidirectional)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> Iterator[str]:
        yield f"_l{layer}"
        if self.bidirectional:
            yield f"_l{layer}_reverse"

    @property
    def all_weights(self) -> list[list[Any]]:
        """層と向きごとの重み (PyTorch の名前)。"""
        every = [suffix for layer in range(self.num_layers) for suffix in self._suffixes(layer)]
        return [[w for w in self._weights(suffix) if w is not None] for suffix in every]

    def flatten_parameters(self) -> None:
        """何もしない (PyTorch の名前): 重みはいつでもそのまま使える。"""

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:
        """系列を読む。

        Args:
            x: (L, N, I)、`batch_first` なら (N, L, I)、1 つの系列なら (L, I)、または
                `PackedSequence`。
            hx: はじめの状態 (層の数·向きの数, N, H)。1 つの系列なら N はない。LSTM は
                `(h_0, c_0)`。省くと 0。

        Returns:
            どの時刻の出力もある (L, N, 向きの数·H) と、最後の状態（`hx` と同じ形）。
        """
        if isinstance(x, PackedSequence):
            rows, sizes = x.data, tuple(int(n) for n in x.batch_sizes.tolist())
            if rows.ndim != 2:
                raise ValueError(
                    f"{type(self).__name__} の PackedSequence の data は 2 次元です "
                    f"(expected 2 dimensions): 形は {rows.shape} です。"
                )
            self._require_features(rows)
            states = self._begin(rows, hx, self._shapes(sizes[0]))
            if x.sorted_indices is not None:
                states = [mg.index_select(s, 1, x.sorted_indices) for s in states]
            out, states = self._read(rows, sizes, states)
            if x.unsorted_indices is not None:
                states = [mg.index_select(s, 1, x.unsorted_indices) for s in states]
            return x._replace(data=out), self._ended(states)
        t = floating(x)
        if t.ndim not in (2, 3):
            raise ValueError(
                f"{type(self).__name__} の入力は 3 次元か、1 つの系列なら 2 次元です "
                f"(expected 2 or 3 dimensions): 形は {t.shape} です。"
            )
        self._require_features(t)
        if 0 in t.shape:
            raise ValueError(
                f"{type(self).__name__} の入力の長さが 0 です (empty sequence): 形は {t.shape}。"
            )
        one = t.ndim == 2
        t = t.swapaxes(0, 1) if self.batch_first and not one else t
        length, *batch = t.shape[:-1]
        states = self._begin(t, hx, self._shapes(*batch))
        if one:
            states = [s.unsqueeze(1) for s in states]
        rows = t.reshape(-1, self.input_size)
        out, states = self._read(rows, (len(rows) // length,) * length, states)
        if one:
            return out, self._ended([s.squeeze(1) for s in states])
        out = out.reshape(length, *batch, out.shape[1])
        return out.swapaxes(0, 1) if self.batch_first else out, self._ended(states)

    def _read(
        self, rows: Tensor, sizes: tuple[int, ...], starts: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """All layers in all directions: the rows of all times, and the last states."""
        last: list[list[Tensor]] = [[] for _ in starts]
        for layer in range(self.num_layers):
            outs = []
            for suffix in self._suffixes(layer):
                own = [s[len(last[0])] for s in starts]
                out, ends = direction(
                    self.mode, rows, sizes, own, self._weights(suffix), "reverse" in suffix
                )
                outs.append(out)
                for found, end in zip(last, ends, strict=True):
                    found.append(end)
            rows = mg.cat(outs, 1) if len(outs) > 1 else outs[0]
            if self.dropout and layer < self.num_layers - 1:
                rows = F.dropout(rows, self.dropout, self.training)
        return rows, [mg.stack(found) for found in last]

    def _shapes(self, *batch: int) -> dict[str, tuple[int, ...]]:
        """Of the states."""
        n = self.num_layers * (1 + self.bidirectional)
        shapes = {"h_0": (n, *batch, self.proj_size or self.hidden_size)}
        if self.mode == "LSTM":
            shapes["c_0"] = (n, *batch, self.hidden_size)
        return shapes

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False,
        }  # fmt: skip
        for name, value in usual.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """時刻と系列の 1 つにつき、重みの要素の数だけ。"""
        rows = output[0].data if isinstance(output[0], PackedSequence) else output[0]
        each = sum(p.numel() for p in self.parameters() if p.ndim == 2)
        return int(np.prod(rows.shape[:-1]) * each)


class RNN(RecurrentLayer):
    """単純な再帰層 (Elman RNN): h' = tanh(W_ih x + b_ih + W_hh h + b_hh)。

    引数は `RecurrentLayer` と同じで、4 番目に `nonlinearity` がある。
    Elman (1990) "Finding Structure in Time"。

    Raises:
        ValueError: `nonlinearity` が `"tanh"` でも `"relu"` でもない。ほかは `RecurrentLayer`。
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        self.nonlinearity, self.mode = nonlinearity, mode_of(type(self).__name__, nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        )


class LSTM(RecurrentLayer):
    """長・短期記憶の再帰層 (LSTM)。

    門 i, f, g, o から c' = f·c + i·g、h' = o·tanh(c')。引数は `RecurrentLayer` と同じで、最後に
    `proj_size`（0 でなければ、h を線形にその大きさにする。重みは `weight_hr_l0`）がある。
    Hochreiter & Schmidhuber (1997) "Long Short-Term Memory"、射影は Sak et al. (2014)。
    """

    mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype,
            proj_size=proj_size,
        )  # fmt: skip


class GRU(RecurrentLayer):
    """門のある再帰層 (gated recurrent unit): h' = (1 − z)·n + z·h。引数は `RecurrentLayer` と同じ。

    r, z = σ(…), n = tanh(W_in x + b_in + r·(W_hn h + b_hn))。
    Cho et al. (2014) "Learning Phrase Representations using RNN Encoder-Decoder"。
    """

    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        )


explain_all(globals())
