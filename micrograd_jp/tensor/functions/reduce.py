"""軸に沿ってまとめる関数: 和、平均、分散、最大、ノルム、…。

どれも `axis`（整数、整数の組、`None` はすべて）と `keepdims` を受け取る。
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import inf, sqrt
from typing import Any, NamedTuple, cast

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.higher_order import pulled_back
from micrograd_jp.graph.node import Node
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import arrays as ops
from micrograd_jp.ops.complex import is_complex
from micrograd_jp.ops.primitive import Primitive
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, normalized_axes, one_axis
from micrograd_jp.tensor.dtypes import category, float32, int64, uint8
from micrograd_jp.tensor.registry import RULES, function
from micrograd_jp.tensor.run import floating, rounded, run, vectorized


class Extremum(NamedTuple):
    """軸に沿った最大・最小の値と、その場所。"""

    values: Tensor
    indices: Tensor


def _kept(x: Tensor, shape: Shape, axes: Shape, keepdims: bool) -> Tensor:
    """The result, if wanted with the reduced axes put back as length 1."""
    kept: Tensor = ops.kept(on_graph, x, shape, axes) if keepdims else x
    return kept


def of_dtype(x: Any, dtype: Any) -> Tensor:
    """`dtype=` の型で計算するもの。指定がなければ、その型のまま。

    Raises:
        TypeError: 型でない。
    """
    if dtype is None:
        return as_tensor(x)
    # Elsewhere an array may stand for its dtype, unless it is traced.
    if isinstance(dtype, Tensor) or namespace.is_array(dtype):
        raise TypeError(
            "dtype は型です (expected a dtype): 配列が渡されました。"
            "mg.float32 か t.dtype のように書いてください。"
        )
    return as_tensor(x).to(dtype)


def _single(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """f on floats, which computes what comes in half precision in float32, as PyTorch does.

    Sums on the way may be larger than any float16, and their gradients smaller.
    """

    @functools.wraps(f)
    def computed(x: Any, *args: Any, **kwargs: Any) -> Tensor:
        t = floating(x)
        if t.dtype.itemsize > 2:
            return f(t, *args, **kwargs)
        return rounded(f(t.astype(float32), *args, **kwargs), t.dtype)

    return computed


def _reduction(
    op: Primitive, summary: str, floats: bool = False, empty: bool = True
) -> Callable[..., Tensor]:
    """A function that runs the operation along axes.

    floats: whether it computes with floats; empty: whether axes may have length 0.
    """
    own = op.name.removeprefix("tensor.")

    def reduced(x: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
        x = of_dtype(x, dtype)
        axes = normalized_axes(axis, x.ndim, own)
        if not empty:
            _require_elements(x, axes, own)
        return _kept(run(op, x, axis=axes), x.shape, axes, keepdims)

    return function(name=own, summary=summary)(_single(reduced) if floats else reduced)


def _require_elements(x: Tensor, axes: Shape, name: str) -> None:
    for a in axes:
        if x.shape[a] == 0:
            raise ValueError(
                f"空の軸の {name} は決まりません (empty axis): 形は {x.shape}、軸は {axes} です。"
            )


sum = _reduction(ops.sum, "総和。空の和は 0。")
mean = _reduction(ops.mean, "平均。空なら nan。整数からは既定の小数の型。", floats=True)


@function(torch={"unbiased": "correction", "ddof": "correction"})
@_single
def var(x: Any, axis: Any = None, correction: int = 1, keepdims: bool = False) -> Tensor:
    """分散。`correction=1` は不偏分散 (n − 1 で割る)、0 は n で割る (`unbiased=False`)。"""
    if is_complex(x):
        return var(x.real, axis, correction, keepdims) + var(x.imag, axis, correction, keepdims)
    axes = normalized_axes(axis, x.ndim, "var")
    total = _kept(run(ops.sum_of_squared_deviations, x, axis=axes), x.shape, axes, keepdims)
    return total / _freedom(x, axes, correction)


@function(torch={"unbiased": "correction", "ddof": "correction"})
@_single
def std(x: Any, axis: Any = None, correction: int = 1, keepdims: bool = False) -> Tensor:
    """標準偏差。すべて等しいときの劣勾配 (subgradient) は 0。"""
    if is_complex(x):
        parts = [std(t, axis, correction, keepdims) for t in (x.real, x.imag)]
        return norm(on_graph.stack(parts), 2, 0)
    axes = normalized_axes(axis, x.ndim, "std")
    freedom = _freedom(x, axes, correction)
    if not freedom:  # undefined, not a spread of 0
        return var(x, axis, correction, keepdims).sqrt()
    total = _kept(run(ops.norm_of_deviations, x, axis=axes), x.shape, axes, keepdims)
    return total / sqrt(freedom)


def _freedom(x: Tensor, axes: Shape, correction: int) -> int:
    n = ops.count(x, axes) - correction
    return n if n > 0 else 0


@function()
def prod(x: Any, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """総乗。0 を含んでいても、何階の導関数も正しい。空の積は 1。"""
    x = of_dtype(x, dtype)
    if category(x.dtype) < 2:
        x = x.astype(namespace.of(x._data).available(int64))
    elif x.dtype.itemsize == 2:
        return _single(prod)(x, axis, keepdims)
    axes = normalized_axes(axis, x.ndim, "prod")
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    n, shape = ops.count(x, axes), tuple(x.shape[a] for a in rest)
    # Halved again and again: log₂ n multiplications, each with the rule it has anyway.
    factors = x.permute(*axes, *rest).reshape(n, *shape)
    if n == 1:  # the only factor, and no view of it
        factors = factors.clone()
    while n > 1:
        pairs = factors[0 : n - n % 2 : 2] * factors[1:n:2]
        factors = pairs if n % 2 == 0 else on_graph.concatenate((pairs, factors[n - 1 :]))
        n = factors.shape[0]
    out = factors[0] if n else factors.sum(0) + 1
    return _kept(out, x.shape, axes, keepdims)


amax = _reduction(ops.amax, "最大値。同点は勾配を等しく分ける。", empty=False)
amin = _reduction(ops.amin, "最小値。同点は勾配を等しく分ける。", empty=False)


@function(torch={"other": "axis"}, real=True)
def max(x: Any, axis: Any = None, keepdims: bool | None = None) -> Any:
    """最大値。`axis` があれば `(values, indices)` で、同点の勾配は最初の 1 つだけに流れる。

    `axis` の代わりに `Tensor` か配列なら、要素ごとの大きい方 `maximum(x, other)`。
    """
    if _is_arrayed(axis) and keepdims is None:
        return on_graph.maximum(x, axis)
    keepdims = bool(keepdims)
    return amax(x, None, keepdims) if axis is None else _extremum(x, "argmax", axis, keepdims)


@function(torch={"other": "axis"}, real=True)
def min(x: Any, axis: Any = None, keepdims: bool | None = None) -> Any:
    """最小値。`axis` があれば `(values, indices)` で、同点の勾配は最初の 1 つだけに流れる。

    `axis` の代わりに `Tensor` か配列なら、要素ごとの小さい方 `minimum(x, other)`。
    """
    if _is_arrayed(axis) and keepdims is None:
        return on_graph.minimum(x, axis)
    keepdims = bool(keepdims)
    return amin(x, None, keepdims) if axis is None else _extremum(x, "argmin", axis, keepdims)


def _is_arrayed(x: Any) -> bool:
    return isinstance(x, Node) or namespace.is_array(x)


@vectorized
def _extremum(x: Any, name: str, axis: int, keepdims: bool) -> Extremum:
    a = one_axis(axis, x.ndim, name.removeprefix("arg"))
    places = _constant(x, name, a, keepdims=True)
    values = on_graph.gather(x, a, places)
    return Extremum(values, places) if keepdims else Extremum(values.squeeze(a), places.squeeze(a))


@function(real=True)
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """最大値の場所。`axis` がなければ、平らに並べたときの番号。勾配はない。"""
    return _constant(x, "argmax", axis, keepdims)


@function(real=True)
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """最小値の場所。`axis` がなければ、平らに並べたときの番号。勾配はない。"""
    return _constant(x, "argmin", axis, keepdims)


@vectorized
def _constant(x: Any, name: str, axis: Any, keepdims: bool) -> Tensor:
    """The namespace's function on the plain array: its result has no graph."""
    axes = normalized_axes(axis, x.ndim, name)
    along: int | Shape | None = axes
    if name.startswith("arg"):
        if axis is not None:
            normalized_axes((axis,), x.ndim, name)  # one axis, not some
        _require_elements(x, axes, name)
        along = None if axis is None else axes[0]
    found = getattr(namespace.of(x._data), name)(x._data, axis=along)
    return _kept(Tensor(found), x.shape, axes, keepdims)


def curved_at_zero(share: Any, g: Any, z: Any, x: Any, axis: Shape) -> Any:
    """ノルム z の勾配 g·x/z に、z = 0 での傾きを与える: g も 0 になるなら、g/z の極限は dg/dz。

    だから ‖x‖² の 2 階微分は、‖x‖ が滑らかでない 0 でも 2 になる（PyTorch では nan）。
    """
    vanishes = (g == 0) & (z == 0)
    if not isinstance(g, Tensor) or g.op is None:
        return share
    if not namespace.is_traced(z._data) and not vanishes._data.any():
        return share
    slope = pulled_back([(g, Tensor(namespace.of(g._data).ones_like(g._data)))], until=z).get(z)
    if slope is None:
        return share
    limit = on_graph.where(vanishes, slope, 0)
    return share + x * ops.kept(on_graph, limit, x.shape, axis)


RULES["curved_at_zero"] = curved_at_zero


@function()
@_single
def norm(x: Any, p: Any = 2, axis: Any = None, keepdims: bool = False) -> Tensor:
    """ノルム (norm)。(Σ|x|ᵖ)^(1/p)。"fro" は 2、±inf は |x| の最大と最小、0 は 0 でない個数。

    0 での劣勾配 (subgradient) は 0。

    Raises:
        ValueError: p が数でも "fro" でもない。
    """
    if isinstance(p, bool) or not (p is None or p == "fro" or is_number(p)):
        raise ValueError(
            f"norm の p は数か 'fro' です (unknown norm): {p!r}。軸は x.norm(axis=1) と書きます。"
        )
    if is_complex(x):
        x = on_graph.abs(x)
    if p in (None, 2, "fro"):
        axes = normalized_axes(axis, x.ndim, "norm")
        return _kept(run(ops.norm, x, axis=axes), x.shape, axes, keepdims)
    if p == 0:
        # Flat, but of the graph.
        return sum(on_graph.where(x == 0, on_graph.sign(x), 1.0), axis, keepdims)
    if p not in (1, inf, -inf):
        size: Any = on_graph.abs(x)
        if p >= 2:
            powers = size**p
        else:  # the slope at 0, or its slope, is infinite
            powers = on_graph.where(size == 0, 1, size) ** p
            powers = on_graph.where(size == 0, 0.0 if p > 0 else inf, powers)
        total: Any = sum(powers, axis, keepdims)
        known = on_graph.where(total == 0, 1, total) ** (1 / p)
        return cast(Tensor, on_graph.where(total == 0, 0, known))
    reduced: Callable[..., Tensor] = {1: sum, inf: amax, -inf: amin}[p]
    return reduced(on_graph.abs(x), axis, keepdims)


logsumexp = _reduction(
    ops.logsumexp, "log Σ eˣ。最大値をくくり出すので、あふれない。空なら −inf。", floats=True
)


@function()
@_single
def log_softmax(x: Any, axis: int = -1, dtype: Any = None) -> Tensor:
    """対数ソフトマックス x − log Σ eˣ。"""
    x = of_dtype(x, dtype)
    return run(ops.log_softmax, x, axis=normalized_axes(axis, x.ndim, "log_softmax"))


@function()
@_single
def softmax(x: Any, axis: int = -1, dtype: Any = None) -> Tensor:
    """ソフトマックス関数 eˣ / Σ eˣ。"""
    x = of_dtype(x, dtype)
    return run(ops.softmax, x, axis=normalized_axes(axis, x.ndim, "softmax"))


@function(in_place=True)
@vectorized
def cumsum(x: Any, axis: int, *, dtype: Any = None) -> Tensor:
    """累積和。"""
    x = of_dtype(x, dtype)
    return run(ops.cumsum, x, axis=one_axis(axis, x.ndim, "cumsum"))


@function()
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """すべて真か。勾配はない。uint8 からは uint8 になる（PyTorch と同じ）。"""
    return _truth(x, "all", axis, keepdims)


@function()
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """1 つでも真か。勾配はない。uint8 からは uint8 になる（PyTorch と同じ）。"""
    return _truth(x, "any", axis, keepdims)


def _truth(x: Any, name: str, axis: Any, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    out = _constant(x, name, axis, keepdims)
    return out.astype(uint8) if x.dtype == uint8 else out
