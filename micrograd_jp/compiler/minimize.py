"""`loss.minimize`: 標本を少しずつ使う更新の繰り返しから、呼び出しごとの手間を省いたもの。"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.pipeline import Compilation
from micrograd_jp.compiler.record.inputs import Arguments
from micrograd_jp.graph.leaves import clear_gradients
from micrograd_jp.graph.node import lock as adding
from micrograd_jp.tensor.array import Tensor


class Update:
    """勾配の決まったパラメータの、1 回の更新。

    Args:
        optimizer: 最適化手法。
        scheduler: 学習率のスケジューラー、または `None`。

    Raises:
        TypeError: `step` がない。
    """

    def __init__(self, optimizer: Any, scheduler: Any) -> None:
        found = {"optimizer": optimizer} | ({} if scheduler is None else {"scheduler": scheduler})
        for name, x in found.items():
            if not callable(getattr(x, "step", None)):
                raise TypeError(
                    f"{name} は step() のあるものです (expected an object with step()): "
                    f"{type(x).__name__} が渡されました。"
                    "loss.minimize(optimizer, X, T) のように書いてください。"
                )
        self._optimizer, self._scheduler = optimizer, scheduler

    def __call__(self) -> None:
        """`grad` にある勾配で更新する。"""
        self._optimizer.step()
        if self._scheduler is not None:
            self._scheduler.step()

    def repeated(self, parameters: Sequence[Tensor]) -> Callable[[Any], bool] | None:
        """勾配を直に渡して続けて行うもの（`Optimizer.repeated`）。なければ `None`。"""
        found = getattr(self._optimizer, "repeated", None)
        if found is None or self._scheduler is not None or len(parameters) != 1:
            return None
        again: Callable[[Any], bool] | None = found(parameters[0])
        return again


def part_of(x: Any, part: slice) -> Any:
    """引数の構造の、標本の一部。"""
    if x.__class__ in (list, tuple):
        return x.__class__([part_of(y, part) for y in x])
    if isinstance(x, dict):
        return {key: part_of(y, part) for key, y in x.items()}
    is_array = isinstance(x, Tensor) or namespace.is_array(x)
    return x[part] if is_array and x.ndim else x


def updated(
    compilation: Compilation,
    arguments: Arguments,
    batch: int,
    update: Update,
    leaves: Sequence[Tensor],
) -> Iterator[Any]:
    """`batch` 個ずつの値。受け取ったときには、その勾配での更新は済んでいる。"""
    again, rest = None, None  # and a gradient that is not in `grad` yet

    def receive(gradient: Any) -> None:
        with adding:
            clear_gradients(leaves)
            compilation.binding.receive(gradient)

    try:
        for out, gradient in compilation.each(arguments.arrays, arguments.samples, batch):
            again = again or update.repeated(compilation.binding.tensors)
            if again is not None and again(gradient):
                rest = gradient
            else:
                again = rest = None
                receive(gradient)
                update()
            yield out[0]
    finally:
        if rest is not None:
            receive(rest)


def one_by_one(
    loss: Any, given: tuple[Any, Any], samples: int, batch: int, update: Update
) -> Iterator[Any]:
    """同じものを、1 回ずつ呼んで: NumPy のほかの配列と、入力も勾配を求めるときに。"""
    for start in range(0, samples, batch):
        args, kwargs = part_of(given, slice(start, start + batch))
        values = loss(*args, **kwargs)
        loss.zero_grad()
        loss.backward()
        update()
        yield values._data


def joined(values: Sequence[Any], dtype: Any) -> Tensor:
    """すべての標本の値。"""
    if not values:
        return Tensor(np.empty(0, dtype))
    return Tensor(namespace.of(*values).concatenate(values))
