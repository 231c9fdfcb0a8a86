"""3a. 和を項に分ける (terms): `+ − Σ · dot` のつながりを、符号のついた積の和とみる。

1 つの和 s = Σ ±aᵢbᵢ + Σ ±aⱼ の項を、入力に依存するかどうかで分ける。

| 種類 | 項 | 例 |
|---|---|---|
| `LINEAR` | 依存しない数 × 依存する数 | 重み × 入力 |
| `PRODUCT` | 依存する数どうしの積（依存しない和では、すべての積） | t · log p |
| `SINGLE` | 1 つの数 | 残差接続の x |

依存する和の中の、依存しない項（バイアス）は、それだけの新しい和になる。どの道具も、ノードの数に
比例する NumPy の演算だけでできている。
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from micrograd_jp.compiler.table.codes import ADD, DOT, FIRST_OPERATION, MUL, NEG, SUB, SUM
from micrograd_jp.compiler.table.table import Array, Trace

LINEAR, PRODUCT, SINGLE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Sums:
    """表の中の和と、そのほかの演算。

    番号は表のものに、新しい依存しないノード（バイアスの和と、符号を変えた重み）を続けたもの。

    Attributes:
        total: 新しいノードを含めたノードの数。
        varying: 形 (total,)。入力に依存するか。
        plain: 和に吸収されず、和でもない演算の番号。
        negated: `total` に含まれる、符号を変えたノードの番号 → もとの番号。
        bias: 形 (total,)。和のバイアスのノードの番号、なければ −1。
        roots: 和の番号。依存しない和が先で、それぞれ小さい順。
        kind, sign, first, second: 項の種類、符号、引数（1 つの数なら `second` は −1、`LINEAR` では
            `first` が重み）。和と種類の順に並ぶ。
        starts: 形 (len(roots), 4)。和 i の種類 k の項は `starts[i, k]:starts[i, k + 1]`。
    """

    total: int
    varying: Array
    plain: Array
    negated: dict[int, int]
    bias: Array
    roots: Array
    kind: Array
    sign: Array
    first: Array
    second: Array
    starts: Array


def decomposed(trace: Trace, varying: Array, promoted: Array | None = None) -> Sums:
    """表の和を項に分ける。

    Args:
        trace: 表。
        varying: 形 (n,)。入力に依存するか (`trace.varying`)。
        promoted: 形 (n,)。項の少ない和とみる `+` と `×`。
    """
    n = len(trace)
    if promoted is None:
        promoted = np.zeros(n, bool)
    root, sign, a, b, absorbed = _terms(trace, varying, promoted)
    # What a varying sum has besides: its bias, a sum of its own.
    a_varies, b_varies = varying[a], (b >= 0) & varying[b]
    free = varying[root] & ~a_varies & ~b_varies
    owners = np.unique(root[free])
    number = np.full(n, -1)
    number[owners] = np.arange(n, n + len(owners))
    # ... unless it is one node with a plus sign: then that node is the bias.
    terms = np.bincount(root[free], minlength=n)
    alone = free & (terms[root] == 1) & (b < 0) & (sign > 0)
    bias = np.full(n, -1)
    bias[owners] = number[owners]
    bias[root[alone]] = a[alone]
    root = np.where(free, number[root], root)
    kept = ~alone
    root, sign, a, b = root[kept], sign[kept], a[kept], b[kept]
    a_varies, b_varies = a_varies[kept], b_varies[kept]
    is_linear = a_varies ^ b_varies
    is_linear &= b >= 0
    swap = is_linear & a_varies
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    kind = np.where(is_linear, LINEAR, np.where(b >= 0, PRODUCT, SINGLE))
    total = n + len(owners)
    # Weights that are subtracted: nodes of their own.
    minus = is_linear & (sign < 0)
    weights, place = np.unique(a[minus], return_inverse=True)
    a[minus] = total + place
    sign[minus] = 1
    negated = dict(zip(range(total, total + len(weights)), weights.tolist(), strict=True))
    fresh = len(owners) + len(weights)
    varying = np.concatenate([varying, np.zeros(fresh, dtype=bool)])
    order = np.lexsort((kind, root, varying[root]))
    root, kind = root[order], kind[order]
    roots = np.concatenate([np.unique(root[~varying[root]]), np.unique(root[varying[root]])])
    place_of = np.full(total + fresh, -1)
    place_of[roots] = np.arange(len(roots))
    counts = np.zeros((len(roots), 3), dtype=np.int64)
    np.add.at(counts, (place_of[root], kind), 1)
    ends = np.cumsum(counts).reshape(len(roots), 3)
    starts = np.column_stack([ends[:, 0] - counts[:, 0], ends])
    is_plain = (trace.codes >= FIRST_OPERATION) & ~absorbed
    is_plain[roots[roots < n]] = False
    return Sums(
        total=total + len(weights),
        varying=varying,
        plain=np.flatnonzero(is_plain),
        negated=negated,
        bias=np.concatenate([bias, np.full(fresh, -1)]),
        roots=roots,
        kind=kind,
        sign=sign[order],
        first=a[order],
        second=b[order],
        starts=starts,
    )


def _terms(
    trace: Trace, varying: Array, promoted: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Root, sign and one or two operands of every term, and which nodes are absorbed."""
    n, codes, args, owners = len(trace), trace.codes, trace.args, trace.owners
    adds = np.isin(codes, (ADD, SUB, NEG, SUM))
    is_dot = codes == DOT
    position = np.arange(len(args)) - trace.offsets[owners]
    edge_sign = np.where((codes[owners] == NEG) | ((codes[owners] == SUB) & (position == 1)), -1, 1)
    consumer, own_sign = np.full(n, -1), np.ones(n, dtype=np.int64)
    consumer[args], own_sign[args] = owners, edge_sign
    uses = trace.uses
    in_sums = np.bincount(args[adds[owners]], minlength=n)
    absorbed = (uses == 1) & (in_sums == 1) & (adds | is_dot)
    # A weighted input that several sums share is a term of each: to a matrix it costs nothing.
    start = np.minimum(trace.offsets[:-1], len(args) - 2)
    weighted = varying[args[start]] ^ varying[args[start + 1]] if len(args) > 1 else absorbed
    absorbed_product = (codes == MUL) & (uses > 0) & (in_sums == uses) & ((uses == 1) | weighted)
    target = np.where(absorbed, consumer, np.arange(n))
    sign = np.where(absorbed, own_sign, 1)
    while True:  # pointer jumping that multiplies the signs on the way
        sign = sign * sign[target]
        further = target[target]
        if np.array_equal(further, target):
            break
        target = further
    # A sum that absorbs nothing and has at most two terms is an operation like any other.
    absorbs = np.zeros(n, dtype=bool)
    absorbs[consumer[absorbed]] = True
    absorbs[owners[absorbed_product[args]]] = True
    root_is_sum = np.zeros(n, dtype=bool)
    root_is_sum[target[absorbs | promoted | (codes == SUM) | is_dot]] = True
    inside = root_is_sum[target]
    edge = np.flatnonzero(adds[owners] & inside[owners] & ~absorbed[args])
    x, owner = args[edge], owners[edge]
    product = absorbed_product[x]
    a = np.where(product, args[start[x]], x)
    b = np.where(product, args[start[x] + 1], -1)
    roots, signs = target[owner], edge_sign[edge] * sign[owner]
    half = np.diff(trace.offsets) // 2
    edge = np.flatnonzero(is_dot[owners] & inside[owners] & (position < half[owners]))
    owner = owners[edge]
    products = np.flatnonzero(promoted & (codes == MUL))
    return (
        np.concatenate([roots, target[owner], products]),
        np.concatenate([signs, sign[owner], np.ones(len(products), dtype=np.int64)]),
        np.concatenate([a, args[edge], args[start[products]]]),
        np.concatenate([b, args[edge + half[owner]], args[start[products] + 1]]),
        absorbed | absorbed_product,
    )
