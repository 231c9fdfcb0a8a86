"""再帰層の 1 時刻分の、NumPy の呼び出しが少ない計算。公式は `ops/recurrent.py` にあるもの。

門はいくつも隣り合っているので、まとめて計算できる。結果は、はじめから並ぶ場所に書く。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def suits(*xs: Any) -> bool:
    """ここの関数が受け取る配列か。"""
    kind = xs[0].dtype
    return kind.char in "fd" and all(x.__class__ is np.ndarray and x.dtype == kind for x in xs)


def _open(x: Any, out: Any) -> None:
    """How far gates are open: 1/(1 + e⁻ˣ)."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(1, out, out=out)


def _slope(gates: Any) -> Any:
    """z·(1 − z)."""
    slope = 1 - gates
    slope *= gates
    return slope


def _slope_of_tanh(z: Any, out: Any = None) -> Any:
    """1 − z²."""
    out = np.multiply(z, z, out=out)
    return np.subtract(1, out, out=out)


def _parts(x: Any, n: int) -> list[Any]:
    return [x[:, k : k + n] for k in range(0, x.shape[1], n)]


def _lstm_cell(n: int, gates: Any, c: Any) -> Any:
    out = np.empty((len(c), 6 * n), c.dtype)
    i, f, g, o, after, h = _parts(out, n)
    _open(gates[:, : 2 * n], out[:, : 2 * n])
    _open(gates[:, 3 * n :], o)
    np.tanh(gates[:, 2 * n : 3 * n], out=g)
    np.multiply(i, g, out=h)
    np.multiply(f, c, out=after)
    after += h
    np.tanh(after, out=h)
    h *= o
    return out


def _lstm_cell_back(n: int, given: Any, dh: Any, cell: Any, before: Any, *dc: Any) -> Any:
    out = np.empty((len(dh), 5 * n), dh.dtype)
    (i, f, g, o, after), (di, df, dg, do, through) = _parts(cell, n), _parts(out, n)
    top = np.tanh(after)
    np.multiply(_slope_of_tanh(top), o, out=through)
    through *= dh
    through += given[:, 4 * n :]
    if dc:
        through += dc[0]
    np.multiply(through, g, out=di)
    np.multiply(through, before, out=df)
    np.multiply(through, i, out=dg)
    np.multiply(dh, top, out=do)
    through *= f
    gates, slopes = out[:, : 4 * n], _slope(cell[:, : 4 * n])
    _slope_of_tanh(g, slopes[:, 2 * n : 3 * n])
    gates += given[:, : 4 * n]
    gates *= slopes
    return out


def _gru_cell(k: int, x: Any, a: Any, h: Any) -> Any:
    out = np.empty((len(h), 5 * k), h.dtype)
    r, u, n, q, after = _parts(out, k)
    _open(x[:, : 2 * k] + a[:, : 2 * k], out[:, : 2 * k])
    q[...] = a[:, 2 * k :]
    np.multiply(r, q, out=n)
    n += x[:, 2 * k :]
    np.tanh(n, out=n)
    np.subtract(h, n, out=after)
    after *= u
    after += n
    return out


def _gru_cell_back(k: int, given: Any, dh: Any, cell: Any, before: Any) -> Any:
    out = np.empty((len(dh), 7 * k), dh.dtype)
    (r, u, n, q), (dr, du, dq, _, _, dn, back) = _parts(cell, k), _parts(out, k)
    np.subtract(1, u, out=dn)
    dn *= dh
    dn += given[:, 2 * k : 3 * k]
    dn *= _slope_of_tanh(n)
    np.multiply(dn, q, out=dr)
    np.subtract(before, n, out=du)
    du *= dh
    gates = out[:, : 2 * k]
    gates += given[:, : 2 * k]
    gates *= _slope(cell[:, : 2 * k])
    out[:, 3 * k : 5 * k] = gates
    np.multiply(dn, r, out=dq)
    dq += given[:, 3 * k :]
    np.multiply(dh, u, out=back)
    return out


CELLS: dict[str, Callable[..., Any]] = {
    "lstm_cell": _lstm_cell, "lstm_cell_back": _lstm_cell_back,
    "gru_cell": _gru_cell, "gru_cell_back": _gru_cell_back,
}  # fmt: skip
"""公式の名前から、区切りの幅と行列を受け取る関数へ。"""
