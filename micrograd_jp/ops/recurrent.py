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
    if backwards:
        state = _rows(m, start, slice(0, sizes[-1]))
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


# ---- RNN: h' = φ(x + hWᵀ) ----------------------------------------------------------------------


def _rnn(m: Any, x: Any, w: Any, h: Any, sizes: Sizes, backwards: bool, relu: bool) -> Any:
    start, parts = h, []
    if backwards:
        h = _rows(m, h, slice(0, sizes[-1]))
    for rows in _times(sizes, backwards):
        a = _rows(m, x, rows) + m.matmul(_for(m, h, start, rows), transposed(m, w))
        h = positive.value(m, a) if relu else m.tanh(a)
        parts.append(h)
    return _all(m, parts, backwards)


def _rnn_back(
    m: Any, g: Any, z: Any, x: Any, w: Any, h: Any, sizes: Sizes, backwards: bool, relu: bool
) -> tuple[Any, ...]:
    back, parts = _Returned(m, h), []
    for rows in _times(sizes, not backwards):
        after = _rows(m, z, rows)
        slope = m.gate(after <= 0, 0, 1) if relu else 1 - after * after
        da = m.times(_plus(_rows(m, g, rows), back.for_rows(rows)), slope)
        back.now = m.matmul(da, w)
        parts.append(da)
    dx = _all(m, parts, not backwards)
    before = _before(m, z, h, sizes, backwards)
    return dx, m.matmul(transposed(m, dx), before), back.to_the_start()


rnn = array_op("rnn", "RNN", "再帰層 φ(x + hWᵀ) (recurrent layer)", _rnn, _rnn_back)


# ---- LSTM ---------------------------------------------------------------------------------------


def _lstm(m: Any, x: Any, w: Any, h: Any, c: Any, *p: Any, sizes: Sizes, backwards: bool) -> Any:
    """Rows of i, f, g, o, c' and h'; p projects h' where it is given.

    Hochreiter & Schmidhuber (1997) "Long Short-Term Memory"; Gers et al. (2000) for f.
    """
    n, starts, parts = c.shape[1], (h, c), []
    if backwards:
        h, c = (_rows(m, s, slice(0, sizes[-1])) for s in starts)
    for rows in _times(sizes, backwards):
        h, c = (_for(m, s, start, rows) for s, start in zip((h, c), starts))
        a = _rows(m, x, rows) + m.matmul(h, transposed(m, w))
        i_f, o = (_opened(m, _part(m, a, *at)) for at in ((0, 2 * n), (3 * n, 4 * n)))
        g = m.tanh(_part(m, a, 2 * n, 3 * n))
        c = _part(m, i_f, n, 2 * n) * c + _part(m, i_f, 0, n) * g
        h = o * m.tanh(c)
        if p:
            h = m.matmul(h, transposed(m, p[0]))
        parts.append(m.concatenate([i_f, g, o, c, h], axis=1))
    return _all(m, parts, backwards)


def _lstm_back(
    m: Any, u: Any, z: Any, x: Any, w: Any, h: Any, c: Any, *p: Any, sizes: Sizes, backwards: bool
) -> tuple[Any, ...]:
    n = c.shape[1]
    i, f, g, o, after = (_part(m, z, k * n, (k + 1) * n) for k in range(5))
    last = z.shape[1]
    top, before = m.tanh(after), _before(m, after, c, sizes, backwards)
    # What the gates do to c' and h' times their own slopes, for all times at once.
    slopes = m.concatenate([i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o)], axis=1)
    to_gates = m.concatenate([g, before, i, top], axis=1) * slopes
    through = o * (1 - top * top)
    given = _part(m, u, 0, 4 * n) * slopes
    given_c, given_h = _part(m, u, 4 * n, 5 * n), _part(m, u, 5 * n, last)
    back_h, back_c, parts, heads = _Returned(m, h), _Returned(m, c), [], []
    for rows in _times(sizes, not backwards):
        dh = _plus(_rows(m, given_h, rows), back_h.for_rows(rows))
        if p:
            heads.append(dh)
            dh = m.matmul(dh, p[0])
        dc = dh * _rows(m, through, rows) + _rows(m, given_c, rows)
        dc = _plus(dc, back_c.for_rows(rows))
        da = m.concatenate([dc, dc, dc, dh], axis=1) * _rows(m, to_gates, rows)
        da = da + _rows(m, given, rows)
        back_h.now, back_c.now = m.matmul(da, w), dc * _rows(m, f, rows)
        parts.append(da)
    dx = _all(m, parts, not backwards)
    states = _before(m, _part(m, z, 5 * n, last), h, sizes, backwards)
    dw = m.matmul(transposed(m, dx), states)
    starts = back_h.to_the_start(), back_c.to_the_start()
    if not p:
        return dx, dw, *starts
    dp = m.matmul(transposed(m, _all(m, heads, not backwards)), o * top)
    return dx, dw, *starts, dp


lstm = array_op("lstm", "LSTM", "長・短期記憶の再帰層 (LSTM)", _lstm, _lstm_back)


# ---- GRU ----------------------------------------------------------------------------------------


def _gru(m: Any, x: Any, w: Any, h: Any, *b: Any, sizes: Sizes, backwards: bool) -> Any:
    """Rows of r, u, n, q and h', where q = hWₙᵀ + bₙ is what r lets through.

    Cho et al. (2014) "Learning Phrase Representations using RNN Encoder-Decoder".
    """
    k, start, parts = h.shape[1], h, []
    if backwards:
        h = _rows(m, h, slice(0, sizes[-1]))
    for rows in _times(sizes, backwards):
        h = _for(m, h, start, rows)
        own, a = _rows(m, x, rows), m.matmul(h, transposed(m, w))
        a = a + b[0] if b else a
        r_u = _opened(m, _part(m, own, 0, 2 * k) + _part(m, a, 0, 2 * k))
        q, u = _part(m, a, 2 * k, 3 * k), _part(m, r_u, k, 2 * k)
        n = m.tanh(_part(m, own, 2 * k, 3 * k) + _part(m, r_u, 0, k) * q)
        h = n + u * (h - n)
        parts.append(m.concatenate([r_u, n, q, h], axis=1))
    return _all(m, parts, backwards)


def _gru_back(
    m: Any, v: Any, z: Any, x: Any, w: Any, h: Any, *b: Any, sizes: Sizes, backwards: bool
) -> tuple[Any, ...]:
    k = h.shape[1]
    r, u, n, q, after = (_part(m, z, j * k, (j + 1) * k) for j in range(5))
    before = _before(m, after, h, sizes, backwards)
    vr, vu, vn, vq, vh = (_part(m, v, j * k, (j + 1) * k) for j in range(5))
    slope_r, slope_u, slope_n = r * (1 - r), u * (1 - u), 1 - n * n
    to_u, to_n, rest = (before - n) * slope_u, 1 - u, q * slope_r
    back, inner, outer = _Returned(m, h), [], []
    for rows in _times(sizes, not backwards):
        dh = _plus(_rows(m, vh, rows), back.for_rows(rows))
        dn = (dh * _rows(m, to_n, rows) + _rows(m, vn, rows)) * _rows(m, slope_n, rows)
        dr = dn * _rows(m, rest, rows) + _rows(m, vr, rows) * _rows(m, slope_r, rows)
        du = dh * _rows(m, to_u, rows) + _rows(m, vu, rows) * _rows(m, slope_u, rows)
        dq = dn * _rows(m, r, rows) + _rows(m, vq, rows)
        outer.append(m.concatenate([dr, du, dn], axis=1))
        inner.append(m.concatenate([dr, du, dq], axis=1))
        back.now = dh * _rows(m, u, rows) + m.matmul(inner[-1], w)
    dx, da = (_all(m, parts, not backwards) for parts in (outer, inner))
    dw = m.matmul(transposed(m, da), before)
    db = [m.sum(da, axis=(0,))] if b else []
    return dx, dw, back.to_the_start(), *db


gru = array_op("gru", "GRU", "門のある再帰層 (GRU)", _gru, _gru_back)
