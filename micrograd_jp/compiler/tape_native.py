"""テープを機械語の核で実行する。

値の置き場 `v` は、スロット × レーンの表である。標本が多いときは 64・32・16 個ずつレーンに並べ、
1 つの命令で 1 度に計算する。レーンの数は核ごとに決まっていて（決まっているから SIMD になる）、
余ったレーンには最初の標本の写しを入れておき、答えを使わない。
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.native_cache import kernels, library
from micrograd_jp.compiler.tape import Tape
from micrograd_jp.compiler.tape_layout import Layout, laid_out

Array = np.ndarray[Any, Any]

LANES = (1, 16, 32, 64)
"""用意してあるレーンの数。"""

KEPT_BYTES = 1 << 28
"""順伝播の値を覚えておくメモリの上限。超えるときは、逆伝播のときにもう一度計算する。"""

_ALIGNMENT = 64  # bytes: no load of a full vector crosses a cache line


def chunks(batch: int) -> Iterator[tuple[int, int, int]]:
    """標本を分ける: (始まり, 終わり, レーンの数)。

    16 レーンは 1 レーン 2 本分の時間もかからないので、2 つ以上の標本は必ずレーンに並べる。
    """
    start = 0
    while start < batch:
        left = batch - start
        lanes = next((n for n in LANES if n >= left), LANES[-1])
        yield start, min(start + lanes, batch), lanes
        start += lanes


class NativeTape:
    """機械語で実行するテープ。`Executor` の約束を守る。

    1 つの実行器は 1 度に 1 つのスレッドだけが使う（ほかのスレッドは待つ）。実行中は GIL を放す。

    Args:
        tape: 実行するテープ。
        dtype: float32 か float64。
    """

    def __init__(self, tape: Tape, dtype: Any) -> None:
        self.tape, self.dtype = tape, np.dtype(dtype)
        self.layout: Layout = laid_out(tape)
        self._lock = threading.RLock()
        self._gradients: dict[int, Array] = {}
        self._spare: dict[int, list[Array]] = {}
        self._kept: list[Array] | None = []
        self._last: tuple[Array, Array] = (np.empty(0), np.empty((0, 0)))

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        x = inputs[0] if len(inputs) == 1 else np.concatenate(list(inputs))
        batch = x.shape[1]
        outputs = np.empty((len(self.layout.outputs), batch), dtype=self.dtype)
        with self._lock:
            self._release()
            size = self.layout.slots * batch * self.dtype.itemsize
            self._kept = [] if size <= KEPT_BYTES else None
            self._last = parameters, x
            if self._kept is None:  # whoever updates them meanwhile must not change the gradients
                self._last = parameters.copy(), x.copy()
            for start, stop, lanes in chunks(batch):
                v = self._evaluate(start, stop, lanes)
                outputs[:, start:stop] = v[self.layout.outputs, : stop - start]
                if self._kept is not None:
                    self._kept.append(v)
                else:
                    self._give_back(v)
        return outputs

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        layout, tape = self.layout, self.tape
        p, leaves = len(tape.parameters), layout.leaves
        k = len(tape.inputs)
        of_parameters = np.zeros(p, dtype=self.dtype)
        gradients = np.empty((k, seeds.shape[1]), dtype=self.dtype) if of_inputs else None
        with self._lock:
            for n, (start, stop, lanes) in enumerate(chunks(seeds.shape[1])):
                v = self._evaluate(start, stop, lanes) if self._kept is None else self._kept[n]
                g = self._gradient_buffer(lanes)
                used = g[:, : stop - start]
                np.add.at(used, layout.outputs, seeds[:, start:stop])
                self._run(1, v, g)
                of_parameters += used[:p].sum(axis=1)
                if gradients is not None:
                    gradients[:, start:stop] = used[p : p + k]
                g[:leaves] = 0  # the kernel has cleared the others
                if self._kept is None:
                    self._give_back(v)
        return of_parameters, gradients

    # ---- 中身 ----

    def _evaluate(self, start: int, stop: int, lanes: int) -> Array:
        """The table of values for some samples."""
        parameters, x = self._last
        v = self._values_buffer(lanes)
        p, k = len(parameters), len(x)
        v[:p] = parameters[:, None]
        v[p : p + k, : stop - start] = x[:, start:stop]
        v[p : p + k, stop - start :] = x[:, start : start + 1]
        self._run(0, v, v)
        return v

    def _run(self, which: int, v: Array, g: Array) -> None:
        words = (self.layout.forward, self.layout.backward)[which]
        kernel = kernels(self.dtype.name, v.shape[1])[which]
        wrong = kernel(words.ctypes.data, v.ctypes.data, g.ctypes.data, _library_address())
        if wrong:
            raise RuntimeError(
                f"テープの {wrong - 1} 語目に知らない命令 {words[wrong - 1]} があります "
                "(unknown opcode): 命令の列が書き換えられています。"
            )

    def _values_buffer(self, lanes: int) -> Array:
        spare = self._spare.setdefault(lanes, [])
        if spare:
            return spare.pop()
        v = _zeros(self.layout.slots, lanes, self.dtype)
        leaves = self.layout.leaves
        v[leaves - len(self.layout.constants) : leaves] = self.layout.constants[:, None]
        return v

    def _gradient_buffer(self, lanes: int) -> Array:
        """All zero, and zero again after every backward pass."""
        if lanes not in self._gradients:
            self._gradients[lanes] = _zeros(self.layout.slots, lanes, self.dtype)
        return self._gradients[lanes]

    def _give_back(self, v: Array) -> None:
        self._spare[v.shape[1]].append(v)

    def _release(self) -> None:
        for v in self._kept or ():
            self._give_back(v)
        self._kept = []


def _library_address() -> int:
    return ctypes.addressof(library())


def _zeros(slots: int, lanes: int, dtype: Any) -> Array:
    """An aligned table. At least one slot: a table without any has no address."""
    size = max(slots, 1) * lanes * dtype.itemsize
    raw = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(-1, lanes)
