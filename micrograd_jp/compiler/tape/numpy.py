"""テープを NumPy で実行する。機械語にできないとき（llvmlite がない、知らない演算がある）に使う。

互いに依存しない同じ命令を 1 つの段にまとめ、段ごとに配列の演算を 1 度する。同じテープを別の方法で
実行するので、機械語の答えを確かめる基準にもなる。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.table.codes import PRIMITIVES
from micrograd_jp.compiler.table.levels import _partials as partials_of
from micrograd_jp.compiler.table.levels import stacked
from micrograd_jp.compiler.tape.tape import Instruction, Tape, levels_of
from micrograd_jp.ops.primitive import Primitive, Reduction

Array = np.ndarray[Any, Any]


class _Rule(NamedTuple):
    """Arrays are (arguments, instructions, samples), and (results, instructions, samples)."""

    forward: Callable[[Array], Array]
    """Arguments → results. Only the first ones may be used (softmax)."""
    backward: Callable[[Array, Array, Array], Sequence[Any]]
    """(gradients of the used results, results, arguments) → a share or None for each argument."""


def _dot(xs: Array) -> Array:
    total: Array = xs[0] + stacked.dot(xs[1::2], xs[2::2])
    return total[None]


def _dot_shares(g: Array, z: Array, xs: Array) -> list[Any]:
    partials = np.empty_like(xs[1:])
    partials[0::2], partials[1::2] = xs[2::2], xs[1::2]  # each one's partial is the other factor
    return [g[0], *(g[0] * partials)]


def _softmax(xs: Array) -> Array:
    z: Array = np.exp(xs - stacked.logsumexp(xs))
    return z


def _ratio(xs: Array) -> Array:
    e: Array = np.exp(xs - np.max(xs, axis=0))
    total: Array = np.sum(e, axis=0)
    return np.divide(e, total, out=e)


def _softmax_shares(g: Array, z: Array, xs: Array) -> list[Any]:
    used = len(g)
    products = z[:used] * g
    shares = -z * np.sum(products, axis=0)
    shares[:used] += products
    return list(shares)


_SUM = _Rule(lambda xs: np.sum(xs, axis=0)[None], lambda g, z, xs: [g[0]] * len(xs))
_SOFTMAX = _Rule(_softmax, _softmax_shares)
_RATIO = _Rule(_ratio, _softmax_shares)
_LISTS = {
    "sum": _SUM, "sum4": _SUM, "dot": _Rule(_dot, _dot_shares),
    "muladd": _Rule(
        lambda xs: (xs[0] * xs[1] + xs[2])[None],
        lambda g, z, xs: [g[0] * xs[1], g[0] * xs[0], g[0]],
    ),
    "softmax": _SOFTMAX, "softmax4": _SOFTMAX, "ratio": _RATIO, "ratio4": _RATIO,
}  # fmt: skip


def _declared(op: Primitive) -> _Rule:
    """The operation's own declaration."""

    def forward(xs: Array) -> Array:
        value = op.value(stacked, xs) if isinstance(op, Reduction) else op.value(stacked, *xs)
        return np.broadcast_to(value, xs.shape[1:])[None]

    def backward(g: Array, z: Array, xs: Array) -> list[Any]:
        return [None if d is None else g[0] * d for d in partials_of(op, z[0], xs)]

    return _Rule(forward, backward)


class NumPyTape:
    """NumPy で実行するテープ。`Executor` の約束を守る。1 度に 1 つのスレッドだけが使う。

    Args:
        tape: 実行するテープ。
        dtype: float32 か float64。
    """

    def __init__(self, tape: Tape, dtype: Any) -> None:
        self.tape, self.dtype = tape, np.dtype(dtype)
        self.steps = _steps(tape)
        self._values = np.empty((0, 0), dtype=self.dtype)

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """`Executor` を見よ。"""
        tape = self.tape
        v = self._values = np.empty((tape.size, inputs[0].shape[1]), dtype=self.dtype)
        v[tape.inputs] = np.concatenate(list(inputs))
        v[tape.parameters] = parameters[:, None]
        v[list(tape.constants)] = np.array(list(tape.constants.values()))[:, None]
        with np.errstate(all="ignore"):
            for rule, outs, args in self.steps:
                v[outs] = rule.forward(v[args])[: len(outs)]
        return v[tape.outputs]

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """`Executor` を見よ。"""
        v, tape = self._values, self.tape
        g = np.zeros_like(v)
        np.add.at(g, tape.outputs, seeds)
        with np.errstate(all="ignore"):
            for rule, outs, args in reversed(self.steps):
                xs = v[args]
                z = v[outs] if rule.backward is not _softmax_shares else rule.forward(xs)
                shares = rule.backward(g[outs], z, xs)
                for places, share in zip(args, shares, strict=True):
                    if share is not None:
                        np.add.at(g, places, share)
            of_parameters: Array = g[tape.parameters].sum(axis=1)
        return of_parameters, g[tape.inputs] if of_inputs else None


def _steps(tape: Tape) -> list[tuple[_Rule, Array, Array]]:
    """Instructions that are alike and do not wait for each other, together."""
    groups: dict[tuple[int, str, int, int], list[Instruction]] = {}
    for level, i in zip(levels_of(tape.instructions, tape.size), tape.instructions):
        groups.setdefault((level, i.name, len(i.args), len(i.outs)), []).append(i)
    declared = {op.name: op for op in PRIMITIVES}
    return [
        (
            _LISTS[name] if name in _LISTS else _declared(declared[name]),
            np.array([i.outs for i in group]).T,
            np.array([i.args for i in group], dtype=np.intp).reshape(len(group), -1).T,
        )
        for (_, name, _, _), group in groups.items()
    ]
