"""4b. 逆伝播のソースコードを書く (backward): 順伝播の手順を逆にたどる行。

勾配の配列は、はじめに書く行が値を入れ、あとの行が足し込む。だから 0 で埋める手間が要らない。
どの場所に書いたかは、コードを書くときに分かっている。
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    FIXED,
    INPUTS,
    PARAMETERS,
    VARYING,
    Step,
    affine,
    is_contiguous,
    is_varying,
    location,
    of_similar_length,
    row_of,
    space_of,
)
from micrograd_jp.compiler.run.elementary import trees
from micrograd_jp.compiler.run.forward import Forward
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.namespace.stacked import stacked
from micrograd_jp.ops.primitive import Elementwise, Primitive, Reduction

Write = Callable[[str], str]
"""勾配を計算する行を書く関数。引数は書き込み先の名前か `""`（どこでもよい）。入れた名前を返す。"""


class Backward:
    """逆伝播の行を書く。

    Args:
        forward: 順伝播を書いたもの。名前を共有する。
        of_inputs: 入力の勾配も求めるか。

    Attributes:
        lines: 逆伝播の行。引数は `x0, x1, …` と `seeds` (O, N)。
    """

    def __init__(self, forward: Forward, of_inputs: bool) -> None:
        self.forward, self.program = forward, forward.program
        self.lines: list[str] = []
        sizes = self.program.sizes
        self._wanted = {PARAMETERS, FIXED, VARYING} | ({INPUTS} if of_inputs else set())
        self._needed = {space: np.zeros(sizes[space], dtype=bool) for space in range(5)}
        self._needed[PARAMETERS][:] = True
        self._needed[INPUTS][:] = of_inputs
        for step in self.program.steps:
            start, space = int(row_of(step.start)), int(space_of(step.start))
            needed = any(self._any(block, self._needed) for block in step.blocks)
            self._needed[space][start : start + step.size] = needed
        self._written = {space: np.zeros(sizes[space], dtype=bool) for space in range(5)}
        self.accumulate(self.program.outputs, True, lambda out: "seeds")
        for step in reversed(self.program.steps):
            if self._any(step.out, self._needed) and self._any(step.out, self._written):
                self._fill(step.out)
                forward.restart()
                getattr(self, f"_{step.kind}")(step)

    # ---- どこに書いたか ----

    def _marks(self, block: Array, marks: dict[int, Array]) -> Array:
        found = np.zeros(block.shape, dtype=bool)
        for space, own in marks.items():
            mine = space_of(block) == space
            found[mine] = own[row_of(block[mine])]
        return found

    def _any(self, block: Array, marks: dict[int, Array]) -> bool:
        return bool(self._marks(block, marks).any())

    def _mark(self, block: Array) -> None:
        for space, own in self._written.items():
            own[row_of(block[space_of(block) == space])] = True

    def _fill(self, block: Array) -> None:
        """Zeros where nothing has been written yet."""
        for space in self._wanted:
            rows = np.unique(row_of(block[space_of(block) == space]))
            rows = rows[~self._written[space][rows]]
            for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
                if len(run):
                    array = self.forward.whole(space, True)
                    self.lines.append(f"{array}[{run[0]}:{run[-1] + 1}] = 0")
        self._mark(block)

    # ---- 足し込む ----

    def accumulate(self, block: Array, varying: bool, write: Write) -> None:
        """ブロックの勾配に、`write` が計算するものを足し込む。

        Args:
            block: 場所の配列。
            varying: 計算されるものが、標本の軸をもつか。
            write: 計算する行を書く関数。
        """
        if not self._any(block, self._needed):
            return
        found = affine(block)
        if found is not None:  # windows that overlap are no place to store into
            apart = int(np.prod([n for n, stride in zip(block.shape, found[1]) if stride]))
            found = found if len(np.unique(block)) == apart else None
        if found is None or space_of(found[0]) not in self._wanted:
            name = write("")
            for space in self._wanted:
                if self._needed[space].any():
                    self._scatter(space, block, varying, name)
            return
        repeated = [axis for axis, n in enumerate(block.shape) if n > 1 and not found[1][axis]]
        reduced = varying and not is_varying(int(space_of(found[0])))
        if repeated or reduced:
            axes = (*repeated, *([block.ndim] if reduced else []))
            index = tuple(0 if axis in repeated else slice(None) for axis in range(block.ndim))
            block, name = np.asarray(block[index]), write("")
            line = f"add_reduce({name}, {axes}, None, @)"
            write = self._writing(block.shape, varying and not reduced, line)
        self._into(block, write)

    def _writing(self, shape: Sequence[int], varying: bool, *lines: str) -> Write:
        """Lines that compute `@`: the place that is asked for, or a scratch array."""

        def write(out: str) -> str:
            target = out or self.forward.scratch(shape, varying)
            self.lines += [line.replace("@", target) for line in lines]
            return target

        return write

    def _into(self, block: Array, write: Write) -> None:
        """Store the first share, add the later ones."""
        target = self.forward.window(block, True, False, "g")
        written = self._marks(block, self._written)
        if not written.any():
            name = write(target)
            if name != target:
                self.lines.append(f"copyto({target}, {name})")
            self._mark(block)
            return
        self._fill(block)
        self.lines.append(f"add({target}, {write('')}, out={target})")

    def _scatter(self, space: int, block: Array, varying: bool, name: str) -> None:
        """Add to places that no slice describes."""
        mine = np.flatnonzero(space_of(block.ravel()) == space)
        if not len(mine):
            return
        if block.ndim > 1:
            name = f"{name}.reshape({block.size}, *{name}.shape[{block.ndim}:])"
        if varying and not is_varying(space):
            name, varying = f"{name}.sum(-1)", False
        rows, owner, counts = np.unique(
            row_of(block.ravel()[mine]), return_inverse=True, return_counts=True
        )
        shares = mine[np.argsort(owner, kind="stable")]
        for which in of_similar_length(counts):
            total = self._gathered(name, block.size, shares, counts, which, varying)
            self._store(space, rows[which], total)

    def _gathered(
        self, name: str, size: int, shares: Array, counts: Array, which: Array, varying: bool
    ) -> str:
        """The sum of the shares of each of some rows, out of `size` shares."""
        longest, n = int(counts[which].max()), len(which)
        index = np.full((longest, n), -1)
        starts = (np.cumsum(counts) - counts)[which]
        for j in range(longest):
            there = counts[which] > j
            index[j, there] = shares[starts[there] + j]
        if longest == 1 and np.array_equal(index[0], np.arange(size)):
            return name
        scratch, bound = self.forward.scratch, self.forward.bound
        taken = scratch(index.shape if longest > 1 else (n,), varying)
        places = index if longest > 1 else index[0]
        self.lines.append(f"take({name}, {bound('i', np.maximum(places, 0))}, 0, {taken}, 'clip')")
        if longest == 1:
            return taken
        if (index < 0).any():
            self.lines.append(f"{taken}[{bound('i', np.nonzero(index < 0))}] = 0")
        total = scratch((n,), varying)
        self.lines.append(f"add_reduce({taken}, 0, None, {total})")
        return total

    def _store(self, space: int, rows: Array, name: str) -> None:
        """Store or add one share a row. The rows are distinct and in order."""
        block = location(space, rows)
        if affine(block) is not None:
            self._into(block, lambda out: name)
            return
        array, index = self.forward.whole(space, True), self.forward.bound("i", rows)
        sign = "+=" if self._written[space][rows].any() else "="
        self._fill(block) if sign == "+=" else self._mark(block)
        self.lines.append(f"{array}[{index}] {sign} {name}")

    # ---- 手順 ----

    def _map(self, step: Step) -> None:
        assert isinstance(step.op, Elementwise)
        z, g = self.forward.out(step), self.forward.out(step, grad=True)
        value, partials = trees(step.op, *self.forward.operands(step), z)
        writer = self.forward.writer(step, self.lines)
        writer.remember(value, z)
        for block, partial in zip(step.blocks, partials, strict=True):
            if partial is not None:
                write = functools.partial(writer.product, g, partial)
                self.accumulate(block, step.varying, write)

    def _fold(self, step: Step) -> None:
        block, g = step.blocks[0], self.forward.out(step, grad=True)
        x, z = self.forward.folded(step), self.forward.out(step)
        if step.op.name == "logsumexp":  # g·exp(x − z), for all operands at once
            lines = [f"subtract({x}, {z}, out=@)", "exp(@, out=@)", f"multiply(@, {g}, out=@)"]
        elif step.op.name == "sum":
            lines = [f"copyto(@, {g})"]
        else:
            lines = [f"copyto(@, {self.forward.bound('f', _share_of(step.op))}({g}, {z}, {x}))"]
        self.accumulate(block, step.varying, self._writing(block.shape, step.varying, *lines))

    def _dot(self, step: Step) -> None:
        a, b = step.blocks
        g, pairs = self.forward.out(step, grad=True), [(a, b), (b, a)]
        if np.array_equal(a, b):  # a sum of squares
            twice = self.forward.scratch(step.shape, step.varying)
            self.lines.append(f"multiply({g}, 2.0, out={twice})")
            g, pairs = twice, [(a, a)]
        for own, other in pairs:
            line = f"multiply({g}, {self.forward.data(other, step.varying)}, out=@)"
            self.accumulate(own, step.varying, self._writing(own.shape, step.varying, line))

    def _take(self, step: Step) -> None:
        forward, (index, table) = self.forward, step.blocks
        places, g = forward.taken(step), forward.out(step, grad=True)
        if table.ndim == 2:  # a product with a matrix of 0 and 1
            chosen = forward.scratch((len(table), len(index)), True)
            rows = forward.bound("k", np.arange(len(table))[:, None])
            matrix = f"{chosen}.reshape({len(table)}, -1)"
            line = f"matmul({matrix}, {forward.matrix(g, step.shape[0])}.T, out=@)"
            own = table
            write = self._writing(own.shape, False, f"equal({rows}, {places}, out={matrix})", line)
            self.accumulate(own, False, write)
            return
        own, columns = table[:, 0], forward.columns(len(index))
        line = f"@.reshape({len(table)}, -1)[{places}, {columns}] = {g}.reshape(-1)"
        self.accumulate(own, True, self._writing(own.shape, True, "copyto(@, 0)", line))

    def _matmul(self, step: Step) -> None:
        forward = self.forward
        weights, inputs, *bias = step.blocks
        rows, columns = step.shape
        g = forward.out(step, (rows,) if columns == 1 else None, grad=True)
        flat = g if columns == 1 else forward.matrix(g, rows)
        w, x = forward.data(weights, False), forward.flat_columns(inputs)
        columns_of_inputs = inputs[:, 0] if columns == 1 else inputs

        def of_inputs(out: str) -> str:
            if not is_contiguous(columns_of_inputs):
                out = ""  # written side by side first
            target = out or forward.scratch(columns_of_inputs.shape, True)
            matrix = target if columns == 1 else forward.matrix(target, len(inputs))
            self.lines.append(f"matmul({w}.T, {flat}, out={matrix})")
            return target

        if bias and bias[0].shape[1] == 1:
            # BLAS adds up rows faster than a reduction does.
            line = f"matmul({flat}, {forward.ones(columns)}, out=@)"
            self.accumulate(bias[0][:, 0], False, self._writing((rows,), False, line))
        elif bias:
            self.accumulate(bias[0], True, lambda out: g)
        line = f"matmul({flat}, {x}.T, out=@)"
        self.accumulate(weights, False, self._writing(weights.shape, False, line))
        self.accumulate(columns_of_inputs, True, of_inputs)


def _share_of(op: Primitive) -> Callable[[Any, Any, Any], Any]:
    """The gradient of all operands of a reduction at once, from (g, z, x)."""
    assert isinstance(op, Reduction)
    return lambda g, z, x: [g * d for d in op.partials(stacked, z, x)]
