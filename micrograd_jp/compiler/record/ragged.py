"""長さの違う標本 (ragged samples): 形の同じものどうしに分ける (buckets)。

長さの違う標本は、標本ごとの並びを要素とする配列で渡す: `np.array(documents, dtype=object)`。
先頭の軸が標本なのは、ほかの配列と同じである。
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.record.inputs import only_numbers, require_one_batch
from micrograd_jp.compiler.record.outputs import each
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.tensor.array import Tensor

_SHAPE, _DTYPE = operator.attrgetter("shape"), operator.attrgetter("dtype")
_REAL = frozenset(map(np.dtype, ("i8", "i4", "f8", "f4")))
"""The usual types of samples, which need not be looked at one by one."""


class Bucket(NamedTuple):
    """どの配列でも形が同じ標本。

    Attributes:
        rows: もとの番号。
        args, kwargs: その標本だけの引数。
        sources: その中の `Tensor` の `id` から、それと、取り出したもとの `Tensor` へ。
    """

    rows: Array
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    sources: Mapping[int, tuple[Tensor, Tensor]]

    def originals(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """取り出した `Tensor` の、もとの `Tensor`。"""
        return [None if x is None else self.sources[id(x)][1] for x in tensors]


def is_ragged(x: Any) -> bool:
    """要素が標本ごとの並びである配列か。"""
    return isinstance(x, np.ndarray) and x.ndim > 0 and x.dtype == object


def buckets(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Bucket] | None:
    """形の同じ標本の組を、長いものから。長さの違う標本の配列がなければ `None`。

    長い標本の計算は、短い標本のパラメータも使うことが多い: 先に記録すれば、どれも同じ並びに入る。

    Raises:
        ValueError: 標本の数が配列ごとに違う、標本が 1 つもない、標本の中の長さが揃っていない。
        TypeError: 標本が数の並びでない。
    """
    every = _arrays((args, kwargs))
    arrays = [x for x in every if is_ragged(x)]
    if not arrays:
        return None
    require_one_batch([x.shape for x in every])
    if not len(arrays[0]):
        raise ValueError(
            "標本が 1 つもないので、標本の形が分かりません (no samples): 長さ 0 の dtype object の"
            "配列が渡されました。"
        )
    found = {id(x): _samples(x) for x in arrays}
    rows: dict[Any, list[int]] = {}
    for i, same in enumerate(zip(*[map(_SHAPE, own) for own in found.values()], strict=True)):
        rows.setdefault(same, []).append(i)

    sources: dict[int, tuple[Tensor, Tensor]] = {}

    def part(x: Any, own: Array) -> Any:
        if isinstance(x, list | tuple | dict):
            return each(lambda y: part(y, own), x)
        if is_ragged(x):
            given = found[id(x)]
            samples = [given[i] for i in own.tolist()]
            shape = samples[0].shape  # the first axis is joined: np.stack takes twice as long
            whole = np.concatenate(samples) if shape else np.array(samples)
            return whole.reshape(len(own), *shape)
        if not _has_samples(x):
            return x
        here = x[own]
        if isinstance(x, Tensor):
            sources[id(here)] = here, x
        return here

    longest_first = sorted(rows, key=lambda same: -sum(map(math.prod, same)))
    return [
        Bucket(own, part(args, own), part(kwargs, own), sources)
        for own in (np.array(rows[same]) for same in longest_first)
    ]


def _has_samples(x: Any) -> bool:
    return bool((isinstance(x, Tensor) or namespace.is_array(x)) and x.ndim)


def _arrays(x: Any) -> list[Any]:
    """All arrays in the structure of the arguments."""
    if isinstance(x, list | tuple | dict):
        inside = [*x.values()] if isinstance(x, dict) else x
        return [] if only_numbers(inside) else [y for part in inside for y in _arrays(part)]
    return [x] if _has_samples(x) else []


def _samples(x: Array) -> list[Array]:
    given: list[Any] = x.tolist() if x.ndim == 1 else [*x]
    if {np.ndarray}.issuperset(map(type, given)) and _REAL.issuperset(map(_DTYPE, given)):
        return given
    return [_sample(y, i) for i, y in enumerate(given)]


def _sample(x: Any, number: int) -> Array:
    is_array = isinstance(x, np.ndarray)
    try:
        given = x.tolist() if is_array and x.dtype == object else x
        found: Array = x.numpy() if isinstance(x, Tensor) else np.asarray(given)
    except ValueError as error:
        raise ValueError(
            f"標本 {number} 番の中の並びの長さが揃っていません (ragged sample): 標本どうしの長さは"
            "違ってよいですが、1 つの標本の中では、どの行も同じ長さにしてください。"
        ) from error
    except (RuntimeError, TypeError) as error:  # a Tensor, alone or in a list; a traced array
        raise TypeError(
            f"標本 {number} 番は、勾配を求める Tensor かトレース中の配列です (no gradient through "
            "samples of different lengths): t.detach() としてください。勾配が要るなら、長さの同じ"
            "標本を、1 つの Tensor で渡します。"
        ) from error
    if not found.size and not is_array:
        return np.zeros(found.shape)
    if found.dtype.kind not in "fiub":
        raise TypeError(
            f"標本は数の並びです (expected numbers): 標本 {number} 番は {x!r:.60} です。"
        )
    return found
