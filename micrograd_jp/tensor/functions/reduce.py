"""軸に沿ってまとめる関数: 和、平均、分散、最大、ノルム、…。

どれも `axis`（整数、整数の組、`None` はすべて）と `keepdims` を受け取る。
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

from micrograd_jp import namespace
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import arrays as ops
from micrograd_jp.ops.primitive import Primitive
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, normalized_axes, one_axis
from micrograd_jp.tensor.run import floating, run

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "cumsum", "log_softmax", "logsumexp",
    "max", "mean", "min", "norm", "prod", "softmax", "std", "sum", "var",
]  # fmt: skip


class Extremum(NamedTuple):
    """軸に沿った最大・最小の値と、その場所。"""

    values: Tensor
    indices: Tensor


def _kept(x: Tensor, shape: Shape, axes: Shape, keepdims: bool) -> Tensor:
    """The result, if wanted with the reduced axes put back as length 1."""
    kept: Tensor = ops.kept(on_graph, x, shape, axes) if keepdims else x
    return kept


def _reduced(op: Primitive, x: Any, axis: Any, keepdims: bool, empty: bool = True) -> Tensor:
    x, name = as_tensor(x), op.name.removeprefix("tensor.")
    axes = normalized_axes(axis, x.ndim, name)
    if not empty:
        _require_elements(x, axes, name)
    return _kept(run(op, x, axis=axes), x.shape, axes, keepdims)


def _require_elements(x: Tensor, axes: Shape, name: str) -> None:
    for a in axes:
        if x.shape[a] == 0:
            raise ValueError(
                f"空の軸の {name} は決まりません (empty axis): 形は {x.shape}、軸は {axes} です。"
            )


def _count(x: Tensor, axis: Any, name: str) -> int:
    """How many elements are put together into one."""
    return ops.count(x, normalized_axes(axis, x.ndim, name))


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """総和。空の和は 0。"""
    return _reduced(ops.sum, x, axis, keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """平均。空なら nan。"""
    return _reduced(ops.mean, floating(x), axis, keepdims)


def var(x: Any, axis: Any = None, correction: int = 1, keepdims: bool = False) -> Tensor:
    """分散。`correction=1` は不偏分散 (n − 1 で割る)、0 は n で割る。"""
    t = floating(x)
    deviation = t - mean(t, axis, True)
    return sum(deviation * deviation, axis, keepdims) / _freedom(t, axis, correction)


def std(x: Any, axis: Any = None, correction: int = 1, keepdims: bool = False) -> Tensor:
    """標準偏差。すべて等しいときの劣勾配 (subgradient) は 0。"""
    t = floating(x)
    return norm(t - mean(t, axis, True), axis, keepdims) / sqrt(_freedom(t, axis, correction))


def _freedom(x: Tensor, axis: Any, correction: int) -> int:
    n = _count(x, axis, "var") - correction
    return n if n > 0 else 0


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """総乗。0 を含んでいても、何階の導関数も正しい。空の積は 1。"""
    x = as_tensor(x)
    axes = normalized_axes(axis, x.ndim, "prod")
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    n, shape = _count(x, axes, "prod"), tuple(x.shape[a] for a in rest)
    # Halved again and again: log₂ n multiplications, each with the rule it has anyway.
    factors = x.permute(*axes, *rest).reshape(n, *shape)
    while n > 1:
        pairs = factors[0 : n - n % 2 : 2] * factors[1:n:2]
        factors = pairs if n % 2 == 0 else on_graph.concatenate((pairs, factors[n - 1 :]))
        n = factors.shape[0]
    out = factors[0] if n else factors.sum(0) + 1
    return _kept(out, x.shape, axes, keepdims)


def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """最大値。同点は勾配を等しく分ける。"""
    return _reduced(ops.amax, x, axis, keepdims, empty=False)


def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """最小値。同点は勾配を等しく分ける。"""
    return _reduced(ops.amin, x, axis, keepdims, empty=False)


def max(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """最大値。`axis` があれば `(values, indices)` で、同点の勾配は最初の 1 つだけに流れる。"""
    return amax(x, None, keepdims) if axis is None else _extremum("argmax", x, axis, keepdims)


def min(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """最小値。`axis` があれば `(values, indices)` で、同点の勾配は最初の 1 つだけに流れる。"""
    return amin(x, None, keepdims) if axis is None else _extremum("argmin", x, axis, keepdims)


def _extremum(name: str, x: Any, axis: int, keepdims: bool) -> Extremum:
    x = as_tensor(x)
    a = one_axis(axis, x.ndim, name.removeprefix("arg"))
    places = _place(name, x, a, keepdims=True)
    values = on_graph.gather(x, a, places)
    if keepdims:
        return Extremum(values, places)
    shape = (*x.shape[:a], *x.shape[a + 1 :])
    return Extremum(values.reshape(shape), places.reshape(shape))


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """最大値の場所。`axis` がなければ、平らに並べたときの番号。勾配はない。"""
    return _place("argmax", x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """最小値の場所。`axis` がなければ、平らに並べたときの番号。勾配はない。"""
    return _place("argmin", x, axis, keepdims)


def _place(name: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    axes = normalized_axes(axis, x.ndim, name)
    _require_elements(x, axes, name)
    only = None if axis is None else axes[0]
    found = getattr(namespace.of(x.data), name)(x.data, axis=only)
    return _kept(Tensor(found), x.shape, axes, keepdims)


def norm(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """ユークリッドノルム √Σx²。0 での劣勾配 (subgradient) は 0。"""
    return _reduced(ops.norm, floating(x), axis, keepdims)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log Σ eˣ。最大値をくくり出すので、あふれない。"""
    return _reduced(ops.logsumexp, floating(x), axis, keepdims, empty=False)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """対数ソフトマックス x − log Σ eˣ。"""
    return as_tensor(x) - logsumexp(x, axis, keepdims=True)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """ソフトマックス関数 eˣ / Σ eˣ。"""
    return log_softmax(x, axis).exp()


def cumsum(x: Any, axis: int) -> Tensor:
    """累積和。"""
    x = as_tensor(x)
    return run(ops.cumsum, x, axis=one_axis(axis, x.ndim, "cumsum"))


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """すべて真か。勾配はない。"""
    return _truth("all", x, axis, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """1 つでも真か。勾配はない。"""
    return _truth("any", x, axis, keepdims)


def _truth(name: str, x: Any, axis: Any, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    axes = normalized_axes(axis, x.ndim, name)
    found = getattr(namespace.of(x.data), name)(x.data, axis=axes)
    return _kept(Tensor(found), x.shape, axes, keepdims)
