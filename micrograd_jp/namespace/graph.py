"""計算グラフの名前空間: 規則を、計算グラフ自身の関数の上で実行する（高階微分のために）。

ここにあるのは空の表である。`Value` の演算は `engine/operations.py` が、配列の関数は `tensor/` が、
自分を作るときに書き入れる。だから下の部屋は、上の部屋を知らずに上の部屋の関数を呼べる。
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from micrograd_jp.ops import arrays, norm
from micrograd_jp.ops.gates import gate, literally


class OnGraph:
    """規則が `m.exp(x)` のように呼ぶ関数。ノードを受け取り、ノードを返す。"""

    def fill(self, functions: Mapping[str, Any]) -> None:
        """関数を名前で書き入れる。同じ名前は、あとのもの（より多くの種類を受け取る）が残る。"""
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"計算グラフの関数 {name!r} はありません (not on the graph)。")

    @staticmethod
    def where(condition: Any, x: Any, y: Any) -> Any:
        """条件の数で選ぶ。選ばれない方は計算グラフに入らない: 0·∞ がnan を作らないように。"""
        return x if condition else y

    def gate(self, condition: Any, x: Any, y: Any) -> Any:
        """条件で選ぶ局所微分。数の条件なら、選ばれた方だけ。"""
        if hasattr(condition, "shape"):
            return gate(self, condition, x, y)
        return x if condition else y

    @staticmethod
    def surely_finite(x: Any) -> bool:
        """つねに偽: 微分してもよい、まわりくどい方の式を使う。"""
        return False

    @staticmethod
    def times(g: Any, d: Any) -> Any:
        """The upstream gradient, a number, times a partial derivative; a new 0 where it is shut."""
        return g.__class__(0.0) if literally(d, 0) else g * d

    @staticmethod
    def weight_gradient(g: Any, x: Any, w: Any) -> Any:
        """`linear` の重みの勾配 gᵀx。"""
        return g.T @ x

    @staticmethod
    def bias_gradient(g: Any) -> Any:
        """`linear` のバイアスの勾配: 行の和。"""
        return g.sum(axis=0)

    blockwise, recurrent_back = arrays.blockwise, arrays.computed
    softmax_back, log_softmax_back = arrays.softmax_back, arrays.log_softmax_back
    standardized_back = norm.standardized_back
    layer_normalized_back = norm.layer_normalized_back


on_graph = OnGraph()
