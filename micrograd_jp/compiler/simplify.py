"""2. 簡約 (simplify): 同じ値を、少ない演算で計算する表に直す。

- 何もしない演算をなくす: x − 0、1·x、x/1、x¹、−(−x)、clone、長い和の中の 0。
- 定数だけの計算を畳む (constant folding)。
- 1 度しか使われない `+` のつながりを、1 つの n 項の和にする。
- 同じ式を 1 つにする (common subexpression elimination)。
- 出力に届かない演算を捨てる (dead code elimination)。

和の順序だけは変わる（浮動小数点数の結合則は丸めの分と、0 の符号だけ成り立たない）。ほかに値は
変わらない。
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from micrograd_jp.compiler.table.codes import (
    ADD,
    CLONE,
    CONSTANT,
    DETACH,
    DIV,
    DOT,
    FIRST_OPERATION,
    LARGEST,
    MAXIMUM,
    MUL,
    NEG,
    POW,
    PROD,
    SUB,
    SUM,
    code_of,
)
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.compiler.table.table import Array, Trace, reached, spread


def simplified(trace: Trace) -> Trace:
    """同じ出力を計算する、簡単な表。入力とパラメータのノードはすべて残る。"""
    trace = _without_identities(trace)
    trace = _folded(trace)
    trace = without_dead(trace)
    trace = _flattened(trace)
    return without_dead(_shared(trace))


def hides_data(trace: Trace) -> bool:
    """入力がなく、いろいろな定数との積ばかりあるか: データが関数の外から持ち込まれている。"""
    if len(trace.inputs) or len(trace.constants) < 2:
        return False
    factors = np.isin(trace.codes[trace.owners], (MUL, DOT)) & (trace.codes[trace.args] == CONSTANT)
    return int(factors.sum()) >= _DATA and len(np.unique(trace.args[factors])) > 1


_DATA = 1000
"""これより少ない定数との積は、データとみなさない。"""


# ---- 表を直す道具 -----------------------------------------------------------------------------


def pointed(target: Array) -> Array:
    """矢印の先を、矢印のないところまでたどる (pointer jumping)。長さ n の鎖も log₂ n 回。"""
    while True:
        further = target[target]
        if np.array_equal(further, target):
            return target
        target = further


def _renamed(trace: Trace, name: Array) -> Trace:
    """Every use of node i becomes a use of node name[i]."""
    return replace(trace, args=name[trace.args], outputs=name[trace.outputs])


def without_dead(trace: Trace) -> Trace:
    """出力に届かない演算と定数を捨て、番号を詰める。"""
    uses, counts = trace.uses, np.diff(trace.offsets)
    alive = np.ones(len(trace), dtype=bool)
    removable = trace.codes >= CONSTANT
    frontier = np.flatnonzero((uses == 0) & removable)
    while len(frontier):
        alive[frontier] = False
        lost = trace.args[spread(trace.offsets[frontier], counts[frontier])]
        np.subtract.at(uses, lost, 1)
        frontier = np.unique(lost[(uses[lost] == 0) & removable[lost]])
    return _kept(trace, alive)


def _kept(trace: Trace, alive: Array) -> Trace:
    if alive.all():
        return trace
    number = np.cumsum(alive) - 1
    counts = np.diff(trace.offsets)[alive]
    constants = alive[trace.constants]
    return Trace(
        codes=trace.codes[alive],
        args=number[trace.args[alive[trace.owners]]],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        inputs=number[trace.inputs],
        parameters=number[trace.parameters],
        constants=number[trace.constants[constants]],
        values=trace.values[constants],
        outputs=number[trace.outputs],
        labels={int(number[i]): label for i, label in trace.labels.items() if alive[i]},
    )


_DETACH = code_of(DETACH)


# ---- 何もしない演算 ---------------------------------------------------------------------------


def _without_identities(trace: Trace) -> Trace:
    n, codes = len(trace), trace.codes
    counts = np.diff(trace.offsets)
    first = np.full(n, -1)
    second = np.full(n, -1)
    first[counts >= 1] = trace.args[trace.offsets[:-1][counts >= 1]]
    second[counts >= 2] = trace.args[trace.offsets[:-1][counts >= 2] + 1]
    number = np.full(n, np.nan)  # nan equals nothing below
    number[trace.constants] = trace.values

    def is_first(x: float) -> Any:
        return (counts == 2) & (number[first] == x)

    def is_second(x: float) -> Any:
        return (counts == 2) & (number[second] == x)

    name = np.arange(n)
    alone = (counts == 1) & np.isin(codes, (CLONE, SUM, PROD))
    family, consumer = _sums(trace)
    absorbed = (trace.uses == 1) & (consumer >= 0) & family[consumer]
    within = family & (absorbed | family[first] | family[second])
    negative = np.signbit(number)  # −0.0 + 0.0 is 0.0
    to_first = alone | (codes == ADD) & is_second(0.0) & (within | negative[second])
    to_first |= (codes == SUB) & is_second(0.0) & ~negative[second]
    to_first |= np.isin(codes, (MUL, DIV, POW)) & is_second(1.0)
    name[to_first] = first[to_first]
    to_second = (codes == ADD) & is_first(0.0) & (within | negative[first])
    to_second |= (codes == MUL) & is_first(1.0)
    to_second &= ~to_first
    name[to_second] = second[to_second]
    name = pointed(name)
    twice = np.flatnonzero(codes == NEG)
    inner = name[first[twice]]
    undone = codes[inner] == NEG
    name[twice[undone]] = first[inner[undone]]
    return _renamed(trace, pointed(name))


# ---- 定数 -------------------------------------------------------------------------------------


def _folded(trace: Trace) -> Trace:
    """Operations on constants alone become constants. They come from graphs made outside."""
    leaf = trace.codes < CONSTANT
    nodes = np.flatnonzero(np.diff(trace.offsets))
    is_constant = trace.codes == CONSTANT
    empty = (trace.codes >= FIRST_OPERATION) & (np.diff(trace.offsets) == 0)
    if not empty.any() and not (
        len(nodes) and np.logical_and.reduceat(is_constant[trace.args], trace.offsets[nodes]).any()
    ):
        return trace
    constant = ~reached(trace, leaf) & (trace.codes >= FIRST_OPERATION)
    if not constant.any():
        return trace
    nodes = np.flatnonzero(constant)
    alone = replace(trace, inputs=nodes[:0], parameters=nodes[:0], outputs=nodes)
    alone = _kept(alone, ~reached(trace, leaf))
    values = Levels(alone, np.float64).forward(np.empty(0), [np.empty((0, 1))])[:, 0]
    codes, counts = trace.codes.copy(), np.diff(trace.offsets)
    codes[nodes] = CONSTANT
    counts[nodes] = 0
    all_values = np.zeros(len(trace))
    all_values[trace.constants], all_values[nodes] = trace.values, values
    constants = np.flatnonzero(codes == CONSTANT)
    return replace(
        trace,
        codes=codes,
        args=trace.args[~constant[trace.owners]],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        constants=constants,
        values=all_values[constants],
    )


# ---- 和 ---------------------------------------------------------------------------------------


def _sums(trace: Trace) -> tuple[Array, Array]:
    """Which nodes are sums; and who uses each node, −1 if nobody (one of them, if several do)."""
    consumer = np.full(len(trace), -1)
    consumer[trace.args] = trace.owners
    return np.isin(trace.codes, (ADD, SUM)), consumer


def _flattened(trace: Trace) -> Trace:
    """A sum that is used once, and by a sum, becomes part of it."""
    family, consumer = _sums(trace)
    absorbed = family & (trace.uses == 1) & (consumer >= 0)
    absorbed &= family[consumer]
    flat, counts = _absorbing(trace, absorbed, consumer)
    return replace(flat, codes=np.where(family & (counts > 2), SUM, trace.codes))


def _absorbing(trace: Trace, absorbed: Array, consumer: Array) -> tuple[Trace, Array]:
    """What is absorbed hands its operands to its consumer; how many each node then has."""
    root = pointed(np.where(absorbed, consumer, np.arange(len(trace))))
    kept = ~absorbed[trace.args]
    owners, args = root[trace.owners[kept]], trace.args[kept]
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(trace))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return replace(trace, args=args[order], offsets=offsets), counts


def with_largest(trace: Trace) -> Trace:
    """`maximum` のつながりで、`detach` だけが使うものを、並びの 1 つの演算 `LARGEST` にした表。"""
    consumer = np.full(len(trace), -1)
    consumer[trace.args] = trace.owners
    is_maximum, alone = trace.codes == MAXIMUM, (trace.uses == 1) & (consumer >= 0)
    absorbed = is_maximum & alone & is_maximum[consumer]
    root = pointed(np.where(absorbed, consumer, np.arange(len(trace))))
    detached = is_maximum & alone & (trace.codes[consumer] == _DETACH)
    absorbed &= detached[root]
    if not detached.any():
        return trace
    flat, _ = _absorbing(trace, absorbed, consumer)
    return without_dead(replace(flat, codes=np.where(detached, code_of(LARGEST), trace.codes)))


# ---- 同じ式 -----------------------------------------------------------------------------------

_COMMUTATIVE = {ADD, MUL, SUM, PROD}


def _shared(trace: Trace) -> Trace:
    if not _may_repeat(trace):
        return trace
    name = list(range(len(trace)))
    known: dict[Any, int] = {}
    renamed = name.__getitem__
    args, offsets, codes = trace.args.tolist(), trace.offsets.tolist(), trace.codes.tolist()
    for i in trace.operations:
        xs = list(map(renamed, args[offsets[i] : offsets[i + 1]]))
        if codes[i] in _COMMUTATIVE:
            xs.sort()
        name[i] = known.setdefault((codes[i], *xs), i)
    return _renamed(trace, np.array(name))


def _may_repeat(trace: Trace) -> bool:
    """Whether two operations agree in a fingerprint of the code and the operands in any order."""
    nodes = np.flatnonzero(np.diff(trace.offsets))
    rng = np.random.default_rng(0)
    marks = rng.integers(0, 2**63, len(trace), dtype=np.uint64)
    kinds = rng.integers(0, 2**63, int(trace.codes.max(initial=0)) + 1, dtype=np.uint64)
    if not len(nodes):
        return False
    prints = np.add.reduceat(marks[trace.args], trace.offsets[nodes]) + kinds[trace.codes[nodes]]
    return len(np.unique(prints)) < len(prints)
