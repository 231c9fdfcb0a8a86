"""再帰層の 1 時刻分 (cells): RNN、LSTM、GRU の cell と、再帰層と共通の部分。"""

from __future__ import annotations

from math import sqrt
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.nn import init
from micrograd_jp.nn.functional.recurrence import GATES, direction
from micrograd_jp.nn.layers.parameters import empty_parameter, require_positive
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.run import floating

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class Recurrent(Module):
    """層 (`RecurrentLayer`) と 1 時刻分 (`RecurrentCell`) に共通の、重みと状態の扱い。"""

    mode: str
    input_size: int
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

    def _begin(self, x: Tensor, hx: Any, shapes: dict[str, tuple[int, ...]]) -> list[Tensor]:
        """The states at the start (h, and c of an LSTM): those given, or 0."""
        if hx is None:
            m = namespace.of(x._data)
            return [Tensor(m.zeros(shape, dtype=x.dtype)) for shape in shapes.values()]
        several = isinstance(hx, tuple if len(shapes) == 1 else tuple | list)
        given = tuple(hx) if several else (hx,)
        if len(given) != len(shapes):
            wanted = "h_0 1 つ" if len(shapes) == 1 else "(h_0, c_0) の組"
            raise TypeError(
                f"{type(self).__name__} の hx は {wanted} です (expected {len(shapes)} state(s)): "
                f"{len(given)} つの {type(hx).__name__} が渡されました。"
            )
        states = [floating(state) for state in given]
        for (name, shape), state in zip(shapes.items(), states, strict=True):
            if state.shape != shape:
                raise ValueError(
                    f"{type(self).__name__} の {name} の形が合いません (state shape mismatch): "
                    f"{state.shape}。{shape} にしてください。"
                )
        return states

    def _ended(self, states: list[Tensor]) -> Any:
        """The states as they are given and returned."""
        return states[0] if len(states) == 1 else tuple(states)

    def _require_features(self, x: Tensor) -> None:
        if x.shape[-1:] != (self.input_size,):
            raise ValueError(
                f"{type(self).__name__} の入力の大きさが合いません (input size mismatch): "
                f"形は {x.shape} です。最後の次元を input_size = {self.input_size} にしてください。"
            )


class RecurrentCell(Recurrent):
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
        self._require_features(t)
        batch = t.shape[:-1]
        names = ("h", "c") if self.mode == "LSTM" else ("h",)
        states = self._begin(t, hx, dict.fromkeys(names, (*batch, self.hidden_size)))
        rows, *states = (s.reshape(-1, s.shape[-1]) for s in (t, *states))
        _, ends = direction(self.mode, rows, (len(rows),), states, self._weights(""))
        return self._ended([end.reshape(*batch, self.hidden_size) for end in ends])

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
        self.nonlinearity, self.mode = nonlinearity, mode_of(type(self).__name__, nonlinearity)
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


def mode_of(owner: str, nonlinearity: str) -> str:
    """活性化関数の名前から、RNN の種類。

    Raises:
        ValueError: `"tanh"` でも `"relu"` でもない。
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(
            f"{owner} の nonlinearity は 'tanh' か 'relu' です (unknown nonlinearity): "
            f"{nonlinearity!r}。"
        )
    return f"RNN_{nonlinearity.upper()}"


explain_all(globals())
