"""形を変える関数: reshape、transpose、broadcast、連結、分割、…。"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import Node
from micrograd_jp.ops import arrays as ops
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import (
    Shape,
    broadcastable,
    broadcasts_to,
    integers,
    normalized_axes,
    one_axis,
    shape_of,
)
from micrograd_jp.tensor.registry import function
from micrograd_jp.tensor.run import run, shapes_differ


@function()
def reshape(x: Any, *shape: Any) -> Tensor:
    """形を変える。1 つだけ −1 にでき、残りから決まる。

    Raises:
        ValueError: 要素の数が合わない。
    """
    return _reshaped(as_tensor(x), integers(shape, "reshape"), "reshape")


@function()
def reshape_as(x: Any, other: Any) -> Tensor:
    """`other` と同じ形にする。"""
    return _reshaped(as_tensor(x), as_tensor(other).shape, "reshape_as")


@function()
def view(x: Any, *shape: Any) -> Tensor:
    """`reshape` と同じ (PyTorch の名前)。"""
    return _reshaped(as_tensor(x), integers(shape, "view"), "view")


@function()
def view_as(x: Any, other: Any) -> Tensor:
    """`other` と同じ形にする (PyTorch の名前)。"""
    return _reshaped(as_tensor(x), as_tensor(other).shape, "view_as")


@function()
def ravel(x: Any) -> Tensor:
    """1 次元に並べる。メモリに順に並んでいなければ写し。"""
    return contiguous(x).reshape(-1)


def _reshaped(x: Tensor, wanted: Shape, name: str) -> Tensor:
    known, size = prod(n for n in wanted if n != -1), x.numel()
    fits = size == known if -1 not in wanted else known and size % known == 0
    if wanted.count(-1) > 1 or not fits or any(n < -1 for n in wanted):
        raise ValueError(
            f"{name} できません (invalid shape): {x.shape} の {size} 個の要素は "
            f"{wanted} に並びません。要素の数を合わせてください。"
        )
    return run(ops.reshape, x, shape=wanted)


@function()
def flatten(x: Any, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """`start_axis` から `end_axis` までの軸を 1 つにまとめる。"""
    t = as_tensor(x)
    if t.ndim == 0:
        t = reshape(t, 1)
    a, b = (one_axis(axis, t.ndim, "flatten") for axis in (start_axis, end_axis))
    if a > b:
        raise ValueError(f"flatten の軸の順が逆です (start after end): {start_axis}, {end_axis}。")
    return t if a == b else reshape(t, *t.shape[:a], prod(t.shape[a : b + 1]), *t.shape[b + 1 :])


@function()
def contiguous(x: Any) -> Tensor:
    """メモリに順に並んでいれば自分、そうでなければ写し。`view` はどんな並びにも使える。"""
    t = as_tensor(x)
    flags = getattr(t._data, "flags", None)
    if flags is None or flags.c_contiguous:
        return t
    copy: Tensor = t.clone()  # in the order of t, which may be another
    return copy if copy._data.flags.c_contiguous else copy.reshape(-1).reshape(t.shape)


@function()
def squeeze(x: Any, axis: Any = None) -> Tensor:
    """長さ 1 の軸を除く。`axis` がなければ、長さ 1 の軸すべて。長さが 1 でない軸は残る。"""
    x = as_tensor(x)
    axes = normalized_axes(axis, x.ndim, "squeeze")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


@function()
def unsqueeze(x: Any, axis: int) -> Tensor:
    """長さ 1 の軸を加える。"""
    x = as_tensor(x)
    a = one_axis(axis, x.ndim + 1, "unsqueeze")
    return reshape(x, (*x.shape[:a], 1, *x.shape[a:]))


@function(torch={"dim0": "axes", "dim1": "axes"})
def transpose(x: Any, *axes: Any) -> Tensor:
    """軸を入れ替える。

    `t.transpose(0, 1)` のように 2 つの番号なら、PyTorch と同じく、その 2 つの軸を入れ替える。
    並び `t.transpose((2, 0, 1))` や 3 つ以上の番号なら、NumPy と同じく、軸をその順に並べる。
    引数がなければ逆順。

    Raises:
        ValueError: すべての軸を 1 度ずつ挙げていない。
    """
    if len(axes) == 2:
        return swapaxes(x, *axes)
    x = as_tensor(x)
    return _permuted(x, axes or (tuple(reversed(range(x.ndim))),), "transpose")


@function(torch={"dims": "axes"})
def permute(x: Any, *axes: Any) -> Tensor:
    """軸をその順に並べ替える (PyTorch の名前)。

    Raises:
        ValueError: すべての軸を 1 度ずつ挙げていない。
    """
    return _permuted(as_tensor(x), axes, "permute")


def _permuted(x: Tensor, axes: Sequence[Any], name: str) -> Tensor:
    given = integers(axes, name)
    order = normalized_axes(given, x.ndim, name)
    if len(given) != x.ndim:
        raise ValueError(
            f"{name} には {x.ndim} 個の軸すべてが必要です (expected every axis): {given}。"
            "2 つの軸を入れ替えるのは t.swapaxes(a, b) です。"
        )
    return run(ops.transpose, x, axes=order)


@function(torch={"dim0": "first", "dim1": "second", "axis0": "first", "axis1": "second"})
def swapaxes(x: Any, first: int, second: int) -> Tensor:
    """2 つの軸を入れ替える。"""
    x = as_tensor(x)
    a, b = (one_axis(axis, x.ndim or 1, "swapaxes") for axis in (first, second))
    if not x.ndim:
        return reshape(x)
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return run(ops.transpose, x, axes=tuple(order))


@function()
def t(x: Any) -> Tensor:
    """行列の転置 (PyTorch の名前)。1 次元以下はそのまま。

    Raises:
        ValueError: 3 次元以上。
    """
    matrix = as_tensor(x)
    if matrix.ndim > 2:
        raise ValueError(
            "t() は 2 次元までの Tensor に使います (expected at most 2-d): "
            f"形は {matrix.shape} です。最後の 2 つの軸を入れ替えるのは x.mT です。"
        )
    return matrix.T


@function()
def movedim(x: Any, source: Any, destination: Any) -> Tensor:
    """軸 `source` を `destination` の場所へ動かす。ほかの軸の順は変わらない。"""
    x = as_tensor(x)
    sources, places = (normalized_axes(a, x.ndim, "movedim") for a in (source, destination))
    if len(sources) != len(places):
        raise ValueError(
            f"movedim の軸の数が合いません (length mismatch): {source!r} と {destination!r}。"
        )
    order = [a for a in range(x.ndim) if a not in sources]
    for place, a in sorted(zip(places, sources, strict=True)):
        order.insert(place, a)
    return run(ops.transpose, x, axes=tuple(order))


@function()
def broadcast_to(x: Any, *shape: Any) -> Tensor:
    """形を広げる。広げる軸の長さは 1 でなければならない。"""
    x, wanted = as_tensor(x), shape_of(shape, "broadcast_to")
    broadcasts_to("broadcast_to", x.shape, wanted)
    if x.shape == wanted:
        return run(ops.reshape, x, shape=wanted)
    return run(ops.broadcast_to, x, shape=wanted)


@function(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """いくつもの Tensor を、ブロードキャストした 1 つの形に広げる。

    Raises:
        ValueError: 形が揃わない。
    """
    xs = tuple(map(as_tensor, tensors))
    if not broadcastable(*(x.shape for x in xs)):
        raise shapes_differ("broadcast_tensors", *xs)
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    return tuple(broadcast_to(x, shape) for x in xs)


@function()
def expand(x: Any, *shape: Any) -> Tensor:
    """`broadcast_to` と同じ。−1 はもとの長さのまま (PyTorch の名前)。"""
    x, wanted = as_tensor(x), integers(shape, "expand")
    own = (-1,) * (len(wanted) - x.ndim) + x.shape
    return broadcast_to(x, tuple(o if n == -1 else n for n, o in zip(wanted, own, strict=False)))


@function()
def expand_as(x: Any, other: Any) -> Tensor:
    """`other` の形に広げる。"""
    return broadcast_to(x, as_tensor(other).shape)


@function(torch={"dims": "axis"})
def flip(x: Any, axis: Any = None) -> Tensor:
    """逆順にする。"""
    x = as_tensor(x)
    return run(ops.flip, x, axis=normalized_axes(axis, x.ndim, "flip"))


@function(torch={"shifts": "shift", "dims": "axis"})
def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    """巡回させる。`axis` がなければ、平らに並べて回す。"""
    x = as_tensor(x)
    if axis is None:
        return roll(flatten(x), shift, 0).reshape(x.shape)
    shifts = integers(shift if isinstance(shift, Sequence) else (shift,), "roll")
    axes = normalized_axes(axis, x.ndim, "roll")
    if len(shifts) != len(axes):
        raise ValueError(
            f"roll の shift {shifts} と axis {axes} の数が合いません (length mismatch)。"
        )
    return run(ops.roll, x, shift=shifts, axis=axes)


@function(method=False)
def pad(x: Any, widths: Any, value: float = 0.0) -> Tensor:
    """まわりを `value` で埋める。`widths` は軸ごとの (前, 後) か、共通の 1 つの整数。"""
    x = as_tensor(x)
    try:
        pairs = ((widths, widths),) * x.ndim if isinstance(widths, int) else tuple(widths)
        pairs = tuple((int(a), int(b)) for a, b in pairs)
    except (TypeError, ValueError):
        pairs = ((-1, -1),)
    if len(pairs) != x.ndim or any(n < 0 for pair in pairs for n in pair):
        raise ValueError(
            "pad の幅は軸ごとの 0 以上の (前, 後) です (invalid widths): "
            f"{x.ndim} 次元に {widths!r}。"
        )
    if not is_number(value):
        raise TypeError(
            f"pad の value は数です (expected a number): {type(value).__name__} が渡されました。"
            "1 つの数なら x.item() を渡し、勾配を流すなら mg.where か mg.cat を使ってください。"
        )
    return run(ops.pad, x, widths=pairs, value=value)


@function(torch={"dims": "reps"})
def tile(x: Any, *reps: Any) -> Tensor:
    """配列ごと並べて繰り返す (PyTorch の `t.repeat` も)。`reps` は軸ごとの回数。"""
    x, times = as_tensor(x), shape_of(reps, "tile")
    ndim = max(len(times), x.ndim)
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - x.ndim) + x.shape
    spread = reshape(x, tuple(n for own in shape for n in (1, own)))
    spread = broadcast_to(spread, tuple(n for pair in zip(times, shape) for n in pair))
    # Never a view, and in order.
    return reshape(spread, tuple(t * n for t, n in zip(times, shape))).clone().contiguous()


def _repeated(x: Any, *sizes: Any, axis: None = None) -> Tensor:
    x, times = as_tensor(x), shape_of(sizes, "repeat")
    if axis is not None or len(times) < x.ndim:
        raise ValueError(
            f"t.repeat には、{x.ndim} 個の軸すべての回数が必要です (expected every axis): "
            f"{times}。要素を 1 つずつ繰り返すのは t.repeat_interleave(回数, 軸) です。"
        )
    return tile(x, times)


function(
    package=False,
    torch={"repeats": "sizes"},
    name="repeat",
    summary="配列ごと並べて繰り返す (PyTorch の名前)。",
)(_repeated)


# ---- 連結と分割 -------------------------------------------------------------------------------


@function(method=False)
def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """同じ形の `Tensor`、`Value`、数を、新しい軸に積む。勾配は 1 つ 1 つに戻る。

    Raises:
        ValueError: 空、または形が揃わない。
    """
    items = [x if isinstance(x, Node) else as_tensor(x) for x in xs]
    shapes = [tuple(getattr(x, "shape", ())) for x in items]
    _require_same("stack", shapes, shapes)
    return run(ops.stack, *items, axis=one_axis(axis, len(shapes[0]) + 1, "stack"))


@function(method=False)
def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """ある軸に沿ってつなぐ。

    Raises:
        ValueError: 空、またはほかの軸の長さが揃わない。
    """
    tensors = [as_tensor(x) for x in xs]
    shapes = [x.shape for x in tensors]
    shape = next((s for s in shapes if s != (0,)), (0,))
    a = one_axis(axis, len(shape), "concatenate") if shape != (0,) else 0
    if len(shape) != 1 and (0,) in shapes:  # as in PyTorch, where [] may be one of the matrices
        none = (*shape[:a], 0, *shape[a + 1 :])
        tensors = [x.reshape(none) if x.shape == (0,) else x for x in tensors]
        shapes = [x.shape for x in tensors]
    _require_same("concatenate", shapes, [(*s[:a], *s[a + 1 :], len(s)) for s in shapes])
    return run(ops.concatenate, *tensors, axis=a)


def _require_same(name: str, shapes: list[Shape], parts: list[Shape]) -> None:
    if len(set(parts)) != 1:
        shown = ", ".join(map(str, shapes)) or "空の並び"
        raise ValueError(
            f"{name} の形が揃っていません (shape mismatch): {shown}。"
            "1 つ以上の、形の揃った Tensor を渡してください。"
        )


@function(torch={"tensor": "x", "split_size": "sizes", "split_size_or_sections": "sizes"})
def split(x: Any, sizes: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """ある軸に沿って分ける (PyTorch の `split`)。

    Args:
        x: 分けるもの。
        sizes: 1 つ 1 つの長さ。整数なら、その長さずつ（最後だけ短いことがある）。
        axis: 軸。

    Raises:
        ValueError: 長さの合計が軸の長さと違う。
    """
    x = as_tensor(x)
    a = one_axis(axis, x.ndim, "split")
    n = x.shape[a]
    given = integers(sizes if isinstance(sizes, Sequence) else (sizes,), "split")
    if isinstance(sizes, Sequence):
        lengths = given
    else:
        step = given[0]
        lengths = (min(step, n),)  # as in PyTorch: one piece, also of an empty axis
        if step > 0 and n:
            lengths = tuple(min(step, n - i) for i in range(0, n, step))
    if sum(lengths) != n or any(length < 0 for length in lengths):
        raise ValueError(
            f"split の長さ {sizes!r} が合いません (sizes do not add up): "
            f"軸 {a} の長さは {n} です。合計が {n} になる並びか、正の整数を渡してください。"
        )
    ends = [0, *np.cumsum(lengths, dtype=int).tolist()]
    return tuple(x[(slice(None),) * a + (slice(i, j),)] for i, j in pairwise(ends))
