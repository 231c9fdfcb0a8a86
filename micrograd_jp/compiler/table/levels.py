"""段ごとの実行 (levels): 同じ段の同じ演算を、配列 1 つの演算にする。いちばん素直な実行のしかた。

式の順序を変えず、行列も探さない。ほかの実行のしかたを確かめるときの基準にもなる。
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrograd_jp.compiler.table.codes import PRIMITIVES
from micrograd_jp.compiler.table.table import Array, Trace
from micrograd_jp.namespace import quiet
from micrograd_jp.namespace.stacked import stacked
from micrograd_jp.ops.primitive import Elementwise, Primitive, Reduction

Places = Array | slice
"""同じ段のノードの番号。"""


class Levels:
    """表のまま、段ごとに NumPy で実行する。"""

    def __init__(self, trace: Trace, dtype: Any) -> None:
        self.trace, self.dtype = trace, np.dtype(dtype)
        codes, args, offsets = trace.codes.tolist(), trace.args.tolist(), trace.offsets.tolist()
        levels = [0] * len(trace)  # a leaf's is 0, an operation's one more than its operands'
        level = levels.__getitem__
        buckets: dict[tuple[int, int, int], list[int]] = {}
        for i in trace.operations:
            xs = args[offsets[i] : offsets[i + 1]]
            levels[i] = 1 + max(map(level, xs), default=0)
            buckets.setdefault((levels[i], codes[i], len(xs)), []).append(i)
        self.steps: list[tuple[Primitive, Places, Any]] = []
        for (_, code, count), nodes in sorted(buckets.items()):
            starts = trace.offsets[nodes]
            args = trace.args[starts[None, :] + np.arange(count)[:, None]]
            op = PRIMITIVES[code]
            if not isinstance(op, Reduction):
                args = [_places(row) for row in args]
            self.steps.append((op, _places(np.array(nodes)), args))
        self._values = np.empty((0, 0), dtype=self.dtype)

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        trace, batch = self.trace, inputs[0].shape[1]
        values = self._values = np.empty((len(trace), batch), dtype=self.dtype)
        values[trace.inputs] = np.concatenate(list(inputs))
        values[trace.parameters] = parameters[:, None]
        values[trace.constants] = trace.values[:, None]
        with quiet.silence():
            for op, nodes, args in self.steps:
                if isinstance(op, Reduction):
                    values[nodes] = op.value(stacked, values[args])
                else:
                    values[nodes] = op.value(stacked, *[values[a] for a in args])
        return values[trace.outputs]

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        values, trace = self._values, self.trace
        grads = np.zeros_like(values)
        np.add.at(grads, trace.outputs, seeds)
        with quiet.silence():
            for op, nodes, args in reversed(self.steps):
                xs, z, g = [values[a] for a in args], values[nodes], grads[nodes]
                for arg, partial in zip(args, _partials(op, z, xs), strict=True):
                    if partial is not None:
                        np.add.at(grads, arg, stacked.times(g, partial))
            of_parameters = grads[trace.parameters].sum(axis=1)
        return of_parameters, grads[trace.inputs] if of_inputs else None


def _places(nodes: Array) -> Places:
    """One node is a window: a long chain of operations is nothing but such levels."""
    return slice(int(nodes[0]), int(nodes[0]) + 1) if len(nodes) == 1 else nodes


def _partials(op: Primitive, z: Array, xs: list[Array]) -> list[Any]:
    if isinstance(op, Reduction):
        return list(op.partials(stacked, z, xs))
    assert isinstance(op, Elementwise)
    return [None if rule is None else rule(stacked, z, *xs) for rule in op.partials]
