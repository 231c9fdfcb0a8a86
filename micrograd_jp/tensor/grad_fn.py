"""`t.grad_fn`: 計算グラフの 1 つのノードを、PyTorch の名前 (`<AddBackward0>`) で見せる。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.graph.node import Node
from micrograd_jp.graph.writes import latest

_NAMES = {
    "getitem": "Select", "concatenate": "Cat", "item": "Item", "linear": "Addmm", "matmul": "Mm",
    "reshape": "View", "broadcast_to": "Expand", "sum": "Sum", "astype": "ToCopy",
    "transpose": "Permute", "window_max": "MaxPool2DWithIndices", "convolved": "Convolution",
    "clip": "Clamp", "inv": "LinalgInvEx", "current": "CopySlices", "assigned": "CopySlices",
}  # fmt: skip
"""演算の名前のうち、PyTorch での名前が違うもの。"""


class GradFn:
    """計算グラフのノード。真偽値は真で、同じノードのものは等しい。

    Attributes:
        node: そのノード。葉なら、勾配を足し込む `Tensor`（`variable` も同じ）。
    """

    def __init__(self, node: Any) -> None:
        self.node = node

    def name(self) -> str:
        """PyTorch の名前: `"AddBackward0"`、葉なら `"AccumulateGrad"`。"""
        op = self.node.op
        if op is None:
            return "AccumulateGrad"
        own = op.name.removeprefix("tensor.")
        if own[:1].isupper():  # the class of an autograd.Function
            return f"{own}Backward"
        camel = "".join(part.capitalize() for part in own.split("_"))
        return f"{_NAMES.get(own, camel)}Backward0"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """引数ごとの `(grad_fn, 0)`。勾配の流れない引数では `(None, 0)`。"""
        return tuple(
            (GradFn(latest(x)), 0) if isinstance(x, Node) and x.requires_grad else (None, 0)
            for x in self.node.operands
        )

    @property
    def variable(self) -> Any:
        """葉の `Tensor`。

        Raises:
            AttributeError: 葉でない。
        """
        if self.node.op is None:
            return self.node
        raise AttributeError(
            f"{self.name()} に variable はありません (not a leaf): 葉は next_functions をたどると"
            "見つかります。"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other.node is self.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def grad_fn_of(t: Any) -> GradFn | None:
    """`t` を作った演算。葉なら `None`。"""
    node = latest(t)
    return None if node.op is None else GradFn(node)
