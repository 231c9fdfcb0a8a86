"""配列の書き換えを覚えておく: 順伝播のあとで変わった値から、黙って違う勾配を作らないために。

配列のノードは、使った配列をそのまま持っている（写すと遅い）。だから記録したときの書き換えの回数を
ノードに残し、逆伝播のときに、それより後に書き換えられた配列を使っていたら断る
(PyTorch の version counter と同じ考え)。ndarray への直接の代入 `t.data[0] = 5` は見えない。
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any


class Writes:
    """書き換えの回数と、それぞれの配列がいつ書き換えられたか。

    Attributes:
        count: これまでの書き換えの回数。
    """

    __slots__ = ("_last", "count")

    def __init__(self) -> None:
        self.count = 0
        self._last: dict[int, tuple[Any, int]] = {}

    def note(self, array: Any) -> None:
        """`array` のメモリが書き換えられたことを覚える。"""
        self.count += 1
        for x in _owners(array):
            # The reference keeps nothing alive: when the array goes, so does its entry.
            gone = weakref.ref(x, partial(self._forget, id(x)))
            self._last[id(x)] = (gone, self.count)

    def _forget(self, key: int, _: Any) -> None:
        self._last.pop(key, None)

    def after(self, count: int, arrays: Iterable[Any]) -> bool:
        """`count` 回目より後に、どれかが書き換えられたか。"""
        owners = (owner for x in arrays for owner in _owners(x))
        return any(self._last.get(id(x), (None, 0))[1] > count for x in owners)


def _owners(x: Any) -> list[Any]:
    """The array, and the one whose memory it looks at."""
    base = getattr(x, "base", None)
    return [x] if base is None or not hasattr(base, "dtype") else [x, base]


writes = Writes()
