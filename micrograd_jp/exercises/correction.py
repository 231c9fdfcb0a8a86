"""採点 (correction): 違う値から、何を間違えたのかを言い当てる: 形、符号、倍率、転置、和の取り忘れ。

ただ「違います」と言われても、どこを直せばよいか分からない。1 つの入力では偶然もあるので、どの入力
でも当てはまる間違いだけを言う。
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.graph.node import data_of


class Comparison(NamedTuple):
    """1 つの入力での、渡された値と正しい値。どちらも float64 の配列。"""

    inputs: tuple[Any, ...]
    got: np.ndarray[Any, Any]
    want: np.ndarray[Any, Any]


def as_array(x: Any) -> np.ndarray[Any, Any] | None:
    """数・`Value`・`Tensor`・配列・それらのリストを float64 の配列に。数でなければ `None`。"""
    if isinstance(x, list | tuple):
        x = [as_array(each) for each in x]
        if any(each is None for each in x):
            return None
    try:
        return np.array(data_of(x), dtype=np.float64)
    except (TypeError, ValueError):
        return None


def same(a: Any, b: Any, rtol: float) -> bool:
    """形も値も同じか。誤差は、いちばん大きな要素に対して `rtol` まで。"""
    scale = float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b)))
    return a.shape == b.shape and bool(
        np.allclose(a, b, rtol=rtol, atol=rtol * scale + 1e-12, equal_nan=True)
    )


def fault(comparisons: Sequence[Comparison], rtol: float) -> str:
    """何を間違えたのか。正しければ空の文字列。"""

    def always(changed: Callable[[Comparison], Any]) -> bool:
        return all(same(changed(c), c.want, rtol) for c in comparisons)

    if always(lambda c: c.got):
        return ""
    return next(filter(None, (kind(comparisons, always) for kind in _KINDS)), "")


_Always = Callable[[Callable[[Comparison], Any]], bool]


def _missing_sum(comparisons: Sequence[Comparison], always: _Always) -> str:
    dimensions = {c.got.ndim for c in comparisons}
    if len(dimensions) > 1 or any(c.got.shape == c.want.shape for c in comparisons):
        return ""
    every = range(max(dimensions))
    for axes in (axes for n in every for axes in itertools.combinations(every, n + 1)):
        if not any(c.got.shape[k] > 1 for c in comparisons for k in axes):
            continue  # nothing is added along an axis of length 1: only the shape is wrong
        for kept, words in ((False, ""), (True, "（軸を残して: keepdims）")):
            if always(partial(_summed, axes=axes, keepdims=kept)):
                return (
                    f"軸 {'、'.join(map(str, axes))} の和を{words}取り忘れています (missing sum)。"
                )
    return ""


def _summed(c: Comparison, axes: tuple[int, ...], keepdims: bool) -> Any:
    return c.got.sum(axes, keepdims=keepdims)


def _transposed(comparisons: Sequence[Comparison], always: _Always) -> str:
    if any(c.got.ndim == 2 for c in comparisons) and always(lambda c: c.got.T):
        return "転置 (transpose) すると正しくなります。行と列が何の番号かを確かめてください。"
    return ""


def _wrong_shape(comparisons: Sequence[Comparison], always: _Always) -> str:
    for c in comparisons:
        if c.got.shape != c.want.shape:
            if c.got.size == c.want.size and always(lambda c: c.got.reshape(c.want.shape)):
                return f"値は合っていますが、形は {c.got.shape} でなく {c.want.shape} です。"
            return (
                f"形が違います (shape mismatch): {c.got.shape} になりましたが、{c.want.shape} の"
                "はずです。"
            )
    return ""


def _not_finite(comparisons: Sequence[Comparison], always: _Always) -> str:
    if any(np.isnan(c.got).any() and not np.isnan(c.want).any() for c in comparisons):
        return "nan（数でない値）が混ざっています。0 での割り算や log(0) がないか確かめてください。"
    return ""


def _nothing(comparisons: Sequence[Comparison], always: _Always) -> str:
    if all(not c.got.any() for c in comparisons) and any(c.want.any() for c in comparisons):
        return "すべて 0 です。計算した値を返しているか確かめてください。"
    return ""


def _wrong_sign(comparisons: Sequence[Comparison], always: _Always) -> str:
    return "符号 (sign) が逆です。" if always(lambda c: -c.got) else ""


def _wrong_factor(comparisons: Sequence[Comparison], always: _Always) -> str:
    """The same factor at every input, or the number of samples."""
    factors = [_factor(c) for c in comparisons]
    if not factors or any(f is None for f in factors):
        return ""
    known = [f for f in factors if f is not None]
    counts = [_samples(c) for c in comparisons]
    if len({*counts}) > 1:
        for f, words in ((1.0, "かける"), (-1.0, "割る")):
            if all(n and np.isclose(k, n**-f, rtol=1e-4) for k, n in zip(known, counts)):
                return f"標本の数 (batch size) で{words}のを忘れていませんか。和と平均が違います。"
            if all(n and np.isclose(k, -(n**-f), rtol=1e-4) for k, n in zip(known, counts)):
                return f"符号が逆で、標本の数 (batch size) で{words}のも忘れています。"
    if not np.allclose(known, known[0], rtol=1e-4) or np.isclose(known[0], 1, rtol=1e-4):
        return ""
    times = _ratio(known[0])
    return f"正しい値の {times} 倍です (factor)。係数を確かめてください。" if times else ""


def _factor(c: Comparison) -> float | None:
    want, got = c.want.ravel(), c.got.ravel()
    if want.shape != got.shape or not (size := float(want @ want)):
        return None
    factor = float(got @ want) / size
    return factor if same(c.got, factor * c.want, 1e-5) and factor else None


def _samples(c: Comparison) -> int:
    return next((len(x) for x in c.inputs if np.ndim(x) >= 1), 0)


def _ratio(factor: float) -> str:
    sign = "−" if factor < 0 else ""
    for k in range(1, 13):
        for name, value in ((f"{k}", k), (f"1/{k}", 1 / k)):
            if np.isclose(abs(factor), value, rtol=1e-4):
                return sign + name
    return ""


def _wrong_where(comparisons: Sequence[Comparison], always: _Always) -> str:
    """Only where an argument of the same shape is negative, positive, or 0."""
    for k, words in itertools.product(range(len(comparisons[0].inputs)), _SIGNS):
        found = [_wrong_and_meant(c, k, _SIGNS[words]) for c in comparisons]
        if all(pair is not None and (pair[0] <= pair[1]).all() for pair in found):
            return f"{k + 1} 番目の引数が{words}ところで違います。ほかは合っています。"
    return ""


def _wrong_and_meant(c: Comparison, k: int, sign: Callable[[Any], Any]) -> Any:
    x = as_array(c.inputs[k])
    if x is None or not x.shape == c.want.shape == c.got.shape or sign(x).all():
        return None
    return ~np.isclose(c.got, c.want, rtol=1e-5, atol=1e-9), sign(x)


_SIGNS: dict[str, Callable[[Any], Any]] = {
    "0 の": lambda x: x == 0,
    "負の": lambda x: x < 0,
    "正の": lambda x: x > 0,
}


def _example(comparisons: Sequence[Comparison], always: _Always) -> str:
    c = next(c for c in comparisons if not same(c.got, c.want, 1e-6))
    if not c.inputs:  # the right number would give the answer away
        return f"{_short(c.got)} ではありません。"
    given = "、".join(map(_short, c.inputs))
    if c.want.size > _SHOWN:
        at = np.unravel_index(np.argmax(~np.isclose(c.got, c.want, rtol=1e-6)), c.want.shape)
        where = ", ".join(map(str, at))
        return (
            f"({given}) では、[{where}] の要素が {_short(c.got[at])} になりますが、正しい値は "
            f"{_short(c.want[at])} です。"
        )
    return f"({given}) では {_short(c.got)} になりますが、正しい値は {_short(c.want)} です。"


_SHOWN = 12  # elements that a sentence can hold


def _short(x: Any) -> str:
    found = as_array(x)
    if found is None:
        return getattr(x, "__name__", repr(x))
    if found.ndim == 0:
        x = float(found)
        return f"{x:.0f}" if x.is_integer() and abs(x) < 1e15 else f"{x:.5g}"
    if found.size > _SHOWN:
        return f"{found.shape} の配列"
    return np.array2string(found, precision=4, separator=", ").replace("\n", "")


_KINDS = (
    _missing_sum, _transposed, _wrong_shape, _not_finite, _nothing, _wrong_sign, _wrong_factor,
    _wrong_where, _example,
)  # fmt: skip
