"""配列の書き換えを覚えておく: 順伝播のあとで変わった値から、黙って違う勾配を作らないために。

配列のノードは、使った配列をそのまま持っている（写すと遅い）。だから記録したときの書き換えの回数を
ノードに残し、逆伝播のときに、それより後に書き換えられた値が要るなら断る (PyTorch の version
counter と同じ考え)。どの要素が書き換えられたかまで覚えるので、`h[t + 1] = f(h[t])` の `h[t]` は
使える。`t.data` や `t.detach()` に書いても見える。ndarray `t.detach().numpy()` への直接の代入は
見えない。
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided


class Writes:
    """書き換えの回数と、それぞれの配列がいつ書き換えられたか。

    Attributes:
        count: これまでの書き換えの回数。
        tracked: 計算グラフの中の値が書き込まれたことがあるか（`Tensor.latest`）。
    """

    __slots__ = ("_last", "count", "tracked")

    def __init__(self) -> None:
        self.count = 0
        self.tracked = False
        self._last: dict[int, _Record] = {}

    def note(self, array: Any, key: Any = None) -> None:
        """`array` の（`key` があれば、その場所だけの）メモリが書き換えられたことを覚える。"""
        self.count += 1
        owner = _owner(array)
        record = self._last.get(id(owner))
        if record is None:
            # The reference keeps nothing alive: when the array goes, so does its entry.
            gone = weakref.ref(owner, partial(self._forget, id(owner)))
            record = self._last[id(owner)] = _Record(gone)
        record.note(owner, array, key, self.count)

    def _forget(self, key: int, _: Any) -> None:
        self._last.pop(key, None)

    def after(self, count: int, array: Any) -> bool:
        """`count` 回目より後に、`array` のどこかが書き換えられたか。"""
        owner = _owner(array)
        record = self._last.get(id(owner))
        return record is not None and record.after(owner, array, count)


class _Record:
    """When the memory of one array was written: as a whole, or element by element."""

    __slots__ = ("elements", "gone", "whole")

    def __init__(self, gone: Any) -> None:
        self.gone, self.whole = gone, 0
        self.elements: Any = None

    def note(self, owner: Any, array: Any, key: Any, count: int) -> None:
        if key is None and array.size == owner.size:
            self.whole = count
            return
        if self.elements is None:
            self.elements = np.zeros_like(owner, np.int64, subok=False)
        part = _places(self.elements, owner, array)
        if part is None:
            self.whole = count
        else:
            part[... if key is None else key] = count

    def after(self, owner: Any, array: Any, count: int) -> bool:
        if self.whole > count or self.elements is None:
            return bool(self.whole > count)
        part = _places(self.elements, owner, array)
        return bool((self.elements if part is None else part).max(initial=0) > count)


def _owner(x: Any) -> Any:
    """The array whose memory x looks at."""
    while isinstance(getattr(x, "base", None), np.ndarray):
        x = x.base
    return x


def _places(elements: Any, owner: Any, array: Any) -> Any:
    """The part of `elements`, one for each element of the owner, that the array shows."""
    if array is owner:
        return elements
    size = owner.itemsize
    start = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    if array.itemsize != size or any(s % size for s in (start, *array.strides)):
        return None
    if not (owner.flags.c_contiguous or owner.flags.f_contiguous):
        return None
    strides = [s // size * elements.itemsize for s in array.strides]
    flat = elements.reshape(-1, order="A")  # as it lies in memory, and the owner's elements do
    return as_strided(flat[start // size :], array.shape, strides)


class Overwritten:
    """書き換えられた値の代わり: 形と型だけが残っていて、値を使うと断る。"""

    __slots__ = ("_error", "dtype", "ndim", "shape")

    def __init__(self, array: Any, error: RuntimeError) -> None:
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype
        self._error = error

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """使われた: 断る。"""
        raise self._error

    def __getattr__(self, name: str) -> NoReturn:
        raise self._error

    __array__ = __array_ufunc__ = __array_function__ = __jax_array__ = refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __pow__ = __rpow__ = refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __abs__ = refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = refuse
    __getitem__ = __iter__ = __len__ = __bool__ = __float__ = refuse
    __hash__ = object.__hash__


writes = Writes()


def latest(x: Any) -> Any:
    """計算グラフの中で、`x` のいまの値を表すノード。書き換えられたことがなければ `x` 自身。"""
    return getattr(x, "latest", x) if writes.tracked else x
