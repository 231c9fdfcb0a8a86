"""配列だけの演算の表: 軸をまとめる、形を変える、添字で選ぶ（行列の演算は `linalg.py`）。

値 `(m, x, …)` と、上流の勾配 g から引数の勾配を作る規則 `(m, g, z, x, …)` が並ぶ。規則は
名前空間 `m` の関数だけで書くので、`m` が計算グラフ自身なら高階微分になる。

`Value` の並びの `sum` などと名前が同じものは、記録の名前に `tensor.` を付けて区別する。
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan, prod
from typing import Any

from micrograd_jp.ops.primitive import ArrayOp, register

Axes = tuple[int, ...]


def array_op(
    name: str, symbol: str, summary: str, value: Callable[..., Any], vjp: Any, views: bool = False
) -> ArrayOp:  # fmt: skip
    """配列の演算を宣言する。"""
    return register(ArrayOp(f"tensor.{name}", symbol, summary, value, vjp, views))


def summed_to(m: Any, g: Any, shape: Axes) -> Any:
    """ブロードキャスト (broadcasting) の逆: 広げられた軸で和を取り、`shape` に戻す。"""
    if g.shape == shape:
        return g
    extra = len(g.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1
    )
    return m.reshape(m.sum(g, axis=axes, keepdims=True), shape)


# The columns of the table are set by hand.
# fmt: off

# ---- 軸をまとめる (reduce) ---------------------------------------------------------------------


def kept(m: Any, x: Any, shape: Axes, axis: Axes) -> Any:
    """Reduced axes put back with length 1, so that x broadcasts against the original."""
    return m.reshape(x, tuple(1 if i in axis else n for i, n in enumerate(shape)))


sum = array_op("sum", "Σ", "総和 (sum)",
    lambda m, x, axis: m.sum(x, axis=axis),
    lambda m, g, z, x, axis: (m.broadcast_to(kept(m, g, x.shape, axis), x.shape),))


def count(x: Any, axis: Axes) -> int:
    """軸に沿って 1 つにまとめられる要素の数。"""
    return prod([x.shape[i] for i in axis])


mean = array_op("mean", "平均", "平均 (mean)",
    lambda m, x, axis: m.sum(x, axis=axis) / count(x, axis),
    lambda m, g, z, x, axis: (m.broadcast_to(kept(m, g / count(x, axis), x.shape, axis), x.shape),))


def _shared_by_ties(m: Any, g: Any, z: Any, x: Any, axis: Axes) -> tuple[Any, ...]:
    """The maximum's gradient in equal parts to all that attain it, as in torch.amax."""
    top = kept(m, z, x.shape, axis)
    ties = m.sum(m.astype(x == top, x.dtype), axis=axis, keepdims=True)
    share = kept(m, g, x.shape, axis) / m.where(ties == 0, nan, ties)  # no ties: the maximum is nan
    return (m.times(m.broadcast_to(share, x.shape), m.gate((x < top) | (x > top), 0, 1)),)


amax = array_op("amax", "max", "軸に沿った最大値 (amax)",
    lambda m, x, axis: m.amax(x, axis=axis), _shared_by_ties)
amin = array_op("amin", "min", "軸に沿った最小値 (amin)",
    lambda m, x, axis: m.amin(x, axis=axis), _shared_by_ties)
logsumexp = array_op("logsumexp", "logΣeˣ", "指数の和の対数 (log-sum-exp)",
    lambda m, x, axis: m.logsumexp_along(x, axis),
    lambda m, g, z, x, axis: (kept(m, g, x.shape, axis) * m.exp(x - kept(m, z, x.shape, axis)),))


def log_softmax_along(m: Any, x: Any, axis: Axes) -> Any:
    """x − log Σ eˣ。"""
    below = m.below_the_top(x, axis)
    return below - m.log(m.sum(m.exp(below), axis=axis, keepdims=True))


def log_softmax_back(m: Any, g: Any, z: Any, axis: Axes) -> Any:
    """その x の勾配。"""
    return g - m.exp(z) * m.sum(g, axis=axis, keepdims=True)


def softmax_along(m: Any, x: Any, axis: Axes) -> Any:
    """eˣ / Σ eˣ。"""
    e = m.exp(m.below_the_top(x, axis))
    return e / m.sum(e, axis=axis, keepdims=True)


def softmax_back(m: Any, g: Any, z: Any, axis: Axes) -> Any:
    """その x の勾配。"""
    return z * (g - m.sum(g * z, axis=axis, keepdims=True))


# NumPy computes the four row by row (`namespace/numpy_kernels/rows.py`).
log_softmax = array_op("log_softmax", "log softmax", "対数ソフトマックス (log-softmax)",
    lambda m, x, axis: m.log_softmax_along(x, axis=axis),
    lambda m, g, z, x, axis: (m.log_softmax_back(g, z, axis=axis),))
softmax = array_op("softmax", "softmax", "ソフトマックス関数 (softmax)",
    lambda m, x, axis: m.softmax_along(x, axis=axis),
    lambda m, g, z, x, axis: (m.softmax_back(g, z, axis=axis),))


def _norm_gradient(m: Any, g: Any, z: Any, x: Any, axis: Axes) -> tuple[Any, ...]:
    """x / ‖x‖, and the subgradient 0 where ‖x‖ = 0."""
    norm = kept(m, z, x.shape, axis)
    slope = m.gate(norm == 0, 0, x / m.where(norm == 0, 1, norm))
    share = m.times(kept(m, g, x.shape, axis), slope)
    return (m.curved_at_zero(share, g, z, x, axis=axis),)


norm = array_op("norm", "‖x‖", "ユークリッドノルム (norm)",
    lambda m, x, axis: m.sqrt(m.sum(x * x, axis=axis)), _norm_gradient)


def deviation(m: Any, x: Any, axis: Axes) -> Any:
    """x less its mean."""
    return x - m.sum(x, axis=axis, keepdims=True) / count(x, axis)


# The deviations add up to 0, so the share that goes through the mean is 0, too. It is left out:
# as a sum of what should cancel, it would be ∞ − ∞ under an infinite upstream.
sum_of_squared_deviations = array_op("sum_of_squared_deviations", "Σ(x−μ)²",
    "偏差平方和 (sum of squared deviations)",
    lambda m, x, axis: m.sum(deviation(m, x, axis) ** 2, axis=axis),
    lambda m, g, z, x, axis: (2 * kept(m, g, x.shape, axis) * deviation(m, x, axis),))
norm_of_deviations = array_op("norm_of_deviations", "‖x−μ‖", "偏差のノルム (norm of deviations)",
    lambda m, x, axis: norm.value(m, deviation(m, x, axis), axis),
    lambda m, g, z, x, axis: _norm_gradient(m, g, z, deviation(m, x, axis), axis))
cumsum = array_op("cumsum", "累積和", "累積和 (cumulative sum)",
    lambda m, x, axis: m.cumsum(x, axis=axis),
    lambda m, g, z, x, axis: (m.flip(m.cumsum(m.flip(g, axis=axis), axis=axis), axis=axis),))

# One operation, not x − y·⌊x/y⌋: that is ∞·0 for an infinite y, where the remainder is defined.
remainder = array_op("remainder", "mod", "割った余り (remainder)",
    lambda m, x, y: m.remainder(x, y),
    (lambda m, g, z, x, y: g, lambda m, g, z, x, y: -(g * m.floor_divide(x, y))))
floor_divide = array_op("floor_divide", "//", "切り捨ての割り算 (floor division)",
    lambda m, x, y: m.floor_divide(x, y),
    (lambda m, g, z, x, y: m.times(g, 0), lambda m, g, z, x, y: m.times(g, 0)))


def _over_square(m: Any, v: Any, x: Any, y: Any) -> Any:
    """v / (x² + y²), and 0 at the origin, as in PyTorch."""
    square = x * x + y * y
    return v / m.where(square == 0, inf, square)


atan2 = array_op("atan2", "atan2", "点 (y, x) の偏角 (arctangent of y/x)",
    lambda m, y, x: m.arctan2(y, x),
    (lambda m, g, z, y, x: g * _over_square(m, x, x, y),
     lambda m, g, z, y, x: -(g * _over_square(m, y, x, y))))

# ---- 形を変える (shape) -----------------------------------------------------------------------

reshape = array_op("reshape", "reshape", "形を変える (reshape)",
    lambda m, x, shape: m.reshape(x, shape),
    lambda m, g, z, x, shape: (m.reshape(g, x.shape),), views=True)


def _inverse(axes: Axes) -> Axes:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


transpose = array_op("transpose", "転置", "軸の入れ替え (transpose, permute)",
    lambda m, x, axes: m.transpose(x, axes),
    lambda m, g, z, x, axes: (m.transpose(g, _inverse(axes)),), views=True)
broadcast_to = array_op("broadcast_to", "broadcast", "ブロードキャスト (broadcast)",
    lambda m, x, shape: m.spread(x, shape),
    lambda m, g, z, x, shape: (summed_to(m, g, x.shape),), views=True)
flip = array_op("flip", "flip", "逆順 (flip)",
    lambda m, x, axis: m.array(m.flip(x, axis=axis)),  # a copy, as in PyTorch
    lambda m, g, z, x, axis: (m.flip(g, axis=axis),))
roll = array_op("roll", "roll", "巡回 (roll)",
    lambda m, x, shift, axis: m.roll(x, shift, axis=axis),
    lambda m, g, z, x, shift, axis: (m.roll(g, tuple(-s for s in shift), axis=axis),))


def _cut(m: Any, g: Any, z: Any, *xs: Any, axis: int) -> tuple[Any, ...]:
    pieces, start = [], 0
    for x in xs:
        end = start + x.shape[axis]
        pieces.append(m.getitem(g, (slice(None),) * axis + (slice(start, end),)))
        start = end
    return tuple(pieces)


concatenate = array_op("concatenate", "連結", "連結 (concatenate)",
    lambda m, *xs, axis: m.concatenate(xs, axis=axis), _cut)
stack = array_op("stack", "stack", "新しい軸に積む (stack)",
    lambda m, *xs, axis: m.stack(xs, axis=axis),
    lambda m, g, z, *xs, axis: tuple(
        m.getitem(g, (slice(None),) * axis + (i,)) for i in range(len(xs))))
pad = array_op("pad", "pad", "まわりを埋める (pad)",
    lambda m, x, widths, value: m.pad(x, widths, constant_values=value),
    lambda m, g, z, x, widths, value: (
        m.getitem(g, tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape))),))
tril = array_op("tril", "tril", "下三角 (lower triangle)",
    lambda m, x, k: m.tril(x, k), lambda m, g, z, x, k: (m.tril(g, k),))
triu = array_op("triu", "triu", "上三角 (upper triangle)",
    lambda m, x, k: m.triu(x, k), lambda m, g, z, x, k: (m.triu(g, k),))


def blockwise(m: Any, formula: Callable[..., tuple[Any, ...]], n: int, *xs: Any) -> Any:
    """行列の列を幅 n の区切りに分け、`formula(m, *区切り)` の値を、また並べたもの。

    公式は、要素ごとの関数だけで書く。だから機械語では、途中の結果をメモリに書かない。
    """
    parts = [
        m.getitem(x, (slice(None), slice(k, k + n))) for x in xs for k in range(0, x.shape[1], n)
    ]
    return m.concatenate(list(formula(m, *parts)), axis=1)


def computed(m: Any, formula: Callable[..., Any], *xs: Any, **how: Any) -> Any:
    """公式のとおりに。カーネルのある名前空間では、同じ名前のカーネルが代わりをする。"""
    return formula(m, *xs, **how)


# ---- 添字で選ぶ (index) -----------------------------------------------------------------------

# Choosing and scattering are each other's gradient.
getitem = array_op("getitem", "[ ]", "添字 (indexing)",
    lambda m, x, key: m.getitem(x, key),
    lambda m, g, z, x, key: (m.scattered(g, key, x.shape),), views=True)
diagonal = array_op("diagonal", "対角", "対角成分 (diagonal)",
    lambda m, x, key: m.getitem(x, key),
    lambda m, g, z, x, key: (m.scattered(g, key, x.shape),), views=True)
scattered = array_op("scattered", "[ ] +=", "添字の場所に足し込む (scatter-add)",
    lambda m, g, key, shape: m.scattered(g, key, shape),
    lambda m, h, z, g, key, shape: (m.getitem(h, key),))

# ---- 書き換え (in-place) ----------------------------------------------------------------------

# What an assignment is in the graph: a new array from the one before and what was written into it.
assigned = array_op("assigned", "[ ] =", "添字の場所への代入 (assignment)",
    lambda m, x, v, key: m.assigned(m.array(x), key, v),
    lambda m, g, z, x, v, key: (m.zeroed(g, key), summed_to(m, m.getitem(g, key), v.shape)))
zeroed = array_op("zeroed", "[ ] = 0", "添字の場所を 0 にしたもの (assignment of zero)",
    lambda m, x, key: m.zeroed(x, key),
    lambda m, g, z, x, key: (m.zeroed(g, key),))
current = array_op("current", "その時の値", "書き換えた Tensor の、ある時の値 (a version)",
    lambda m, x: x, lambda m, g, z, x: (g,))

# ---- 型と種類 --------------------------------------------------------------------------------

astype = array_op("astype", "astype", "型の変換 (cast)",
    lambda m, x, dtype: m.astype(x, dtype),
    lambda m, g, z, x, dtype: (m.astype(g, x.dtype),))
item = array_op("item", "→ Value", "Tensor から Value へ (scalar tensor to Value)",
    lambda m, x: x, lambda m, g, z, x: (m.reshape(g, x.shape),))
