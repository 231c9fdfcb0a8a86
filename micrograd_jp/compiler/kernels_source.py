"""テープを実行する核 (kernel) のソースコードを、演算の宣言から書く。

    python -m micrograd_jp.compiler.kernels_source

演算を加えたら実行する（忘れると `tests/compiler/test_tape_kernels.py` が教える）。
numba のキャッシュは実在するファイルにしか効かないので、できた `kernels.py` は検査つきで置いておく。

1 つの演算は、順伝播の枝 1 つと逆伝播の枝 1 つになる。公式は `ops/elementwise.py` の宣言を
`ops/source.py` が代入文にしたもので、ここには 1 つも書かれていない。局所微分が四則だけで済むなら
逆伝播で計算し直し、exp などが要るなら順伝播で値の隣に保存する（softplus のシグモイドなど）。
ライブラリ関数を呼ぶ珍しい演算 (sin, erf, pow …) は、関数 `rare` にまとめる。
"""

from __future__ import annotations

import ast
from pathlib import Path

from micrograd_jp.compiler import kernels_math
from micrograd_jp.compiler.kernels_shapes import BACKWARD, FORWARD
from micrograd_jp.ops.primitive import Elementwise, elementwise_primitives
from micrograd_jp.ops.source import statements

PATH = Path(__file__).parent / "kernels.py"
NAMES = ("x", "y", "w")

_INLINED = frozenset(kernels_math.FUNCTIONS) | {
    "sqrt", "abs", "sign", "floor", "maximum", "minimum"
}  # fmt: skip

_HEADER = '''"""テープを実行する核。`kernels_source.py` が書いたもの: 手で直さない (generated file)。"""
# ruff: noqa
# fmt: off
# mypy: ignore-errors

from math import (
    acos, acosh, asin, asinh, atan, atanh, cos, cosh, erf, pow, sin, sinh, sqrt, tan
)

import numpy as np
from numba import njit, types
from numba.extending import overload

# "reassoc" would silently break the rounding tricks of exp and log. Unsigned indices: signed ones
# would be tested for wrapping around.
_OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
inlined = njit(forceinline=True, **_OPTIONS)
kernel = njit(cache=True, **_OPTIONS)
U = np.uint64
floor = np.floor


@inlined
def sign(x):
    T = type(x)
    return x if x != x else (T(1) if x > T(0) else (T(-1) if x < T(0) else T(0)))


@inlined
def maximum(x, y):
    return x if (x >= y) | (x != x) else y


@inlined
def minimum(x, y):
    return x if (x <= y) | (x != x) else y


@inlined
def finite(x):
    """±inf → ±the largest number; nan stays."""
    T = type(x)
    y = T(LARGEST32) if T(LARGEST64) == T(np.inf) else T(LARGEST64)
    return y if x > y else (-y if x < -y else x)

'''


class _Typed(ast.NodeTransformer):
    """Numbers get the dtype of the tape, which is called T; conditions become comparisons."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Call(ast.Name("T"), [node], [])

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.test, ast.Compare):
            node.test = ast.Compare(node.test, [ast.NotEq()], [ast.parse("T(0)").body[0].value])
        return node


class Rule:
    """要素ごとの演算 1 つを、核の枝にするために調べたもの。

    Attributes:
        op: 演算の宣言。
        lines: 値 `z` と局所微分 `d0, d1, …` を計算する代入文。
        saved: 局所微分を順伝播で保存するか（四則と比較だけなら計算し直す）。
        rare: 数学ライブラリを呼ぶか（呼ぶなら SIMD にならないので `rare` にまとめる）。
    """

    def __init__(self, op: Elementwise) -> None:
        self.op = op
        self.partials = [f"d{i}" for i, rule in enumerate(op.partials) if rule is not None]
        lines = statements(op, NAMES[: op.arity], {int(d[1:]): d for d in self.partials})
        tree = ast.fix_missing_locations(_Typed().visit(ast.parse("\n".join(lines))))
        self.lines = [ast.unparse(line) for line in tree.body]
        self.rare = not self._calls(self.lines) <= _INLINED
        self.saved = bool(self._calls(self.backward_lines()))
