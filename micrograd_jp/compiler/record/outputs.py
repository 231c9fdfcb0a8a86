"""関数の返したものの形: リストは配列の軸に、組と辞書はそのままの構造になる。"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from micrograd_jp.compiler.record.recorder import Recorder, TraceError
from micrograd_jp.compiler.table.table import Array, pieces
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.engine.value import Value


@dataclass(frozen=True)
class Outputs:
    """出力の構造。

    Attributes:
        shapes: 構造の葉ごとの、1 つの標本の形。
        structure: 関数の返した組・辞書・並び。葉は `None`。
    """

    shapes: list[tuple[int, ...]]
    structure: Any

    def rebuild(self, leaves: Sequence[Any]) -> Any:
        """葉の並びを、関数の返した構造に組み直す。"""
        return _filled(self.structure, iter(leaves))

    @cached_property
    def is_scalar(self) -> bool:
        """標本ごとに 1 つの数か。"""
        return self.shapes == [()]

    @cached_property
    def leaves(self) -> list[tuple[tuple[int, ...], slice]]:
        """葉ごとの、形と、(O, N) の出力の中の行。"""
        return list(zip(self.shapes, pieces(map(math.prod, self.shapes)), strict=True))


def numbered(returned: Any, recorder: Recorder) -> tuple[list[int], Outputs]:
    """返されたものの中の数の番号を順に並べたものと、その構造。

    Raises:
        TraceError: 数でも `Value` でもないものが返された。
    """
    numbers: list[int] = []
    shapes: list[tuple[int, ...]] = []

    def visit(x: Any) -> Any:
        shape = _regular_shape(x)
        if shape is None:  # also a list of lists of different lengths: it stays a list
            return each(visit, x)
        for leaf in _leaves(x):
            if not isinstance(leaf, Value) and not is_number(leaf):
                raise TraceError(
                    "コンパイルする関数は Value か、その並び・組・辞書を返します "
                    f"(expected Values): {type(leaf).__name__} が返されました。"
                )
            numbers.append(recorder.operand(leaf))
        shapes.append(shape)
        return None

    structure = visit(returned)
    return numbers, Outputs(shapes, structure)


def _filled(structure: Any, leaves: Iterator[Any]) -> Any:
    if structure is None:
        return next(leaves)
    return each(lambda part: _filled(part, leaves), structure)


def each(f: Callable[[Any], Any], x: Any) -> Any:
    """組（名前つきのものも）・辞書・並びの、中身を `f` で置き換えたもの。"""
    if isinstance(x, dict):
        return {k: f(y) for k, y in x.items()}
    if hasattr(x, "_fields"):
        return type(x)(*map(f, x))
    return tuple(map(f, x)) if isinstance(x, tuple) else list(map(f, x))


def _regular_shape(x: Any) -> tuple[int, ...] | None:
    if isinstance(x, np.ndarray):
        return tuple(x.shape)
    if not isinstance(x, list):
        return None if isinstance(x, tuple | dict) else ()
    shapes = [_regular_shape(y) for y in x]
    if not shapes:
        return (0,)
    if shapes[0] is None or any(shape != shapes[0] for shape in shapes):
        return None
    return (len(x), *shapes[0])


def _leaves(x: Any) -> Any:
    if isinstance(x, list | np.ndarray) and not (isinstance(x, np.ndarray) and x.ndim == 0):
        for y in x:
            yield from _leaves(y)
    else:
        yield x.item() if isinstance(x, np.ndarray) else x


def arranged(flat: Array, outputs: Outputs, batched: bool) -> list[Array]:
    """(O, N) の出力を、葉ごとの (N, *shape)（標本が 1 つのときは shape）の配列に分ける。"""
    if batched and outputs.is_scalar:
        return [flat[0]]
    out = []
    for shape, own in outputs.leaves:
        rows = flat[own]
        if not shape:
            out.append(rows[0] if batched else rows[0, 0, ...])
        elif batched:
            out.append(np.ascontiguousarray(rows.T).reshape(rows.shape[1], *shape))
        else:
            out.append(rows[:, 0].reshape(shape))
    return out


def collected(parts: Sequence[Array], batch: int) -> Array:
    """`arranged` の逆: 葉ごとの配列を (O, N) に。"""
    return np.concatenate([x.reshape(batch, math.prod(x.shape[1:])).T for x in parts])
