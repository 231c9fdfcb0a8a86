"""正解 (targets) の検査: 形、型、範囲。損失を計算する前に断る。

`jax.jit` の中の配列には値がないので、範囲は調べない（形と型は調べる）。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import Node
from micrograd_jp.tensor.array import Tensor, as_tensor

# Rounding of float16 and float32 probabilities, and of those written by hand (0.333, 0.333, 0.333).
_SUM_TOLERANCE = 5e-3


def whole_numbers(x: Any, name: str) -> Any:
    """整数の配列。

    Raises:
        TypeError: 整数でない。
    """
    data = as_tensor(x)._data
    if data.dtype.kind not in "iu":
        raise TypeError(
            f"{name} の番号は整数です (expected integer class indices): {data.dtype} が"
            "渡されました。番号なら t.astype(mg.int64)、確率ならロジットと同じ形にしてください。"
        )
    return data


def class_numbers(t: Any, n: int, name: str) -> None:
    """番号が 0 以上 n 未満であることを確かめる。

    Raises:
        ValueError: 範囲の外。
    """
    if namespace.is_traced(t) or not t.size:
        return
    low, high = int(t.min()), int(t.max())
    if low < 0 or high >= n:
        raise _out_of_range(name, low if low < 0 else high, n)


def _out_of_range(name: str, number: int, n: int) -> ValueError:
    return ValueError(
        f"{name} の番号が範囲の外です (index out of range): {number}。"
        f"0 から {n - 1} までの整数にしてください。"
    )


def distributions(t: Tensor, axis: int, name: str) -> None:
    """軸に沿って、負でない、和が 1 の数であることを確かめる。

    Raises:
        ValueError: そうでない。
    """
    if namespace.is_traced(t._data) or not t.size:
        return
    data = namespace.concrete(t.detach()._data, name)
    sums = data.sum(axis=axis, dtype=np.float64)
    if data.min() < 0 or not (np.abs(sums - 1) <= _SUM_TOLERANCE).all():
        raise not_a_distribution(name, float(data.min()), sums.ravel()[np.abs(sums - 1).argmax()])


def not_a_distribution(name: str, low: float, total: float) -> ValueError:
    """確率でない正解のエラー。"""
    what = f"負の数 {low:g} があります" if low < 0 else f"和が {total:g} です"
    return ValueError(
        f"{name} の確率は 0 以上で、和が 1 です (not a probability distribution): {what}。"
    )


def within(t: Tensor, low: float, high: float, name: str, what: str = "正解") -> None:
    """値が区間に収まることを確かめる。

    Raises:
        ValueError: 収まらない、または nan。
    """
    if namespace.is_traced(t._data) or not t.size:
        return
    smallest, largest = t._data.min(), t._data.max()
    if not (smallest >= low and largest <= high):
        bad = largest if smallest >= low else smallest
        raise ValueError(
            f"{name} の{what}は {low:g} 以上 {high:g} 以下です (target out of range): {bad:g} が"
            "渡されました。"
        )


def signs(t: Tensor, name: str) -> None:
    """どれも −1 か 1 であることを確かめる。

    Raises:
        ValueError: ほかの数がある。
    """
    if not namespace.is_traced(t._data) and not (abs(t._data) == 1).all():
        raise ValueError(
            f"{name} の正解は −1 か 1 です (expected -1 or 1): ほかの数が渡されました。"
            "0 と 1 なら 2 * t - 1、クラスの番号ならスコアを (N, クラスの数) の形にしてください。"
        )


def same_shape(y: Any, t: Any, name: str, what: str = "正解") -> None:
    """出力と正解（または `what`）の形が同じであることを確かめる。

    Raises:
        ValueError: 違う。
    """
    if y.shape != t.shape:
        raise ValueError(
            f"{name} の出力と{what}の形が違います (shape mismatch): {y.shape} と {t.shape}。"
            "ブロードキャストはしません。t.reshape(…) などで揃えてください。"
        )


# ---- Value の並び -----------------------------------------------------------------------------


def is_row(x: Any) -> bool:
    """`Value` や数の並び（入れ子でもよい）か。"""
    return isinstance(x, list | tuple)


def one_class(t: Any, n: int, name: str) -> int:
    """`Value` の並びの損失の、クラスの番号。

    Raises:
        TypeError: 整数でない。
        ValueError: 範囲の外。
    """
    if isinstance(t, Tensor | np.ndarray) and t.shape == () and t.dtype.kind in "iu":
        t = int(t)
    if not isinstance(t, int | np.integer) or isinstance(t, bool):
        raise TypeError(
            f"{name} の正解は、クラスの番号 (int) か、長さ {n} の確率の並びです "
            f"(expected a class index or a distribution): {type(t).__name__} が渡されました。"
        )
    if not 0 <= t < n:
        raise _out_of_range(name, int(t), n)
    return int(t)


def is_number_of(t: Any, number: int) -> bool:
    """番号が `number` か（並びや、まだ値のない入力ではなく）。"""
    if isinstance(t, Tensor | np.ndarray) and t.shape == () and t.dtype.kind in "iu":
        t = int(t)
    return isinstance(t, int | np.integer) and not isinstance(t, bool) and t == number


def is_distribution(t: Any) -> bool:
    """並びか、1 次元の配列か。"""
    return is_row(t) or (isinstance(t, Tensor | np.ndarray) and t.ndim == 1)


def one_distribution(t: Any, n: int, name: str) -> list[Any]:
    """`Value` の並びの損失の、長さ n の確率。数だけなら、負でなく、和が 1 であることを確かめる。

    `Value` を含めば、値は調べない（`mg.compile` の中では、まだ値がない）。

    Raises:
        ValueError: 長さが違う、または確率でない。
    """
    row = t.tolist() if isinstance(t, Tensor | np.ndarray) else list(t)
    if len(row) != n:
        raise ValueError(
            f"{name} の正解の長さが違います (length mismatch): ロジットは {n} 個、"
            f"正解は {len(row)} 個です。"
        )
    if all(map(is_number, row)):
        total = float(sum(row))
        if min(row) < 0 or not abs(total - 1) <= _SUM_TOLERANCE:
            raise not_a_distribution(name, min(row), total)
    return row


def paired(ys: Any, ts: Any, name: str, what: str = "正解") -> list[tuple[Any, Any]]:
    """2 つの（入れ子の）並び、出力と正解（または `what`）の要素を、順に組にする。

    Raises:
        ValueError: 長さが違う。
    """
    if not is_row(ys):
        if is_row(ts):
            raise ValueError(
                f"{name} の出力は 1 つなのに、{what}は並びです (shape mismatch): {len(ts)} 個。"
            )
        return [(ys, ts)]
    if isinstance(ts, Tensor | np.ndarray) and ts.ndim:
        ts = ts.tolist()
    if not is_row(ts) or len(ys) != len(ts):
        have = len(ts) if is_row(ts) else "並びでないもの"
        raise ValueError(
            f"{name} の出力と{what}の長さが違います (length mismatch): {len(ys)} と {have}。"
        )
    return [pair for y, t in zip(ys, ts) for pair in paired(y, t, name, what)]


def has_values(x: Any) -> bool:
    """計算グラフの `Value` か、`Value` や数の並びか（`Tensor` の並びではなく）。"""
    return is_row(x) or (isinstance(x, Node) and not isinstance(x, Tensor)) or is_number(x)


def batch_of(rows: Sequence[Any], targets: Any, name: str) -> list[tuple[Any, Any]]:
    """標本ごとの (ロジットの並び, 正解)。

    Raises:
        ValueError: 数が違う。
    """
    if isinstance(targets, Tensor | np.ndarray):
        targets = list(targets)
    if not is_row(targets) or len(targets) != len(rows):
        raise ValueError(
            f"{name} の標本と正解の数が違います (batch size mismatch): {len(rows)} と "
            f"{len(targets) if is_row(targets) else 1}。"
        )
    return list(zip(rows, targets))
