"""4a. ソースコードを書く (forward): 配列のプログラムから、NumPy の関数を順に呼ぶ Python の関数へ。

順伝播の関数と、逆伝播の関数ができる。どの行も、用意された配列に `out=` で書き込む。ここでは
順伝播と、引数の配列の用意を書く。逆伝播は `backward.py`。
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    CONSTANTS,
    INPUTS,
    NEUTRAL,
    NOTHING,
    Step,
    affine,
    is_contiguous,
    is_varying,
    location,
    row_of,
    space_of,
)
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.run.elementary import Writer, trees
from micrograd_jp.compiler.run.memory import Memory
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.namespace.stacked import stacked
from micrograd_jp.ops.primitive import Elementwise, Reduction

Maker = Callable[[Memory], Any]


class Forward:
    """プログラムの順伝播の行を書く。

    Args:
        program: プログラム。

    Attributes:
        groups: 入力ごとの行の数。関数には `x0, x1, …` として (kᵢ, N) の配列が渡される。
        lines: 順伝播の行。
        prologue: どちらの関数のはじめにも要る行。
        makers: 行に現れる名前が何であるか（`Memory` から作る）。
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.groups = [size for _, size in program.groups] or [0]
        self.starts = np.concatenate([[0], np.cumsum(self.groups)]).tolist()
        self.lines: list[str] = []
        self.prologue: list[str] = []
        self.makers: dict[str, Maker] = {}
        self._known: dict[Any, str] = {}
        self._copied: set[int] = set()
        self._scratches = 0
        for step in program.steps:
            self.restart()
            getattr(self, f"_{step.kind}")(step)
        self.lines.append(f"return {self._outputs()}")

    # ---- 名前 ----

    def name(self, prefix: str, maker: Maker, key: Any = None) -> str:
        """`maker` が作るものの名前。同じ `key` のものは 1 度だけ作る。"""
        if key in self._known:
            return self._known[key]
        name = f"{prefix}{len(self.makers)}"
        self.makers[name] = maker
        if key is not None:
            self._known[key] = name
        return name

    def whole(self, space: int, grad: bool) -> str:
        """領域全体の配列の名前。"""
        return self.name("a", lambda memory: memory.array(space, grad), ("whole", space, grad))

    def bound(self, prefix: str, value: Any) -> str:
        """標本数によらないものの、新しい名前。"""
        return self.name(prefix, lambda memory: value)

    def restart(self) -> None:
        """次の手順へ: 作業用の配列は、また使ってよい。"""
        self._scratches = 0

    def scratch(self, shape: Sequence[int], varying: bool, boolean: bool = False) -> str:
        """この手順だけで使う、作業用の配列の名前。"""
        index, shape = self._scratches, tuple(shape)
        self._scratches += 1
        key = (index, shape, varying, boolean)
        return self.name("t", lambda memory: memory.scratch(*key), ("scratch", key))

    def out(self, step: Step, shape: Sequence[int] | None = None, grad: bool = False) -> str:
        """手順の結果（か、その勾配）の配列の名前。"""
        shape = step.shape if shape is None else shape
        block = step.out.reshape(shape)
        return self.window(block, grad, widen=False, prefix="g" if grad else "v")

    def window(self, block: Array, grad: bool, widen: bool, prefix: str) -> str:
        """場所が 1 次式のブロックの窓の名前。"""
        found = affine(block)
        assert found is not None
        key = (*found, block.shape, grad, widen)
        return self.name(prefix, lambda memory: memory.view(*key), ("window", key))

    def matrix(self, name: str, rows: int) -> str:
        """(rows, R, N) の配列を (rows, R·N) とみたものの名前。"""
        key = ("matrix", name, rows)
        return self.name("m", lambda memory: memory.named[name].reshape(rows, -1), key)

    # ---- 引数 ----

    def data(self, block: Array, widen: bool, packed: bool = False, nothing: float = 0.0) -> str:
        """ブロックの値の配列の名前。必要なら、集める行を書く。

        Args:
            block: 場所の配列。
            widen: 標本によらないブロックにも、長さ 1 の標本の軸をつけるか。
            packed: 隙間なく並んでいなければならないか。
            nothing: `NOTHING` の値。
        """
        key = ("data", block.tobytes(), block.shape, widen, packed, nothing)
        if key not in self._known:
            gather = packed and not is_contiguous(block)
            self._known[key] = self._data(block, widen, gather, nothing)
        return self._known[key]

    def _data(self, block: Array, widen: bool, gather: bool, nothing: float) -> str:
        spaces = np.unique(space_of(block[block >= 0])).tolist()
        if affine(block) is not None and not gather:
            if spaces == [INPUTS]:
                passed = self._passed(block)
                if passed:
                    return passed
                self._copy_inputs(block)
            return self.window(block, False, widen, "w")
        self._copy_inputs(block)
        varying = any(map(is_varying, spaces))
        shape = block.shape
        name = self.name("b", lambda memory: memory.buffer(shape, varying))
        missing = block == NOTHING
        for space in spaces:
            mine = space_of(block) == space
            source = self.whole(space, False)
            if (mine | missing).all():  # taking all is faster than choosing
                zero = space > CONSTANTS and nothing == 0  # in the row after all others
                other = self.program.sizes[space] if zero else 0
                index = self.bound("i", np.where(missing, other, row_of(block)))
                self.lines.append(f"take({source}, {index}, 0, {name}, 'clip')")
                missing &= not zero
                continue
            rows = self.bound("i", row_of(block)[mine])
            where = self.bound("i", np.nonzero(mine))
            wide = "[:, None]" if varying and not is_varying(space) else ""
            self.lines.append(f"{name}[{where}] = {source}[{rows}]{wide}")
        if missing.any():
            self.lines.append(f"{name}[{self.bound('i', np.nonzero(missing))}] = {nothing}")
        if widen and not varying:
            plain = name
            return self.name("b", lambda memory: memory.named[plain][..., None])
        return name

    def _passed(self, block: Array) -> str:
        """Rows of one input, as they were passed: no copy of a transposed array."""
        rows = row_of(block).ravel()
        first, n = int(rows[0]), len(rows)
        group = int(np.searchsorted(self.starts, first, side="right")) - 1
        if block.ndim > 2 or (block.ndim == 2 and block.shape[1] != 1):
            return ""
        if (n > 1 and rows[1] - rows[0] != 1) or first + n > self.starts[group + 1]:
            return ""
        start = first - self.starts[group]
        index = "" if n == self.groups[group] else f"[{start}:{start + n}]"
        name = f"x{group}_{start}_{n}_{block.ndim}"
        self.prologue.append(f"{name} = x{group}{index}{'[:, None]' if block.ndim == 2 else ''}")
        return name

    def _copy_inputs(self, block: Array) -> None:
        """Inputs that are used in another order than they came in are copied once."""
        rows = np.unique(row_of(block[space_of(block) == INPUTS]))
        for group in np.unique(np.searchsorted(self.starts, rows, side="right") - 1).tolist():
            if group not in self._copied:
                self._copied.add(group)
                own = location(INPUTS, np.arange(*self.starts[group : group + 2]))
                self.lines.append(f"copyto({self.window(own, False, False, 'X')}, x{group})")

    def operands(self, step: Step) -> tuple[list[Any], list[str]]:
        """要素ごとの演算の引数: 配列の名前か定数の値と、すべてを配列とみたときの名前。"""
        either: list[Any] = []
        names: list[str] = []
        for block in step.blocks:
            first = block.flat[0]
            if space_of(first) == CONSTANTS and (block == first).all():
                names.append(self.window(block[:1], False, step.varying, "c"))
                either.append(float(self.program.constants[row_of(first)]))
            else:
                names.append(self.data(block, step.varying))
                either.append(names[-1])
        return either, names

    def writer(self, step: Step, lines: list[str]) -> Writer:
        """手順の行を `lines` に書くもの。作業用の配列は、手順の結果と同じ形。"""
        return Writer(lines.append, lambda boolean: self.scratch(step.shape, step.varying, boolean))

    # ---- 手順 ----

    def _map(self, step: Step) -> None:
        assert isinstance(step.op, Elementwise)
        z = self.out(step)
        value, _ = trees(step.op, *self.operands(step), z)
        self.writer(step, self.lines).write(value, z)

    def _fold(self, step: Step) -> None:
        x, z = self.folded(step), self.out(step)
        if step.op.name == "sum":
            self.lines.append(f"add_reduce({x}, 0, None, {z})")
        elif step.op.name == "amax":
            self.lines.append(f"max_reduce({x}, 0, None, {z})")
        elif step.op.name == "logsumexp":
            self._logsumexp(step, x, z)
        else:
            assert isinstance(step.op, Reduction)
            value = self.bound("f", functools.partial(step.op.value, stacked))
            self.lines.append(f"copyto({z}, {value}({x}))")

    def folded(self, step: Step) -> str:
        """`fold` の引数の配列の名前。"""
        nothing = NEUTRAL.get(step.op.name, 0.0)
        return self.data(step.blocks[0], step.varying, nothing=nothing)

    def _logsumexp(self, step: Step, x: str, z: str) -> None:
        """As the namespace computes it, in buffers: the largest is taken out where it is finite."""
        top, low = (self.scratch(step.shape, step.varying) for _ in range(2))
        finite = self.scratch(step.shape, step.varying, True)
        rest = self.scratch(step.blocks[0].shape, step.varying)
        self.lines += [
            f"max_reduce({x}, 0, None, {top})",
            f"isfinite({top}, out={finite})",
            f"copyto({low}, 0)",
            f"copyto({low}, {top}, where={finite})",
            f"subtract({x}, {low}, out={rest})",
            f"exp({rest}, out={rest})",
            f"add_reduce({rest}, 0, None, {z})",
            f"log({z}, out={z})",
            f"add({z}, {low}, out={z})",
        ]

    def ones(self, columns: int) -> str:
        """長さ R·N の、1 の並び。"""
        return self.name(
            "o", lambda memory: np.ones(columns * memory.batch, memory.dtype), ("ones", columns)
        )

    def _dot(self, step: Step) -> None:
        a, b = (self.data(block, step.varying) for block in step.blocks)
        z = self.out(step)
        if not step.varying and step.size == 1:
            flat = [self.data(block[:, 0], False) for block in step.blocks]
            self.lines.append(f"{z}[0] = dot({flat[0]}, {flat[1]})")
            return
        product = self.scratch(step.blocks[0].shape, step.varying)
        self.lines.append(f"multiply({a}, {b}, out={product})")
        self.lines.append(f"add_reduce({product}, 0, None, {z})")

    def flat_columns(self, block: Array) -> str:
        """行列の積の右側: (J, R, N) を (J, R·N) とみたもの。"""
        if block.shape[1] == 1:
            return self.data(block[:, 0], True)
        return self.matrix(self.data(block, True, packed=True), len(block))

    def _matmul(self, step: Step) -> None:
        weights, inputs, *bias = step.blocks
        rows, columns = step.shape
        z = self.out(step)
        flat = self.matrix(z, rows) if columns > 1 else self.out(step, (rows,))
        w, x = self.data(weights, False), self.flat_columns(inputs)
        self.lines.append(f"matmul({w}, {x}, out={flat})")
        if bias and bias[0].shape[1] == 1:
            self.lines.append(f"add({flat}, {self.data(bias[0], False)}, out={flat})")
        elif bias:
            self.lines.append(f"add({z}, {self.data(bias[0], True)}, out={z})")

    def indices(self, block: Array) -> str:
        """番号の配列 (R·N,) の名前。"""
        shape = block.shape
        name = self.name("j", lambda memory: np.empty((*shape, memory.batch), np.intp))
        self.lines.append(f"copyto({name}, {self.data(block, True)}, 'unsafe')")
        key = ("flat", name)
        return self.name("j", lambda memory: memory.named[name].reshape(-1), key)

    def _take(self, step: Step) -> None:
        index, table = step.blocks
        places = self._known[("index", step.start)] = self.indices(index)
        z = self.out(step)
        if table.ndim == 2:
            flat = self.matrix(z, step.shape[0])
            self.lines.append(f"take({self.data(table, False)}.T, {places}, 1, {flat}, 'clip')")
            return
        x = self.matrix(self.data(table[:, 0], True, packed=True), len(table))
        self.lines.append(f"{z}.reshape(-1)[:] = {x}[{places}, {self.columns(len(index))}]")

    def columns(self, count: int) -> str:
        """0, 1, …, R·N − 1 の名前。"""
        return self.name("k", lambda memory: np.arange(count * memory.batch), ("columns", count))

    def taken(self, step: Step) -> str:
        """手順 `take` の番号の配列 (R·N,) の名前。"""
        return self._known["index", step.start]

    def _outputs(self) -> str:
        """An array (O, N) of its own."""
        outputs = self.program.outputs
        if not len(outputs):
            return self.name("o", lambda memory: np.empty((0, memory.batch), memory.dtype))
        x = self.data(outputs, True)
        if all(map(is_varying, space_of(outputs).tolist())):
            return f"{x}.copy()"
        self.makers.setdefault("batch", lambda memory: memory.batch)
        return f"broadcast_to({x}, ({len(outputs)}, batch)).copy()"
