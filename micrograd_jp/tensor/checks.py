"""形・軸・添字の検査。何かを計算したり変えたりする前に、使い方の分かる言葉で断る。"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def integers(given: Sequence[Any], name: str) -> Shape:
    """`f(2, 3)` も `f((2, 3))` も、整数の組 (2, 3) にする。

    Raises:
        TypeError: 整数でないものがある。
    """
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = given[0]
    return _whole(given, name)


def integer(n: Any, name: str) -> int:
    """整数を 1 つ。`integers` と同じエラー。"""
    return _whole((n,), name)[0]


def _whole(given: Sequence[Any], name: str) -> Shape:
    if any(
        isinstance(n, bool) or not hasattr(n, "__index__") or prod(getattr(n, "shape", ())) != 1
        for n in given
    ):
        raise TypeError(
            f"{name} は整数を受け取ります (expected integers): {tuple(given)!r} が渡されました。"
        )
    return tuple(map(int, given))


def shape_of(given: Sequence[Any], name: str, size: Any = None) -> Shape:
    """形を表す、0 以上の整数の組。

    Args:
        given: `f(2, 3)` か `f((2, 3))` の引数。
        name: エラーに書く関数の名前。
        size: `f(size=(2, 3))` の形 (PyTorch の書き方)。

    Raises:
        TypeError: 整数でないものがある、または形が 2 度渡された。
        ValueError: 負の長さがある。
    """
    if size is not None:
        if given:
            raise TypeError(
                f"{name} の形が 2 度渡されました (given twice): {tuple(given)} と size={size!r}。"
                "どちらか 1 つだけを渡してください。"
            )
        given = (size,)
    shape = integers(given, name)
    if any(n < 0 for n in shape):
        raise ValueError(f"{name} の形に負の長さがあります (negative dimension): {shape}。")
    return shape


def normalized_axes(axis: int | Sequence[int] | None, ndim: int, name: str) -> Shape:
    """軸の指定を、0 以上の番号の組にする。`None` はすべての軸。0 次元の 0 と −1 は、軸がない。

    Raises:
        IndexError: その軸がない。
        ValueError: 同じ軸が 2 度ある。
        TypeError: 整数でない。
    """
    if axis is None:
        return tuple(range(ndim))
    axes = []
    for a in axis if isinstance(axis, Sequence) else (axis,):
        # Never a Tensor or an array, though one number in it would do for an index.
        if isinstance(a, bool) or not isinstance(a, int | np.integer):
            raise TypeError(
                f"{name} の axis は整数かその組です (expected int): {a!r} が渡されました。"
            )
        a = int(a)
        if ndim == 0 and a in (0, -1):  # as in PyTorch, where a number has such an axis
            continue
        if not -ndim <= a < ndim:
            axes_there = f" {-ndim} から {ndim - 1} までです" if ndim else "ありません"
            raise IndexError(
                f"{name} の軸 {a} がありません (axis out of range): "
                f"{ndim} 次元の配列の軸は{axes_there}。"
            )
        axes.append(a % ndim)
    if len(set(axes)) < len(axes):
        raise ValueError(f"{name} の軸が重なっています (duplicate axis): {axis!r}。")
    return tuple(axes)


def one_axis(axis: Any, ndim: int, name: str) -> int:
    """軸を 1 つ。`normalized_axes` と同じエラー。"""
    axes = normalized_axes((axis,), ndim, name)
    if not axes:
        raise IndexError(
            f"{name} の軸 {axis} がありません (axis out of range): 0 次元の配列の軸はありません。"
        )
    return axes[0]


def broadcastable(*shapes: Shape) -> bool:
    """互いにブロードキャストできる形か。"""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def broadcasts_to(name: str, shape: Shape, wanted: Shape) -> None:
    """`shape` を `wanted` に広げられることを確かめる。

    Raises:
        ValueError: 広げられない。
    """
    if not broadcastable(shape, wanted) or np.broadcast_shapes(shape, wanted) != wanted:
        raise ValueError(
            f"{name} できません (shapes do not broadcast): {shape} は {wanted} に"
            "広げられません。広げる軸の長さは 1 でなければなりません。"
        )
