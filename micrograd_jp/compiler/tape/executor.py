"""実行のしかた `"tape"`: テープを機械語の核で実行する。

    pip install "micrograd_jp[fast]"

で入る llvmlite が要る。なければ、同じ計算を `Levels` が NumPy で、もっとゆっくりする。

値の置き場 `v` は、スロット × レーンの表である。標本が多いときは 64・32・16 個ずつレーンに並べ、
1 つの命令で 1 度に計算する。レーンの数は核ごとに決まっていて（決まっているから SIMD になる）、
余ったレーンには最初の標本の写しを入れておき、答えを使わない。
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.run.memory import aligned_zeros
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.table.table import Array, Trace
from micrograd_jp.compiler.tape.kernel import available, enough, kernels, library
from micrograd_jp.compiler.tape.layout import LANES, Layout, chunks, has_machine_code, laid_out
from micrograd_jp.compiler.tape.tape import Tape, assembled

KEPT_BYTES = 1 << 28
"""順伝播の値を覚えておくメモリの上限。超えるときは、逆伝播のときにもう一度計算する。"""


def executor(trace: Trace, dtype: Any) -> NativeTape | Levels:
    """表をテープにして、実行器を作る。機械語にできない演算があれば `Levels` になる。

    Args:
        trace: 簡約された表。
        dtype: float32 か float64。
    """
    if available():
        tape = assembled(trace)
        if has_machine_code(tape):
            return NativeTape(tape, dtype)
    return Levels(trace, dtype)


class _Table:
    """Slots × lanes of numbers, and where they are. Aligned; at least one slot."""

    def __init__(self, slots: int, lanes: int, dtype: Any) -> None:
        self.lanes = lanes
        self.values = aligned_zeros((max(slots, 1), lanes), dtype)
        self.address: int = self.values.ctypes.data


class NativeTape:
    """機械語で実行するテープ。`Executor` の約束を守る。

    1 つの実行器は 1 度に 1 つのスレッドだけが使う（`Compilation.turn`）。核は GIL を放して動く。

    Args:
        tape: 実行するテープ。
        dtype: float32 か float64。
    """

    def __init__(self, tape: Tape, dtype: Any) -> None:
        self.tape, self.dtype = tape, np.dtype(dtype)
        self.layout: Layout = laid_out(tape)
        self._operations = enough({i.name for i in tape.instructions})
        outputs = self.layout.outputs
        self._repeated = len(np.unique(outputs)) < len(outputs)
        self._words = (self.layout.forward, self.layout.backward)
        self._addresses = tuple(words.ctypes.data for words in self._words)
        self._library = ctypes.addressof(library())
        self._gradients: dict[int, _Table] = {}
        self._spare: dict[int, list[_Table]] = {lanes: [] for lanes in LANES}
        self._kept: list[_Table] | None = []
        self._last: tuple[Array, Array] = (np.empty(0), np.empty((0, 0)))

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        x = inputs[0] if len(inputs) == 1 else np.concatenate(list(inputs))
        layout, batch = self.layout, x.shape[1]
        outputs: Array = np.empty((len(layout.outputs), batch), dtype=self.dtype)
        for table in self._kept or ():
            self._spare[table.lanes].append(table)
        self._kept = []
        if layout.slots * batch * self.dtype.itemsize > KEPT_BYTES:
            # Computed again for the gradients: what is updated meanwhile must not count.
            self._kept, parameters, x = None, parameters.copy(), x.copy()
        self._last = parameters, x
        for start, stop, lanes in chunks(batch):
            v = self._evaluated(start, stop, lanes)
            outputs[:, start:stop] = v.values[layout.outputs, : stop - start]
            (self._spare[lanes] if self._kept is None else self._kept).append(v)
        return outputs

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        layout, batch = self.layout, seeds.shape[1]
        p, k = len(self.tape.parameters), len(self.tape.inputs)
        of_parameters: Array = np.zeros(p)  # however many chunks there are
        gradients: Array | None = np.empty((k, batch), dtype=self.dtype) if of_inputs else None
        with np.errstate(all="ignore"):  # ∞ − ∞ is an answer
            for n, (start, stop, lanes) in enumerate(chunks(batch)):
                v = self._evaluated(start, stop, lanes) if self._kept is None else self._kept[n]
                table = self._gradient_table(lanes)
                g = table.values[:, : stop - start]
                if self._repeated:
                    np.add.at(g, layout.outputs, seeds[:, start:stop])
                else:
                    g[layout.outputs] = seeds[:, start:stop]
                self._run(1, v, table)
                of_parameters += g[:p].sum(axis=1)
                if gradients is not None:
                    gradients[:, start:stop] = g[p : p + k]
                table.values[: layout.leaves] = 0  # the kernel has cleared the others
                self._gradients[lanes] = table
                if self._kept is None:
                    self._spare[lanes].append(v)
        return of_parameters.astype(self.dtype), gradients

    # ---- 中身 ----

    def _evaluated(self, start: int, stop: int, lanes: int) -> _Table:
        """The values of some samples."""
        parameters, x = self._last
        table = self._value_table(lanes)
        v, p, n = table.values, len(parameters), stop - start
        v[:p] = parameters[:, None]
        v[p : p + len(x), :n] = x[:, start:stop]
        if n < lanes:
            v[p : p + len(x), n:] = x[:, start : start + 1]
        self._run(0, table, table)
        return table

    def _run(self, which: int, v: _Table, g: _Table) -> None:
        kernel = kernels(self.dtype.name, v.lanes, self._operations)[which]
        wrong = kernel(self._addresses[which], v.address, g.address, self._library)
        if wrong:
            opcode = self._words[which][wrong - 1]
            raise RuntimeError(
                f"テープの {wrong - 1} 語目に知らない命令 {opcode} があります (unknown opcode): "
                "命令の列が書き換えられています。"
            )

    def _value_table(self, lanes: int) -> _Table:
        if self._spare[lanes]:
            return self._spare[lanes].pop()
        layout = self.layout
        table = _Table(layout.slots, lanes, self.dtype)
        constants = slice(layout.leaves - len(layout.constants), layout.leaves)
        table.values[constants] = layout.constants[:, None]
        return table

    def _gradient_table(self, lanes: int) -> _Table:
        """All zero. It is put back when it is zero again: not where a backward pass is stopped."""
        return self._gradients.pop(lanes, None) or _Table(self.layout.slots, lanes, self.dtype)
