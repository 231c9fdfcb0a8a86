"""`loss.minimize`: 標本を少しずつ使う更新の繰り返しから、呼び出しごとの手間を省いたもの。"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.call import require_indices
from micrograd_jp.compiler.pipeline import Compilation
from micrograd_jp.compiler.record.inputs import Arguments, read, wanting
from micrograd_jp.compiler.record.outputs import each
from micrograd_jp.compiler.record.parameters import Binding
from micrograd_jp.compiler.record.ragged import Bucket, buckets
from micrograd_jp.graph.leaves import clear_gradients
from micrograd_jp.graph.node import lock as adding
from micrograd_jp.optim.fused import Work
from micrograd_jp.optim.units import Repeated
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

    def repeated(self, parameters: Sequence[Tensor]) -> Repeated | None:
        """勾配を直に渡して続けて行うもの（`Optimizer.repeated`）。なければ `None`。"""
        optimizer, scheduler = self._optimizer, self._scheduler
        found = getattr(optimizer, "repeated", None)
        if found is None or len(parameters) != 1:
            return None
        if scheduler is not None:
            foretells = getattr(scheduler, "foretells", None)
            if foretells is None or not foretells(optimizer):
                return None
        again: Repeated | None = found(parameters[0], scheduler)
        return again


class Receiver:
    """勾配を受け取り、更新する。続けて行えるあいだは、`grad` には最後のものだけを入れる。

    Args:
        update: 更新。
        binding: 更新されるパラメータ。
        leaves: その `Tensor`。
        goes_on: 同じ計算の次の標本に、そのまま進んでよいか。
    """

    def __init__(
        self, update: Update, binding: Binding, leaves: Sequence[Tensor], goes_on: bool = True
    ) -> None:
        self._update, self._binding, self._leaves = update, binding, leaves
        self._goes_on = goes_on
        self._again: Repeated | None = None
        self._rest: Any = None  # a gradient that is not in `grad` yet

    def __call__(self, gradient: Any) -> None:
        """1 回の更新。"""
        again = self._again or self._update.repeated(self._binding.tensors)
        if again is not None and again.update(gradient):
            self._again, self._rest = again, gradient
        else:
            self._again = self._rest = None
            self._put(gradient)
            self._update()

    def several(self, gradient: Any, count: int, run: Callable[[Work], None]) -> None:
        """`pipeline.Receiver` を見よ。"""

        def ran(work: Work) -> None:
            try:
                run(work)
            finally:  # an interrupt comes when the machine code has ended
                if work.done[0]:
                    self._rest = gradient.copy()

        if self._again is not None and self._goes_on:
            self._again.several(gradient, count, ran)

    def finish(self) -> None:
        """最後の勾配を `grad` に入れる。"""
        if self._rest is not None:
            self._put(self._rest)

    def _put(self, gradient: Any) -> None:
        with adding:
            clear_gradients(self._leaves)
        self._binding.receive(gradient)


def minimized(loss: Any, update: Update, batch: int, epochs: int, given: tuple[Any, Any]) -> Tensor:
    """`Compiled.minimize`。`given` は関数の引数 (位置、名前)。"""
    parts = buckets(*given)
    if parts is not None:
        return _of_lengths(loss, update, (batch, epochs), given, parts)
    every = read(*given)
    if every.batch is None:
        raise ValueError(
            "minimize には、先頭の軸が標本の配列が要ります (expected arrays of samples): "
            "loss.minimize(optimizer, X, T) のように渡してください。標本が 1 つだけなら、"
            "x[None] とします。"
        )
    # What is estimated is what is run again and again.
    first, named = _part_of(given, slice(0, batch))
    compilation = loss.compilation_of(first, named, read(first, named))
    compilation.require_scalar("minimize")
    if every.asking or namespace.of(*every.arrays) is not namespace.ieee:
        starts = [*range(0, every.batch, batch)] * epochs
        values = _one_by_one(loss, given, starts, batch, update)
    else:
        receiver = Receiver(update, compilation.binding, loss.vectors())
        values = _updated(compilation, every, (batch, epochs), receiver)
    return _joined([*values], compilation.dtype)


def _of_lengths(
    loss: Any, update: Update, turns: tuple[int, int], given: tuple[Any, Any],
    parts: Sequence[Bucket],
) -> Tensor:  # fmt: skip
    """The same on samples of different lengths."""
    batch, epochs = turns
    every = [read(part.args, part.kwargs) for part in parts]
    turn = np.empty(sum(own.samples for own in every), np.int64)  # whose the samples are
    first = [_part_of((part.args, part.kwargs), slice(0, batch)) for part in parts]
    found = [loss.compilation_of(*one, read(*one)) for one in first]
    for k, (compilation, own, part) in enumerate(zip(found, every, parts, strict=True)):
        compilation.require_scalar("minimize")
        require_indices(compilation, own, part)
        turn[part.rows] = k
    leaves = loss.vectors()
    alike = len(leaves) == 1 and all(c.binding.tensors for c in found)
    plain = all(
        own.in_memory and not wanting(part.originals(own.tensors))
        for own, part in zip(every, parts, strict=True)
    )
    if batch > 1 or not (alike and plain):
        starts = [*range(0, len(turn), batch)] * epochs
        return _joined([*_one_by_one(loss, given, starts, batch, update)], loss.dtype)
    receiver = Receiver(update, found[0].binding, leaves, goes_on=False)
    runs = [
        compilation.each(own.arrays, own.samples, 1, epochs, receiver)
        for compilation, own in zip(found, every, strict=True)
    ]
    try:
        return _joined([next(runs[k]) for k in [*turn.tolist()] * epochs], loss.dtype)
    finally:
        receiver.finish()


def _part_of(x: Any, part: slice) -> Any:
    """Some of the samples, in the structure of the arguments."""
    if isinstance(x, list | tuple | dict):
        return each(lambda y: _part_of(y, part), x)
    is_array = isinstance(x, Tensor) or namespace.is_array(x)
    return x[part] if is_array and x.ndim else x


def _updated(
    compilation: Compilation, arguments: Arguments, turns: tuple[int, int], receiver: Receiver
) -> Iterator[Any]:
    """The values of some samples after others: who gets them, the update is done."""
    try:
        yield from compilation.each(arguments.arrays, arguments.samples, *turns, receiver)
    finally:
        receiver.finish()


def _one_by_one(
    loss: Any, given: tuple[Any, Any], starts: Sequence[int], batch: int, update: Update
) -> Iterator[Any]:
    """The same, call by call: for arrays of another library, and inputs that want gradients."""
    for start in starts:
        args, kwargs = _part_of(given, slice(start, start + batch))
        values = loss(*args, **kwargs)
        loss.zero_grad()
        loss.backward()
        update()
        yield values._data


def _joined(values: Sequence[Any], dtype: Any) -> Tensor:
    """The values of all samples."""
    if not values:
        return Tensor(np.empty(0, dtype))
    return Tensor(namespace.of(*values).concatenate(values))
