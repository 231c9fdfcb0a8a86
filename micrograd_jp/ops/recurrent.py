"""再帰層の演算の表: RNN、LSTM、GRU の、1 つの向きのすべての時刻。

入力の射影 x（すべての時刻を 1 つの積で計算したもの）を、時刻の順に行に並べて受け取る。時刻 t の
行は `sizes[t]` 個で、終わった系列の行は後の時刻にはない（長さの揃った系列なら、どれもバッチの
大きさ）。結果の行には、その時刻の門と状態が並ぶ: 逆伝播が使うものは、すべて結果にある。
だから時間をさかのぼる逆伝播 (backpropagation through time) も同じ行の計算で、何階の微分でも閉じて
いる。Werbos (1990) "Backpropagation Through Time"。

`backwards` が真なら、最後の時刻から始める。
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from micrograd_jp.ops.arrays import array_op
from micrograd_jp.ops.elementwise import relu as positive
from micrograd_jp.ops.linalg import transposed

Sizes = tuple[int, ...]


def _times(sizes: Sizes, backwards: bool) -> Iterator[slice]:
    """The rows of each time, in the order in which they are computed."""
    ends, end = [], 0
    for n in sizes:
        ends.append((end, end := end + n))
    return (slice(*bounds) for bounds in (reversed(ends) if backwards else ends))


def _rows(m: Any, x: Any, rows: slice) -> Any:
    return m.getitem(x, (rows,))


def _part(m: Any, x: Any, first: int, end: int) -> Any:
    """Some columns."""
    return m.getitem(x, (slice(None), slice(first, end)))


def _all(m: Any, parts: list[Any], backwards: bool) -> Any:
    """The rows of all times, in the order of time, from those in the order of the work."""
    return m.concatenate(parts[::-1] if backwards else parts, axis=0)


def _for(m: Any, state: Any, start: Any, rows: slice) -> Any:
    """The state of the sequences that this time has: some have ended, or (backwards) begin."""
    have, n = state.shape[0], rows.stop - rows.start
    if n < have:
        return _rows(m, state, slice(0, n))
    if n > have:
        return m.concatenate([state, _rows(m, start, slice(have, n))], axis=0)
    return state


def _before(m: Any, z: Any, start: Any, sizes: Sizes, backwards: bool) -> Any:
    """The state before each row, of the states after each."""
    state, parts = start, []
    for rows in _times(sizes, backwards):
        parts.append(_for(m, state, start, rows))
        state = _rows(m, z, rows)
    return _all(m, parts, backwards)


class _Returned:
    """What flows back in time into a state, the rows of which come and go."""

    def __init__(self, m: Any, like: Any) -> None:
        self.m, self.like = m, like
        self.now: Any = None
        self.begun: list[Any] = []  # shares of the start, of the sequences that begin later

    def for_rows(self, rows: slice) -> Any:
        """For the rows of a time; None where nothing has come yet."""
        n = rows.stop - rows.start
        if self.now is None:
            return None
        have = self.now.shape[0]
        if n < have:  # the others began at the time after this
            self.begun.insert(0, _rows(self.m, self.now, slice(n, have)))
            return _rows(self.m, self.now, slice(0, n))
        if n > have:
            nothing = self.m.times(_rows(self.m, self.like, slice(have, n)), 0)
            return self.m.concatenate([self.now, nothing], axis=0)
        return self.now

    def to_the_start(self) -> Any:
        """The gradient of the state that everything began with."""
        return self.m.concatenate([self.now, *self.begun], axis=0) if self.begun else self.now


def _opened(m: Any, x: Any) -> Any:
    """How far a gate is open: the logistic sigmoid. Where e⁻ˣ overflows, it is 0 all the same."""
    return 1 / (1 + m.exp(-x))


def _plus(x: Any, y: Any) -> Any:
    return x if y is None else x + y


# A formula of all times takes arrays of rows, the states at the start (h first), and the weights.
# Forward, it gives rows that end with the states (… c, h); backward, where the first rows are the
# upstream gradient of those, it gives rows and the gradients of the states.
Arrays = tuple[Any, ...]


# ---- RNN: h' = φ(x + hWᵀ) ----------------------------------------------------------------------


def rnn_forward(
    m: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool, relu: bool
) -> Any:
    """Rows of h'."""
    (x,), (start,), turned, parts = rows, states, transposed(m, weights[0]), []
    h = start
    for at in _times(sizes, backwards):
        a = _rows(m, x, at) + m.matmul(_for(m, h, start, at), turned)
        h = positive.value(m, a) if relu else m.tanh(a)
        parts.append(h)
    return _all(m, parts, backwards)


def rnn_backward(
    m: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool, relu: bool
) -> tuple[list[Any], list[Any]]:
    """The gradients of x and h."""
    g, z = rows
    back, parts = _Returned(m, states[0]), []
    for at in _times(sizes, not backwards):
        after = _rows(m, z, at)
        slope = m.gate(after <= 0, 0, 1) if relu else 1 - after * after
        da = m.times(_plus(_rows(m, g, at), back.for_rows(at)), slope)
        back.now = m.matmul(da, weights[0])
        parts.append(da)
    return [_all(m, parts, not backwards)], [back.to_the_start()]


def _rnn(m: Any, x: Any, w: Any, h: Any, **how: Any) -> Any:
    return m.recurrent(rnn_forward, (x,), (h,), (w,), **how)


def _rnn_back(
    m: Any, g: Any, z: Any, x: Any, w: Any, h: Any, sizes: Sizes, backwards: bool, relu: bool
) -> Arrays:
    (dx,), (dh,) = m.recurrent_back(
        rnn_backward, (g, z), (h,), (w,), sizes=sizes, backwards=backwards, relu=relu
    )
    return dx, m.matmul(transposed(m, dx), _before(m, z, h, sizes, backwards)), dh


rnn = array_op("rnn", "RNN", "再帰層 φ(x + hWᵀ) (recurrent layer)", _rnn, _rnn_back)


# ---- LSTM ---------------------------------------------------------------------------------------


def lstm_cell(m: Any, i: Any, f: Any, g: Any, o: Any, c: Any) -> tuple[Any, ...]:
    """i, f, g, o, c' and h', of what is given to the four gates, and c."""
    i, f, g, o = _opened(m, i), _opened(m, f), m.tanh(g), _opened(m, o)
    c = f * c + i * g
    return i, f, g, o, c, o * m.tanh(c)


def lstm_forward(
    m: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool
) -> Any:
    """Rows of i, f, g, o, c' and h'; p projects h' where it is given.

    Hochreiter & Schmidhuber (1997) "Long Short-Term Memory"; Gers et al. (2000) for f.
    """
    (x,), (h, c), (w, *p) = rows, states, (transposed(m, w) for w in weights)
    n, parts = c.shape[1], []
    for at in _times(sizes, backwards):
        h, c = (_for(m, s, start, at) for s, start in zip((h, c), states))
        z = m.blockwise(lstm_cell, n, _rows(m, x, at) + m.matmul(h, w), c)
        c, h = _part(m, z, 4 * n, 5 * n), _part(m, z, 5 * n, 6 * n)
        if p:
            h = m.matmul(h, p[0])
            z = m.concatenate([_part(m, z, 0, 5 * n), h], axis=1)
        parts.append(z)
    return _all(m, parts, backwards)


def lstm_cell_back(
    m: Any, ui: Any, uf: Any, ug: Any, uo: Any, uc: Any, dh: Any,
    i: Any, f: Any, g: Any, o: Any, after: Any, before: Any, *dc: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients before the four gates and of c, from those of the gates, h', and c'."""
    top = m.tanh(after)
    dc = dh * o * (1 - top * top) + (uc + dc[0] if dc else uc)
    di, df, dg, do = ui + dc * g, uf + dc * before, ug + dc * i, uo + dh * top
    return di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o), dc * f


def lstm_backward(
    m: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool
) -> tuple[list[Any], list[Any]]:
    """The gradients of x and (where there is p) of each h'; of h and c.

    rows: upstream, what came out, c before each row.
    """
    (u, z, before), (h, c), (w, *p) = rows, states, weights
    n, last = c.shape[1], z.shape[1]
    cells, given, given_h = _part(m, z, 0, 5 * n), _part(m, u, 0, 5 * n), _part(m, u, 5 * n, last)
    back_h, back_c, parts, heads = _Returned(m, h), _Returned(m, c), [], []
    for at in _times(sizes, not backwards):
        dh = _plus(_rows(m, given_h, at), back_h.for_rows(at))
        if p:
            heads.append(dh)
            dh = m.matmul(dh, p[0])
        d = [_rows(m, given, at), dh, _rows(m, cells, at), _rows(m, before, at)]
        back = back_c.for_rows(at)
        d = m.blockwise(lstm_cell_back, n, *d, *[] if back is None else [back])
        da = _part(m, d, 0, 4 * n)
        back_h.now, back_c.now = m.matmul(da, w), _part(m, d, 4 * n, 5 * n)
        parts.append(da)
    found = [_all(m, several, not backwards) for several in (parts, heads) if several]
    return found, [back_h.to_the_start(), back_c.to_the_start()]


def _lstm(m: Any, x: Any, w: Any, h: Any, c: Any, *p: Any, **how: Any) -> Any:
    return m.recurrent(lstm_forward, (x,), (h, c), (w, *p), **how)


def _lstm_back(
    m: Any, u: Any, z: Any, x: Any, w: Any, h: Any, c: Any, *p: Any, **how: Any
) -> Arrays:
    n = c.shape[1]
    of_c = _part(m, z, 4 * n, 5 * n)
    rows = u, z, _before(m, of_c, c, **how)
    (dx, *heads), starts = m.recurrent_back(lstm_backward, rows, (h, c), (w, *p), **how)
    states = _before(m, _part(m, z, 5 * n, z.shape[1]), h, **how)
    dw = m.matmul(transposed(m, dx), states)
    if not p:
        return dx, dw, *starts
    out = _part(m, z, 3 * n, 4 * n) * m.tanh(of_c)
    return dx, dw, *starts, m.matmul(transposed(m, heads[0]), out)


lstm = array_op("lstm", "LSTM", "長・短期記憶の再帰層 (LSTM)", _lstm, _lstm_back)


# ---- GRU ----------------------------------------------------------------------------------------


def gru_cell(
    m: Any, xr: Any, xu: Any, xn: Any, hr: Any, hu: Any, q: Any, h: Any
) -> tuple[Any, ...]:
    """r, u, n, q and h'."""
    r, u = _opened(m, xr + hr), _opened(m, xu + hu)
    n = m.tanh(xn + r * q)
    return r, u, n, q, n + u * (h - n)


def gru_forward(
    m: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool
) -> Any:
    """Rows of r, u, n, q and h', where q = hWₙᵀ + bₙ is what r lets through.

    Cho et al. (2014) "Learning Phrase Representations using RNN Encoder-Decoder".
    """
    (x,), (start,), (w, *b) = rows, states, weights
    k, turned, parts, h = start.shape[1], transposed(m, w), [], start
    for at in _times(sizes, backwards):
        h = _for(m, h, start, at)
        a = m.matmul(h, turned)
        z = m.blockwise(gru_cell, k, _rows(m, x, at), a + b[0] if b else a, h)
        h = _part(m, z, 4 * k, 5 * k)
        parts.append(z)
    return _all(m, parts, backwards)


def gru_cell_back(
    m: Any, vr: Any, vu: Any, vn: Any, vq: Any, dh: Any, r: Any, u: Any, n: Any, q: Any, before: Any
) -> tuple[Any, ...]:
    """The gradients of what the state gives (r, u, q), of what the input gives (r, u, n), of h."""
    dn = (vn + dh * (1 - u)) * (1 - n * n)
    dr, du = (vr + dn * q) * r * (1 - r), (vu + dh * (before - n)) * u * (1 - u)
    return dr, du, vq + dn * r, dr, du, dn, dh * u


def gru_backward(
    m: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Sizes, backwards: bool
) -> tuple[list[Any], list[Any]]:
    """The gradients of x, and of what the state gives; of h.

    rows: upstream, what came out, h before each row.
    """
    v, z, before = rows
    k = before.shape[1]
    cells, given, given_h = _part(m, z, 0, 4 * k), _part(m, v, 0, 4 * k), _part(m, v, 4 * k, 5 * k)
    back, inner, outer = _Returned(m, states[0]), [], []
    for at in _times(sizes, not backwards):
        dh = _plus(_rows(m, given_h, at), back.for_rows(at))
        d = [_rows(m, given, at), dh, _rows(m, cells, at), _rows(m, before, at)]
        d = m.blockwise(gru_cell_back, k, *d)
        inner.append(_part(m, d, 0, 3 * k))
        outer.append(_part(m, d, 3 * k, 6 * k))
        back.now = m.matmul(inner[-1], weights[0]) + _part(m, d, 6 * k, 7 * k)
    return [_all(m, parts, not backwards) for parts in (outer, inner)], [back.to_the_start()]


def _gru(m: Any, x: Any, w: Any, h: Any, *b: Any, **how: Any) -> Any:
    return m.recurrent(gru_forward, (x,), (h,), (w, *b), **how)


def _gru_back(m: Any, v: Any, z: Any, x: Any, w: Any, h: Any, *b: Any, **how: Any) -> Arrays:
    k = h.shape[1]
    before = _before(m, _part(m, z, 4 * k, 5 * k), h, **how)
    (dx, da), (dh,) = m.recurrent_back(gru_backward, (v, z, before), (h,), (w, *b), **how)
    return dx, m.matmul(transposed(m, da), before), dh, *[m.sum(da, axis=(0,))] * len(b)


gru = array_op("gru", "GRU", "門のある再帰層 (GRU)", _gru, _gru_back)
