"""1 つの規則を数に適用し、ノードを作る: `Value` の順伝播の、いちばん素直な道。

>>> from micrograd_jp.engine import Value
>>> from micrograd_jp.ops.elementwise import mul
>>> run(mul, Value(2.0), 3.0)
Value(data=6.0)

`v * 3` のようなメソッドは、同じことを速くする写し (`operations.py`) で、いつも一致する。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import require_numbers
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.anomaly import observe_birth
from micrograd_jp.graph.modes import is_grad_enabled, unusual
from micrograd_jp.namespace.scalar import slope
from micrograd_jp.ops.primitive import Elementwise


def evaluate(op: Elementwise, xs: Sequence[Any], wanted: Sequence[int]) -> tuple[Any, ...]:
    """宣言そのものを NumPy で評価する: IEEE 754 の値と、求められた局所微分。

    生成されたコードと同じ答えを、例外なしに出す（生成されたコードの検査にも使う）。

    Raises:
        TypeError: 数でないものが `data` に入っていた。
    """
    require_numbers(xs, f"{op.name} の引数の data")
    with np.errstate(all="ignore"):
        args = [np.float64(x) for x in xs]
        z = op.value(namespace.ieee, *args)
        rules = [op.partials[i] for i in wanted]
        ds = [0 if rule is None else rule(namespace.ieee, z, *args) for rule in rules]
    return (float(z), *map(slope, ds))


def run(op: Elementwise, *operands: Any, by: Callable[..., Any] = evaluate) -> Value:
    """要素ごとの演算を、`Value` か float の引数で 1 つ実行する。

    値と局所微分は `by` が計算する（`operations.py` は、宣言から生成した速いものを渡す）。
    """
    xs = [x._data if isinstance(x, Value) else x for x in operands]
    wanted = tuple([i for i, x in enumerate(operands) if isinstance(x, Value)])
    z, *partials = by(op, xs, wanted)
    return made(op, operands, z, [operands[i] for i in wanted], partials)


def made(
    op: Any, operands: tuple[Any, ...], z: float, parents: Sequence[Value], partials: Sequence[Any]
) -> Value:
    """演算の結果のノード。引数は `Node` の 2 通りの持ち方のどちらかで入る。"""
    out: Value = object.__new__(Value)
    out._data, out.op, out._mark = z, op, None
    out._a = out._b = out._da = out._db = None
    if not parents:
        out.op = out._grad = None
    elif len(operands) <= 2 and op.__class__ is Elementwise:
        slots = iter(partials)
        first, second = operands[0], operands[1] if len(operands) == 2 else None
        out._a, out._da = (first, next(slots)) if isinstance(first, Value) else (None, first)
        out._b, out._db = (second, next(slots)) if isinstance(second, Value) else (None, second)
    else:
        out._a, out._da = tuple(parents), tuple(partials)
        out._db = None if len(parents) == len(operands) else operands
    return finish(out) if unusual.contexts else out


def finish(out: Value) -> Value:
    """`no_grad` か `detect_anomaly` の中で作られたノードの仕上げ。"""
    observe_birth(out, out.operands)
    if not is_grad_enabled():
        out.op = out._a = out._b = out._da = out._db = out._grad = None
    return out
