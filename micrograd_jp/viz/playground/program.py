"""配列のプログラムを、ページの中で動くものにする: 手順の表と、演算ごとの JavaScript。

数は平らな 1 本の `Float32Array` に並ぶ。`FIXED` より前の行は数 1 つ（重み、定数、標本によらない
数）、あとの行は標本ごとの N 個の数である。手順の引数は、行の番号を並べたもの。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.compiler.lift.blocks import (
    CONSTANTS,
    FIXED,
    INPUTS,
    NOTHING,
    PARAMETERS,
    VARYING,
    Step,
    affine,
    row_of,
    space_of,
)
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.engine.value import Value
from micrograd_jp.namespace import javascript
from micrograd_jp.nn.layers.activations import Activation
from micrograd_jp.ops import elementwise as ops
from micrograd_jp.ops.primitive import Elementwise, Reduction
from micrograd_jp.ops.symbols import Symbol, Writing
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.rule import Turn
from micrograd_jp.optim.sgd import SGD

CHOICES = (ops.relu, ops.tanh, ops.sigmoid, ops.gelu, ops.sin, ops.clone)
"""ページの中で選べる活性化関数。"""


class Tables:
    """プログラムの表と規則。

    Attributes:
        rules: 演算の名前から、JavaScript の `{value, partials}`。
        data: 表（JSON になる）。
    """

    def __init__(self, program: Program, scores: int) -> None:
        self.program = program
        sizes = program.sizes
        narrow = np.cumsum([0, sizes[PARAMETERS], sizes[CONSTANTS], sizes[FIXED]]).tolist()
        self._nothing = narrow[-1]  # a number that stays 0
        wide = self._nothing + 1
        self._starts = {
            PARAMETERS: 0, CONSTANTS: narrow[1], FIXED: narrow[2],
            INPUTS: wide, VARYING: wide + sizes[INPUTS],
        }  # fmt: skip
        self.rules = {op.name: javascript.elementwise(op) for op in CHOICES}
        outputs = program.outputs
        trained = self._before(outputs[:1])
        hidden = self._before(outputs[1 : 1 + scores])
        self._learned = self._reached()
        steps = [self._step(step, k in trained) for k, step in enumerate(program.steps)]
        layers = [k for k, step in enumerate(program.steps) if k in hidden and _activates(step)]
        for k in layers:
            steps[k]["hidden"] = True
        rows = self._rows(outputs).tolist()
        self.data: dict[str, Any] = {
            "fixed": wide, "varying": sizes[INPUTS] + sizes[VARYING],
            "parameters": sizes[PARAMETERS], "constants": program.constants.tolist(),
            "steps": steps, "layers": layers, "loss": rows[0],
            "scores": rows[1 : 1 + scores], "probabilities": rows[1 + scores :],
        }  # fmt: skip

    # ---- どの手順が要るか ----

    def _before(self, outputs: Any) -> set[int]:
        """The steps that these places are computed from."""
        wanted, found = set(outputs.tolist()), set()
        for k in range(len(self.program.steps) - 1, -1, -1):
            step = self.program.steps[k]
            if wanted.intersection(step.out.tolist()):
                found.add(k)
                for block in step.blocks:
                    wanted.update(block.ravel().tolist())
        return found

    def _reached(self) -> set[int]:
        """The places that depend on parameters: only these want a gradient."""
        found: set[int] = set()
        for step in self.program.steps:
            if any(self._wants(block, found) for block in step.blocks):
                found.update(step.out.tolist())
        return found

    def _wants(self, block: Any, learned: set[int]) -> bool:
        return PARAMETERS in space_of(block) or not learned.isdisjoint(block.ravel().tolist())

    # ---- 表 ----

    def _rows(self, block: Any) -> Any:
        """The numbers of the rows."""
        rows = np.full(block.shape, self._nothing)
        for space, start in self._starts.items():
            own = (block != NOTHING) & (space_of(block) == space)
            rows[own] = start + row_of(block[own])
        return rows

    def _block(self, block: Any) -> dict[str, Any]:
        rows = self._rows(block)
        found = affine(rows)
        if found is None:
            return {"shape": block.shape, "rows": rows.ravel().tolist()}
        return {"shape": block.shape, "first": found[0], "by": found[1]}

    def _step(self, step: Step, trained: bool) -> dict[str, Any]:
        return {
            "kind": step.kind, "rule": self._rule(step), "trained": trained,
            "blocks": [self._block(block) for block in step.blocks],
            "wanted": [self._wants(block, self._learned) for block in step.blocks],
            "start": int(self._rows(step.out[:1])[0]), "shape": step.shape,
        }  # fmt: skip

    def _rule(self, step: Step) -> str:
        if isinstance(step.op, Elementwise):
            if step.op.name not in self.rules:
                self.rules[step.op.name] = javascript.elementwise(step.op)
            return step.op.name
        if step.kind != "fold":
            return ""
        assert isinstance(step.op, Reduction)
        count = len(step.blocks[0])
        name = f"{step.op.name}/{count}"
        if name not in self.rules:
            self.rules[name] = javascript.reduction(step.op, count)
        return name


def _activates(step: Step) -> bool:
    """Whether its outputs are those of a layer's units: nn declares the activation functions."""
    declared = [kind.operation for kind in Activation.__subclasses__()]
    return step.kind == "map" and step.op in (*declared, ops.sin, ops.cos)


class _Option(Symbol):
    """A setting that is on."""

    def __ne__(self, other: object) -> bool:
        return True


def update() -> str:
    """確率的勾配降下法の 1 歩 `(w, g, rate, decay) => …`。`optim.SGD` の更新式から書く。"""
    p, g, rate = (Symbol("name", name) for name in ("w", "g", "rate"))
    decay = _Option("name", "decay")
    turn = Turn(1, True, {"lr": rate, "weight_decay": decay, "momentum": 0, "maximize": False})
    after = SGD([Value(0.0)]).advanced(Kernels(Writing()), p, g, {}, turn)
    return javascript.function(["w", "g", "rate", "decay"], after)
