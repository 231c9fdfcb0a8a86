"""長さの違う標本 (ragged samples): 形の同じものどうしに分ける (buckets)。

長さの違う標本は、標本ごとの並びを要素とする配列で渡す: `np.array(documents, dtype=object)`。
先頭の軸が標本なのは、ほかの配列と同じである。
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.record.inputs import require_one_batch
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.tensor.array import Tensor

_SHAPE, _DTYPE = operator.attrgetter("shape"), operator.attrgetter("dtype")
_REAL = frozenset(map(np.dtype, ("i8", "i4", "f8", "f4")))
"""The usual types of samples, which need not be looked at one by one."""


class Bucket(NamedTuple):
    """どの配列でも形が同じ標本。

    Attributes:
        rows: もとの番号。どの標本でも形が同じなら `None`。
        args, kwargs: その標本だけの引数。
    """

    rows: Array | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def is_ragged(x: Any) -> bool:
    """要素が標本ごとの並びである配列か。"""
    return x.__class__ is np.ndarray and x.ndim > 0 and x.dtype == object


def buckets(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Bucket] | None:
    """形の同じ標本の組を、長いものから。長さの違う標本の配列がなければ `None`。

    長い標本の計算は、短い標本のパラメータも使うことが多い: 先に記録すれば、どれも同じ並びに入る。

    Raises:
        ValueError: 標本の数が配列ごとに違う、標本が 1 つもない、標本の中の長さが揃っていない。
        TypeError: 標本が数の並びでない。
    """
    arrays = [x for x in _arrays((args, kwargs)) if is_ragged(x)]
    if not arrays:
        return None
    shapes = [x.shape for x in _arrays((args, kwargs))]
    require_one_batch(shapes)
    if not len(arrays[0]):
        raise ValueError(
            "標本が 1 つもないので、標本の形が分かりません (no samples): 長さ 0 の dtype object の"
            "配列が渡されました。"
        )
    found = {id(x): _samples(x) for x in arrays}
    rows: dict[Any, list[int]] = {}
    for i, same in enumerate(zip(*[map(_SHAPE, own) for own in found.values()], strict=True)):
        rows.setdefault(same, []).append(i)

    def part(x: Any, own: Array) -> Any:
        if x.__class__ in (list, tuple):
            return x.__class__([part(y, own) for y in x])
        if isinstance(x, dict):
            return {key: part(y, own) for key, y in x.items()}
        if is_ragged(x):
            every = found[id(x)]
            samples = [every[i] for i in own.tolist()]
            shape = samples[0].shape  # the first axis is joined: np.stack takes twice as long
            whole = np.concatenate(samples) if shape else np.array(samples)
            return whole.reshape(len(own), *shape)
        return x[own] if _has_samples(x) else x

    longest_first = sorted(rows, key=lambda same: -sum(map(math.prod, same)))
    return [
        Bucket(own, part(args, own), part(kwargs, own))
        for own in (np.array(rows[same]) for same in longest_first)
    ]


def every(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Bucket]:
    """`buckets` と同じもの。長さの違う標本の配列がなければ、組は 1 つ。"""
    found = buckets(args, kwargs)
    return [Bucket(None, args, kwargs)] if found is None else found


def _has_samples(x: Any) -> bool:
    return bool((isinstance(x, Tensor) or namespace.is_array(x)) and x.ndim)


def _arrays(x: Any) -> list[Any]:
    """All arrays in the structure of the arguments."""
    if x.__class__ in (list, tuple):
        return [y for part in x for y in _arrays(part)]
    if isinstance(x, dict):
        return [y for part in x.values() for y in _arrays(part)]
    return [x] if _has_samples(x) else []


def _samples(x: Array) -> list[Array]:
    given: list[Any] = x.tolist() if x.ndim == 1 else [*x]
    if {np.ndarray}.issuperset(map(type, given)) and _REAL.issuperset(map(_DTYPE, given)):
        return given
    return [_sample(y, i) for i, y in enumerate(given)]


def _sample(x: Any, number: int) -> Array:
    if isinstance(x, Tensor) and not x.requires_grad:
        x = x._data
    try:
        found = np.asarray(x.tolist() if isinstance(x, np.ndarray | Tensor) else x)
    except ValueError as error:
        raise ValueError(
            f"標本 {number} 番の中の並びの長さが揃っていません (ragged sample): 標本どうしの長さは"
            "違ってよいですが、1 つの標本の中では、どの行も同じ長さにしてください。"
        ) from error
    if isinstance(x, Tensor) or (found.dtype.kind not in "fiu" and found.size):
        raise TypeError(
            f"標本は数の並びです (expected numbers): 標本 {number} 番は {x!r:.60} です。"
        )
    return found if found.size else found.astype(np.float64)
