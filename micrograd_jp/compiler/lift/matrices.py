"""3b. 行列を見つける (matrices): 重みか入力を共有する和を、1 つの積にまとめる。

- 入力の並びが同じ和は、重みを行にして 1 つの行列の積になる（全結合層）。
- 重みの並びが同じ和は、入力の並びを列にして 1 つの積になる（畳み込み層。im2col の再発見）。
- 重みが足りないだけの和（畳み込みの縁）は、ない入力を 0 で埋めて仲間に入る。

項は入力の場所の順に並べるので、和がどの順に書かれていても、同じ行列が見つかる。
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.compiler.lift.blocks import NOTHING
from micrograd_jp.compiler.table.table import Array, pieces


class Product(NamedTuple):
    """行列の積 W X。

    Attributes:
        weights: 重みのノード (C, J)。
        inputs: 入力の場所 (J, R)。ない入力は `NOTHING`。
        sums: この積が計算する和 (C, R)。
    """

    weights: Array
    inputs: Array
    sums: Array


class _Template(NamedTuple):
    """Sums with the same list of weights: one row of inputs each."""

    weights: Array
    sums: list[int]
    rows: list[Array]

    def add(self, total: int, row: Array) -> None:
        self.sums.append(total)
        self.rows.append(row)


def products(sums: Array, lengths: Array, weights: Array, inputs: Array) -> list[Product]:
    """同じ段の、重み付きの和を行列の積にまとめる。

    Args:
        sums: 和の番号。
        lengths: 和ごとの項の数。
        weights: 項の重みのノードを、和の順につないだもの。
        inputs: 項の入力の場所。
    """
    owner = np.repeat(np.arange(len(sums)), lengths)
    order = np.lexsort((weights, inputs, owner))
    weights, inputs = weights[order], inputs[order]
    found: dict[bytes, _Template] = {}
    for total, own in zip(sums.tolist(), pieces(lengths.tolist()), strict=True):
        same_weights = _Template(weights[own], [], [])
        found.setdefault(weights[own].tobytes(), same_weights).add(total, inputs[own])
    columns: dict[Any, list[tuple[_Template, Array]]] = {}
    for template in _with_borders(list(found.values())):
        rows = np.array(template.rows)[np.argsort(template.sums)]
        template.sums.sort()
        columns.setdefault((rows.shape, rows.tobytes()), []).append((template, rows))
    return [
        Product(
            np.array([template.weights for template, _ in same]),
            same[0][1].T,
            np.array([template.sums for template, _ in same]),
        )
        for same in columns.values()
    ]


def _with_borders(templates: list[_Template]) -> list[_Template]:
    """Templates whose weights are part of another's join it, padded with inputs that are 0."""
    if len({len(t.weights) for t in templates}) < 2:
        return templates
    holders: dict[int, list[tuple[_Template, dict[int, int]]]] = {}
    out = []
    for template in sorted(templates, key=lambda t: -len(t.weights)):
        own = template.weights.tolist()
        for holder, place in holders.get(own[0], ()):
            if len(holder.weights) > len(own) and all(w in place for w in own):
                where = [place[w] for w in own]
                for total, row in zip(template.sums, template.rows, strict=True):
                    padded = np.full(len(holder.weights), NOTHING)
                    padded[where] = row
                    holder.add(total, padded)
                break
        else:
            out.append(template)
            place = {w: j for j, w in enumerate(own)}
            if len(template.sums) > 1 and len(place) == len(own):
                for w in own:
                    holders.setdefault(w, []).append((template, place))
    return out
