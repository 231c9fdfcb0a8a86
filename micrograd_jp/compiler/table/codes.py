"""演算の番号 (operation codes): 記録された計算では、演算は 1 つの整数。

葉は 3 種類で、番号は 0, 1, 2。演算の番号は `FIRST_OPERATION` から始まり、`PRIMITIVES[code]` が
その宣言である。計算の値を見られない記録の中でだけ現れる演算（比較と detach）も、ここで宣言する。
"""

from __future__ import annotations

from functools import cache, reduce
from typing import Any

import numpy as np

from micrograd_jp.ops.primitive import (
    Elementwise,
    Primitive,
    Reduction,
    elementwise_primitives,
    lookup,
    reductions,
)

INPUT, PARAMETER, CONSTANT = 0, 1, 2
FIRST_OPERATION = 3


def _comparison(name: str, symbol: str, summary: str, compare: Any) -> Elementwise:
    """1.0 where the comparison holds, else 0.0; no gradient."""
    return Elementwise(
        name, symbol, summary,
        lambda m, x, y: m.where(compare(x, y), 1.0, 0.0),
        (None, None), arguments=("x", "y"),
    )  # fmt: skip


COMPARISONS = {
    "lt": _comparison("lt", "<", "小なり (less than)", lambda x, y: x < y),
    "le": _comparison("le", "≤", "以下 (less or equal)", lambda x, y: x <= y),
    "gt": _comparison("gt", ">", "大なり (greater than)", lambda x, y: x > y),
    "ge": _comparison("ge", "≥", "以上 (greater or equal)", lambda x, y: x >= y),
    "eq": _comparison("eq", "=", "等しい (equal)", lambda x, y: x == y),
}
"""比較。`Value` では真偽値になるが、記録の中では 0 か 1 の数である。"""

DETACH = Elementwise("detach", "detach", "勾配を止める (detach)", lambda m, x: x, (None,))

TAKE = Reduction(
    "take", "take", "番号で選ぶ (take)",
    lambda m, xs: reduce(
        lambda z, k: m.where(xs[0] == k, xs[k + 1], z), range(1, len(xs) - 1), xs[1]
    ),
    lambda m, z, xs: [0, *(m.gate(xs[0] == k, 1, 0) for k in range(len(xs) - 1))],
)  # fmt: skip
"""`(番号, x₀, x₁, …)` から 1 つ。番号は入力である。範囲は、計算の前に確かめる (`inputs.py`)。"""

LARGEST = Reduction(
    "amax",
    "max",
    "最大値 (largest)",
    lambda m, xs: reduce(m.maximum, xs),
    lambda m, z, xs: [0] * len(xs),
)
"""`maximum` のつながりで、勾配の流れないもの: softmax が引く数。行列を見つける段だけで現れる。"""

PRIMITIVES: list[Primitive] = []
"""`PRIMITIVES[code]` はその番号の演算（`FIRST_OPERATION` 以上で意味をもつ）。"""

_codes: dict[Primitive, int] = {}


def code_of(op: Primitive) -> int:
    """演算の番号。登録されていない演算には、はじめて会ったときに番号を与える。"""
    code = _codes.get(op)
    if code is None:
        code = _codes[op] = len(PRIMITIVES)
        PRIMITIVES.append(op)
    return code


@cache
def name_of(code: int) -> str:
    """演算の名前。先に同じ名前の別の演算があれば、番号も付ける: 名前が同じでも、計算は違う。"""
    name = PRIMITIVES[code].name
    named = (op.name for op in PRIMITIVES[FIRST_OPERATION:code])
    return f"{name}.{code}" if name in named else name


def arities() -> Any:
    """番号から引数の個数へ。並びをまとめる演算は −1（個数はノードごと）、葉は 0。"""
    counts = [op.arity if isinstance(op, Elementwise) else -1 for op in PRIMITIVES]
    counts[:FIRST_OPERATION] = [0] * FIRST_OPERATION
    return np.array(counts, dtype=np.int64)


PRIMITIVES.extend([lookup("clone")] * FIRST_OPERATION)  # leaves: never looked up
for _op in (*elementwise_primitives(), *reductions(), *COMPARISONS.values(), DETACH, TAKE, LARGEST):
    code_of(_op)
KNOWN = len(PRIMITIVES)
"""ここまでが、はじめから番号のある演算。あとから記録された演算の番号は、これ以上になる。"""

ADD, SUB, MUL, NEG, DIV, POW, CLONE, MAXIMUM = (
    code_of(lookup(name)) for name in ("add", "sub", "mul", "neg", "div", "pow", "clone", "maximum")
)
SUM, PROD, DOT, LOGSUMEXP = (code_of(lookup(n)) for n in ("sum", "prod", "dot", "logsumexp"))
