"""再帰層 (recurrent layers): RNN、LSTM、GRU と、その 1 時刻分 (cell)。"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from math import sqrt
from typing import Any, ClassVar

import numpy as np

from micrograd_jp import functions as mg
from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.nn.functional.recurrence import GATES, direction
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive
from micrograd_jp.nn.module.module import Module
from micrograd_jp.nn.utils.rnn import PackedSequence
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class _Recurrent(Module):
    """What a layer and a cell have in common: the weights of each layer and direction."""

    mode: str
    hidden_size: int

    def _add(self, suffix: str, n_in: int, n_out: int, bias: bool, dtype: Any) -> None:
        """The parameters of one layer and direction, with PyTorch's names."""
        gates = GATES[self.mode] * self.hidden_size
        shapes: list[Any] = [(gates, n_in), (gates, n_out), *[(gates,) if bias else None] * 2]
        shapes.append((n_out, self.hidden_size) if n_out != self.hidden_size else None)
        for name, shape in zip(_WEIGHTS, shapes, strict=True):
            if shape is not None:
                setattr(self, name + suffix, empty_parameter(*shape, dtype=dtype))

    def _weights(self, suffix: str) -> list[Any]:
        return [getattr(self, name + suffix, None) for name in _WEIGHTS]

    def reset_parameters(self) -> None:
        """初期値を入れ直す: どれも [−1/√H, 1/√H] の一様乱数。"""
        bound = 1 / sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _states(self, hx: Any) -> list[Any]:
        """The states that were given: h, and c of an LSTM."""
        if self.mode != "LSTM":
            return [floating(hx)]
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise TypeError(
                f"{type(self).__name__} の hx は (h_0, c_0) の組です (expected a pair of states): "
                f"{type(hx).__name__} が渡されました。"
            )
        return [floating(state) for state in hx]

    def _require_features(self, x: Tensor, wanted: int) -> None:
        if x.shape[-1] != wanted:
            raise ValueError(
                f"{type(self).__name__} の入力の大きさが合いません (input size mismatch): "
                f"形は {x.shape} です。最後の次元を input_size = {wanted} にしてください。"
            )

    def _require_state(self, name: str, state: Tensor, shape: tuple[int, ...]) -> None:
        if state.shape != shape:
            raise ValueError(
                f"{type(self).__name__} の {name} の形が合いません (state shape mismatch): "
                f"{state.shape}。{shape} にしてください。"
            )


class RecurrentLayer(_Recurrent):
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
            self._require_features(rows, self.input_size)
            out, states = self._read(rows, sizes, hx, x.sorted_indices, x.unsorted_indices)
            return x._replace(data=out), states
        t, one = floating(x), False
        if t.ndim == 2:
            t, one = t.unsqueeze(0 if self.batch_first else 1), True
        if t.ndim != 3:
            raise ValueError(
                f"{type(self).__name__} の入力は 3 次元か、1 つの系列なら 2 次元です "
                f"(expected 2 or 3 dimensions): 形は {t.shape} です。"
            )
        self._require_features(t, self.input_size)
        t = t.swapaxes(0, 1) if self.batch_first else t
        length, batch = t.shape[:2]
        if not length or not batch:
            raise ValueError(
                f"{type(self).__name__} の入力の長さが 0 です (empty sequence): 形は {t.shape}。"
            )
        if one and hx is not None:
            hx = [state.unsqueeze(1) for state in self._states(hx)]
            hx = tuple(hx) if self.mode == "LSTM" else hx[0]
        rows = t.reshape(length * batch, self.input_size)
        out, states = self._read(rows, (batch,) * length, hx)
        out = out.reshape(length, batch, out.shape[1])
        out = out.swapaxes(0, 1) if self.batch_first else out
        if one:
            out = out.squeeze(0 if self.batch_first else 1)
            states = (
                tuple([s.squeeze(1) for s in states]) if self.mode == "LSTM" else states.squeeze(1)
            )
        return out, states

    def _read(
        self, rows: Tensor, sizes: tuple[int, ...], hx: Any, order: Any = None, back: Any = None
    ) -> tuple[Tensor, Any]:
        """All layers in all directions: the rows of all times, and the last states."""
        starts = self._starts(rows, sizes[0], hx)
        if order is not None and hx is not None:
            starts = [mg.index_select(s, 1, order) for s in starts]
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
        states = [mg.stack(found) for found in last]
        if back is not None:
            states = [mg.index_select(s, 1, back) for s in states]
        return rows, tuple(states) if self.mode == "LSTM" else states[0]

    def _starts(self, rows: Tensor, batch: int, hx: Any) -> list[Tensor]:
        n = self.num_layers * (1 + self.bidirectional)
        widths = {"h_0": self.proj_size or self.hidden_size}
        if self.mode == "LSTM":
            widths["c_0"] = self.hidden_size
        shapes = [(n, batch, width) for width in widths.values()]
        if hx is None:
            m = namespace.of(rows.data)
            return [Tensor(m.zeros(shape, dtype=rows.dtype)) for shape in shapes]
        states = self._states(hx)
        for name, state, shape in zip(widths, states, shapes, strict=True):
            self._require_state(name, state, shape)
        return states

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
        self.nonlinearity, self.mode = nonlinearity, _mode(type(self).__name__, nonlinearity)
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


class RecurrentCell(_Recurrent):
    """再帰層の 1 時刻分 (cell)。派生クラスは、計算の種類だけを決める。

    Args:
        input_size: 入力の大きさ I。
        hidden_size: 隠れ層の大きさ H。
        bias: バイアスを持つか。
        dtype: 型。

    Attributes:
        weight_ih: 入力の重み (門の数·H, I)。
        weight_hh: 状態の重み (門の数·H, H)。
        bias_ih: バイアス (門の数·H,)。
        bias_hh: バイアス (門の数·H,)。

    Raises:
        ValueError: 数が 1 以上の整数でない。呼んだとき、形が合わない。
    """

    _more: ClassVar[str] = ""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = None
    ) -> None:
        require_positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._add("", input_size, hidden_size, bias, dtype)
        self.reset_parameters()

    def forward(self, x: Any, hx: Any = None) -> Any:
        """1 時刻進める。

        Args:
            x: (N, I) か (I,)。
            hx: 状態 (N, H) か (H,)。LSTM は `(h, c)`。省くと 0。

        Returns:
            次の状態（LSTM は `(h, c)`）。
        """
        t = floating(x)
        if t.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__} の入力は (N, I) か (I,) です "
                f"(expected 1 or 2 dimensions): 形は {t.shape} です。"
            )
        self._require_features(t, self.input_size)
        rows = t.reshape(-1, self.input_size)
        count, batch = 2 if self.mode == "LSTM" else 1, t.shape[:-1]
        if hx is None:
            m = namespace.of(t.data)
            states = [Tensor(m.zeros((len(rows), self.hidden_size), dtype=t.dtype))] * count
        else:
            states = self._states(hx)
            for name, state in zip("hc", states):
                self._require_state(name, state, (*batch, self.hidden_size))
            states = [s.reshape(-1, self.hidden_size) for s in states]
        _, ends = direction(self.mode, rows, (len(rows),), states, self._weights(""))
        ends = [end.reshape(*batch, self.hidden_size) for end in ends]
        return tuple(ends) if count == 2 else ends[0]

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        bias = "" if self.bias else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{bias}"


class RNNCell(RecurrentCell):
    """単純な再帰の 1 時刻分: h' = tanh(W_ih x + b_ih + W_hh h + b_hh)。

    引数は `RecurrentCell` と同じで、4 番目に `nonlinearity`（`"tanh"` か `"relu"`）がある。
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = None,
    ) -> None:
        self.nonlinearity, self.mode = nonlinearity, _mode(type(self).__name__, nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype)

    def extra_repr(self) -> str:
        """PyTorch と同じ並び。"""
        usual = self.nonlinearity == "tanh"
        return super().extra_repr() + ("" if usual else f", nonlinearity={self.nonlinearity}")


class LSTMCell(RecurrentCell):
    """LSTM の 1 時刻分: `(h, c)` から次の `(h, c)`。引数は `RecurrentCell` と同じ。"""

    mode = "LSTM"


class GRUCell(RecurrentCell):
    """GRU の 1 時刻分: h から次の h。引数は `RecurrentCell` と同じ。"""

    mode = "GRU"


def _mode(owner: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(
            f"{owner} の nonlinearity は 'tanh' か 'relu' です (unknown nonlinearity): "
            f"{nonlinearity!r}。"
        )
    return f"RNN_{nonlinearity.upper()}"


explain_all(globals())
