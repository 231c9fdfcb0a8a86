"""Hypothesis の戦略 (strategies): 値、各演算の定義域の中の入力、でたらめな式。

    from hypothesis import given
    from micrograd_jp.testing import gradcheck, strategies

    @given(strategies.expressions())
    def test_gradients(e):
        gradcheck(e, e.inputs, order=2)

どれも例を捨てない (no filtering) ので速く、失敗した例は簡単なものに縮む (shrink)。
"""

from __future__ import annotations

import functools
import math
from typing import Any

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "micrograd_jp.testing.strategies には hypothesis が必要です (missing dependency): "
        'pip install "micrograd_jp[verify]"'
    ) from missing

import numpy as np

from micrograd_jp.engine.numbers import as_number, require_count
from micrograd_jp.ops.primitive import (
    Elementwise,
    Primitive,
    Reduction,
    elementwise_primitives,
    reductions,
)
from micrograd_jp.testing.expression import Expression as Expression
from micrograd_jp.testing.expression import Move, away_from_kink, build

Shape = tuple[int, ...]

_LONGEST = 5
_MOST = 4096


def values(min_value: float = -3.0, max_value: float = 3.0) -> st.SearchStrategy[float]:
    """有限の float。整数を先に試し、ほかは 1/64 の倍数（狭い区間ではもっと細かい）。

    Args:
        min_value: 最小値。
        max_value: 最大値。

    Raises:
        TypeError: 実数でない。
        ValueError: 区間が空か、有限でない。
    """
    low, high = as_number(min_value), as_number(max_value)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(
            f"values の区間が正しくありません (invalid range): [{low}, {high}]。"
            "min_value ≤ max_value となる有限の数を渡してください。"
        )
    return _values(low, high)


@functools.cache
def _values(low: float, high: float) -> st.SearchStrategy[float]:
    if high - low < 1e-6 * max(1.0, abs(low), abs(high)):  # too narrow for round numbers
        return st.floats(low, high)
    grid = _round_numbers(low, high, 1 / 64, 64)
    small = range(max(math.ceil(low), -9), min(math.floor(high), 9) + 1)
    whole = sorted(map(float, small), key=_roundness)
    # Special numbers often, and first: the earlier in the list, the simpler to Hypothesis.
    return st.sampled_from([*whole * (len(grid) // (2 * len(whole) + 1)), *grid])


def _round_numbers(low: float, high: float, unit: float, fewest: int) -> list[float]:
    """Multiples of a power of two in the interval, the roundest first."""
    while unit > (high - low) / fewest:
        unit /= 2
    while unit < (high - low) / _MOST:
        unit *= 2
    places = range(math.ceil(low / unit), math.floor(high / unit) + 1)
    return sorted((n * unit for n in places), key=_roundness)


def _roundness(v: float) -> tuple[int, float, float]:
    return v.as_integer_ratio()[1], abs(v), -v


def shapes(max_dims: int = 3, max_side: int = 3, min_side: int = 0) -> st.SearchStrategy[Shape]:
    """配列の形。0 次元を含み、`min_side=0` なら要素のない形も含む。

    Args:
        max_dims: 次元の数の上限。
        max_side: 軸の長さの上限。
        min_side: 軸の長さの下限。

    Raises:
        ValueError: 上限が負か、下限が上限を超える。
    """
    if not (max_dims >= 0 and 0 <= min_side <= max_side):
        raise ValueError(
            f"shapes の範囲が正しくありません (invalid range): max_dims={max_dims}、"
            f"min_side={min_side}、max_side={max_side}。"
        )
    # Sides of 1 and more first: the simplest array to look at is not the empty one.
    sides = st.sampled_from([*range(max(min_side, 1), max_side + 1), *range(min_side, 1)])
    return st.lists(sides, max_size=max_dims).map(tuple)


def broadcastable_shapes(
    n: int, max_dims: int = 3, max_side: int = 3, min_side: int = 0
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """互いにブロードキャストできる `n` 個の形の組。引数は `shapes` と同じ。

    Args:
        n: 形の数。
        max_dims: 次元の数の上限。
        max_side: 軸の長さの上限。
        min_side: 軸の長さの下限。
    """

    def part(shape: Shape) -> st.SearchStrategy[Shape]:
        kept = st.tuples(*[st.sampled_from([side, 1]) for side in shape])
        return st.builds(lambda sides, start: sides[start:], kept, st.integers(0, len(shape)))

    whole = shapes(max_dims, max_side, min_side)
    return whole.flatmap(lambda shape: st.tuples(*[part(shape)] * n))


def arrays(
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    *,
    max_dims: int = 3,
    max_side: int = 3,
    min_value: float = -3.0,
    max_value: float = 3.0,
) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """小さな float64 の ndarray。要素は `values` から引くので、縮むと丸い数になる。

        @given(strategies.arrays(max_dims=2))
        def test_tanh(x):
            gradcheck(mg.tanh, [x], order=2)

    Args:
        shape: 形、または形の戦略。省略すると、要素が 1 つ以上ある形（0 次元も含む）。
        max_dims: `shape` を省いたときの、次元の数の上限。
        max_side: `shape` を省いたときの、軸の長さの上限。
        min_value: 要素の最小値。
        max_value: 要素の最大値。
    """
    element = values(min_value, max_value)
    if shape is None:
        shape = shapes(max_dims, max_side, min_side=1)
    fixed = shape if isinstance(shape, st.SearchStrategy) else st.just(tuple(shape))

    def of_shape(wanted: Shape) -> st.SearchStrategy[np.ndarray[Any, Any]]:
        n = math.prod(wanted)
        return st.lists(element, min_size=n, max_size=n).map(
            lambda xs: np.array(xs, dtype=np.float64).reshape(wanted)
        )

    return fixed.flatmap(of_shape)


def primitives() -> st.SearchStrategy[Primitive]:
    """登録されている演算のどれか。"""
    return st.sampled_from([*elementwise_primitives(), *reductions()])


def inputs(primitive: Primitive) -> st.SearchStrategy[list[Any]]:
    """`primitive` を滑らかに試せる引数のリスト。定義域に入り、折れ点から離れている。

    Args:
        primitive: 演算。

    Returns:
        要素ごとの演算では float のリスト。並びをまとめる演算では、長さ 1〜5 の
        float のリストのリスト（`dot` では同じ長さの 2 つ）。
    """
    if isinstance(primitive, Reduction):
        return _lists(primitive)
    if not isinstance(primitive, Elementwise):
        raise TypeError(
            "inputs は演算の宣言を受け取ります (expected a primitive): "
            f"{type(primitive).__name__} が渡されました。"
            "ops.primitive.lookup('tanh') のように宣言を渡してください。"
        )
    return st.tuples(*map(_argument, primitive.domain, primitive.partials)).map(
        lambda xs: _smooth(primitive, list(xs))
    )


def _lists(primitive: Reduction) -> st.SearchStrategy[list[Any]]:
    element = values(*primitive.domain)
    row = st.lists(st.tuples(*[element] * primitive.lists), min_size=1, max_size=_LONGEST)
    return row.map(lambda rows: [list(column) for column in zip(*rows, strict=True)])


def _argument(domain: tuple[float, float], rule: Any) -> st.SearchStrategy[float]:
    """A condition, which has no derivative, is true or false and nothing between."""
    return values(*domain) if rule is not None else st.sampled_from([1.0, 0.0])


def _smooth(op: Elementwise, xs: list[float]) -> list[float]:
    i, by = away_from_kink(op, xs)
    xs[i] += by
    return xs


def expressions(max_ops: int = 8, max_inputs: int = 3) -> st.SearchStrategy[Expression]:
    """でたらめな式。すべての演算、共有された部分式、左右の定数を含む。

    引いた点のまわりで滑らかで、値も微分もほどほどの大きさになる。だから
    `gradcheck(e, e.inputs, order=2)` は折れ点にも小さすぎる微分にも出会わない。

    Args:
        max_ops: 演算の数の上限。
        max_inputs: 入力の数の上限。

    Raises:
        ValueError: 上限が 1 以上の整数でない。
    """
    for name, limit in (("max_ops", max_ops), ("max_inputs", max_inputs)):
        require_count(name, limit)
    point = st.lists(values(), min_size=1, max_size=max_inputs)
    steps = st.lists(_steps(), min_size=1, max_size=max_ops)
    return st.builds(build, point, steps)


_EARLIER = list(range(8))  # how many terms back


@functools.cache
def _operand(domain: tuple[float, float]) -> st.SearchStrategy[int | float]:
    """An earlier term or a round constant: one choice, because short choices shrink best."""
    constants = _round_numbers(*domain, 1 / 4, 4)
    return st.sampled_from([*_EARLIER * 3, *constants])


@st.composite
def _steps(draw: st.DrawFn) -> Move:
    op = draw(primitives())
    if isinstance(op, Reduction):
        row = st.tuples(*[_operand(op.domain)] * op.lists)
        rows = draw(st.lists(row, min_size=1, max_size=_LONGEST))
        operands = [x for column in zip(*rows, strict=True) for x in column]
        return Move(op, _with_a_term(operands, 0))
    assert isinstance(op, Elementwise)
    operands = [
        draw(st.sampled_from(_EARLIER) if rule is None else _operand(domain))
        for domain, rule in zip(op.domain, op.partials, strict=True)
    ]
    return Move(op, _with_a_term(operands, op.partials.count(None)))


def _with_a_term(operands: list[int | float], start: int) -> tuple[int | float, ...]:
    """Something must be differentiated: not only constants from `start` on."""
    if not any(isinstance(x, int) for x in operands[start:]):
        operands[start] = 0
    return tuple(operands)
